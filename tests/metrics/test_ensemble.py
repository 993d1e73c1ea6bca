"""Ensembles: against loops and scikit-learn, and a null under which nobody specialises."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pytest
import torch
from sklearn.metrics import mutual_info_score

from vqabook.metrics.calibration import calibration_error, negative_log_likelihood
from vqabook.metrics.ensemble import (
    answer_together,
    ask_the_surest,
    constant_members,
    disagreement,
    frequent_answers,
    measure,
    measure_rows,
    oracle,
    worth,
)
from vqabook.metrics.owners import dependence

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


def draw_members(m: int = 4, n: int = 200, c: int = 5) -> tuple[torch.Tensor, torch.Tensor]:
    rng = torch.Generator().manual_seed(0)
    return 2 * torch.randn(m, n, c, generator=rng), torch.randint(c, (n,), generator=rng)


def test_an_ensemble_is_measured_by_its_mean_probability():
    logits, target = draw_members()
    p, found = logits.softmax(-1).mean(0).double(), measure(measure_rows(logits, target))
    assert found["nll"] == pytest.approx(negative_log_likelihood(p, target), rel=1e-5)
    assert found["ece"] == pytest.approx(100 * calibration_error(p, target), rel=1e-4)
    halves = torch.cat([measure_rows(logits[:, :90], target[:90]), measure_rows(logits[:, 90:], target[90:])])
    assert measure(halves) == found


def test_who_is_as_sure_as_right_is_calibrated():
    """Three of four right, each with probability 3/4: no gap; the same twice as sure has one."""
    target = torch.tensor([0, 0, 0, 1])
    logits = torch.tensor([math.log(3.0), 0.0]).expand(2, 4, 2)
    assert measure(measure_rows(logits, target))["ece"] == pytest.approx(0, abs=1e-4)
    assert measure(measure_rows(2 * logits, target))["ece"] == pytest.approx(15, abs=1e-3)  # 9 of 10


def test_a_router_knows_what_the_oracle_knows_where_who_is_right_is_surest():
    logits, target = draw_members()
    said = logits.argmax(-1)
    right = worth(said, target)
    found = measure(measure_rows(logits, target))
    assert 100 * right.mean(1).min() < found["router"] < 100 * right.amax(0).mean()
    honest = logits * torch.where(right.bool(), 9.0, 0.01)[..., None]
    assert measure(measure_rows(honest, target))["router"] == pytest.approx(100 * float(right.amax(0).mean()))
    liar = logits * torch.where(right.bool(), 0.01, 9.0)[..., None]
    assert measure(measure_rows(liar, target))["router"] == pytest.approx(100 * float(right.amin(0).mean()))
    assert ask_the_surest(logits.softmax(-1)[[1, 1]]).equal(said[1])


def test_members_differ_in_as_many_pairs_as_they_do():
    said = draw_members()[0].argmax(-1)
    want = np.mean([(said[i] != said[j]).numpy() for i, j in combinations(range(4), 2)], axis=0)
    np.testing.assert_allclose(disagreement(said), want)
    assert not disagreement(said[[2, 2, 2]]).any() and not disagreement(said[:1]).any()
    assert disagreement(torch.arange(4)[:, None].expand(4, 3)).eq(1).all()


def test_equal_members_gain_nothing_from_each_other():
    logits, target = draw_members(m=1)
    alone, five = (measure(measure_rows(one, target)) for one in (logits, logits.expand(5, *logits.shape[1:])))
    assert five["disagreement"] == 0 and alone["sure_of_wrong"] is None
    for name in ("nll", "ece", "router"):
        assert five[name] == pytest.approx(alone[name], rel=1e-5)


def test_how_sure_those_are_that_answer_wrongly_beside_the_best():
    """By hand: the first member knows best, the second is wrong with 0.8, the third is right."""
    p = torch.tensor([[[0.7, 0.3]], [[0.2, 0.8]], [[0.6, 0.4]]])
    assert measure(measure_rows(p.log(), torch.tensor([0])))["sure_of_wrong"] == pytest.approx(80)
    none_right = torch.tensor([[[0.4, 0.6]], [[0.1, 0.9]]])  # the first is the best, wrong as it is
    assert measure(measure_rows(none_right.log(), torch.tensor([0])))["sure_of_wrong"] == pytest.approx(90)


def test_soft_answers_count_by_their_scores():
    logits, target = draw_members()
    hard = torch.nn.functional.one_hot(target, 5).float()
    assert measure(measure_rows(logits, hard)) == pytest.approx(measure(measure_rows(logits, target)))
    soft = measure(measure_rows(logits, 0.3 * hard))
    assert soft["router"] == pytest.approx(0.3 * measure(measure_rows(logits, hard))["router"])


def test_extreme_members_stay_finite():
    logits = torch.tensor([[[1e4, -1e4]], [[1e4, 0.0]]])
    assert all(map(math.isfinite, measure(measure_rows(logits, torch.tensor([1]))).values()))
