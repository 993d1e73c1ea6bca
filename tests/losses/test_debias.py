"""The losses against a bias, beyond the battery of test_soft.py: identities, limits, gradients, what is refused."""

from __future__ import annotations

from math import exp, log

import pytest
import torch
from torch.autograd import grad, gradcheck
from torch.distributions import Bernoulli
from torch.nn import functional as F

from vqabook.losses import (
    bias_entropy,
    bias_product,
    bias_reweight,
    focal,
    learned_mixin,
    rubi,
    sigmoid_bce,
    soft_cross_entropy,
)

S = 0.25


def example(b: int = 4, a: int = 6) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Logits, soft scores, a bias that is nowhere 1/2 and somewhere exactly 0 and 1, gates; in float64."""
    rng = torch.Generator().manual_seed(3)
    logits, target = 3 * torch.randn(b, a, generator=rng), torch.rand(b, a, generator=rng)
    bias = torch.rand(b, a, generator=rng)
    bias[0, 0], bias[1, 1], bias[1, 2] = 0, 1, 0
    return logits.double(), target.double(), bias.double(), 2 * torch.rand(b, generator=rng).double()


def two_terms(
    bias: torch.Tensor, gate: torch.Tensor, smooth: torch.Tensor, logits: torch.Tensor | None = None
) -> torch.Tensor:
    """Log-probabilities [b, a, 2] of the product of model and gated bias, as it is defined."""
    product = gate[:, None, None] * torch.stack([bias + smooth, 1 - bias + smooth], 2).log()
    if logits is not None:
        product = product + torch.stack([F.logsigmoid(logits), F.logsigmoid(-logits)], 2)
    return product - product.logsumexp(2, keepdim=True)


@pytest.mark.parametrize("smooth", [1.0, 0.269, 1e-3, 1e-12])
def test_the_product_of_experts_is_a_shift_of_the_logits(smooth):
    logits, target, bias, gate = example()
    logits[0, :2] = torch.tensor([40.0, -40.0])
    read = (logits.requires_grad_(), gate.requires_grad_(), torch.tensor(smooth).double().requires_grad_())
    yes, no = two_terms(bias, gate, read[2], logits).unbind(2)
    expected = -(target * yes + (1 - target) * no).sum(1)
    got = learned_mixin(logits, target, bias=bias, gate=gate, smooth=read[2])
    torch.testing.assert_close(got, expected)
    torch.testing.assert_close(grad(got.sum(), read), grad(expected.sum(), read))


@pytest.mark.parametrize("smooth", [1.0, 0.269, 1e-3, 1e-12])
def test_entropy_is_that_of_the_gated_bias(smooth):
    bias, gate = example()[2:]
    read = (gate.requires_grad_(), torch.tensor(smooth).double().requires_grad_())
    p = two_terms(bias, *read)
    expected = -(p.exp() * p).sum(2).mean(1)
    got = bias_entropy(bias, gate=gate, smooth=read[1])
    torch.testing.assert_close(got, expected)
    torch.testing.assert_close(grad(got.sum(), read), grad(expected.sum(), read))


def test_golden_ensemble():
    # b = 0.7, s = 0.5: odds 1.2 / 0.8 = 3 / 2; with g = 2 they are 9 / 4; even model odds leave 9 / 13
    logits, bias, yes, no = torch.zeros(1, 1), torch.tensor([[0.7]]), torch.ones(1, 1), torch.zeros(1, 1)
    told = {"bias": bias, "smooth": 0.5}
    two = torch.tensor([2.0])
    assert learned_mixin(logits, yes, gate=two, **told).item() == pytest.approx(log(13 / 9))
    assert learned_mixin(logits, no, gate=two, **told).item() == pytest.approx(log(13 / 4))
    assert bias_product(logits, yes, **told).item() == pytest.approx(log(5 / 3))
    model = torch.full((1, 1), log(2 / 3))  # the model holds the reverse of the bias
    assert bias_product(model, yes, **told).item() == pytest.approx(log(2))
    h = 9 / 13 * log(13 / 9) + 4 / 13 * log(13 / 4)
    assert bias_entropy(bias, gate=two, smooth=0.5).item() == pytest.approx(h)


def test_a_bias_that_says_nothing_leaves_the_plain_loss():
    logits, target, bias, gate = example()
    plain, even = sigmoid_bce(logits, target), torch.full_like(bias, 0.5)
    assert learned_mixin(logits, target, bias=even, gate=gate, smooth=S).equal(plain)
    assert bias_product(logits, target, bias=even, smooth=S).equal(plain)
    assert learned_mixin(logits, target, bias=bias, gate=0 * gate, smooth=S).equal(plain)
    torch.testing.assert_close(learned_mixin(logits, target, bias=bias, gate=gate, smooth=1e15), plain)
    # controls: alike for all answers is not 1/2; and the bias of the example does say something
    for other in (torch.full_like(bias, 1 / 6), bias):
        assert not torch.allclose(learned_mixin(logits, target, bias=other, gate=gate, smooth=S), plain, rtol=0.01)


def test_bias_product_is_a_learned_mixin_whose_gate_is_one():
    logits, target, bias, gate = example()
    mu = 1 + 5 * target
    mixed = learned_mixin(logits, target, bias=bias, gate=torch.ones_like(gate), smooth=S, weight=mu)
    torch.testing.assert_close(bias_product(logits, target, bias=bias, smooth=S, weight=mu), mixed)


def test_a_gate_may_keep_its_last_axis():
    logits, target, bias, gate = example()
    flat, kept = ({"bias": bias, "gate": g, "smooth": S} for g in (gate, gate[:, None]))
    assert learned_mixin(logits, target, **flat).equal(learned_mixin(logits, target, **kept))
    assert bias_entropy(**flat).equal(bias_entropy(**kept))


def test_gradient_is_eq_12_of_the_ensemble():
    logits, target, bias, gate = example()
    mu = 1 + 9 * target.flip(1)
    p = two_terms(bias, gate, torch.tensor(S), logits)[..., 0].exp()
    loss = learned_mixin(logits.requires_grad_(), target, bias=bias, gate=gate, smooth=S, weight=mu)
    torch.testing.assert_close(grad(loss.sum(), logits)[0], mu * ((1 - target) * p - target * (1 - p)))


def test_the_model_learns_what_the_bias_lacks():
    # control: alone, it has its minimum at the scores themselves
    target, bias, gate = (part[:, :3] if part.ndim == 2 else part for part in example()[1:])
    odds = ((bias + S) / (1 - bias + S)) ** gate[:, None]
    lacking = (target.logit() - odds.log()).requires_grad_()
    loss = learned_mixin(lacking, target, bias=bias, gate=gate, smooth=S)
    assert grad(loss.sum(), lacking)[0].abs().max() < 1e-12
    assert grad(sigmoid_bce(lacking, target).sum(), lacking)[0].abs().max() > 0.05


def test_gradients_of_gate_and_smoothing():
    logits, target, bias, gate = example()
    smooth = torch.tensor(-1.0).double().requires_grad_()
    mu = 1 + 5 * target

    def mixed(g: torch.Tensor, s: torch.Tensor) -> torch.Tensor:
        return learned_mixin(logits, target, bias=bias, gate=F.softplus(g), smooth=s.sigmoid(), weight=mu)

    assert gradcheck(mixed, (gate.requires_grad_(), smooth))
    assert gradcheck(lambda s: bias_product(logits, target, bias=bias, smooth=s.sigmoid()), smooth)
    assert gradcheck(
        lambda g, s: bias_entropy(bias, gate=F.softplus(g), smooth=s.sigmoid()), (gate.requires_grad_(), smooth)
    )


@pytest.mark.parametrize("smooth", [0.269, 1e-6, 1e-30])
def test_a_sure_bias_and_sure_logits_stay_finite(smooth):
    logits = torch.tensor([[1e4, -1e4, 0.0, 1e4]], requires_grad=True)
    bias, target = torch.tensor([[0.0, 1.0, 1.0, 1.0]]), torch.tensor([[1.0, 0.0, 0.3, 1.0]])
    gate, s = torch.tensor([50.0], requires_grad=True), torch.tensor(smooth, requires_grad=True)
    loss = learned_mixin(logits, target, bias=bias, gate=gate, smooth=s, weight=torch.full((1, 4), 100.0))
    for value in (loss, bias_entropy(bias, gate=gate, smooth=s), bias_product(logits, target, bias=bias, smooth=s)):
        value.sum().backward()
        assert value.isfinite().all()
    assert logits.grad.isfinite().all() and gate.grad.isfinite().all() and s.grad.isfinite()


def test_entropy_lies_between_a_sure_bias_and_log_2():
    bias, gate = example()[2:]
    closed = bias_entropy(bias, gate=0 * gate, smooth=S)
    torch.testing.assert_close(closed, torch.full_like(closed, log(2)))
    by_gate = torch.stack([bias_entropy(bias, gate=g + 0 * gate, smooth=S) for g in (0, 0.1, 0.5, 1, 3, 10)])
    assert (by_gate.diff(dim=0) < 0).all() and (by_gate > 0).all()  # to lower it is to open the gate
    sure = bias_entropy(torch.tensor([[0.0, 1.0]]), gate=torch.tensor([20.0]), smooth=1e-6)
    assert 0 <= sure.item() < 1e-30


def test_entropy_keeps_its_digits_where_the_bias_is_sure():
    bias = torch.tensor([[0.0, 1e-4, 0.3, 0.7, 0.999, 1.0]])
    x = 3 * ((bias.double() + 0.01) / (1 - bias.double() + 0.01)).log()
    expected = Bernoulli(logits=-x.abs()).entropy().mean(1)
    torch.testing.assert_close(bias_entropy(bias, gate=torch.tensor([3.0]), smooth=0.01).double(), expected)
    only = bias_entropy(bias[:, -1:], gate=torch.tensor([5.0]), smooth=0.01)  # odds 101^5: 2.3e-9 nats
    odds = 101.0**5
    assert only.item() == pytest.approx(log(1 + 1 / odds) + log(odds) / (1 + odds), rel=1e-4)


def test_entropy_is_a_mean_over_answers():
    bias, gate = example()[2:]
    once = bias_entropy(bias, gate=gate, smooth=S)
    torch.testing.assert_close(bias_entropy(bias.repeat(1, 5), gate=gate, smooth=S), once)
    torch.testing.assert_close(bias_entropy(bias.flip(1), gate=gate, smooth=S), once)
    torch.testing.assert_close(bias_entropy(1 - bias, gate=gate, smooth=S), once)
    alone = torch.cat([bias_entropy(bias[i : i + 1], gate=gate[i : i + 1], smooth=S) for i in range(4)])
    torch.testing.assert_close(alone, once)


def test_reweight_by_the_mean_over_the_batch():
    logits, target, bias, _ = example()
    total = weights = 0.0
    for x, a, b in zip(logits.flatten().tolist(), target.flatten().tolist(), bias.flatten().tolist(), strict=True):
        p = 1 / (1 + exp(-x))
        total -= (1 - b) * (a * log(p) + (1 - a) * log(1 - p))
        weights += 1 - b
    loss = bias_reweight(logits, target, bias=bias)
    assert loss.shape == (4,)
    assert loss.mean().item() == pytest.approx(total / weights)
    order = torch.tensor([3, 5, 0, 4, 2, 1])
    torch.testing.assert_close(bias_reweight(logits[:, order], target[:, order], bias=bias[:, order]), loss)
    assert gradcheck(lambda x: bias_reweight(x, target, bias=bias), logits.requires_grad_())


def test_golden_reweight():
    # -log σ(log 3) = log(4/3) weighs 3/4, -log σ(0) = log 2 weighs 1/4
    logits, bias = torch.tensor([[log(3)], [0.0]]), torch.tensor([[0.25], [0.75]])
    loss = bias_reweight(logits, torch.ones(2, 1), bias=bias)
    torch.testing.assert_close(loss, torch.tensor([1.5 * log(4 / 3), 0.5 * log(2)]))


@pytest.mark.parametrize("level", [0.0, 0.5, 0.99])
def test_reweight_by_an_even_bias_is_the_plain_mean(level):
    logits, target, bias, _ = example()
    even = bias_reweight(logits, target, bias=torch.full_like(bias, level))
    torch.testing.assert_close(even, sigmoid_bce(logits, target) / 6)


def test_reweight_depends_on_the_neighbours():
    logits, target, bias, _ = example()
    whole, half = bias_reweight(logits, target, bias=bias), bias_reweight(logits[:2], target[:2], bias=bias[:2])
    ratio = whole[:2] / half
    torch.testing.assert_close(ratio[0], ratio[1])
    assert abs(ratio[0].item() - 1) > 0.01
    # control: the sum that the docstring offers instead
    summed = sigmoid_bce(logits, target, weight=1 - bias)
    torch.testing.assert_close(summed[:2], sigmoid_bce(logits[:2], target[:2], weight=1 - bias[:2]))


def test_reweight_of_a_solved_batch_is_zero():
    logits = torch.tensor([[1e4, -1e4]], requires_grad=True)
    loss = bias_reweight(logits, torch.tensor([[0.0, 1.0]]), bias=torch.ones(1, 2))
    loss.sum().backward()
    assert loss.tolist() == [0] and logits.grad.tolist() == [[0, 0]]
    assert bias_reweight(logits, torch.tensor([[0.0, 1.0]]), bias=torch.zeros(1, 2)).tolist() == [1e4]  # control


def test_focal_without_focus_is_the_plain_loss():
    logits, target, *_ = example()
    mu = 1 + 5 * target
    for weight in (None, mu, mu[:1]):
        plain = {"gamma": 0, "alpha": 1, "weight": weight}
        torch.testing.assert_close(focal(logits, target, **plain), sigmoid_bce(logits, target, weight=weight))
        torch.testing.assert_close(
            focal(logits, target, softmax=True, **plain), soft_cross_entropy(logits, target, weight=weight)
        )


def test_golden_focal():
    # σ(log 3) = 3/4: right, it keeps 1/16 of its loss, wrong 9/16; score 0.3 mixes them
    logits = torch.full((1, 1), log(3))
    right, wrong = log(4 / 3) / 16, log(4) * 9 / 16
    for score in (0.0, 0.3, 1.0):
        got = focal(logits, torch.tensor([[score]]), alpha=1).item()
        assert got == pytest.approx(score * right + (1 - score) * wrong)
    assert focal(logits, torch.ones(1, 1)).item() == pytest.approx(right / 4)
    # softmax([0, log 3]) = [1/4, 3/4]; scores 1 and 0.5: Soft-CE log 4 + log(4/3) / 2, so p_t = 1/4 sqrt(3/4)
    two = torch.tensor([[0.0, log(3)]])
    p_t = 0.75**0.5 / 4
    released = focal(two, torch.tensor([[1.0, 0.5]]), alpha=1, gamma=3, softmax=True).item()
    assert released == pytest.approx(-((1 - p_t) ** 3) * log(p_t))


@pytest.mark.parametrize("softmax", [False, True])
def test_focal_forgives_the_easy(softmax):
    logits = torch.tensor([[6.0, -6.0], [0.5, -0.5], [-2.0, 2.0]])
    target = torch.tensor([[1.0, 0.0]]).repeat(3, 1)
    share = focal(logits, target, alpha=1, softmax=softmax) / focal(logits, target, gamma=0, alpha=1, softmax=softmax)
    assert (share.diff() > 0).all() and share[0] < 1e-4 and share[2] > 0.7
    # each γ focuses more
    by_gamma = torch.stack([focal(logits, target, gamma=g, softmax=softmax) for g in (0, 0.5, 1, 2, 5)])
    assert (by_gamma.diff(dim=0) < 0).all()


@pytest.mark.parametrize("softmax", [False, True])
@pytest.mark.parametrize("gamma", [0.0, 0.3, 1.0, 2.0, 5.0])
def test_focal_gradient_is_finite_whatever_the_focus(gamma, softmax):
    logits, target, *_ = example()
    assert gradcheck(lambda x: focal(x, target, gamma=gamma, softmax=softmax), logits.requires_grad_())
    # a question without a known answer, and one that is solved: p_t = 1, where (1 - p_t)^γ may have no slope
    sure = torch.tensor([[1e4, -1e4], [1e4, -1e4], [0.0, 0.0]], requires_grad=True)
    loss = focal(sure, torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 0.0]]), gamma=gamma, softmax=softmax)
    loss.sum().backward()
    assert loss.isfinite().all() and sure.grad.isfinite().all()


def test_focal_refuses_a_negative_focus():
    logits, target, *_ = example()
    with pytest.raises(ValueError, match="gamma is a finite number >= 0, got -1.*; 0 is the plain loss"):
        focal(logits, target, gamma=-1)


def branch(b: int = 4, a: int = 6) -> dict[str, torch.Tensor]:
    """What RUBi's question-only branch says."""
    rng = torch.Generator().manual_seed(4)
    mask, question = torch.randn(2, b, a, generator=rng).double()
    return {"mask": mask, "question_logits": question}


