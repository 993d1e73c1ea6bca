"""Laws of the soft-labelled losses. A new loss joins LOSSES with a plain loop, and inherits every law."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import exp, log

import pytest
import torch
from torch.autograd import gradcheck
from torch.nn import functional as F

from vqabook.losses import bias_product, focal, learned_mixin, rubi, sigmoid_bce, soft_cross_entropy


def plain_bce(x: list[float], a: list[float], w: list[float]) -> float:
    """Eq. 11, term by term."""
    p = [1 / (1 + exp(-v)) for v in x]
    return -sum(wi * (ai * log(pi) + (1 - ai) * log(1 - pi)) for pi, ai, wi in zip(p, a, w, strict=True))


def plain_positive_bce(x: list[float], a: list[float], w: list[float]) -> float:
    """Eq. 11 as released: the weight is on the first term only."""
    p = [1 / (1 + exp(-v)) for v in x]
    return -sum(wi * ai * log(pi) + (1 - ai) * log(1 - pi) for pi, ai, wi in zip(p, a, w, strict=True))


def plain_ce(x: list[float], a: list[float], w: list[float]) -> float:
    """Eq. 13, term by term."""
    total = sum(map(exp, x))
    return -sum(wi * ai * log(exp(v) / total) for v, ai, wi in zip(x, a, w, strict=True))


def plain_ensemble(gate: Callable[[list[float]], float]) -> Callable[..., float]:
    """p (b + s)^g and (1 - p) (1 - b + s)^g, renormalised; then Eq. 11. With the bias that `biased` makes."""

    def loss(x: list[float], a: list[float], w: list[float]) -> float:
        total, g = 0.0, gate(a)
        for xi, ai, wi in zip(x, a, w, strict=True):
            p, b = 1 / (1 + exp(-xi)), 0.05 + 0.9 * ai
            yes, no = p * (b + 0.3) ** g, (1 - p) * (1 - b + 0.3) ** g
            total -= wi * (ai * log(yes / (yes + no)) + (1 - ai) * log(no / (yes + no)))
        return total

    return loss


def plain_focal(x: list[float], a: list[float], w: list[float]) -> float:
    """Eq. 10 for each binary decision, with α = 1/4 and γ = 2."""
    p = [1 / (1 + exp(-v)) for v in x]
    terms = [ai * (1 - pi) ** 2 * log(pi) + (1 - ai) * pi**2 * log(1 - pi) for pi, ai in zip(p, a, strict=True)]
    return -0.25 * sum(wi * term for wi, term in zip(w, terms, strict=True))


def plain_softmax_focal(x: list[float], a: list[float], w: list[float]) -> float:
    """Eq. 10 as released: one p_t an example."""
    p_t = exp(-plain_ce(x, a, [1.0] * len(a)))
    return 0.25 * (1 - p_t) ** 2 * plain_ce(x, a, w)


def plain_rubi(x: list[float], a: list[float], w: list[float]) -> float:
    """Logits times the mask's sigmoid; the question-only loss counts half."""
    fused = [xi / (1 + exp(-(2 * ai - 1))) for xi, ai in zip(x, a, strict=True)]
    return plain_ce(fused, a, w) + 0.5 * plain_ce([3 * ai for ai in a], a, [1.0] * len(a))


def biased(loss: Callable, **more: Callable) -> Callable:
    """What a loss reads besides, made of each row's own scores: so laws of rows and of relabelling apply to it."""
    return lambda logits, target, weight=None: loss(
        logits, target, weight=weight, **{name: made(target) for name, made in more.items()}
    )


MADE = {"bias": lambda a: 0.05 + 0.9 * a, "smooth": lambda a: 0.3}
LOSSES = {
    "sigmoid_bce": (sigmoid_bce, plain_bce),
    "sigmoid_bce, positive term": (partial(sigmoid_bce, positive_only=True), plain_positive_bce),
    "soft_cross_entropy": (soft_cross_entropy, plain_ce),
    "learned_mixin": (
        biased(learned_mixin, gate=lambda a: 2 * a.amax(-1), **MADE),
        plain_ensemble(lambda a: 2 * max(a)),
    ),
    "bias_product": (biased(bias_product, **MADE), plain_ensemble(lambda a: 1.0)),
    "focal": (focal, plain_focal),
    "focal, softmax": (partial(focal, softmax=True), plain_softmax_focal),
    "rubi": (
        biased(partial(rubi, question_weight=0.5), mask=lambda a: 2 * a - 1, question_logits=lambda a: 3 * a),
        plain_rubi,
    ),
}
each_loss = pytest.mark.parametrize(("loss", "plain"), LOSSES.values(), ids=LOSSES)


