"""Ensembles: against loops and scikit-learn, and a null under which nobody specialises."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import mutual_info_score

from vqabook.metrics.ensemble import answer_together, constant_members, dependence, frequent_answers, oracle

RNG = np.random.default_rng(0)


def test_the_mean_of_probabilities_is_not_that_of_logits():
    logits = np.array([[[10.0, 0.0, 0.0]], [[0.0, 1.0, 0.0]], [[0.0, 1.5, 0.0]], [[-30.0, 4.0, 0.0]]])
    assert answer_together(logits).tolist() == [1] and logits.mean(0).argmax(-1).tolist() == [1]
    sure = np.array([[[3.0, 0.0]], [[0.0, 2.9]], [[0.0, 0.2]]])
    p = np.exp(sure) / np.exp(sure).sum(-1, keepdims=True)
    assert answer_together(sure).tolist() == p.mean(0).argmax(-1).tolist()
    outvoted = np.array([[[9.0, 0.0]], [[0.0, 2.0]], [[0.0, 2.0]]])  # one shouts, two say otherwise
    assert answer_together(outvoted).tolist() == [1] and outvoted.mean(0).argmax(-1).tolist() == [0]


def test_extreme_logits_stay_finite():
    assert answer_together(np.array([[[1e4, -1e4]], [[-1e4, 1e4]], [[1e4, 0.0]]])).tolist() == [0]


def test_the_oracle_is_the_best_member_of_each_example():
    scores = RNG.random((4, 30))
    want = [max(scores[m, i] for m in range(4)) for i in range(30)]
    np.testing.assert_allclose(oracle(scores), want)
    assert (oracle(scores).mean() >= scores.mean(1)).all()


def test_mutual_information_is_scikit_learns():
    member, group = RNG.integers(0, 5, 400), RNG.integers(10, 30, 400)
    found = dependence(member, group, deals=9)
    assert found.information == pytest.approx(mutual_info_score(member, group), abs=1e-12)


def test_who_does_not_specialise_is_not_found_to():
    """Members dealt out at random: p is even over [0, 1], and the information that chance gives is not zero."""
    p = [dependence(RNG.integers(0, 5, 200), np.arange(200) % 13, deals=99, seed=i).p for i in range(60)]
    assert 0.3 < np.mean(p) < 0.7 and np.mean(np.array(p) < 0.05) < 0.2
    assert dependence(RNG.integers(0, 5, 200), np.arange(200) % 13, deals=99).by_chance > 0.05


def test_who_specialises_is_found():
    group = np.arange(300) % 12
    found = dependence(group % 4, group, deals=99)
    assert found.information == pytest.approx(np.log(4)) and found.p == 0.01 and found.by_chance < 0.2
    loose = np.where(RNG.random(300) < 0.3, group % 4, RNG.integers(0, 4, 300))
    assert dependence(loose, group, deals=99).p < 0.05


def test_names_do_not_matter_and_one_group_is_no_answer():
    member, group = RNG.integers(0, 3, 90), RNG.integers(0, 6, 90)
    assert dependence(7 - member, 10 * group, deals=9).information == pytest.approx(
        dependence(member, group, deals=9).information
    )
    with pytest.raises(ValueError, match="two of each or more, got 3 and 1; give all of them"):
        dependence(member, np.zeros(90, int))


def test_members_say_the_most_frequent_answers_of_a_group():
    group, answer = np.array([0, 0, 0, 1, 1, 1]), np.array([2, 2, 0, 1, 0, 1])
    said = frequent_answers(group, answer[:, None], np.ones((6, 1)), 3, 3)
    assert said.tolist() == [[2, 0, 1], [1, 0, 2], [0, 1, 2]]
    right = constant_members(said, np.array([0, 0, 1, 2]), 2) == np.array([0, 2, 2, 0])
    assert right.tolist() == [[False, True, False, True], [True, False, False, False]]
    assert (constant_members(said, group, 3) == answer).any(0).all()
    doubted = np.where(answer == 2, 0.3, 1.0)[:, None]  # two of three say 2, and are believed less
    assert frequent_answers(group, answer[:, None], doubted, 3, 3)[0].tolist() == [0, 2, 1]
    with pytest.raises(ValueError, match="1 <= m <= 3 answers, got 4"):
        constant_members(said, group, 4)
