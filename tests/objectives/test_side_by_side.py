"""Rules trained at once: every classifier has the gradient of its own loss, and class vectors alone decay."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from vqabook.core import Batch
from vqabook.models.side_by_side import Heads
from vqabook.objectives.longtail import long_tail
from vqabook.objectives.side_by_side import AllRules

COUNTS = torch.tensor([40, 9, 3])
GROUPS = {"plain": ["softmax", "focal"], "even": ["even"], "cosine": ["ldam"]}
RULES = {
    name: long_tail(rule, COUNTS)
    for name, rule in (("softmax", "softmax"), ("focal", "focal"), ("even", "softmax"), ("ldam", "ldam"))
}


def some_heads() -> Heads:
    torch.manual_seed(0)
    return Heads(4, 3, GROUPS)


def test_rules_share_nothing():
    """A rule's classifier has the gradient that it has where all others' losses are zero."""
    x, y = torch.randn(6, 4), torch.tensor([0, 1, 2, 0, 0, 1])
    batch = Batch((x, x.flip(0), y.flip(0)), y, {}, torch.arange(6))
    whole, alone = some_heads(), some_heads()
    (losses,) = AllRules(RULES, 0.0, even="even").steps(whole, batch, 0.0)
    losses.mean().backward()
    F.cross_entropy(alone.logits(x)["softmax"], y).backward()
    torch.testing.assert_close(whole.weight["plain"].grad[0], alone.weight["plain"].grad[0])
    assert alone.weight["even"].grad is None and whole.weight["even"].grad.abs().sum() > 0
    F.cross_entropy(alone.logits(x.flip(0))["even"], y.flip(0)).backward()
    torch.testing.assert_close(whole.weight["even"].grad, alone.weight["even"].grad)


def test_class_vectors_alone_decay():
    heads, x = some_heads(), torch.randn(3, 4)
    batch = Batch((x, x, torch.tensor([0, 1, 2])), torch.tensor([0, 1, 2]), {}, torch.arange(3))
    plain, decayed = (
        next(iter(AllRules(RULES, decay, even="even").steps(heads, batch, 0.0))).mean() for decay in (0.0, 2.0)
    )
    torch.testing.assert_close(decayed - plain, sum(weight.square().sum() for weight in heads.weight.values()))


def test_a_model_of_another_kind_is_refused():
    batch = Batch((torch.randn(3, 4),) * 3, torch.tensor([0, 1, 2]), {}, torch.arange(3))
    with pytest.raises(TypeError, match="side by side, got Linear"):
        next(iter(AllRules(RULES, 0.0).steps(nn.Linear(4, 3), batch, 0.0)))
