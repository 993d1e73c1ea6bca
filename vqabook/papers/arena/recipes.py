"""Every run of the arena: all rules of the library on a division of a set, or a loss of one's own on the same one."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vqabook.data.pools import POOLS, list_possible, read_pool
from vqabook.files import data_root
from vqabook.papers.arena.setting import ALL, NAME, Setting
from vqabook.papers.paper import Recipe
from vqabook.report.claims import LONGER

OWN_HELD_OUT = 0.2  # of all rows, where the data are one's own
NATURAL = "as it comes"


@dataclass(frozen=True)
class ContestData:
    """Rows that a contest is held on. `imbalance` None: as the set comes; `held_out`: what a seed draws for test."""

    dataset: str
    imbalance: float | None
    held_out: float | None
    digest: str
    side: int | None = None  # pixels of the images that features are of
    label: str | None = None


@dataclass(frozen=True)
class LossFile:
    """A loss of one's own, and a hash of its file."""

    word: str
    digest: str


@dataclass(frozen=True, kw_only=True)
class ContestRun(Recipe):
    """One division, and what competes on it. `variant`: "digits at 100", or "<that> @ <loss of one's own>"."""

    data: ContestData
    steps: int
    batch_size: int
    decay: float
    trials: int
    loss: LossFile | None = None  # None: all rules of the library

    LEFT_OUT = (*Recipe.LEFT_OUT, "loss")


def list_recipes(s: Setting, page: str) -> list[Recipe]:
    """The runs of each set, imbalance and seed; each loss of one's own beside them; some runs twice as long."""
    sets = s.sets if s.dataset == ALL else (s.dataset,)
    losses = [None, *(LossFile(word, _digest(word)) for word in s.losses)]
    runs: list[Recipe] = []
    for dataset in sets:
        for seed in s.seeds:
            runs += [_run(s, data, seed, loss) for data in list_data(s, dataset, seed) for loss in losses]
        for seed in s.longer_seeds if dataset in POOLS else ():
            longer = [data for data in list_data(s, dataset, seed) if data.imbalance in (None, *s.longer_at)]
            runs += [_run(s, data, seed, None, longer=2) for data in longer if s.longer_at]
    return runs


def list_data(s: Setting, dataset: str, seed: int) -> Iterator[ContestData]:
    """The divisions of a set that a seed has, one an imbalance that its rows allow."""
    if dataset not in POOLS:
        from vqabook.papers.arena.rows import read_own  # brings torch

        examples = read_own(dataset, s.label, s.runs)
        yield ContestData(dataset, None, OWN_HELD_OUT, examples.digest, label=s.label)
        return
    pool = read_pool(dataset, s.side, data_root(s.data_root), seed)
    side = s.side if dataset.startswith("cifar") else None
    for imbalance in list_possible(pool, s.imbalances):
        yield ContestData(dataset, imbalance, pool.held_out, pool.digest(), side)


def _run(s: Setting, data: ContestData, seed: int, loss: LossFile | None, *, longer: int = 1) -> ContestRun:
    at = NATURAL if data.imbalance is None else f"at {data.imbalance:g}"
    name = Path(data.dataset).name if data.dataset not in POOLS else data.dataset
    what: dict[str, Any] = {"paper": NAME, "profile": s.profile, "kind": "train", "prior": "none"}
    steps, decay = (s.lvis_steps, s.lvis_decay) if data.dataset == "lvis_v1" else (s.steps, s.decay)
    return ContestRun(
        **what,
        variant=f"{name} {at}" + LONGER * (longer > 1) + (f" @ {name_loss(loss)}" if loss else ""),
        seed=seed,
        data=data,
        steps=steps * longer,
        batch_size=s.batch_size,
        decay=decay,
        trials=s.trials,
        loss=loss,
    )


def name_loss(loss: LossFile) -> str:
    """What its row is called: mine.py:my_loss."""
    return Path(loss.word).name


def _digest(word: str) -> str:
    """Of the file that a word names; checked in full where it is trained."""
    path = Path(word.rpartition(":")[0])
    return hashlib.sha256(path.read_bytes()).hexdigest()[:12] if path.is_file() else ""
