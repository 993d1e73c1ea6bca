"""A linear classifier at the minimum of its loss."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from vqabook.models.linear import Linear


def test_no_step_from_what_was_fitted_costs_less():
    torch.manual_seed(0)
    x, y = torch.randn(60, 3).double(), torch.arange(60) % 4
    fitted = Linear.fit(x, y, 4, F.cross_entropy)
    weight = fitted.weight.clone().requires_grad_()
    F.cross_entropy(Linear(weight, x, y).classify(x), y).backward()
    assert weight.shape == (4, 4) and weight.grad.abs().max() < 1e-4
