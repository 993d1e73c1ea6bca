"""The rows of a contest and their division: a tail cut out of a pool, or a user's own data."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from vqabook.arena.divide import Division, divide, scale
from vqabook.arena.examples import Examples, check
from vqabook.arena.readers import read
from vqabook.data.pools import POOLS, cut_classes, read_pool
from vqabook.evidence.runs import runs_folder
from vqabook.files import at_home
from vqabook.papers.arena.recipes import ContestData, ContestRun
from vqabook.papers.arena.setting import ALL, NAME

VALID = 0.2  # of a tail's rows of each class, one at least: what chooses among tries


def read_own(path: str, label: str | None, runs: str | None) -> Examples:
    """The rows of a user's data. ValueError, one sentence, for what is none, and for a set that nobody knows."""
    place = at_home(path)
    if not place.exists():
        raise FileNotFoundError(
            f"dataset is {ALL}, {', '.join(POOLS)}, or data of your own as `vqabook arena` takes them: {place} does "
            "not exist; check the spelling"
        )
    return check(read([place], runs_folder(runs) / NAME, label=label))


def lay_out(recipe: ContestRun, root: Path, runs: str | None = None) -> tuple[Examples, Division]:
    """The rows of a recipe and their division. ValueError where those at hand are others than it names."""
    data = recipe.data
    if data.dataset not in POOLS:
        examples = read_own(data.dataset, data.label, runs)
        _need(examples.digest, data)
        return examples, divide(examples, recipe.seed)
    pool = read_pool(data.dataset, data.side or 0, root, recipe.seed)
    _need(pool.digest(), data)
    kept, counts = cut_classes(pool, data.imbalance, recipe.seed)
    x = np.concatenate([part.astype(np.float32, copy=False) for part in pool.read()])
    labels, columns = pool.labels[kept], np.flatnonzero(x[kept].max(0) > x[kept].min(0))
    examples = Examples(data.dataset, x, kept, labels, pool.names, columns, {}, (), (), data.digest)
    rng, valid = np.random.default_rng(recipe.seed), np.zeros(len(kept), bool)
    for label in range(len(counts)):
        mine = np.flatnonzero(labels == label)
        valid[rng.permutation(mine)[: max(1, round(VALID * len(mine)))]] = True
    test = len(pool.labels) + np.arange(len(pool.truth))
    rows = {"train": kept[~valid], "valid": kept[valid], "test": test}
    truth = {"train": labels[~valid], "valid": labels[valid], "test": pool.truth}
    return examples, scale(examples, rows, {part: torch.from_numpy(y) for part, y in truth.items()})


def _need(found: str, data: ContestData) -> None:
    if found != data.digest:
        raise ValueError(
            f"a run reads the rows that its recipe names, {data.digest}: {data.dataset} has {found}; open the page anew"
        )
