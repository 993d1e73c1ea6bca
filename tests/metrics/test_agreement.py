from __future__ import annotations

import inspect
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score

from vqabook.metrics import cohen_kappa
from vqabook.metrics.mistakes import implied_chance

pairs = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=40).map(np.array)


def test_golden():
    # by hand: 35 of 50 agree; 1 is said 25 and 30 times, so chance is (25 * 30 + 25 * 20) / 50^2 = 1/2,
    # and kappa = (0.7 - 0.5) / 0.5
    a = np.repeat([1, 1, 0, 0], [20, 5, 10, 15])
    b = np.repeat([1, 0, 1, 0], [20, 5, 10, 15])
    assert cohen_kappa(a, b) == pytest.approx(0.4, abs=1e-15)


@given(pairs)
@settings(deadline=None)
def test_equals_scikit_learn_and_is_symmetric(ab):
    a, b = ab.T
    constant = len({*a.tolist(), *b.tolist()}) == 1
    got = cohen_kappa(a, b)
    if constant:
        assert math.isnan(got)
    else:
        assert got == pytest.approx(cohen_kappa_score(a, b), abs=1e-12)
        assert -1 <= got <= 1
    np.testing.assert_equal(cohen_kappa(b, a), got)


@given(pairs, st.permutations(range(5)))
@settings(deadline=None)
def test_renumbering_the_classes_changes_nothing(ab, order):
    a, b = ab.T
    np.testing.assert_equal(cohen_kappa(np.array(order)[a], np.array(order)[b]), cohen_kappa(a, b))


def test_limits():
    a = np.array([0, 1, 2, 0, 1])
    assert cohen_kappa(a, a) == 1
    assert cohen_kappa(np.array([0, 1]), np.array([1, 0])) == -1
    assert cohen_kappa(np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1])) == 0
    assert cohen_kappa(np.zeros(4, dtype=int), np.array([0, 0, 0, 1])) == 0  # a constant rater knows nothing
    assert math.isnan(cohen_kappa(np.ones(4, dtype=int), np.ones(4, dtype=int)))


def test_independent_raters_agree_by_chance():
    a, b = np.random.default_rng(0).integers(0, 7, (2, 200_000))
    assert abs(cohen_kappa(a, b)) < 0.005


@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        ([0, 1], [0], "got 2 and 1 labels"),
        ([], [], "got 0 and 0 labels"),
        ([0, -1], [0, 1], "at least 0, got -1 to 1"),
    ],
)
def test_bad_labels(a, b, message):
    unchecked = inspect.unwrap(cohen_kappa)  # the shape checker would be the first to complain
    with pytest.raises(ValueError, match=message):
        unchecked(np.array(a, dtype=int), np.array(b, dtype=int))


@given(pairs)
@settings(deadline=None)
def test_kappa_is_at_most_the_agreement_and_tells_the_chance_from_it(ab):
    a, b = ab.T
    kappa, agreement = cohen_kappa(a, b), float((a == b).mean())
    if math.isnan(kappa) or kappa == 1:
        return
    chance = sum(float((a == c).mean() * (b == c).mean()) for c in range(5))
    assert kappa <= agreement + 1e-12
    assert implied_chance(kappa, agreement) == pytest.approx(chance, abs=1e-9)
    assert implied_chance(agreement + 0.01, agreement) < 0  # control: no chance makes more than the agreement
