"""Losses of long tails: each against a plain loop, and the laws that all of them share."""

from __future__ import annotations

from functools import partial
from math import exp, log

import numpy as np
import pytest
import torch
from torch.autograd import gradcheck
from torch.nn import functional as F

from vqabook.losses import longtail as lt
from vqabook.losses.debias import focal

COUNTS = torch.tensor([500, 40, 3, 90, 12])
TAIL = torch.tensor([False, False, True, False, True])
EQUAL = torch.full((5,), 7)


def softplus(x: float) -> float:
    return max(x, 0.0) + log(1 + exp(-abs(x)))


def plain_softmax(x: list[float], y: int) -> float:
    top = max(x)
    return top + log(sum(exp(v - top) for v in x)) - x[y]


def plain_sigmoid(x: list[float], y: int) -> float:
    return sum(softplus(-v if j == y else v) for j, v in enumerate(x))


def plain_balanced_sigmoid(x: list[float], y: int, n: list[float]) -> float:
    k, total = len(n), sum(n)
    shifted = [v - log((total / k) / nj * (total - nj) / (total - total / k)) for v, nj in zip(x, n, strict=True)]
    return plain_sigmoid(shifted, y)


def plain_vector_scaling(x: list[float], y: int, n: list[float]) -> float:
    return plain_softmax([v * (nj / max(n)) ** 0.15 + log(nj) for v, nj in zip(x, n, strict=True)], y)


def vector_scaling(logits, target, counts):
    return lt.vector_scaling(logits, target, lt.log_counts(counts), lt.vector_scales(counts))


def plain_ldam(x: list[float], y: int, n: list[float]) -> float:
    margins = [0.5 * (nj / min(n)) ** -0.25 for nj in n]
    return plain_softmax([30 * (v - margins[j] * (j == y)) for j, v in enumerate(x)], y)


def plain_equalisation(x: list[float], y: int, n: list[float]) -> float:
    """Every tail class but the true one left out: γ = 1."""
    kept = [j for j in range(len(x)) if j == y or not TAIL[j]]
    return plain_softmax([x[j] for j in kept], kept.index(y))


def plain_equalisation_sigmoid(x: list[float], y: int, n: list[float]) -> float:
    return sum(softplus(-v if j == y else v) for j, v in enumerate(x) if j == y or not TAIL[j])


def of_counts(loss, made):
    return lambda logits, target, counts: loss(logits, target, made(counts))


def one_hot_focal(logits, target, counts):
    weight = lt.effective_weights(counts, beta=0.99).to(logits)[target][:, None].expand_as(logits)
    return focal(logits, F.one_hot(target, logits.shape[1]).to(logits), alpha=1.0, weight=weight)


def plain_class_balanced_focal(x: list[float], y: int, n: list[float]) -> float:
    weight = [(1 - 0.99) / (1 - 0.99**nj) for nj in n]
    parts = [(1 / (1 + exp(v if j == y else -v))) ** 2 * softplus(-v if j == y else v) for j, v in enumerate(x)]
    return weight[y] * len(n) / sum(weight) * sum(parts)


def tail_of(counts):
    return counts < 20


# loss of logits, target and counts -> the same as a loop over one row
LOSSES = {
    "balanced softmax": (
        of_counts(lt.balanced_softmax, lt.log_counts),
        lambda x, y, n: plain_softmax([v + log(nj) for v, nj in zip(x, n, strict=True)], y),
    ),
    "balanced softmax, a quarter": (
        of_counts(partial(lt.balanced_softmax, exponent=0.25), lt.log_counts),
        lambda x, y, n: plain_softmax([v + log(nj) / 4 for v, nj in zip(x, n, strict=True)], y),
    ),
    "vector scaling": (vector_scaling, plain_vector_scaling),
    "balanced sigmoid": (of_counts(lt.balanced_sigmoid, lt.sigmoid_offsets), plain_balanced_sigmoid),
    "ldam": (of_counts(lt.ldam, lt.ldam_margins), plain_ldam),
    "equalisation": (of_counts(partial(lt.equalisation_softmax, gamma=1.0), tail_of), plain_equalisation),
    "equalisation, sigmoid": (of_counts(lt.equalisation_sigmoid, tail_of), plain_equalisation_sigmoid),
    "class-balanced focal": (one_hot_focal, plain_class_balanced_focal),
}
each_loss = pytest.mark.parametrize(("loss", "plain"), LOSSES.values(), ids=LOSSES)