def test_rubi_is_the_sum_of_two_losses():
    logits, target, *_ = example()
    told, mu = branch(), 1 + 5 * target
    fused = soft_cross_entropy(logits * told["mask"].sigmoid(), target, weight=mu)
    alone = soft_cross_entropy(told["question_logits"], target)  # without the weight: it is to learn the bias
    for w in (0.0, 1.0, 2.5):
        got = rubi(logits, target, **told, question_weight=w, weight=mu)
        torch.testing.assert_close(got, fused + w * alone)
    # an open mask leaves the plain loss
    told["mask"] = torch.full_like(logits, 50.0)
    got = rubi(logits, target, **told, question_weight=0)
    torch.testing.assert_close(got, soft_cross_entropy(logits, target))


def test_golden_rubi():
    # σ(0) = 1/2 halves the logits: softmax([0, log 3]) = [1/4, 3/4]; the question alone: softmax([log 4, 0])
    logits, mask, question = torch.tensor([[0.0, log(9)]]), torch.zeros(1, 2), torch.tensor([[log(4), 0.0]])
    first, second = torch.eye(2)[:, None]
    told = {"mask": mask, "question_logits": question}
    assert rubi(logits, first, **told).item() == pytest.approx(log(4) + log(5 / 4))
    assert rubi(logits, second, **told).item() == pytest.approx(log(4 / 3) + log(5))


