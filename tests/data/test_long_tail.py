"""Laws and golden values of the long tails."""

from __future__ import annotations

import numpy as np
import pytest

from vqabook.data.long_tail import long_tail_counts, long_tail_rows
from vqabook.splits import validation_split

# Total train rows of CIFAR-LT, the same in the releases of LDAM, Balanced Softmax and Class-Balanced Loss.
TOTALS = {
    (5000, 10): {10: 20431, 20: 17023, 50: 13996, 100: 12406, 200: 11203},
    (500, 100): {10: 19573, 20: 15907, 50: 12608, 100: 10847, 200: 9502},
}
CASES = [(*shape, imbalance, total) for shape, totals in TOTALS.items() for imbalance, total in totals.items()]
LABELS = np.arange(1000) % 10  # 100 rows a class, interleaved


@pytest.mark.parametrize(("n_max", "n_classes", "imbalance", "total"), CASES)
def test_totals_are_those_of_the_papers(n_max, n_classes, imbalance, total):
    counts = long_tail_counts(n_max, n_classes, imbalance)
    assert sum(counts) == total
    assert counts[0] == n_max and counts[-1] == n_max // imbalance
    assert counts == sorted(counts, reverse=True)
    assert counts == [int(n_max * (1 / imbalance) ** (i / (n_classes - 1))) for i in range(n_classes)]


def test_counts_by_hand():
    assert long_tail_counts(100, 3, 100) == [100, 10, 1]
    assert long_tail_counts(5000, 10, 100) == [5000, 2997, 1796, 1077, 645, 387, 232, 139, 83, 50]
    assert long_tail_counts(7, 4, 1) == [7, 7, 7, 7]
    assert long_tail_counts(500, 100, 200)[-1] == 2


def test_the_rarest_class_is_not_lost_to_rounding():
    assert int(49 * (1 / 49)) == 0  # the control
    for n in range(1, 500):
        assert long_tail_counts(n, 7, n)[-1] == 1


def test_rows_are_golden():
    counts = long_tail_counts(100, 10, 100)
    rows = long_tail_rows(LABELS, counts, seed=0)
    assert rows[:12].tolist() == [0, 1, 2, 3, 10, 11, 13, 20, 21, 30, 31, 32]
    assert np.bincount(LABELS[rows]).tolist() == counts == [100, 59, 35, 21, 12, 7, 4, 2, 1, 1]


def test_rows_are_sorted_distinct_and_the_seeds():
    counts = long_tail_counts(100, 10, 20)
    rows = long_tail_rows(LABELS, counts, seed=3)
    assert (np.diff(rows) > 0).all()
    np.testing.assert_array_equal(rows, long_tail_rows(LABELS, counts, seed=3))
    assert not np.array_equal(rows, long_tail_rows(LABELS, counts, seed=4))


def test_global_random_state_changes_nothing():
    counts = long_tail_counts(100, 10, 20)
    np.random.seed(1)
    rows = long_tail_rows(LABELS, counts, seed=0)
    np.random.seed(2)
    np.testing.assert_array_equal(rows, long_tail_rows(LABELS, counts, seed=0))


def test_a_longer_tail_keeps_a_subset_of_a_shorter_one():
    kept = [set(long_tail_rows(LABELS, long_tail_counts(100, 10, f), seed=0).tolist()) for f in (1, 10, 50, 100)]
    assert kept[0] == set(range(1000))
    assert kept[0] > kept[1] > kept[2] > kept[3]


def test_every_row_of_a_class_is_as_likely():
    labels = np.arange(100) % 2
    kept = np.zeros(100)
    for seed in range(400):
        kept[long_tail_rows(labels, [25, 10], seed=seed)] += 1
    # Binomial(400, p): five standard deviations.
    assert np.abs(kept[::2] / 400 - 0.5).max() < 0.125
    assert np.abs(kept[1::2] / 400 - 0.2).max() < 0.1


def test_a_class_may_vanish_if_asked():
    assert set(LABELS[long_tail_rows(LABELS, [5] * 9 + [0], seed=0)].tolist()) == set(range(9))


@pytest.mark.parametrize("imbalance", [10, 100, 200])
def test_validation_carved_out_of_a_tail_leaves_every_class_in_train(imbalance):
    labels = np.repeat(np.arange(100), 500)
    tail = labels[long_tail_rows(labels, long_tail_counts(500, 100, imbalance), seed=0)]
    for seed in range(5):
        train, valid = validation_split(tail, fraction=0.1, seed=seed)
        assert np.bincount(tail[train], minlength=100).min() >= 1
        assert len(valid) == pytest.approx(0.1 * len(tail), rel=0.05)


def test_bad_imbalances_get_one_clear_sentence():
    with pytest.raises(ValueError, match=r"imbalance must be >= 1, got 0.01; papers quote its inverse"):
        long_tail_counts(500, 10, 0.01)
    with pytest.raises(ValueError, match="imbalance must be >= 1, got nan"):
        long_tail_counts(500, 10, float("nan"))
    with pytest.raises(ValueError, match="at least 2 classes, got 1"):
        long_tail_counts(500, 1, 10)
    with pytest.raises(ValueError, match="100 rows at imbalance 200 leave none for the rarest"):
        long_tail_counts(100, 10, 200)
    with pytest.raises(ValueError, match="leave none for the rarest"):
        long_tail_counts(100, 10, float("inf"))


@pytest.mark.parametrize(
    ("labels", "counts", "sentence"),
    [
        (LABELS, [101] + [1] * 9, "class 0 has 100, asked for 101; lower n_max"),
        (LABELS, [1] * 9 + [-1], "class 9 has 100, asked for -1"),
        (LABELS, [1] * 9, "labels are 0 to 8 here, got labels 0 to 9"),
        (LABELS, [1] * 11, "class 10 has 0, asked for 1"),
        (LABELS - 1, [1] * 10, "got labels -1 to 8"),
        (LABELS[:0], [1] * 10, "got labels none"),
    ],
)
def test_bad_rows_get_one_clear_sentence(labels, counts, sentence):
    with pytest.raises(ValueError, match=sentence):
        long_tail_rows(labels, counts, seed=0)