def example(b: int = 6) -> tuple[torch.Tensor, torch.Tensor]:
    rng = torch.Generator().manual_seed(1)
    return torch.randn(b, 5, generator=rng, dtype=torch.double), torch.tensor([0, 1, 2, 3, 4, 2])[:b]


@each_loss
def test_equals_a_plain_loop(loss, plain):
    logits, target = example()
    want = [plain(x, y, COUNTS.tolist()) for x, y in zip(logits.tolist(), target.tolist(), strict=True)]
    torch.testing.assert_close(loss(logits, target, COUNTS), torch.tensor(want, dtype=torch.double))


@each_loss
def test_one_loss_an_example_whatever_the_batch(loss, plain):
    logits, target = example()
    alone = [loss(logits[i : i + 1], target[i : i + 1], COUNTS) for i in range(6)]
    torch.testing.assert_close(loss(logits, target, COUNTS), torch.cat(alone))


@each_loss
def test_relabelling_classes_changes_nothing(loss, plain):
    logits, target = example()
    order = torch.tensor([3, 0, 4, 2, 1])
    relabelled = loss(logits[:, order], order.argsort()[target], COUNTS[order])
    torch.testing.assert_close(relabelled, loss(logits, target, COUNTS))


@each_loss
def test_gradient(loss, plain):
    logits, target = example()
    assert gradcheck(lambda x: loss(x, target, COUNTS), logits.requires_grad_())


@each_loss
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_million_to_one(loss, plain, dtype):
    """Counts and logits of any size give finite losses and gradients."""
    counts = torch.tensor([10**6, 1, 1000, 10**6, 30])
    logits = (40 * example()[0]).to(dtype).requires_grad_()
    value = loss(logits, example()[1], counts)
    value.sum().backward()
    assert value.dtype == dtype and value.isfinite().all() and logits.grad.isfinite().all()


PLAIN = {
    "balanced softmax": F.cross_entropy,
    "balanced softmax, a quarter": F.cross_entropy,
    "vector scaling": F.cross_entropy,
    "equalisation": F.cross_entropy,
}


@pytest.mark.parametrize("name", PLAIN)
def test_equal_counts_are_the_plain_loss(name):
    logits, target = example()
    equal = EQUAL if name != "equalisation" else 10 * EQUAL
    torch.testing.assert_close(LOSSES[name][0](logits, target, equal), PLAIN[name](logits, target, reduction="none"))


def test_equal_counts_are_the_plain_sigmoid():
    logits, target = example()
    want = F.binary_cross_entropy_with_logits(logits, F.one_hot(target, 5).double(), reduction="none").sum(1)
    for name in ("balanced sigmoid", "equalisation, sigmoid"):
        torch.testing.assert_close(LOSSES[name][0](logits, target, 10 * EQUAL), want)
    torch.testing.assert_close(lt.sigmoid_offsets(EQUAL), torch.zeros(5))
    for weights in (lt.inverse_weights(EQUAL), lt.effective_weights(EQUAL)):
        torch.testing.assert_close(weights, torch.ones(5))
    torch.testing.assert_close(lt.ldam_margins(EQUAL), torch.full((5,), 0.5))


def test_balanced_softmax_is_the_posterior_of_training():
    """Theorem 1 on a known mixture: with η the balanced posterior's logits, Eq. 14 is the training posterior's."""
    density = torch.rand(1000, 5, dtype=torch.double)  # p(x | y = j) at a thousand x
    share = COUNTS / COUNTS.sum()
    trained = density * share / (density * share).sum(1, keepdim=True)
    for y in range(5):
        loss = lt.balanced_softmax(density.log(), torch.full((1000,), y), lt.log_counts(COUNTS))
        torch.testing.assert_close((-loss).exp(), trained[:, y])
    balanced = density / density.sum(1, keepdim=True)
    recovered = lt.adjust(trained.log(), lt.log_counts(COUNTS)).softmax(1)
    torch.testing.assert_close(recovered, balanced)


