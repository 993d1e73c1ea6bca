"""Mun et al. 2018, "Learning to Specialize with Knowledge Distillation for Visual Question Answering", NeurIPS.

Page 05. Five base models learn apart; then, from their weights, an ensemble by each rule. Members train side by side as
one model. The epoch is chosen on rows held out of train.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import torch

from vqabook.data.sets import DataSpec, data_digest
from vqabook.data.shapes import World
from vqabook.fit import pick_device
from vqabook.papers._asking import asking, root_of
from vqabook.papers.mcl_kd_claims import BESIDE, CLAIMS, FURTHER, RECORDED, RUN
from vqabook.papers.mcl_kd_data import digest_of, examples_of
from vqabook.papers.mcl_kd_setting import NAME, NETWORKS, PROFILES, RULES, TASK_OF, Ensemble, Setting, runs_of
from vqabook.papers.mcl_kd_training import train

__all__ = ["BESIDE", "CLAIMS", "FURTHER", "NETWORKS", "PAGES", "RECORDED", "RULES", "Setting"]

PAGES = {"mcl_kd": None}
PARTS = APART = ()
# of a profile that runs a part of the page: what runs all of it
WHOLE = {"networks": RUN, "members": 5, "specialists": (1, 2, 3), "vqa_specialists": (3,)}


page, setting = asking(Setting, PROFILES)


def recipes(s: Setting, page: str) -> list[dict]:
    """Every run of the page, base models first. `variant` is "<network> base" or "<network> <rule> k<k>"; after an @,
    ours.
    """
    data = {task: data_of(s, task) for task in {TASK_OF[network] for network in s.networks}}
    base = [_base(s, network, seed, data[TASK_OF[network]]) for seed in s.seeds for network in s.networks]
    return base + [
        _specialised(s, one, name, asked)
        for one in base
        for name, asked in runs_of(one["network"], _specialists(s, one["network"]), controls=s.controls)
    ]


def _specialists(s: Setting, network: str) -> tuple[int, ...]:
    return s.vqa_specialists if TASK_OF[network] == "vqa" else s.specialists


def _base(s: Setting, network: str, seed: int, data: dict) -> dict:
    task = TASK_OF[network]
    words = {"word": s.word, "hidden": s.hidden, "dropout": s.dropout}
    sizes = {
        "mlp": words | {"wide": s.wide},
        "san": words | {"attention": s.attention},
        "updn": {"word": s.vqa_word, "hidden": s.vqa_hidden},
        "resnet": {"depth": s.depth, "width": s.image_width},
        "vgg": {"width": s.vgg_width},
    }[network]
    how = {"base_epochs": s.base_epochs, "batch_size": s.batch_size, "lr": s.lr}
    if task == "vqa":
        how = {"base_epochs": s.vqa_base_epochs, "batch_size": s.vqa_batch, "lr": s.vqa_lr}
    elif task == "image":
        how = {"base_epochs": s.image_base_epochs, "batch_size": s.image_batch, "lr": s.image_lr}
    what = {"paper": NAME, "profile": s.profile, "kind": "train", "network": network, "variant": f"{network} base"}
    what |= {"prior": "none" if task == "image" else "same", "seed": seed, "members": s.members}
    how["epochs"] = how["base_epochs"]
    return what | {"data": data, "model": sizes, **how, "ensemble": None}


def data_of(s: Setting, task: str) -> dict:
    """What a task's recipes say of their data; its hash reads all of them."""
    dataset = {"reasoning": s.reasoning_data, "vqa": s.dataset, "image": s.image_data}[task]
    data: dict = {"dataset": dataset}
    if task == "image":
        data |= {"n_train": s.image_train, "side": s.image_side if dataset == "cifar100" else None}
    elif dataset.startswith("clevr"):
        data |= {"features": s.reasoning_features}
    if task == "vqa" or dataset == "shapes":
        world = None
        if dataset == "shapes":
            seen = {"objects": s.world_objects, "regions": max(s.world_objects), "noise": s.world_noise}
            synonyms = World.synonyms if task == "vqa" else 0.0  # reasoning is about what is there, not about words
            wrong = World.disagreement if task == "vqa" else s.world_disagreement
            world = World(n_train=s.questions, disagreement=wrong, synonyms=synonyms, **seen)
        spec = DataSpec(dataset, "same", world, s.min_answer_count, s.max_words)
        labels = {"labels": task == "reasoning"}
        return asdict(spec) | labels | {"digest": data_digest(spec, root_of(s))}
    return data | {"digest": digest_of(examples_of(data, root_of(s), torch.device("cpu")))}


def _specialised(s: Setting, base: Mapping, name: str, asked: Ensemble) -> dict:
    task = TASK_OF[base["network"]]
    epochs, betas, temperature = {
        "reasoning": (s.epochs, (s.beta, s.cmcl_beta), s.temperature),
        "vqa": (s.vqa_epochs, (s.vqa_beta, s.cmcl_beta), s.vqa_temperature),
        "image": (s.image_epochs, (s.image_beta, s.image_cmcl_beta), s.image_temperature),
    }[task]
    more = {"ensemble": asdict(asked), "epochs": epochs, "temperature": temperature}
    return base | {"variant": f"{base['network']} {name}", "beta": betas[0], "cmcl_beta": betas[1], **more}


def produce(recipe: Mapping, checkpoint: Path, *, data_root: Path | None, device: str = "auto") -> dict:
    """Train the ensemble that `recipe` asks for; the record's result."""
    return train(recipe, examples_of(recipe["data"], data_root, pick_device(device)), checkpoint)
