"""Ilievski & Feng 2017, "A Simple Loss Function for ... Visual Question Answering Models", arXiv:1708.00584.

Page 03. A run is one training; its epoch is chosen on questions held out of train, where the paper reports the best
epoch on the questions it is judged by. Both are recorded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from vqabook.data.sets import DataSpec
from vqabook.data.shapes import World
from vqabook.data.ten_votes import votes_digest
from vqabook.papers._asking import asking, root_of
from vqabook.papers.soft_cross_entropy_claims import BESIDE, CLAIMS, FURTHER, RECORDED
from vqabook.papers.soft_cross_entropy_setting import (
    FURTHER_RUNS,
    IMAGES,
    MODELS,
    NAME,
    PROFILES,
    TARGETS,
    UNANIMOUS,
    Options,
    Setting,
)
from vqabook.papers.soft_cross_entropy_training import statistics, task_of, train

__all__ = ["BESIDE", "CLAIMS", "FURTHER", "IMAGES", "MODELS", "PAGES", "RECORDED", "TARGETS", "UNANIMOUS", "Setting"]

PAGES = {"soft_cross_entropy": None}
PARTS = APART = ()
SIZES = ("batch_size", "lr", "hidden", "word", "joint", "dropout")


page, setting = asking(Setting, PROFILES)


def recipes(s: Setting, page: str) -> list[dict]:
    """Every run of the page. `variant` is "<model> <target>", off the paper's table "<model> <target> @ <what>"."""
    runs = [(model, target, "", {}, {}) for model in s.models for target in s.targets]
    if s.further:
        runs += [(model, target, name, change, {}) for model, target, name, change in FURTHER_RUNS]
    if s.dataset == "shapes" and "avg" in s.models:
        worlds = {UNANIMOUS: {"disagreement": 0.0, "synonyms": 0.0}}
        worlds |= {f"disagreement {level}": {"disagreement": level} for level in s.disagreements}
        runs += [("avg", target, name, {}, world) for name, world in worlds.items() for target in ("modal", "votes")]
    runs = [run for run in runs if run[0] in s.models and run[1] in s.targets]
    counted = [_recipe(s, "statistics", 0, (s.models or tuple(MODELS))[0], "statistics", {})]
    return counted + [_trained(s, seed, *run) for seed in s.seeds for run in runs]


def _trained(s: Setting, seed: int, model: str, target: str, name: str, change: Mapping, world: Mapping) -> dict:
    variant = f"{model} {target}" + (f" @ {name}" if name else "")
    asked = {"model": model, "target": target, "options": asdict(Options(**change))}
    asked |= {size: getattr(s, size) for size in SIZES}
    asked["epochs"] = s.epochs if model in IMAGES else s.question_epochs
    asked["reach"] = s.pool_reach if model == "pool" else s.reach
    return _recipe(s, "train", seed, model, variant, world) | asked


def _recipe(s: Setting, kind: str, seed: int, model: str, variant: str, changed: Mapping) -> dict:
    seen = {"objects": s.world_objects, "regions": max(s.world_objects), "noise": s.world_noise}
    knobs = {"disagreement": s.world_disagreement, "prior": s.world_prior, **seen, **changed}
    world = World(n_train=s.questions, **knobs) if s.dataset == "shapes" else None
    data = DataSpec(s.dataset, "same", world, s.min_answer_count, s.max_words)
    what = {"paper": NAME, "profile": s.profile, "kind": kind, "variant": variant, "prior": "same", "seed": seed}
    images = model in IMAGES
    digest = votes_digest(data, root_of(s), images=images)
    return what | {"data": asdict(data) | {"images": images, "digest": digest}}


def produce(recipe: Mapping, checkpoint: Path, *, data_root: Path | None, device: str = "auto") -> dict:
    """Train or count what `recipe` says; the record's result."""
    task = task_of(recipe, data_root, device)
    return statistics(task) if recipe["kind"] == "statistics" else train(recipe, task, checkpoint)
