"""Labelled rows with fixed features that a long tail is cut out of: photographs, digits, questions, a table, regions.

Classes are numbered from the one with most rows on, which a tail keeps most of. Test rows are apart, and balanced or as
they come: `vqabook.metrics.priors` weighs them as classes are wanted.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from vqabook.data.frozen import BACKBONE, HELD_OUT, PIXELS, read_frozen
from vqabook.data.lvis import CATEGORIES, category_counts
from vqabook.extras import import_extra
from vqabook.splits import rank_within

LEAST = 2  # rows that a class keeps of a tail: one to train on, one to choose by
DIRECTIONS = 256  # of words, that questions are described by
FRAUD = {"n_features": 20, "n_informative": 8, "n_redundant": 4, "n_clusters_per_class": 3, "class_sep": 0.8}
FRAUDS = 30_000  # rows of each of its classes, a third of them for test
INSTANCES = 0.02  # of LVIS', which regions are made of
REGIONS = {"width": 64, "noise": 2.0, "test": 10}  # features; noise in distances of categories; test rows of each
Parts = tuple[Float[np.ndarray, "n d"], Float[np.ndarray, "m d"]]


@dataclass(frozen=True)
class Pool:
    """All rows before a tail is cut. `read` gives their features, train's and test's; `about`: what makes them.

    `held_out`: the share of rows that a seed draws for test; None where test rows are the same for all seeds, or all
    rows are drawn anew. `natural`: has a tail of its own, and none is cut.
    """

    labels: Int[np.ndarray, " n"]
    truth: Int[np.ndarray, " m"]
    names: tuple[str, ...]
    about: str
    read: Callable[[], Parts]
    held_out: float | None = None
    natural: bool = False

    def digest(self) -> str:
        """Of what makes the features, and of all labels in order. Not of numbers, whose last digits a machine gives."""
        labels = np.concatenate([self.labels, self.truth]).astype(np.int32).tobytes()
        return hashlib.sha256(self.about.encode() + labels).hexdigest()[:12]


@lru_cache(maxsize=4)
def read_pool(dataset: str, side: int, root: Path, seed: int) -> Pool:
    """The pool of a data set. `side`: pixels of the images that features are of. ValueError for an unknown set."""
    if dataset not in POOLS:
        raise ValueError(f"pools are {', '.join(POOLS)}, got {dataset!r}; choose among them")
    return POOLS[dataset](dataset, side, root, seed)


def cut_classes(pool: Pool, imbalance: float | None, seed: int) -> tuple[Int[np.ndarray, " kept"], list[int]]:
    """Training rows of a tail, sorted, and how many each class has, two at least; None: all rows, as they come.

    Exponential, Cui et al. 2019, Sec. 5.1; the largest class is as large as every other class' rows allow.
    """
    there = np.bincount(pool.labels, minlength=len(pool.names))
    if imbalance is None:
        return np.arange(len(pool.labels)), there.tolist()
    share = (1 / imbalance) ** (np.arange(len(there)) / (len(there) - 1))
    most = int((there / share).min() + 1e-9)
    counts = np.minimum(np.maximum(np.floor(most * share + 1e-9), LEAST), there).astype(np.int64)
    rank = rank_within(pool.labels, np.random.default_rng(seed))
    return np.flatnonzero(rank < counts[pool.labels]), counts.tolist()


def list_possible(pool: Pool, imbalances: Sequence[float]) -> list[float | None]:
    """The imbalances at which the rarest class keeps a row by the rule, or none but the pool's own."""
    if pool.natural:
        return [None]
    there = np.bincount(pool.labels, minlength=len(pool.names))
    return [x for x in imbalances if (there * x ** (np.arange(len(there)) / (len(there) - 1))).min() >= x]


def _order(labels: Int[np.ndarray, " n"], names: Sequence[str]) -> tuple[np.ndarray, tuple[str, ...]]:
    """The place of each class when the most frequent comes first, and their names so."""
    order = np.argsort(-np.bincount(labels, minlength=len(names)), kind="stable")
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    return place, tuple(names[i] for i in order)


