"""Linear classifiers side by side: each is the one that it would be alone."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from vqabook.models.side_by_side import Heads

GROUPS = {"plain": ["a", "b"], "even": ["c"], "cosine": ["d"]}


def test_each_classifier_is_its_own():
    torch.manual_seed(0)
    heads, x = Heads(4, 3, GROUPS), torch.randn(5, 4)
    logits = heads.logits(x)
    assert list(logits) == ["a", "b", "c", "d"] and "cosine" not in heads.bias
    torch.testing.assert_close(logits["b"], F.linear(x, heads.weight["plain"][1], heads.bias["plain"][1]))
    torch.testing.assert_close(logits["d"], F.linear(F.normalize(x), F.normalize(heads.weight["cosine"][0])))


def test_classifiers_drawn_evenly_see_other_rows():
    torch.manual_seed(0)
    heads, x, even = Heads(4, 3, GROUPS), torch.randn(5, 4), torch.randn(5, 4)
    for name, logits in heads(x, even).items():
        assert torch.equal(logits, heads.logits(even if name == "c" else x)[name])


def test_a_group_is_one_of_three():
    with pytest.raises(ValueError, match="plain, even, cosine, got other"):
        Heads(4, 3, {"plain": ["a"], "other": ["b"]})
