"""Where each loss is smallest for a model that cannot see, against the losses' own gradients."""

from __future__ import annotations

import pytest
import torch

from vqabook.losses import rescaling_weights, sigmoid_bce, soft_cross_entropy
from vqabook.papers.loss_rescaling.optimum import read_counts, settle_on

VOTES = torch.tensor([80, 4, 16])  # Table I
LOSSES = {
    "no weights": lambda x, t, w: soft_cross_entropy(x, t),
    "Soft-CE × µ": lambda x, t, w: soft_cross_entropy(x, t, weight=w),
    "Sigm-BCE × µ": lambda x, t, w: sigmoid_bce(x, t, weight=w),
    "Sigm-BCE, µ as released": lambda x, t, w: sigmoid_bce(x, t, weight=w, positive_only=True),
}


def slope(name: str, probabilities: torch.Tensor) -> float:
    """The largest component of the mean loss' gradient, over one question a vote."""
    x = probabilities.double()
    x = (x.log() if "BCE" not in name else x.logit()).requires_grad_()
    target = torch.eye(3, dtype=torch.double).repeat_interleave(VOTES, 0)
    weight = rescaling_weights(VOTES[None]).double()
    LOSSES[name](x.expand(len(target), -1), target, weight.expand(len(target), -1)).mean().backward()
    return x.grad.abs().max().item()


@pytest.mark.parametrize("name", LOSSES)
def test_no_loss_has_a_slope_where_it_settles(name):
    settled = settle_on(VOTES)
    assert slope(name, settled[name]) < 1e-5
    other = "Sigm-BCE, µ as released" if name != "Sigm-BCE, µ as released" else "no weights"
    assert slope(name, settled[other]) > 1e-2, "the control: elsewhere it has one"


def test_weights_turn_the_prior_round_for_soft_ce_alone():
    settled = settle_on(VOTES)
    assert settled["no weights"].argsort().tolist() == settled["Soft-CE × µ"].argsort(descending=True).tolist()
    assert torch.equal(settled["Sigm-BCE × µ"], settled["no weights"])
    assert settled.keys() == LOSSES.keys()


def test_counts_are_those_of_changed_priors():
    priors = ("same", "changing")
    records = [{"recipe": {"kind": "statistics", "prior": prior}, "result": {"of": prior}} for prior in priors]
    assert read_counts(records) == {"of": "changing"} and read_counts(records[:1])["types"] == {}