def _read_images(dataset: str, side: int, root: Path, seed: int) -> Pool:
    digits = dataset == "digits"
    frozen = read_frozen(dataset, side, root, seed if digits else 0)
    place, names = _order(frozen.labels, [str(i) for i in range(frozen.classes)])
    about = PIXELS if digits else f"{BACKBONE} at {side}: {frozen.about}"
    held_out = HELD_OUT if digits else None
    return Pool(place[frozen.labels], place[frozen.truth], names, about, lambda: (frozen.train, frozen.test), held_out)


def _read_questions(dataset: str, side: int, root: Path, seed: int) -> Pool:
    """TREC's six classes. Words and pairs of words, tf-idf, in their first directions: learnt without labels."""
    from vqabook.data.trec import NAMES, load_trec  # brings torch

    trec = load_trec(root)
    place, names = _order(trec.train.labels.numpy(), NAMES)

    def read() -> Parts:
        told = (
            [" ".join(str(i) for i in row if i) for row in part.inputs[0].tolist()] for part in (trec.train, trec.test)
        )
        train, test = told
        text, algebra = (import_extra(f"sklearn.{name}") for name in ("feature_extraction.text", "decomposition"))
        words = text.TfidfVectorizer(token_pattern=r"\S+", ngram_range=(1, 2), min_df=2, sublinear_tf=True)
        turn = algebra.TruncatedSVD(DIRECTIONS, random_state=0)
        return turn.fit_transform(words.fit_transform(train)), turn.transform(words.transform(test))

    about = f"tf-idf of words and pairs, {DIRECTIONS} directions"
    return Pool(place[trec.train.labels.numpy()], place[trec.test.labels.numpy()], names, about, read)


def _make_table(dataset: str, side: int, root: Path, seed: int) -> Pool:
    """A table of 20 columns and two classes, drawn anew by every seed (Guyon 2003: scikit-learn's)."""
    cut = 2 * FRAUDS // 3

    def read() -> Parts:
        x, y = import_extra("sklearn.datasets").make_classification(
            n_samples=2 * FRAUDS, random_state=seed, flip_y=0.0, **FRAUD
        )
        x = x[np.argsort(y, kind="stable")].reshape(2, FRAUDS, -1)
        return x[:, :cut].reshape(2 * cut, -1), x[:, cut:].reshape(2 * (FRAUDS - cut), -1)

    labels, truth = np.repeat([0, 1], cut), np.repeat([0, 1], FRAUDS - cut)
    return Pool(labels, truth, ("honest", "fraud"), f"made by seed {seed}: {FRAUD}", read)


def _make_regions(dataset: str, side: int, root: Path, seed: int) -> Pool:
    """As many regions of each category as LVIS has, or a share of them; each normal around its category's mean."""
    path = root / CATEGORIES
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist; check data_root, or run: vqabook data fetch lvis")
    categories = category_counts(path)
    counts = np.maximum(LEAST, np.rint(INSTANCES * categories.instance_count)).astype(np.int64)
    order = np.argsort(-counts, kind="stable")
    width, noise, n_test = (REGIONS[name] for name in ("width", "noise", "test"))
    labels = np.repeat(np.arange(len(order)), counts[order])
    truth = np.repeat(np.arange(len(order)), int(n_test))

    def read() -> Parts:
        rng = np.random.default_rng(seed)
        means = rng.standard_normal((len(order), int(width)))
        train, test = (means[y] + noise * rng.standard_normal((len(y), int(width))) for y in (labels, truth))
        return train.astype(np.float32), test.astype(np.float32)

    names = tuple(categories.name[i] for i in order)
    return Pool(labels, truth, names, f"made by seed {seed}: {REGIONS}, {INSTANCES}", read, natural=True)


POOLS: dict[str, Callable[[str, int, Path, int], Pool]] = {
    **dict.fromkeys(("digits", "cifar10", "cifar100"), _read_images),
    "trec": _read_questions,
    "fraud": _make_table,
    "lvis_v1": _make_regions,
}
