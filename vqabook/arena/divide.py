"""A division of rows into train, validation and test, and their features at train's scale, read batch by batch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from vqabook.arena.examples import Examples
from vqabook.arena.readers import Rows
from vqabook.metrics.priors import PRIORS, priors_of
from vqabook.splits import rank_within

SHARES = (0.6, 0.2, 0.2)  # of the rows of each class: train, validation, test
BATCH = 4096  # rows that are read together


@dataclass(frozen=True)
class Scaled:
    """Rows of one part, standardised as they are asked for: what is read is what a batch needs, wherever it lies."""

    x: Rows
    rows: Int[np.ndarray, " n"]
    columns: Int[np.ndarray, " d"] | slice
    mean: np.ndarray
    factor: np.ndarray

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, at: Int[Tensor, " b"]) -> Float[Tensor, "b d"]:
        block = self.x[self.rows[at.numpy()]][:, self.columns]
        exact = np.float32 if block.dtype in (np.float16, np.float32) else np.float64
        scaled = np.subtract(block, self.mean, dtype=exact) * self.factor.astype(exact)
        return torch.from_numpy(scaled.astype(np.float32, copy=False))

    def batches(self, size: int = BATCH) -> Iterator[tuple[Tensor, Float[Tensor, "b d"]]]:
        """Places and features of all rows, in order."""
        for places in torch.arange(len(self)).split(size):
            yield places, self[places]


@dataclass(frozen=True)
class Division:
    """Features and labels of each part by its name; `counts`: training rows of each class."""

    x: Mapping[str, Scaled]
    labels: Mapping[str, Int[Tensor, " n"]]
    counts: Int[Tensor, " c"]

    @property
    def width(self) -> int:
        """Columns that change in training."""
        return len(self.x["train"].mean)


def deal(labels: Int[np.ndarray, " n"], seed: int, shares: Sequence[float] = SHARES) -> dict[str, np.ndarray]:
    """Places of train, validation and test, sorted: of each class about its share, and one row at least in each part.

    A class' share is rounded up or down by chance. ValueError for shares that leave a part without rows.
    """
    if len(shares) != 3 or min(shares) <= 0 or abs(sum(shares) - 1) > 1e-6:
        raise ValueError(f"shares of train, validation and test are three above 0 that sum to 1, got {list(shares)}")
    rng = np.random.default_rng(seed)
    n_rows = np.bincount(labels)
    test, valid = (np.maximum(np.floor(n_rows * share + rng.random(len(n_rows))), 1) for share in shares[:0:-1])
    test = np.minimum(test, n_rows - 2)
    valid = np.minimum(valid, n_rows - test - 1)
    rank = rank_within(labels, rng)
    of = np.where(rank < test[labels], 2, np.where(rank < (test + valid)[labels], 1, 0))
    return {part: np.flatnonzero(of == i) for i, part in enumerate(("train", "valid", "test"))}


def divide(examples: Examples, seed: int, shares: Sequence[float] = SHARES) -> Division:
    """The division of a seed, at the mean and deviation of its training rows; what is constant there is left out."""
    parts = deal(examples.labels, seed, shares)
    rows = {part: examples.rows[places] for part, places in parts.items()}
    return scale(examples, rows, {part: torch.from_numpy(examples.labels[at]) for part, at in parts.items()})


def scale(
    examples: Examples, rows: Mapping[str, Int[np.ndarray, " n"]], labels: Mapping[str, Int[Tensor, " n"]]
) -> Division:
    """A division into these rows of each part."""
    mean, deviation = measure(examples.x, rows["train"], examples.columns)
    moves = deviation > 0
    columns: np.ndarray | slice = examples.columns[moves]
    if len(examples.columns[moves]) == examples.x.shape[1]:
        columns = slice(None)  # no copy
    factors = mean[moves], 1 / deviation[moves]
    counts = torch.bincount(labels["train"], minlength=len(examples.classes))
    return Division(
        {part: Scaled(examples.x, those, columns, *factors) for part, those in rows.items()}, labels, counts
    )


def measure(x: Rows, rows: Int[np.ndarray, " n"], columns: Int[np.ndarray, " d"]) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of columns over rows, in double precision; batches are joined by Chan et al. 1983."""
    n, mean, squares = 0, np.zeros(len(columns)), np.zeros(len(columns))
    for start in range(0, len(rows), BATCH):
        block = np.asarray(x[rows[start : start + BATCH]][:, columns], np.float64)
        m, ours = len(block), block.mean(0)
        apart = ours - mean
        squares += ((block - ours) ** 2).sum(0) + apart**2 * n * m / (n + m)
        mean += apart * m / (n + m)
        n += m
    return mean, np.sqrt(squares / n)


def group_by_rows(counts: Int[Tensor, " c"]) -> dict[str, Tensor]:
    """Classes by how frequent they are, most frequent first: those up to a third of all rows, to two, and the rest.

    A class belongs where its first row does.
    """
    before = (counts.cumsum(0) - counts).double() / counts.sum()
    return {"many": before < 1 / 3, "medium": (before >= 1 / 3) & (before < 2 / 3), "few": before >= 2 / 3}


def read_prior(wanted: str | Mapping[str, float], classes: Sequence[str], counts: Int[Tensor, " c"]) -> Tensor:
    """Shares of the classes at test: a name of PRIORS, or a share of each class by its name; unnamed ones have none."""
    if isinstance(wanted, str):
        if wanted not in PRIORS:
            raise ValueError(f"the prior at test is {', '.join(PRIORS)} or JSON {{class: share}}, got {wanted!r}")
        return priors_of(counts)[wanted]
    if strange := [name for name in wanted if name not in classes]:
        raise ValueError(
            f"a prior at test is of the classes that take part: {', '.join(map(repr, strange[:3]))} does not; "
            f"choose among {', '.join(map(repr, classes[:5]))}{', ...' if len(classes) > 5 else ''}"
        )
    share = torch.tensor([float(wanted.get(name, 0)) for name in classes], dtype=torch.double)
    if not (share.isfinite().all() and (share >= 0).all() and share.sum() > 0):
        raise ValueError(f"shares of a prior are 0 or more, and not all 0: got {dict(list(wanted.items())[:5])}")
    return share / share.sum()
