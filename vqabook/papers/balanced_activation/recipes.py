"""Every run of page 06, and what is asked of it.

Long tails are cut out of balanced sets of images by the run's seed; test stays balanced. Nothing is selected: every run
reports its last epoch.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Bool, Float, Int

from vqabook.data import frozen
from vqabook.data.imbalanced import Cut, CutImages, select_images
from vqabook.data.lvis import BOUNDS, CATEGORIES, EQUALISED, Photographs, category_counts, describe_photographs
from vqabook.detection.scenes import Scenes
from vqabook.files import advise, data_root
from vqabook.papers.balanced_activation.head_recipes import list_heads
from vqabook.papers.balanced_activation.setting import (
    AS_LONG,
    COUNTS_ROWS,
    DETECTION_ROWS,
    FULL,
    IN_BF16,
    NAME,
    ROWS,
    TABLE,
    Method,
    Setting,
    name_full,
)
from vqabook.papers.paper import Recipe
from vqabook.report.claims import LONGER

IMAGES = 100_170  # of LVIS 1.0's train split
MADE = (2000.0, 1.3)  # instances of the most frequent class of a made tail, and the power of the others' rank
HELD_OUT = {"digits": frozen.HELD_OUT}  # for test, where there is no official split


@dataclass(frozen=True, kw_only=True)
class Row(Recipe):
    """A row of a table. A second stage goes on from what the row `FIRST` leaves."""

    method: Method

    FIRST: ClassVar[Method]
    LATER: ClassVar[tuple[str, ...]] = ()  # numbers that first stages know nothing of

    @property
    def shares(self) -> bool:
        """Whether other rows go on from what it trains first."""
        return self.method == self.FIRST or self.method.second is not None

    def first_stage(self) -> Row:
        """The same for all rows that share it."""
        none: dict[str, Any] = dict.fromkeys(self.LATER, 0)
        return replace(self, variant="first stage", method=self.FIRST, **none)


@dataclass(frozen=True, kw_only=True)
class Run(Row):
    """One classifier of images. `variant`: "<row> at <imbalance>"; of a network of full size "full <row> at ..."."""

    data: CutImages
    classes: int
    depth: int
    width: int
    stem_stride: int
    steps: int
    second_steps: int
    batch_size: int
    lr: float
    warmup: int
    schedule: str
    weight_decay: float
    augment: str
    many: int
    few: int

    FIRST = ROWS["softmax"]
    LATER = ("second_steps", "many", "few")


@dataclass(frozen=True)
class Features:
    """Regions without images: features under a tail."""

    dataset: str  # whose tail
    share: float  # of its instances
    width: int
    noise: float
    background: float
    classes: int
    rows: int


@dataclass(frozen=True, kw_only=True)
class CountsRun(Row):
    """One linear classifier of regions. `variant`: "counts <row>"."""

    data: Features
    steps: int
    lr: float

    FIRST = COUNTS_ROWS["sigmoid"]


@dataclass(frozen=True, kw_only=True)
class DetectionRun(Row):
    """One detector, whose classifier all rows but the first train anew.

    `variant`: "detector <row>", with another backbone than the first "detector <row> @ <backbone>".
    """

    data: Scenes | Photographs
    backbone: str
    channels: int
    epochs: int
    second_epochs: int
    batch_size: int
    lr: float
    sides: tuple[int, ...] | None = None  # of the shorter side of a photograph, drawn; the last one at test
    weights: str | None = None  # that the backbone starts from; None: random

    FIRST = DETECTION_ROWS["repeat factor"]
    LATER = ("second_epochs",)
    LEFT_OUT = (*Row.LEFT_OUT, "sides", "weights")


@dataclass(frozen=True)
class Tail:
    """Training rows, share of the images and frequency (a place in `data.lvis.FREQUENCIES`) of each category."""

    counts: Int[np.ndarray, " c"]
    share: Float[np.ndarray, " c"]
    frequency: Int[np.ndarray, " c"]

    @property
    def equalised(self) -> Bool[np.ndarray, " c"]:
        """The categories that equalisation loss takes for its tail: rare and common ones."""
        return self.share < EQUALISED["1.0"]


@lru_cache(maxsize=2)
def read_tail(name: str, classes: int, share: float, folder: Path) -> Tail:
    """The real categories' tail, `share` of their instances; or one by a power law, which needs no file."""
    if name == "made":
        whole = MADE[0] / np.arange(1, classes + 1) ** MADE[1]
        counts = np.maximum(1, np.rint(whole * share)).astype(np.int64)
        return Tail(counts, counts / counts.sum(), np.searchsorted(BOUNDS, counts))  # an image a region
    path = folder / CATEGORIES
    if not path.exists():
        raise FileNotFoundError(
            f"{path} does not exist; check data_root, fetch LVIS' category info, or set counts = 'made'"
        )
    categories = category_counts(path)
    if (categories.instance_count < 1).any():
        empty = categories.name[int(np.argmin(categories.instance_count))]
        raise ValueError(f"every category has training instances, {empty} of {path} has none; {advise(path)}")
    counts = np.maximum(1, np.rint(categories.instance_count * share)).astype(np.int64)
    return Tail(counts, categories.image_count / IMAGES, categories.frequency)