def test_balanced_sigmoid_is_the_posterior_of_training():
    """Eqs. 38-46 on a known mixture, one class against the rest, where the rest keep their mixture."""
    rng = np.random.default_rng(0)
    n = COUNTS.numpy().astype(float)
    inside, rest = rng.random(5), rng.random(5)  # p(x | y = j), p(x | y != j) at some x
    k, total = len(n), n.sum()
    balanced = inside / k / (inside / k + rest * (1 - 1 / k))
    trained = inside * n / (inside * n + rest * (total - n))
    logit = torch.from_numpy(np.log(balanced / (1 - balanced)))
    got = (logit - lt.sigmoid_offsets(COUNTS)).sigmoid()
    np.testing.assert_allclose(got.numpy(), trained)


def test_released_offsets_differ_by_a_constant():
    """Where every image shows one object, they are Eq. 44's plus log(k - 1)."""
    released = lt.released_sigmoid_offsets(COUNTS, int(COUNTS.sum()))
    torch.testing.assert_close(released - lt.sigmoid_offsets(COUNTS), torch.full((5,), log(4)))
    with pytest.raises(ValueError, match="n_images 500; give the number of all images"):
        lt.released_sigmoid_offsets(COUNTS, 500)


def test_background():
    """A target of c is no class; the release shifts objects alone; equalisation lets background be heard."""
    logits = example()[0][:1]
    none, offsets = torch.tensor([5]), lt.sigmoid_offsets(COUNTS)
    zeros = torch.zeros_like(logits)

    def bce(x: torch.Tensor) -> torch.Tensor:
        return F.binary_cross_entropy_with_logits(x, zeros, reduction="none").sum(1)

    torch.testing.assert_close(lt.balanced_sigmoid(logits, none, offsets), bce(logits - offsets))
    torch.testing.assert_close(lt.balanced_sigmoid(logits, none, offsets, foreground_only=True), bce(logits))
    torch.testing.assert_close(lt.equalisation_sigmoid(logits, none, TAIL), bce(logits))
    some = torch.tensor([2])
    both = [lt.balanced_sigmoid(logits, some, offsets, foreground_only=only) for only in (True, False)]
    torch.testing.assert_close(*both)


def test_weights():
    """Of mean one; from all alike to one over the counts as β goes from 0 to 1."""
    assert torch.equal(lt.effective_weights(COUNTS, beta=0), torch.ones(5))
    torch.testing.assert_close(
        lt.effective_weights(COUNTS, beta=1 - 1e-9), lt.inverse_weights(COUNTS), rtol=1e-6, atol=0
    )
    torch.testing.assert_close(lt.inverse_weights(COUNTS) * COUNTS, (lt.inverse_weights(COUNTS) * COUNTS)[:1].expand(5))
    for weights in (lt.inverse_weights(COUNTS), lt.effective_weights(COUNTS)):
        torch.testing.assert_close(weights.mean(), torch.tensor(1.0))
    with pytest.raises(ValueError, match=r"beta is in \[0, 1\), got 1"):
        lt.effective_weights(COUNTS, beta=1)


def test_equalisation_leaves_out_at_random():
    """γ is how often; the seed says when; the true class is never left out."""
    logits, target = example()
    plain = F.cross_entropy(logits, target, reduction="none")
    torch.testing.assert_close(lt.equalisation_softmax(logits, target, TAIL, gamma=0.0), plain)
    zeros = torch.zeros(20_000, 5)
    torch.manual_seed(0)
    left = 5 - lt.equalisation_softmax(zeros, torch.zeros(20_000).long(), TAIL, gamma=0.3).exp()
    assert set(left.round().int().tolist()) == {0, 1, 2}
    assert float(left.mean()) == pytest.approx(2 * 0.3, abs=0.02)
    with pytest.raises(ValueError, match=r"in \[0, 1\], got 2"):
        lt.equalisation_softmax(logits, target, TAIL, gamma=2)


@pytest.mark.parametrize(
    "made", [lt.log_counts, lt.sigmoid_offsets, lt.inverse_weights, lt.effective_weights, lt.ldam_margins]
)
def test_a_class_without_rows(made):
    with pytest.raises(ValueError, match="every class has training rows: class 1 has 0; leave it out"):
        made(torch.tensor([3, 0, 2]))
    with pytest.raises(ValueError, match=r"two classes or more, got shape \(1,\)"):
        made(torch.tensor([3]))
