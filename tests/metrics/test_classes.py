"""Accuracy by class and by training rows, and what a model believes of the classes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from vqabook.metrics.classes import accuracies, marginal


def test_accuracies_by_hand():
    logits, truth = torch.eye(3)[torch.tensor([0, 0, 1, 0, 2, 0])], torch.tensor([0, 0, 1, 1, 2, 2])
    found = accuracies(logits, truth, torch.tensor([200, 100, 20]), many=100, few=20)
    assert found.pop("overall") == pytest.approx(400 / 6)
    assert found == {"many": 100, "medium": 50, "few": None, "per_class": [100, 50, 50]}


def test_a_marginal_that_is_uniform_has_no_divergence():
    assert marginal(torch.eye(5) * 3)["divergence"] == pytest.approx(0, abs=1e-9)
    sure = marginal(torch.tensor([[1e4, 0.0], [1e4, 0.0]]))
    assert sure["divergence"] == pytest.approx(np.log(2)) and sure["p"] == [1, 0]
