"""Every run of heads: linear classifiers on frozen features of images under a long tail, one of each rule a run.

A classifier study: no network is trained. Features are those of `vqabook data features`, of a network that has seen
ImageNet; digits are their own pixels. A run's tail is cut by its seed, as for networks.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vqabook.data.frozen import BACKBONE, PIXELS, Frozen, cut_tail, read_frozen
from vqabook.files import data_root
from vqabook.papers.balanced_activation.setting import NAME, Setting
from vqabook.papers.paper import Recipe
from vqabook.report.claims import LONGER


@dataclass(frozen=True)
class HeadData:
    """A tail of rows with frozen features; `features`: what gave them; `digest`: of that, and of the labels."""

    dataset: str
    imbalance: float
    features: str
    width: int
    counts: list[int]
    digest: str


@dataclass(frozen=True, kw_only=True)
class HeadsRun(Recipe):
    """One head of each rule on the same tail. `variant`: "heads at <imbalance>", or "<that> @ twice as long"."""

    data: HeadData
    classes: int
    steps: int
    batch_size: int
    lr: float
    decay: float
    many: int
    few: int


def frozen_of(recipe: HeadsRun, root: Path) -> Frozen:
    """The features that a recipe names. Raises ValueError where those at hand are others."""
    side = 0 if recipe.data.features == PIXELS else int(recipe.data.features.rpartition(" ")[2])
    frozen = read_frozen(recipe.data.dataset, side, root, recipe.seed if side == 0 else 0)
    if (found := frozen.digest()) != recipe.data.digest:
        raise ValueError(
            f"a run reads the features that its recipe names, {recipe.data.digest}, got {found} in {root}; extract "
            "them again, or ask for the run anew"
        )
    return frozen


def list_heads(s: Setting) -> list[HeadsRun]:
    """The runs of heads that a setting asks for: each tail, and some trained twice as long."""
    return [
        _head(s, dataset, imbalance, seed, longer)
        for dataset in s.heads_sets
        for imbalances, seeds, longer in (
            (s.heads_imbalances, s.heads_seeds, 1),
            (s.heads_longer_at, s.heads_longer_seeds, 2),
        )
        for imbalance in imbalances
        for seed in seeds
    ]


def _head(s: Setting, dataset: str, imbalance: float, seed: int, longer: int) -> HeadsRun:
    frozen = read_frozen(dataset, s.heads_side, data_root(s.data_root), seed if dataset == "digits" else 0)
    counts = cut_tail(frozen, imbalance, seed)[1]
    made = PIXELS if dataset == "digits" else f"{BACKBONE} at {s.heads_side}"
    what: dict[str, Any] = {"paper": NAME, "profile": s.profile, "kind": "train", "prior": "none", "part": "heads"}
    return HeadsRun(
        **what,
        variant=f"heads at {imbalance:g}" + LONGER * (longer > 1),
        seed=seed,
        data=HeadData(dataset, imbalance, made, frozen.train.shape[1], counts, frozen.digest()),
        classes=frozen.classes,
        steps=s.heads_steps * longer,
        batch_size=s.heads_batch_size,
        lr=s.heads_lr,
        decay=s.heads_decay,
        many=s.many,
        few=s.few,
    )
