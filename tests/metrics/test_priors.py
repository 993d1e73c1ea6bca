"""Accuracy under other priors, by hand."""

from __future__ import annotations

import pytest
import torch

from vqabook.metrics.priors import accuracy_under, priors_of

COUNTS = torch.tensor([40, 9, 3])


def test_a_prior_weighs_rows_by_their_class():
    truth, hit = torch.tensor([0, 0, 1, 1, 2, 2]), torch.tensor([1, 1, 1, 0, 0, 0]).bool()
    priors = priors_of(COUNTS)
    for prior, weight in priors.items():
        assert accuracy_under(weight, hit, truth) == pytest.approx(100 * float(weight[0] + weight[1] / 2)), prior
    assert priors["reversed"].tolist() == priors["training"].tolist()[::-1]