def example(b: int = 4, a: int = 5) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Logits, soft scores of few answers, weights; in float64."""
    rng = torch.Generator().manual_seed(1)
    logits, target = 3 * torch.randn(b, a, generator=rng), torch.rand(b, a, generator=rng)
    target *= torch.rand(b, a, generator=rng) < 0.5
    return logits.double(), target.double(), 4 * torch.rand(b, a, generator=rng).double()


@each_loss
def test_equals_a_plain_loop(loss, plain):
    logits, target, weight = example()
    expected = [plain(*row) for row in zip(logits.tolist(), target.tolist(), weight.tolist(), strict=True)]
    torch.testing.assert_close(loss(logits, target, weight=weight), torch.tensor(expected).double())


@each_loss
def test_weights_of_one_change_nothing(loss, plain):
    logits, target, _ = example()
    torch.testing.assert_close(loss(logits, target, weight=torch.ones_like(logits)), loss(logits, target))
    one_row = loss(logits, target, weight=torch.ones_like(logits[:1]))
    torch.testing.assert_close(one_row, loss(logits, target))


@each_loss
def test_one_loss_an_example_whatever_the_batch(loss, plain):
    logits, target, weight = example()
    whole = loss(logits, target, weight=weight)
    alone = [loss(logits[i : i + 1], target[i : i + 1], weight=weight[i : i + 1]) for i in range(len(logits))]
    assert whole.shape == (4,)
    torch.testing.assert_close(whole, torch.cat(alone))


@each_loss
def test_relabelling_answers_changes_nothing(loss, plain):
    logits, target, weight = example()
    order = torch.tensor([3, 0, 4, 2, 1])
    relabelled = loss(logits[:, order], target[:, order], weight=weight[:, order])
    torch.testing.assert_close(relabelled, loss(logits, target, weight=weight))


@each_loss
@pytest.mark.parametrize("weighted", [False, True])
def test_gradient(loss, plain, weighted):
    logits, target, weight = example()
    assert gradcheck(lambda x: loss(x, target, weight=weight if weighted else None), logits.requires_grad_())


@each_loss
@pytest.mark.parametrize("weighted", [False, True])
def test_extreme_logits_stay_finite(loss, plain, weighted):
    logits = torch.tensor([[1e4, -1e4, 0.0], [-1e4, -1e4, -1e4], [1e4, 1e4, 1e4]], requires_grad=True)
    target = torch.tensor([[0.0, 1.0, 0.3], [1.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
    values = loss(logits, target, weight=torch.full((3, 3), 100.0) if weighted else None)
    values.sum().backward()
    assert values.isfinite().all() and logits.grad.isfinite().all()


def test_golden_values():
    # softmax([0, log 3]) = [1/4, 3/4]; sigmoid(0) = 1/2, sigmoid(log 3) = 3/4
    logits, target, weight = torch.tensor([[0.0, log(3)]]), torch.tensor([[1.0, 0.3]]), torch.tensor([[2.0, 10.0]])
    first, second, rest = log(2), 0.3 * log(4 / 3), 0.7 * log(4)
    assert sigmoid_bce(logits, target).item() == pytest.approx(first + second + rest)
    assert sigmoid_bce(logits, target, weight=weight).item() == pytest.approx(2 * first + 10 * (second + rest))
    released = sigmoid_bce(logits, target, weight=weight, positive_only=True).item()
    assert released == pytest.approx(2 * first + 10 * second + rest)
    assert soft_cross_entropy(logits, target).item() == pytest.approx(log(4) + 0.3 * log(4 / 3))
    weighted = soft_cross_entropy(logits, target, weight=weight).item()
    assert weighted == pytest.approx(2 * log(4) + 10 * 0.3 * log(4 / 3))


def test_a_unanimous_answer_gives_cross_entropy():
    logits, truth = example()[0], torch.tensor([2, 0, 4, 1])
    unanimous = F.one_hot(truth, 5).double()
    torch.testing.assert_close(soft_cross_entropy(logits, unanimous), F.cross_entropy(logits, truth, reduction="none"))


def test_a_question_without_known_answers():
    logits = example()[0]
    nothing = torch.zeros_like(logits)
    assert soft_cross_entropy(logits, nothing).abs().max() == 0  # weighs nothing
    torch.testing.assert_close(sigmoid_bce(logits, nothing), F.softplus(logits).sum(1))  # still says no to all


def test_the_minimum_is_at_the_soft_score():
    # control: Soft-CE has its minimum at the *normalised* scores
    target = torch.tensor([[0.9, 0.3, 0.05]]).double()
    at_scores = target.logit().requires_grad_()
    sigmoid_bce(at_scores, target).sum().backward()
    assert at_scores.grad.abs().max() < 1e-12
    at_shares = (target / target.sum()).log().requires_grad_()
    soft_cross_entropy(at_shares, target).sum().backward()
    assert at_shares.grad.abs().max() < 1e-12


def test_gradient_of_weighted_bce_is_eq_12():
    logits, a, mu = example()
    p = logits.sigmoid()
    (got,) = torch.autograd.grad(sigmoid_bce(logits.requires_grad_(), a, weight=mu).sum(), logits)
    torch.testing.assert_close(got, mu * ((1 - a) * p - a * (1 - p)))


def test_gradient_of_softmax_is_eq_14():
    logits = example()[0][0]
    p = logits.softmax(0)
    expected = torch.tensor([[p[i] * (1 - p[j]) if i == j else -p[i] * p[j] for j in range(5)] for i in range(5)])
    torch.testing.assert_close(torch.autograd.functional.jacobian(lambda x: x.softmax(0), logits), expected.double())


def test_gradient_of_weighted_ce_is_eqs_15_and_16():
    logits, a, mu = example()
    p = logits.softmax(1)
    (got,) = torch.autograd.grad(soft_cross_entropy(logits.requires_grad_(), a, weight=mu).sum(), logits)
    torch.testing.assert_close(got, (mu * a).sum(1, keepdim=True) * p - mu * a)  # last line of Eq. 16
    others = (mu * a).sum(1, keepdim=True) - mu * a
    torch.testing.assert_close(got, mu * a * (p - 1) + others * p)  # its third line
