"""Classes whose posteriors are known."""

from __future__ import annotations

import torch

from vqabook.world.mixture import Mixture

MADE = Mixture((300, 100, 20))


def test_a_posterior_is_bayes():
    x, normal = MADE.draw_evenly(30, 0), torch.distributions.Normal
    likely = normal(MADE.means[None], 1.0).log_prob(x[:, None]).sum(2).exp() * MADE.train_prior
    torch.testing.assert_close(MADE.posterior(x, MADE.train_prior), likely / likely.sum(1, keepdim=True))


def test_draws_have_the_counts_and_a_seed():
    x, labels = MADE.draw(torch.tensor(MADE.counts), 1)
    assert torch.bincount(labels).tolist() == [300, 100, 20] and len(MADE.draw_evenly(30, 1)) == 30
    assert torch.equal(x, MADE.draw(torch.tensor(MADE.counts), 1)[0])
    assert (x[labels == 0].mean(0) - MADE.means[0]).abs().max() < 0.25
