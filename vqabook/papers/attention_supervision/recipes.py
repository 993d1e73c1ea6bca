"""Patro et al. 2021, "Self Supervision for Attention Networks", WACV: attention taught by the model's own best maps.

Page 04: sentences, images, and questions about images. A supervised run starts where its baseline did, with the same
seed, and differs by the loss on its attention alone; its epoch is chosen on examples held out of train.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import torch

from vqabook.data.sets import DataSpec, data_digest
from vqabook.knobs import asking, root_of
from vqabook.papers.attention_supervision.claims import BESIDE, CLAIMS, FURTHER, RECORDED
from vqabook.papers.attention_supervision.examples import digest_of, examples_of, human_maps_of
from vqabook.papers.attention_supervision.probe import look
from vqabook.papers.attention_supervision.setting import LOSSES, NAME, PROFILES, TASKS, Setting, Supervision, runs_of
from vqabook.papers.attention_supervision.train import train
from vqabook.training.fit import pick_device
from vqabook.world.write import World

__all__ = ["BESIDE", "CLAIMS", "FURTHER", "LOSSES", "PAGES", "RECORDED", "TASKS", "Setting"]

PAGES = {"attention_supervision": None}
PARTS = APART = ()


page, setting = asking(Setting, PROFILES)


def recipes(s: Setting, page: str) -> list[dict]:
    """Every run of the page, baselines first.

    `variant` is "<task> baseline", "<task> [question | image | both] <loss>", or either with "@ <what is ours>";
    "<task> probe" looks at what masks do to the baseline.
    """
    plain = [_plain(s, task, seed) for seed in s.seeds for task in s.tasks]
    glove = [_with_glove(one) for one in plain if one["task"] == "text" and s.glove]
    found = []
    for one in plain:
        probe = {"kind": "probe", "variant": f"{one['task']} probe", "masks": _masks(s, one["task"])}
        found.append(one | probe | {"probed": s.probed})
        for name, supervision in runs_of(one["task"]):
            if supervision.loss in s.losses and (s.controls or "@" not in name):
                found.append(_supervised(s, one, name, supervision))
    found += [_supervised(s, one, "adv @ GloVe", Supervision("adv", ("word_attention",))) for one in glove]
    return plain + glove + found


def _with_glove(plain: Mapping) -> dict:
    return plain | {"variant": "text baseline @ GloVe", "model": plain["model"] | {"glove": True}}


def _plain(s: Setting, task: str, seed: int) -> dict:
    """The recipe of a baseline."""
    if task == "text":
        sizes = {"word": s.word, "hidden": s.hidden, "attention": s.word_attention, "hops": s.hops, "wide": s.wide}
        sizes |= {"dropout": s.text_dropout, "glove": False}
        how = {"epochs": s.text_epochs, "batch_size": s.text_batch, "lr": s.text_lr, "hop_penalty": s.hop_penalty}
    elif task == "image":
        sizes = {"hidden": s.image_hidden, "dropout": s.image_dropout, "halvings": 2 * (s.image_data == "cifar10")}
        how = {"epochs": s.image_epochs, "batch_size": s.image_batch, "lr": s.image_lr}
    else:
        sizes = {"word": s.vqa_word, "hidden": s.vqa_hidden, "attention": s.vqa_attention, "hops": s.vqa_hops}
        sizes |= {"word_attention": s.vqa_attention, "dropout": s.vqa_dropout}
        how = {"epochs": s.vqa_epochs, "batch_size": s.vqa_batch, "lr": s.vqa_lr}
    what = {"paper": NAME, "profile": s.profile, "kind": "train", "task": task, "variant": f"{task} baseline"}
    what |= {"prior": "same" if task == "vqa" else "none", "seed": seed}
    return what | {"data": _data(s, task, seed), "model": sizes, **how, "supervision": None}


def _data(s: Setting, task: str, seed: int) -> dict:
    if task == "image":
        data: dict = {"dataset": s.image_data, "n_train": s.image_train}
    elif task == "text" and s.text_data == "trec":
        data = {"dataset": "trec"}
    else:
        dataset = s.text_data if task == "text" else s.dataset
        world = None
        if dataset == "shapes":
            seen = {"objects": s.world_objects, "regions": max(s.world_objects), "noise": s.world_noise}
            n = s.text_questions if task == "text" else s.questions
            world = World(n_train=n, prior=s.world_prior, **seen)
        spec = DataSpec(dataset, "same", world, s.min_answer_count, s.max_words)
        more = {"word_noise": s.word_noise} if task == "text" else {"human": human_maps_of(dataset, root_of(s))}
        data = asdict(spec) | more
        return data | {"digest": data_digest(spec, root_of(s))}
    examples = examples_of({"task": task, "seed": seed, "data": data}, root_of(s), torch.device("cpu"))
    return data | {"digest": digest_of(examples)}


def _masks(s: Setting, task: str) -> dict:
    """What each head is probed with; texts always with every pair of words."""
    n, scale = (s.image_masks, s.image_scale) if task == "image" else (s.vqa_masks, s.vqa_scale)
    both = {"attention": {"n": n, "scale": scale}, "word_attention": {"concealed": 2}}
    heads = {"text": ("word_attention",), "image": ("attention",)}.get(task, tuple(both))
    return {head: both[head] for head in heads}


def _supervised(s: Setting, plain: Mapping, name: str, supervision: Supervision) -> dict:
    task = plain["task"]
    shares = {
        "attention": s.image_share if task == "image" else s.vqa_share,
        "word_attention": s.text_share if task == "text" else s.word_share,
    }
    masks = {head: one for head, one in _masks(s, task).items() if head in supervision.heads}
    if supervision.n_masks is not None:
        masks["attention"] |= {"n": supervision.n_masks}
    more = {"shares": {head: shares[head] for head in supervision.heads}, "bandwidth": s.bandwidth, "masks": masks}
    return plain | {"variant": f"{task} {name}", "supervision": asdict(supervision)} | more


def produce(recipe: Mapping, checkpoint: Path, *, data_root: Path | None, device: str = "auto") -> dict:
    """Train, or probe a baseline, as `recipe` says; the record's result."""
    examples = examples_of(recipe, data_root, pick_device(device))
    return (look if recipe["kind"] == "probe" else train)(recipe, examples, checkpoint, data_root)
