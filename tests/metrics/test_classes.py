"""Accuracy by class and by training rows, and what a model believes of the classes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from vqabook.metrics.classes import accuracies, f1_above, find_threshold, marginal


def test_accuracies_by_hand():
    logits, truth = torch.eye(3)[torch.tensor([0, 0, 1, 0, 2, 0])], torch.tensor([0, 0, 1, 1, 2, 2])
    found = accuracies(logits, truth, torch.tensor([200, 100, 20]), many=100, few=20)
    assert found.pop("overall") == pytest.approx(400 / 6)
    assert found == {"many": 100, "medium": 50, "few": None, "per_class": [100, 50, 50]}


def test_a_marginal_that_is_uniform_has_no_divergence():
    assert marginal(torch.eye(5) * 3)["divergence"] == pytest.approx(0, abs=1e-9)
    sure = marginal(torch.tensor([[1e4, 0.0], [1e4, 0.0]]))
    assert sure["divergence"] == pytest.approx(np.log(2)) and sure["p"] == [1, 0]


def test_a_threshold_is_where_f1_is_highest():
    """Every threshold tried, and scikit-learn's F1."""
    from sklearn.metrics import f1_score

    rng = np.random.default_rng(0)
    score, positive = np.round(rng.normal(size=60), 1), rng.random(60) < 0.2  # some scores are equal
    score[positive] += 0.8
    best = max(set(score.tolist()), key=lambda t: f1_score(positive, score >= t))
    tensors = torch.from_numpy(score), torch.from_numpy(positive)
    found = find_threshold(*tensors)
    assert f1_score(positive, score >= found) == pytest.approx(f1_score(positive, score >= best))
    share = torch.tensor([1 - positive.mean(), positive.mean()])
    assert f1_above(found, *tensors, share) == pytest.approx(100 * f1_score(positive, score >= found))
    rare = f1_above(found, *tensors, torch.tensor([0.99, 0.01], dtype=torch.double))
    weight = np.where(positive, 0.01 / positive.sum(), 0.99 / (~positive).sum())
    assert rare == pytest.approx(100 * f1_score(positive, score >= found, sample_weight=weight))
