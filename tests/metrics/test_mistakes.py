"""Hard and easy mistakes: golden values by hand, and an independent loop."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import pytest

from vqabook.metrics.mistakes import MistakeLosses, loss_matrix, mistake_losses

# two types; answer frequencies 10 : 5 : 1 in type 0 and 1 : 1 : 9 in type 1
FREQUENCY = np.array([[10, 5, 1], [1, 1, 9]])


def columns(*rows: tuple[float, int, int, int]) -> list[np.ndarray]:
    loss, *ids = (np.array(column) for column in zip(*rows, strict=True))
    return [loss.astype(float), *ids]


def test_golden_values():
    # loss, truth, prediction, type
    measured = mistake_losses(
        *columns(
            (4.0, 0, 1, 0),  # hard: 10 > 5
            (6.0, 0, 1, 0),  # the same cell: mean 5
            (9.0, 0, 2, 0),  # hard, confused one way only
            (2.0, 1, 0, 0),  # easy, the mirror of the first cell
            (1.0, 2, 1, 0),  # easy
            (7.0, 0, 0, 0),  # no mistake
            (8.0, 0, 1, 1),  # equally frequent
            (3.0, -1, 2, 1),  # truth outside the vocabulary
        ),
        FREQUENCY,
    )
    assert measured == MistakeLosses(
        hard=(5 + 9) / 2, easy=(2 + 1) / 2, hard_paired=5, easy_paired=2, n_hard=3, n_easy=2, n_pairs=1
    )


def plain(loss, truth, predicted, group, frequency) -> tuple[float, float]:
    """Hard and easy, cell by cell."""
    cells = defaultdict(list)
    for cost, t, p, g in zip(loss, truth, predicted, group, strict=True):
        if t >= 0 and t != p:
            cells[g, t, p].append(cost)
    hard = [np.mean(costs) for (g, t, p), costs in cells.items() if frequency[g, t] > frequency[g, p]]
    easy = [np.mean(costs) for (g, t, p), costs in cells.items() if frequency[g, t] < frequency[g, p]]
    return np.mean(hard), np.mean(easy)


def some(n: int = 500) -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng(0)
    frequency = rng.integers(1, 50, (3, 6))
    loss, truth, predicted = rng.random(n), rng.integers(-1, 6, n), rng.integers(0, 6, n)
    return loss, truth, predicted, rng.integers(0, 3, n), frequency


def test_equals_a_loop():
    measured = mistake_losses(*some())
    assert (measured.hard, measured.easy) == pytest.approx(plain(*some()))


def test_swapping_truth_and_prediction_swaps_hard_and_easy():
    loss, truth, predicted, group, frequency = some()
    kept = truth >= 0
    loss, truth, predicted, group = (x[kept] for x in (loss, truth, predicted, group))
    one, other = (
        mistake_losses(loss, truth, predicted, group, frequency),
        mistake_losses(loss, predicted, truth, group, frequency),
    )
    assert (one.hard, one.easy, one.n_hard) == pytest.approx((other.easy, other.hard, other.n_easy))
    assert (one.hard_paired, one.easy_paired) == pytest.approx((other.easy_paired, other.hard_paired))


def test_order_and_repetition_do_not_matter():
    loss, truth, predicted, group, frequency = some()
    order = np.random.default_rng(1).permutation(2 * len(loss)) % len(loss)
    again = mistake_losses(loss[order], truth[order], predicted[order], group[order], frequency)
    assert again[:4] == pytest.approx(mistake_losses(*some())[:4])


def test_no_mistakes_are_nan():
    measured = mistake_losses(*columns((1.0, 0, 0, 0)), FREQUENCY)
    assert np.isnan(measured[:4]).all() and measured[4:] == (0, 0, 0)


def test_matrix_golden():
    loss, truth, predicted, _ = columns((4.0, 0, 2, 0), (6.0, 0, 2, 0), (1.0, 2, 0, 0), (9.0, 1, 0, 0), (5.0, 2, 2, 0))
    mean, count = loss_matrix(loss, truth, predicted, np.array([2, 0]))
    np.testing.assert_equal(mean, [[np.nan, 1.0], [5.0, np.nan]])
    assert count.tolist() == [[0, 1], [2, 0]]
