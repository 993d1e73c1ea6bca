"""Calibration: by hand, against a plain loop, and where it is known."""

from __future__ import annotations

import math

import pytest
import torch

from vqabook.metrics.calibration import calibration_error, calibration_gap, negative_log_likelihood

P = torch.tensor([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.45, 0.55]], dtype=torch.double)
TRUTH = torch.tensor([0, 1, 1, 1])


def test_by_hand():
    assert negative_log_likelihood(P, TRUTH) == pytest.approx(-sum(map(math.log, (0.9, 0.2, 0.7, 0.55))) / 4)
    # bins of a half: all confidences in the upper one, three of four right
    assert calibration_error(P, TRUTH, bins=2) == pytest.approx(abs(0.75 - (0.9 + 0.8 + 0.7 + 0.55) / 4))
    assert calibration_error(P, TRUTH, bins=10) == pytest.approx((0.1 + 0.8 + 0.3 + 0.45) / 4)


def test_a_weight_is_a_row_that_often():
    often = torch.tensor([3, 1, 0, 2])
    rows = torch.arange(4).repeat_interleave(often)
    for metric in (negative_log_likelihood, calibration_error):
        assert metric(P, TRUTH, often.double()) == pytest.approx(metric(P[rows], TRUTH[rows]))


def test_who_draws_the_truth_from_its_probabilities_is_calibrated():
    generator = torch.Generator().manual_seed(0)
    p = torch.randn(50_000, 5, generator=generator, dtype=torch.double).softmax(1)
    truth = torch.multinomial(p, 1, generator=generator)[:, 0]
    assert calibration_error(p, truth) < 0.01 < 0.1 < calibration_error((4 * p.log()).softmax(1), truth)
    assert negative_log_likelihood(p, truth) < negative_log_likelihood((4 * p.log()).softmax(1), truth)


def test_answers_may_be_worth_a_part():
    """A VQA accuracy in place of right and wrong; who says how much an answer is worth has no gap."""
    confidence = torch.tensor([0.3, 0.6, 1.0], dtype=torch.double)
    assert calibration_gap(confidence, confidence) == 0
    assert calibration_gap(confidence, torch.tensor([0.0, 0.6, 1.0], dtype=torch.double)) == pytest.approx(0.1)
    right = (P.argmax(1) == TRUTH).double()
    assert calibration_gap(P.amax(1), right) == calibration_error(P, TRUTH)


def test_sure_and_wrong_is_finite():
    sure = torch.tensor([[1.0, 0.0]])
    assert calibration_error(sure, torch.tensor([1])) == 1 and negative_log_likelihood(sure, torch.tensor([1])) < 1e3
    with pytest.raises(ValueError, match="one bin or more, got 0"):
        calibration_error(sure, torch.tensor([1]), bins=0)
