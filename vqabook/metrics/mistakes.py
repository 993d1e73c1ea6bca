"""Which mistakes cost a trained model most: Guo et al. 2022 (loss re-scaling VQA), Sec. III, Table I and Fig. 2.

And whether two raters, or two models, agree beyond chance.
"""

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int


class MistakeLosses(NamedTuple):
    """Mean loss of hard and easy mistakes, and of the same pairs of answers both ways."""

    hard: float  # truth more frequent than prediction (Table I), mean over cells
    easy: float  # truth less frequent than prediction, mean over cells
    hard_paired: float  # the same over answer pairs confused in both directions
    easy_paired: float
    n_hard: int  # mistakes counted
    n_easy: int
    n_pairs: int


def mistake_losses(
    loss: Float[np.ndarray, " n"],
    truth: Int[np.ndarray, " n"],
    predicted: Int[np.ndarray, " n"],
    group: Int[np.ndarray, " n"],
    frequency: Int[np.ndarray, "q a"],
) -> MistakeLosses:
    """Loss of mistakes by what is more frequent in the group (question type), truth (hard) or prediction (easy).

    A cell is (group, truth, prediction); cells weigh alike, "the numbers of each case are kept identical" (Fig. 2).
    `truth` < 0 marks an example whose answer is not in the vocabulary: it is left out, as are correct predictions and
    equal frequencies. The paired means use only the pairs of answers that were confused in both directions, so that
    both see the same answers.
    """
    n_answers = frequency.shape[1]
    used = (truth >= 0) & (truth != predicted)
    loss, truth, predicted, group = loss[used], truth[used], predicted[used], group[used]
    cells, at, n = np.unique(
        (group * n_answers + truth) * n_answers + predicted, return_inverse=True, return_counts=True
    )
    mean = np.bincount(at, loss, minlength=len(cells)) / n
    g, t, p = cells // n_answers**2, cells // n_answers % n_answers, cells % n_answers
    more = np.sign(frequency[g, t].astype(np.int64) - frequency[g, p])
    mirror = (g * n_answers + p) * n_answers + t
    both = np.isin(mirror, cells) & (more != 0)
    mean_of = lambda chosen: float(mean[chosen].mean()) if chosen.any() else float("nan")  # noqa: E731
    return MistakeLosses(
        mean_of(more > 0),
        mean_of(more < 0),
        mean_of(both & (more > 0)),
        mean_of(both & (more < 0)),
        int(n[more > 0].sum()),
        int(n[more < 0].sum()),
        int(both.sum() // 2),
    )


def loss_matrix(
    loss: Float[np.ndarray, " n"],
    truth: Int[np.ndarray, " n"],
    predicted: Int[np.ndarray, " n"],
    answers: Int[np.ndarray, " k"],
) -> tuple[Float[np.ndarray, "k k"], Int[np.ndarray, "k k"]]:
    """Mean loss and count of mistakes (truth answers[i], predicted answers[j]), NaN if none or i = j. Fig. 2."""
    place = {int(answer): i for i, answer in enumerate(answers)}
    i, j = (np.array([place.get(int(x), -1) for x in column], dtype=np.int64) for column in (truth, predicted))
    used = (i >= 0) & (j >= 0) & (i != j)
    total, count = np.zeros((len(answers),) * 2), np.zeros((len(answers),) * 2, dtype=np.int64)
    np.add.at(total, (i[used], j[used]), loss[used])
    np.add.at(count, (i[used], j[used]), 1)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan), count


def confusions(
    loss: Float[np.ndarray, " n"],
    truth: Int[np.ndarray, " n"],
    predicted: Int[np.ndarray, " n"],
    order: Int[np.ndarray, " k"],
    frequency: Int[np.ndarray, " c"],
) -> dict:
    """`loss_matrix` among the classes in `order`, with their frequency, as JSON keeps it."""
    mean, count = loss_matrix(loss, truth, predicted, order)
    cells = [[finite(round(x, 4)) for x in row] for row in mean.tolist()]
    return {"frequency": frequency[order].tolist(), "loss": cells, "count": count.tolist()}


def cohen_kappa(a: Int[np.ndarray, " n"], b: Int[np.ndarray, " n"]) -> float:
    """Cohen's unweighted kappa, (p_observed - p_chance) / (1 - p_chance), in [-1, 1]: 1 is identity, 0 is chance.

    Cohen 1960, "A coefficient of agreement for nominal scales". `a`, `b`: labels 0, 1, ... of the same n items.
    nan if both give every item the same one label: chance alone then agrees always, so that agreement says nothing.
    """
    if a.shape != b.shape or a.size == 0:
        came = f"{a.size} and {b.size} labels"
        raise ValueError(f"kappa compares two labels of each item, got {came}; pass equally many, at least one")
    low, high, n = min(a.min(), b.min()), max(a.max(), b.max()), a.size
    if low < 0:
        raise ValueError(f"labels are at least 0, got {low} to {high}; number the classes from 0")
    agreed = int((a == b).sum())
    by_chance = int(np.bincount(a, minlength=high + 1) @ np.bincount(b, minlength=high + 1))  # n^2 p_chance, exact
    return (n * agreed - by_chance) / (n * n - by_chance) if by_chance < n * n else math.nan


def implied_chance(kappa: float, agreement: float) -> float:
    """The agreement by chance that makes raters who agree in a share of all items have this kappa < 1.

    Below 0 there is none: kappa never exceeds the agreement.
    """
    return (agreement - kappa) / (1 - kappa)


def finite(x: float) -> float | None:
    """JSON has no NaN: a mean over nothing is None."""
    return x if np.isfinite(x) else None
