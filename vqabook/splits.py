"""Cutting a pool of questions into train and test: changing priors, same priors, and a validation carve-out.

The changing-prior cut is that of VQA-CP: Agrawal, Batra, Parikh, Kembhavi, "Don't Just Assume; Look and Answer:
Overcoming Priors for Visual Question Answering", 2018, arXiv:1712.00377, Sec. 3. It needs only types and answers, so
any VQA-format data will do.
"""

import heapq
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Int


def changing_prior_split(
    question_types: Sequence[str],
    answers: Sequence[str],
    *,
    test_fraction: float = 1 / 3,
    seed: int = 0,
    in_turn: bool = True,
) -> tuple[Int[np.ndarray, " train"], Int[np.ndarray, " test"]]:
    """Rows of train and of test, so that no (question type, answer) pair is on both sides. Both are sorted.

    `answers` are the modal answers. What the paper fixes: rows with the same type and answer form a group, and a group
    stays whole; groups are visited in turn and join test unless they are in train already; after each, the free group
    that covers most of test's still uncovered concepts joins train; at about a third of the rows in test the rest joins
    train. The concepts of a group are the words of its question type and of its answer.

    What it leaves open, and ours: a group is passed over if it would take test beyond `test_fraction` f of all rows, or
    take all of its type; and coverage never takes the last group of a type that test could have. Not `in_turn`, the
    next group is a random one. The released division is like that: frequent answers are on its test side, too, and
    types differ in their share of test. `in_turn`, the next group is of the type with the smallest share of its rows in
    test, which gets 2 f / (1 + f) of them at most (1/2 for 1/3): every type's prior changes, and test asks for rare
    answers.
    Rows may come in any order: the same rows go to the same sides. Raises for a fraction outside (0, 1), columns of
    unequal length, or a pool whose groups are too large to give any test rows.
    """
    _check(test_fraction, question_types, answers)
    type_of_row, type_names = _codes(question_types)
    answer_of_row, answer_names = _codes(answers)
    groups, group_of_row, sizes = np.unique(
        np.stack([type_of_row, answer_of_row], 1), axis=0, return_inverse=True, return_counts=True
    )
    concepts = [set(f"{type_names[t]} {answer_names[a]}".lower().split()) for t, a in groups]
    in_test = _fill_test(groups[:, 0], sizes, concepts, test_fraction, np.random.default_rng(seed), in_turn)
    if not in_test.any():
        raise ValueError(
            f"groups of (question type, answer) move whole, and none of the {len(sizes)} fits into "
            f"{test_fraction:.3f} of {len(type_of_row)} rows; give more rows or a larger test_fraction"
        )
    tested = in_test[group_of_row.ravel()]
    return np.flatnonzero(~tested), np.flatnonzero(tested)


def same_prior_split(
    n_rows: int, *, test_fraction: float = 1 / 3, seed: int = 0
) -> tuple[Int[np.ndarray, " train"], Int[np.ndarray, " test"]]:
    """A uniformly random cut of `n_rows` rows, so train and test share their priors. Both are sorted.

    Test gets `round(test_fraction * n_rows)` rows. Raises for a fraction outside (0, 1) or an empty side.
    """
    _check(test_fraction, range(n_rows))
    n_test = round(test_fraction * n_rows)
    if not 0 < n_test < n_rows:
        raise ValueError(
            f"both sides of a split need rows, got {n_rows - n_test} train and {n_test} test; give more rows"
        )
    order = np.random.default_rng(seed).permutation(n_rows)
    return np.sort(order[n_test:]), np.sort(order[:n_test])


def validation_split(
    strata: Sequence | np.ndarray, *, fraction: float = 0.1, seed: int = 0
) -> tuple[Int[np.ndarray, " train"], Int[np.ndarray, " valid"]]:
    """A validation set carved out of train, stratified, so that model selection never looks at test. Both are sorted.

    `strata`: one code or name a row, or [n, k] codes such as (question type, answer). A stratum of m rows gives
    floor(m * fraction + u) of them with u uniform in [0, 1); a stratum of one row stays in train, and none moves whole.
    Raises for a fraction outside (0, 1) or when no row would be left for one of the sides.
    """
    strata = np.asarray(strata)
    _check(fraction, strata)
    rng = np.random.default_rng(seed)
    _, stratum, sizes = np.unique(strata, axis=0, return_inverse=True, return_counts=True)
    stratum = stratum.ravel()
    quota = np.minimum(np.floor(sizes * fraction + rng.random(len(sizes))), sizes - 1)
    in_valid = rank_within(stratum, rng) < quota[stratum]
    if not in_valid.any():
        raise ValueError(
            f"a validation set needs rows: {fraction} of {len(stratum)} rows in {len(sizes)} strata gives none; "
            f"use coarser strata, more rows, or a larger fraction"
        )
    return np.flatnonzero(~in_valid), np.flatnonzero(in_valid)


