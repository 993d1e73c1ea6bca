"""Rows of Table 1 as objectives: which loss, on what, and when."""

from __future__ import annotations

from typing import get_args

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from vqabook.core import Batch, Output
from vqabook.losses import longtail as losses
from vqabook.objectives.longtail import DEFERRED, LabelLoss, Rule, long_tail, weigh

COUNTS = torch.tensor([900, 90, 10, 3])


class Fixed(nn.Module):
    """Logits that are the input."""

    def forward(self, x: torch.Tensor) -> Output:
        return Output(x)


def batch() -> Batch:
    rng = torch.Generator().manual_seed(0)
    rows = torch.arange(6)
    return Batch((torch.randn(6, 4, generator=rng),), torch.tensor([0, 1, 2, 3, 0, 3]), {}, rows)


def step(objective: LabelLoss, progress: float = 0.0) -> torch.Tensor:
    (loss,) = objective.steps(Fixed(), batch(), progress)
    return loss


@pytest.mark.parametrize("rule", get_args(Rule))
def test_every_rule_gives_a_loss_an_example(rule):
    torch.manual_seed(0)
    loss = step(long_tail(rule, COUNTS))
    assert loss.shape == (6,) and loss.isfinite().all()
    equal = torch.full((4,), 50)
    plain = F.cross_entropy(*batch().inputs, batch().target, reduction="none")
    if rule not in ("focal", "effective_focal", "ldam", "ldam_drw") and not rule.endswith("sigmoid"):
        torch.testing.assert_close(step(long_tail(rule, equal)), plain)


def test_rules_are_their_losses():
    (x,), y = batch().inputs, batch().target
    plain = F.cross_entropy(x, y, reduction="none")
    torch.testing.assert_close(step(long_tail("inverse", COUNTS)), losses.inverse_weights(COUNTS).float()[y] * plain)
    want = losses.effective_weights(COUNTS).float()[y] * plain
    torch.testing.assert_close(step(long_tail("effective", COUNTS)), want)
    torch.testing.assert_close(step(long_tail("focal", COUNTS)), (1 - (-plain).exp()) ** 2 * plain)
    quarter = losses.balanced_softmax(x, y, losses.log_counts(COUNTS), exponent=0.25)
    torch.testing.assert_close(step(long_tail("balanced_softmax", COUNTS, exponent=0.25)), quarter)
    torch.manual_seed(0)
    tail = losses.equalisation_softmax(x, y, torch.tensor([False, False, False, True]))
    torch.manual_seed(0)
    torch.testing.assert_close(step(long_tail("equalisation", COUNTS)), tail)


def test_sigmoids_are_their_losses():
    (x,), y = batch().inputs, torch.tensor([0, 1, 2, 3, 4, 4])  # 4 is background
    zero, counts = torch.zeros(4), COUNTS
    want = {
        "sigmoid": losses.balanced_sigmoid(x, y, zero),
        "balanced_sigmoid": losses.balanced_sigmoid(x, y, losses.sigmoid_offsets(counts)),
        "released_sigmoid": losses.balanced_sigmoid(
            x, y, losses.released_sigmoid_offsets(counts, int(counts.sum())), foreground_only=True
        ),
        "equalisation_sigmoid": losses.equalisation_sigmoid(x, y, torch.tensor([False, False, True, True])),
    }
    tail = torch.tensor([False, False, True, True])
    for rule, loss in want.items():
        torch.testing.assert_close(long_tail(rule, counts, tail=tail).loss(x, y), loss)


def test_re_weighting_is_deferred():
    objective = long_tail("ldam_drw", COUNTS)
    early, late = step(objective, DEFERRED - 0.01), step(objective, DEFERRED)
    torch.testing.assert_close(early, step(long_tail("ldam", COUNTS)))
    torch.testing.assert_close(late, losses.effective_weights(COUNTS).float()[batch().target] * early)


def test_a_weighted_loss_is_a_mean_over_examples():
    loss = weigh(lambda x, y: torch.ones(len(y)), torch.tensor([1.0, 2.0, 3.0, 4.0]))
    assert loss(torch.zeros(2, 4), torch.tensor([3, 0])).tolist() == [4, 1]


def test_unknown_rules_are_refused(unchecked):
    with pytest.raises(ValueError, match="rule is one of softmax, inverse, .*, got 'eql'; choose one"):
        long_tail("eql", COUNTS)
