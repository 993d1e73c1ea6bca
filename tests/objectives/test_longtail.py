"""Rows of Table 1 as objectives: which loss, on what, and when."""

from __future__ import annotations

import math
import pickle
from typing import get_args

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from vqabook.core import Batch, Output
from vqabook.data.long_tail import long_tail_counts
from vqabook.losses import longtail as losses
from vqabook.objectives.longtail import DEFERRED, LabelLoss, Rule, long_tail, start_rare

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
    if rule not in ("focal", "effective_focal", "ldam", "ldam_drw", "ldam_drw_released") and not rule.endswith(
        "sigmoid"
    ):
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
    tail = losses.equalisation_softmax(x, y, torch.tensor([False, True, True, True]))
    torch.manual_seed(0)
    torch.testing.assert_close(step(long_tail("equalisation", COUNTS)), tail)


def tail_of(counts: list[int]) -> int:
    """How many classes equalisation loss leaves out of others' sums."""
    return int(long_tail("equalisation", torch.tensor(counts)).loss.tail.sum())


def test_half_the_mean_is_tail():
    """On CIFAR-100-LT the half per cent of Tan et al. 2020, whatever the imbalance; of ten classes some are."""
    for imbalance in (10, 100, 200):
        counts = long_tail_counts(500, 100, imbalance)
        assert tail_of(counts) == sum(n < 0.005 * sum(counts) for n in counts)
    assert tail_of(long_tail_counts(500, 100, 100)) == 52
    assert [tail_of(long_tail_counts(5000, 10, imbalance)) for imbalance in (1, 10, 100, 200)] == [0, 3, 5, 6]


def test_sigmoids_that_start_rare_start_low():
    """The losses of 1,203 classes add up to 1 + log n where a class is, to 1 without: not to n log 2, some 834."""
    n, linear = 1203, nn.Linear(8, 1203)
    nn.init.zeros_(linear.weight)
    start_rare(linear, n)
    cost = long_tail("sigmoid", torch.ones(n).long()).cost(linear(torch.zeros(2, 8)), torch.tensor([5, n]))
    assert cost.tolist() == pytest.approx([1 + math.log(n), 1], abs=0.01)


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
    objective = long_tail("ldam_drw_released", COUNTS)
    early, late = step(objective, DEFERRED - 0.01), step(objective, DEFERRED)
    torch.testing.assert_close(early, step(long_tail("ldam", COUNTS)))
    weight = losses.effective_weights(COUNTS)[batch().target]
    torch.testing.assert_close(late.mean(), (weight * early).sum() / weight.sum())
    torch.testing.assert_close(step(long_tail("ldam_drw", COUNTS), DEFERRED), weight * early)


def test_a_weighted_mean_is_over_examples_or_over_weights():
    weight, y = torch.tensor([1.0, 2.0, 3.0, 4.0]), torch.tensor([3, 0])
    each, over = (LabelLoss(lambda x, y: 7 * torch.ones(len(y)), weight=weight, over_weights=w) for w in (False, True))
    assert each.cost(torch.zeros(2, 4), y).tolist() == [28, 7]
    assert over.cost(torch.zeros(2, 4), y).mean() == 7


def test_unknown_rules_are_refused(unchecked):
    with pytest.raises(ValueError, match="rule is one of softmax, inverse, .*, got 'eql'; choose one"):
        long_tail("eql", COUNTS)


@pytest.mark.parametrize("rule", get_args(Rule))
def test_rules_travel(rule):
    """Through pickle, as spawned processes need; with what the counts say as buffers, which `.to` moves."""
    objective = long_tail(rule, COUNTS)
    again = pickle.loads(pickle.dumps(objective))
    torch.manual_seed(0)
    want = step(objective, 0.9)
    torch.manual_seed(0)
    torch.testing.assert_close(step(again, 0.9), want)
    assert rule == "focal" or list(again.buffers())
    assert all(buffer.device.type == "meta" for buffer in again.to("meta").buffers())
    assert not objective.state_dict()


@pytest.mark.parametrize("rule", get_args(Rule))
def test_labels_may_be_bytes(rule, unchecked):
    objective, of = long_tail(rule, COUNTS), batch()
    costs = []
    for target in (of.target, of.target.to(torch.uint8), of.target.to(torch.int32)):
        torch.manual_seed(0)
        costs.append(objective.cost(of.inputs[0], target, 0.9))
    torch.testing.assert_close(costs[1], costs[0])
    torch.testing.assert_close(costs[2], costs[0])


def test_ignored_labels_are_in_no_mean():
    (x,), y = batch().inputs, batch().target.clone()
    y[1] = -100
    kept = torch.arange(6) != 1
    for rule in ("softmax", "inverse", "effective_focal", "ldam_drw", "ldam_drw_released"):
        objective = long_tail(rule, COUNTS)
        got = objective.cost(x, y, 0.9)
        assert got[1] == 0
        torch.testing.assert_close(got.mean(), objective.cost(x[kept], y[kept], 0.9).mean())
    assert not long_tail("softmax", COUNTS).cost(x, torch.full((6,), -100)).any()