def _check(fraction: float, *columns: Sequence | np.ndarray) -> None:
    if not 0 < fraction < 1:
        raise ValueError(
            f"a split's fraction lies in (0, 1), got {fraction}; the paper's test set is about 1/3 of the rows"
        )
    lengths = [len(column) for column in columns]
    if len(set(lengths)) > 1:
        raise ValueError(
            f"every row has a question type and an answer, got columns of lengths {lengths}; pass the same rows"
        )
    if lengths[0] == 0:
        raise ValueError("a split needs rows, got none; check the file that they were read from")


def _codes(names: Sequence[str]) -> tuple[Int[np.ndarray, " n"], list[str]]:
    """Integer codes of the names in alphabetical order, hence the same whatever the order of the rows."""
    distinct = sorted(set(names))
    code = {name: i for i, name in enumerate(distinct)}
    return np.fromiter((code[name] for name in names), np.int64, len(names)), distinct


def rank_within(groups: Int[np.ndarray, " n"], rng: np.random.Generator) -> Int[np.ndarray, " n"]:
    """A random order 0, 1, 2, ... of the rows of each group."""
    order = np.lexsort((rng.random(len(groups)), groups))
    starts = np.flatnonzero(np.r_[True, np.diff(groups[order]) != 0])
    rank = np.empty(len(groups), np.int64)
    rank[order] = np.arange(len(groups)) - np.repeat(starts, np.diff(np.r_[starts, len(groups)]))
    return rank


def _fill_test(
    type_of_group: Int[np.ndarray, " g"],
    sizes: Int[np.ndarray, " g"],
    concepts: list[set[str]],
    test_fraction: float,
    rng: np.random.Generator,
    in_turn: bool,
) -> Bool[np.ndarray, " g"]:
    """The greedy loop over groups; True where a group is in test. `sizes`: rows a group."""
    in_test, in_train = np.zeros(len(sizes), bool), np.zeros(len(sizes), bool)
    room = test_fraction * sizes.sum()
    type_rows = np.bincount(type_of_group, weights=sizes)
    type_room = type_rows * 2 * test_fraction / (1 + test_fraction) if in_turn else type_rows - 1
    waiting: list[list[int]] = [[] for _ in type_rows]
    for group in rng.permutation(len(sizes)):
        waiting[type_of_group[group]].append(int(group))
    order = rng.permutation(len(type_rows)) if in_turn else type_of_group[rng.permutation(len(sizes))]
    turns = [(0.0, place, kind) for place, kind in enumerate(order.tolist())]
    testable = sizes <= type_room[type_of_group]
    spare = np.bincount(type_of_group, weights=testable) - 1.0  # groups of a type that train may take from test
    coverage = _Coverage(concepts)
    while turns:
        share, place, kind = heapq.heappop(turns)
        group = waiting[kind].pop()
        if not in_train[group] and sizes[group] <= min(room, type_room[kind]):
            in_test[group] = True
            room -= sizes[group]
            type_room[kind] -= sizes[group]
            share += sizes[group] / type_rows[kind]
            coverage.test(group)
            spare[kind] = np.inf
            free = ~(in_test | in_train)
            best = coverage.best(free & ((spare[type_of_group] > 0) | ~testable))
            if best is not None:
                in_train[best] = True
                spare[type_of_group[best]] -= testable[best]
                coverage.train(best)
        if in_turn and waiting[kind]:
            heapq.heappush(turns, (share, place, kind))
    return in_test


class _Coverage:
    """Which concepts of test train does not cover yet, and how many of them each group would cover."""

    def __init__(self, concepts: list[set[str]]):
        self.concepts = concepts
        self.groups_with: dict[str, list[int]] = {}
        for group, words in enumerate(concepts):
            for word in words:
                self.groups_with.setdefault(word, []).append(group)
        self.uncovered: set[str] = set()
        self.covered: set[str] = set()
        self.gain = np.zeros(len(concepts), np.int64)

    def test(self, group: int) -> None:
        new = self.concepts[group] - self.covered - self.uncovered
        self.uncovered |= new
        for word in new:
            self.gain[self.groups_with[word]] += 1

    def best(self, free: Bool[np.ndarray, " g"]) -> int | None:
        """The free group that would cover most; None if none covers anything."""
        gain = np.where(free, self.gain, 0)
        return int(gain.argmax()) if gain.any() else None

    def train(self, group: int) -> None:
        for word in self.concepts[group] & self.uncovered:
            self.gain[self.groups_with[word]] -= 1
        self.uncovered -= self.concepts[group]
        self.covered |= self.concepts[group]
