"""Supervising attention: Patro et al. 2021, "Self Supervision for Attention Networks", WACV, Sec. 4.3.

All compare a model's attention maps [b, o] with surrogate ones. Each row sums to 1; regions or words that an example
lacks hold 0 in both. MMD and CORAL compare *sets* of maps: their value is that of the batch.
"""

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from vqabook.losses.base import Reduction, check_number, check_same, reduce


def attention_mse(
    attention: Float[Tensor, "b o"], surrogate: Float[Tensor, "b o"], *, reduction: Reduction = "none"
) -> Float[Tensor, "*b"]:
    """1/N Σ (μ_i - α_i)² (Eq. 6); N is the number of columns, padding among them: the weight γ makes up for it."""
    check_same("attention", attention, surrogate=surrogate)
    return reduce((attention - surrogate).square().mean(-1), reduction)


def attention_mmd(
    attention: Float[Tensor, "b o"],
    surrogate: Float[Tensor, "b o"],
    *,
    bandwidth: float,
    paired: bool = False,
    reduction: Reduction = "none",
) -> Float[Tensor, "*b"]:
    """Squared maximum mean discrepancy under k(x, y) = exp(-‖x - y‖² / (2 `bandwidth`²)) (Eq. 4).

    Row i holds mean_j k(α_i, α_j) + mean_j k(μ_i, μ_j) - mean_j k(α_i, μ_j) - mean_j k(μ_i, α_j), whose mean is the
    biased estimate over the batch, never negative. The paper prints the norm, not its square, and no kernel.

    `paired`: each map against its own surrogate alone, 2 - 2 k(α, μ). That is what the release computes, whose batches
    are of one. Its kernel over d = 200 words is exp(-‖x - y‖² / d²), a bandwidth of d/√2 where maps differ by less
    than √2: all but linear, 2 ‖x - y‖² / d², so that its γ of 10,000 is ½ ‖x - y‖². With another d or kernel it is not.
    """
    check_number("bandwidth", bandwidth, above=True, note="it is a distance between maps, two are at most √2 apart")
    check_same("attention", attention, surrogate=surrogate)

    def kernel(squares: Tensor) -> Tensor:
        return (squares / (-2 * bandwidth**2)).exp()

    if paired:
        return reduce(2 - 2 * kernel((attention - surrogate).square().sum(-1)), reduction)
    both = kernel(_squared_distances(attention, surrogate))
    own, theirs = (kernel(_squared_distances(x, x)).mean(1) for x in (attention, surrogate))
    return reduce(own + theirs - both.mean(1) - both.mean(0), reduction)


def attention_coral(
    attention: Float[Tensor, "b o"], surrogate: Float[Tensor, "b o"], *, reduction: Reduction = "none"
) -> Float[Tensor, "*b"]:
    """‖C(μ) - C(α)‖²_F / 4, C the covariance over the batch (Eq. 5); every row holds the batch's value.

    Deep CORAL divides by the square of the number of columns, too (Sun & Saenko 2016, Eq. 1). ValueError for a batch
    of one, which has no covariance.
    """
    if len(attention) < 2:
        raise ValueError(f"a covariance needs two examples or more, got a batch of {len(attention)}; use another loss")
    check_same("attention", attention, surrogate=surrogate)
    difference = _covariance(attention) - _covariance(surrogate)
    return reduce((difference.square().sum() / 4).expand(len(attention)), reduction)


def attention_adversarial(
    attention: Float[Tensor, " b"], surrogate: Float[Tensor, " b"], *, reduction: Reduction = "none"
) -> Float[Tensor, "*b"]:
    """-log D(μ) - log(1 - D(α)) from a discriminator's logits of surrogate maps and of the model's.

    Eq. 3 with the sign of a loss, and the surrogate where the paper prints the attention: the roles are named either
    way. The discriminator lowers it; the model raises it when `reverse_gradient` stands before the discriminator.
    """
    check_same("attention", attention, surrogate=surrogate)
    return reduce(F.softplus(-surrogate) + F.softplus(attention), reduction)


def reverse_gradient(x: Tensor) -> Tensor:
    """`x` itself, whose gradient comes back negated (Ganin & Lempitsky 2015): one optimiser for two players."""
    return 2 * x.detach() - x


def _covariance(x: Float[Tensor, "b o"]) -> Float[Tensor, "o o"]:
    """torch.cov looks at values, and is no part of a graph."""
    apart = x.T - x.T.sum(1, keepdim=True) / len(x)
    return apart @ apart.T / (len(x) - 1)


def _squared_distances(x: Float[Tensor, "b o"], y: Float[Tensor, "c o"]) -> Float[Tensor, "b c"]:
    """Exact where maps are close, where the usual expansion into products would leave rounding."""
    return (x[:, None] - y[None]).square().sum(-1)