def test_rubi_learns_less_from_what_the_question_gives_away():
    truth = torch.tensor([[1.0, 0.0]])
    tells, misleads = torch.tensor([[3.0, -3.0]]), torch.tensor([[-3.0, 3.0]])

    def loss(level: float, mask: torch.Tensor) -> float:
        undecided = torch.full((1, 2), level)
        return rubi(undecided, truth, mask=mask, question_logits=mask, question_weight=0).item()

    assert loss(2.0, tells) < log(2) < loss(2.0, misleads)
    assert loss(-2.0, misleads) < log(2) < loss(-2.0, tells)  # in reverse: a mask shrinks a negative logit upwards


def test_rubi_stops_no_gradient():
    logits, target, *_ = example()
    told, question = branch(), torch.randn(4, 6, dtype=torch.double, requires_grad=True)
    loss = rubi(logits, target, mask=told["mask"] * question, question_logits=question).sum()
    assert grad(loss, question)[0].abs().max() > 0
    # the caller detaches what the branch reads, and the branch itself still learns from both losses
    layer = torch.nn.Linear(6, 6).double()
    mask = layer(question.detach())
    loss = rubi(logits, target, mask=mask, question_logits=mask, question_weight=0).sum()
    assert grad(loss, layer.weight, retain_graph=True)[0].abs().max() > 0
    assert grad(loss, question, allow_unused=True) == (None,)
    leaves = {"mask": told["mask"].requires_grad_(), "question_logits": told["question_logits"].requires_grad_()}
    assert gradcheck(
        lambda x, m, q: rubi(x, target, mask=m, question_logits=q), (logits.requires_grad_(), *leaves.values())
    )


