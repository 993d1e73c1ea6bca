"""Classifiers for unequal classes."""

from __future__ import annotations

import torch
from torch import nn

from vqabook.models.heads import CosineClassifier, Decoupled, LinearModel, ScaledClassifier


def test_cosines():
    torch.manual_seed(0)
    head, hidden = CosineClassifier(5, 3), torch.randn(4, 5)
    want = torch.cosine_similarity(hidden[:, None], head.weight, dim=2)
    torch.testing.assert_close(head(hidden), want)
    torch.testing.assert_close(head(7 * hidden), head(hidden))
    assert head(torch.zeros(1, 5)).isfinite().all()


def test_scales_alone_are_learnt():
    torch.manual_seed(0)
    trained, hidden = nn.Linear(5, 3), torch.randn(4, 5)
    head = ScaledClassifier(trained)
    torch.testing.assert_close(head(hidden), trained(hidden))
    assert [name for name, _ in head.named_parameters()] == ["scale"]
    head.scale.data = torch.tensor([1.0, 2.0, 0.5])
    torch.testing.assert_close(head(hidden) - trained.bias, (trained(hidden) - trained.bias) * head.scale)
    assert ScaledClassifier(nn.Linear(5, 3, bias=False))(hidden).shape == (4, 3)
    whole = ScaledClassifier(trained, scale_bias=True)  # as released
    whole.scale.data = head.scale.data
    torch.testing.assert_close(whole(hidden), trained(hidden) * head.scale)


def test_a_second_stage_keeps_the_features():
    torch.manual_seed(0)
    trained, x = LinearModel(5, 3), torch.randn(4, 5)
    model = Decoupled(trained, nn.Linear(5, 2)).train()
    assert not trained.training and [name for name, p in model.named_parameters() if p.requires_grad] == [
        "classifier.weight", "classifier.bias",
    ]  # fmt: skip
    out = model(x)
    assert torch.equal(out.hidden, x) and out.logits.shape == (4, 2)
    torch.testing.assert_close(trained(x).logits, x @ trained.classifier.weight.T + trained.classifier.bias)