def list_recipes(s: Setting, page: str) -> list[Recipe]:
    """Every run of the page, those that second stages start from before them."""
    runs = [run for imbalance in s.imbalances for seed in s.seeds for run in _image_runs(s, imbalance, seed)]
    runs.sort(key=lambda run: run.method.second is not None)
    full = _full_runs(s) if s.full_rows else ()
    return [*runs, *full, *_counts_runs(s), *list_heads(s), *(_detection_runs(s) if s.detection else ())]


def _what(s: Setting, kind: type, part: str | None = None) -> dict:
    """What all runs of a kind say. Knobs are called as its own fields are, behind the name of a part of theirs."""
    own = [field.name for field in fields(kind) if field not in fields(Recipe)]
    knobs = {name: f"{part}_{name}" if part else name for name in own}
    given = {name: getattr(s, knob) for name, knob in knobs.items() if hasattr(s, knob)}
    return given | {"paper": NAME, "profile": s.profile, "kind": "train", "prior": "none", "part": part}


def _share(s: Setting, imbalance: float, seed: int) -> dict:
    """What all rows on one tail of images say."""
    cut = Cut(s.dataset, "imbalanced", imbalance, HELD_OUT.get(s.dataset), seed)
    images = select_images(cut, data_root(s.data_root))
    return _what(s, Run) | {"seed": seed, "data": images.describe(cut), "classes": len(images.names)}


def _methods(s: Setting) -> dict[str, Method]:
    """Of each row."""
    drw = ROWS["ldam @ drw"]
    return ROWS | {"ldam @ drw": replace(drw, rule="ldam_drw_released") if s.drw == "weights" else drw}


def _image_runs(s: Setting, imbalance: float, seed: int) -> list[Run]:
    shared = _share(s, imbalance, seed)
    rows = _methods(s) if imbalance in s.further_at else TABLE
    longer = {"steps": s.steps + s.second_steps}
    runs = [
        Run(**shared | (longer if row.endswith(AS_LONG) else {}), variant=f"{row} at {imbalance:g}", method=method)
        for row, method in rows.items()
    ]
    halved = s.in_bf16 if imbalance in s.further_at else ()
    return runs + [
        Run(**shared, variant=f"{row}{IN_BF16} at {imbalance:g}", method=ROWS[row], precision="bf16") for row in halved
    ]


def _full_runs(s: Setting) -> list[Run]:
    """Rows again by a network of full size, that learns its training rows; some twice as long."""
    own = _what(s, Run, FULL) | {"precision": s.full_precision if s.full_precision == "bf16" else None}
    asked = {1: (s.full_rows, s.seeds), 2: (s.full_longer_rows, s.full_longer_seeds)}  # times as long
    methods, runs = _methods(s), []
    for imbalance in s.further_at:
        for seed in sorted({*s.seeds, *s.full_longer_seeds}):
            shared = _share(s, imbalance, seed) | own
            for longer, rows in ((n, rows) for n, (rows, seeds) in asked.items() if seed in seeds):
                steps = {name: longer * shared[name] for name in ("steps", "second_steps", "warmup")}
                names = {row: name_full(row, imbalance) + LONGER * (longer > 1) for row in rows}
                runs += [Run(**shared | steps, method=methods[row], variant=name) for row, name in names.items()]
    return sorted(runs, key=lambda run: run.method.second is not None)


def _counts_runs(s: Setting) -> list[CountsRun]:
    tail = read_tail(s.counts, s.counts_classes, s.counts_share, data_root(s.data_root))
    n, rows = len(tail.counts), int(tail.counts.sum())
    data = Features(s.counts, s.counts_share, s.counts_width, s.counts_noise, s.counts_background, n, rows)
    return [
        CountsRun(**_what(s, CountsRun, "counts"), data=data, seed=seed, variant=f"counts {row}", method=method)
        for seed in s.counts_seeds
        for row, method in COUNTS_ROWS.items()
    ]


def _detection_runs(s: Setting) -> list[DetectionRun]:
    shared, n, side = _what(s, DetectionRun, "detection"), s.detection_images, s.detection_side
    sets: dict[int, Scenes | Photographs]
    if s.detection_dataset == "scenes":
        shared |= {"sides": None}
        sets = {seed: Scenes(n, max(1, n // 4), side, seed=seed) for seed in s.detection_seeds}
    else:
        sets = dict.fromkeys(s.detection_seeds, describe_photographs(data_root(s.data_root)))
    shared |= {"weights": None} if s.detection_weights == "random" else {}
    return [
        DetectionRun(
            **shared, data=data, seed=seed, backbone=backbone, method=method,
            variant=f"detector {row}" + (f" @ {backbone}" if backbone != s.detection_backbones[0] else ""),
        )
        for seed, data in sets.items()
        for backbone in s.detection_backbones
        for row, method in DETECTION_ROWS.items()
    ]  # fmt: skip
