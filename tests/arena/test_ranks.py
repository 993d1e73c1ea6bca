"""Ranks over data sets: Demšar's own example, and groups that cannot be told apart."""

import numpy as np
import pytest

from vqabook.arena.ranks import Ranks


def test_the_critical_difference_is_demsar_s():
    """Demšar 2006, Sec. 3.2.2: four classifiers on fourteen sets, CD = 2.569 √(4 · 5 / (6 · 14)) = 1.25."""
    rng = np.random.default_rng(0)
    ranks = np.array([rng.permutation(4) + 1 for _ in range(14)], float)
    assert Ranks.of("abcd", ranks).distance == pytest.approx(1.25, abs=0.005)


def test_a_rule_that_always_wins_stands_alone_and_ties_stay_together():
    ranks = np.array([[1, 3, 3, 3]] * 30, float)
    found = Ranks.of(["best", "b", "c", "d"], ranks)
    assert list(found.mean)[0] == "best" and found.p < 1e-6
    assert found.groups() == []  # the other three are at one place: no bar is needed
    close = Ranks.of("ab", np.array([[1, 2], [2, 1], [1, 2]], float))
    assert close.groups() == [(pytest.approx(4 / 3), pytest.approx(5 / 3))]


def test_one_set_tells_nothing():
    found = Ranks.of("abc", np.array([[1, 2, 3]], float))
    assert found.p == 1 and found.sets == 1 and found.groups() == [(1.0, 3.0)]