WRONG = {
    "one bias for all": (bias_product, {"bias": torch.ones(1, 6), "smooth": S}, r"bias .* \[4, 6\], got \[1, 6\]"),
    "a bias an example": (bias_reweight, {"bias": torch.ones(4, 1)}, r"bias .* \[4, 6\], got \[4, 1\]"),
    "a bias of others": (
        learned_mixin,
        {"bias": torch.ones(1, 6), "gate": torch.ones(4), "smooth": S},
        r"bias has the shape of logits, \[4, 6\], got \[1, 6\]",
    ),
    "a gate an answer": (
        learned_mixin,
        {"bias": torch.ones(4, 6), "gate": torch.ones(4, 6), "smooth": S},
        r"gate holds one factor an example, \[4\] or \[4, 1\], got \[4, 6\]",
    ),
    "one gate for all": (
        learned_mixin,
        {"bias": torch.ones(4, 6), "gate": torch.ones(1, 1), "smooth": S},
        r"gate holds one .* got \[1, 1\]",
    ),
    "a mask an example": (
        rubi,
        {"mask": torch.ones(4, 1), "question_logits": torch.ones(4, 6)},
        r"mask .* \[4, 6\], got \[4, 1\]",
    ),
    "one question for all": (
        rubi,
        {"mask": torch.ones(4, 6), "question_logits": torch.ones(1, 6)},
        r"question_logits .* \[4, 6\], got \[1, 6\]",
    ),
}


