"""Ren et al. 2020, "Balanced Activation for Long-tailed Visual Recognition", ECCV workshop, arXiv:2008.11037.

Page 06. Long tails are cut out of balanced sets of images by the run's seed; test stays balanced. Nothing is selected:
every run reports its last epoch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from importlib import import_module
from pathlib import Path

from vqabook.data.imbalanced import Cut, divide
from vqabook.knobs import asking, root_of
from vqabook.papers.balanced_activation import counts
from vqabook.papers.balanced_activation.claims import BESIDE, CLAIMS, FURTHER, RECORDED
from vqabook.papers.balanced_activation.setting import DETECTION_ROWS, HELD_OUT, NAME, PROFILES, SETS, Setting, runs_of
from vqabook.papers.balanced_activation.train import train

__all__ = ["APART", "BESIDE", "CLAIMS", "FURTHER", "PAGES", "RECORDED", "Setting"]

PAGES = {"balanced_activation": None}
PARTS = ("counts", "detection")
APART = ("detection",)  # parts with an environment of their own: elsewhere their recorded runs are shown
# of a profile that runs a part of the page: what runs all of it
WHOLE = {"imbalances": (100.0, 10.0), "further_at": (100.0,), "detection": True}
SIZES = (
    "depth", "width", "stem_stride", "steps", "second_steps", "batch_size", "lr", "warmup", "schedule", "weight_decay",
    "augment", "many", "few",
)  # fmt: skip


page, setting = asking(Setting, PROFILES)


def recipes(s: Setting, page: str) -> list[dict]:
    """Every run of the page, those that second stages start from before them. `variant`: "<row> at <imbalance>"."""
    found = [
        one | {"variant": f"{row} at {imbalance:g}", "method": asdict(method)}
        for imbalance in s.imbalances
        for one in (_recipe(s, imbalance, seed) for seed in s.seeds)
        for row, method in runs_of(s, imbalance).items()
    ]
    found.sort(key=lambda recipe: recipe["method"]["second"] is not None)
    return found + counts.recipes(s) + (_detection(s) if s.detection else [])


def _detection(s: Setting) -> list[dict]:
    """Runs of the part that needs torchvision. `variant`: "<backbone> <row>"."""
    from vqabook.detection.scenes import Scenes

    val = max(1, s.detection_images // 4)
    sizes = {"channels": s.detection_channels, "epochs": s.detection_epochs, "second_epochs": s.detection_second_epochs}
    sizes |= {"batch_size": 4, "lr": 0.02}
    what = {"paper": NAME, "part": "detection", "profile": s.profile, "kind": "train", "prior": "none"}
    return [
        what
        | {"data": {"dataset": "scenes", **asdict(scenes)}, "backbone": backbone, "seed": scenes.seed, **sizes}
        | {"variant": f"{backbone} {row}", "method": asdict(method)}
        for scenes in (Scenes(s.detection_images, val, s.detection_side, seed=seed) for seed in s.detection_seeds)
        for backbone in s.detection_backbones
        for row, method in DETECTION_ROWS.items()
    ]


def _recipe(s: Setting, imbalance: float, seed: int) -> dict:
    cut = Cut(s.dataset, "imbalanced", imbalance, HELD_OUT.get(s.dataset), seed)
    what = {"paper": NAME, "profile": s.profile, "kind": "train", "prior": "none", "seed": seed}
    what |= {"classes": SETS[s.dataset], "data": asdict(cut) | divide(cut, root_of(s)).about()}
    return what | {size: getattr(s, size) for size in SIZES}


def produce(recipe: Mapping, checkpoint: Path, *, data_root: Path | None, device: str = "auto") -> dict:
    """Train what `recipe` says; the record's result. Its `part`, if any, is the file beside this that does."""
    if "part" in recipe:
        module = import_module(f"{__package__}.{recipe['part']}")
        return module.produce(recipe, checkpoint, data_root=data_root, device=device)
    return train(recipe, checkpoint, data_root, device)
