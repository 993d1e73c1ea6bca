"""Mun et al. 2018, "Learning to Specialize with Knowledge Distillation for Visual Question Answering", NeurIPS.

Page 05. Five base models learn apart; then, from their weights, an ensemble by each rule. Members train side by side as
one model. The epoch is chosen on rows held out of train.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from vqabook.knobs import asking
from vqabook.papers.mcl_kd.claims import BESIDE, CLAIMS, FURTHER, RECORDED, RUN
from vqabook.papers.mcl_kd.examples import data_of, examples_of
from vqabook.papers.mcl_kd.setting import NAME, NETWORKS, PROFILES, RULES, TASK_OF, Ensemble, Setting, runs_of
from vqabook.papers.mcl_kd.train import train
from vqabook.training.fit import pick_device

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