@pytest.mark.parametrize(("loss", "told", "message"), WRONG.values(), ids=WRONG)
def test_what_would_broadcast_in_silence_is_refused(unchecked, loss, told, message):
    with pytest.raises(ValueError, match=message):
        loss(torch.zeros(4, 6), torch.zeros(4, 6), **told)


def test_entropy_refuses_a_gate_an_answer(unchecked):
    with pytest.raises(ValueError, match=r"gate holds one factor an example, \[4\] or \[4, 1\], got \[6\]"):
        bias_entropy(torch.ones(4, 6), gate=torch.ones(6), smooth=S)


@pytest.mark.parametrize("smooth", [0, 0.0, -0.1, float("nan")])
def test_smoothing_of_nothing_is_refused(smooth):
    logits, target, bias, gate = example()
    with pytest.raises(
        ValueError, match="smooth is a finite number > 0, got .*; a bias of 0 or 1 has infinite log-odds"
    ):
        learned_mixin(logits, target, bias=bias, gate=gate, smooth=smooth)
    with pytest.raises(ValueError, match="smooth is a finite number > 0"):
        bias_product(logits, target, bias=bias, smooth=smooth)
    with pytest.raises(ValueError, match="smooth is a finite number > 0"):
        bias_entropy(bias, gate=gate, smooth=smooth)
