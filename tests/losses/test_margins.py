"""Margins by class and the bound of Theorem 2."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from vqabook.losses.margins import evaluate_bound, linear_complexities, optimal_margins


def test_margins_add_up_and_are_wider_for_rare_classes():
    margins = optimal_margins(np.array([10_000, 16, 1]), 3.0)
    assert margins.sum() == pytest.approx(3) and margins[2] / margins[0] == pytest.approx(10)


def test_a_complexity_by_hand():
    """One row a class: 2 |w| √2 |x|, with the 1 for the bias."""
    weight, x = torch.tensor([[3.0, 0], [0, 4], [0, 0]]), torch.tensor([[1.0, 1], [0, 0]])
    found = linear_complexities(weight, x, torch.tensor([0, 1]))
    np.testing.assert_allclose(found, [10 * math.sqrt(2) * math.sqrt(3), 10 * math.sqrt(2)], rtol=1e-6)


def test_the_bounds_terms_by_hand():
    """One row a class, two classes, zero weights: every loss is log 2, and nothing is complex."""
    weight, x, labels = torch.zeros(3, 2).double(), torch.zeros(2, 2).double(), torch.tensor([0, 1])
    costs = torch.full((2,), math.log(2)).double()
    complexities = linear_complexities(weight, x, labels)
    bound = evaluate_bound(costs, costs, labels, complexities, np.full(2, 0.5), threshold=1.0)
    assert (bound.error, bound.in_margin, bound.complexity) == (0, 1, 0)
    furthest = 1 - np.log(2)
    low = np.sqrt(np.log(np.log2(4 * furthest / 0.5))) + np.sqrt(np.log(20) / 2)
    assert bound.low_order == pytest.approx(low) and bound.rows_for_one == np.inf
