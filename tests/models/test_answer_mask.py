"""The answer mask: its range, its two ways to meet the logits, and what makes one of them dangerous."""

from __future__ import annotations

from math import log

import pytest
import torch
from torch import nn

from vqabook.core import Output
from vqabook.models import AnswerMask, softplus_g


class Fixed(nn.Module):
    """Logits and question encodings as given."""

    def forward(self, logits: torch.Tensor, question: torch.Tensor) -> Output:
        return Output(logits, question=question)


def masked(**options) -> AnswerMask:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return AnswerMask(Fixed(), 3, 5, **options)


def inputs() -> tuple[torch.Tensor, torch.Tensor]:
    rng = torch.Generator().manual_seed(3)
    return torch.randn(8, 5, generator=rng), 5 * torch.randn(8, 3, generator=rng)


def test_softplus_g_is_eq_6_with_min():
    x = torch.tensor([-50.0, 0.0, 0.5413, 0.5414, 40.0])
    assert softplus_g(x).tolist() == pytest.approx([0, log(2), 1, 1, 1], abs=1e-4)
    assert softplus_g(torch.zeros(1), alpha=4.0).item() == pytest.approx(log(2) / 4)
    assert softplus_g(torch.tensor([0.5414])).item() == 1


@pytest.mark.parametrize("activation", ["sigmoid", "softplus_g"])
@pytest.mark.parametrize("combine", ["add_log", "multiply"])
def test_mask_and_logits(activation, combine):
    model, (logits, question) = masked(activation=activation, combine=combine, dropout=0.0), inputs()
    out, score = model(logits, question), model.head[1](question)
    expected = score.sigmoid() if activation == "sigmoid" else (1 + score.exp()).log().clamp(max=1)
    torch.testing.assert_close(out.mask, expected)
    assert out.mask.min() >= 0 and out.mask.max() <= 1
    combined = logits * out.mask if combine == "multiply" else logits + out.mask.log()
    torch.testing.assert_close(out.logits, combined, rtol=1e-4, atol=1e-4)


def test_the_mask_reads_the_question_alone():
    model, (logits, question) = masked(dropout=0.0), inputs()
    torch.testing.assert_close(model(logits, question).mask, model(logits.flip(0), question).mask)
    assert not torch.allclose(model(logits, question).mask, model(logits, question.flip(0)).mask)


def test_added_logs_multiply_probabilities():
    model, (logits, question) = masked(dropout=0.0), inputs()
    out = model(logits, question)
    product = logits.softmax(1) * out.mask.clamp(min=1e-6)
    torch.testing.assert_close(out.logits.softmax(1), product / product.sum(1, keepdim=True))


@pytest.mark.parametrize(("combine", "gains"), [("add_log", False), ("multiply", True)])
def test_a_masked_answer_with_a_negative_logit_gains_only_when_multiplied(combine, gains):
    model = masked(combine=combine, dropout=0.0)
    with torch.no_grad():
        model.head[1].weight.zero_()
        model.head[1].bias.copy_(torch.tensor([-30.0, 5, 5, 5, 5]))
    logits = torch.tensor([[-3.0, -1, -1, -1, -1]])
    assert (model(logits, torch.zeros(1, 3)).logits.argmax().item() == 0) == gains


@pytest.mark.parametrize(("dropout", "changes"), [(0.0, False), (0.5, True)])
def test_dropout_acts_in_training_only(dropout, changes):
    model, (logits, question) = masked(dropout=dropout), inputs()
    torch.manual_seed(0)
    trained, tested = model.train()(logits, question).mask, model.eval()(logits, question).mask
    assert torch.allclose(trained, tested) != changes


def test_a_shut_mask_stays_finite():
    model = masked(dropout=0.0)
    with torch.no_grad():
        model.head[1].bias.fill_(-1e4)
    logits, question = inputs()
    out = model(logits, question)
    out.logits.sum().backward()
    assert out.logits.isfinite().all() and model.head[1].weight.grad.isfinite().all()
