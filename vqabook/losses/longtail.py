"""Losses of labels under long tails: a class has few training rows, and counts as much as any other at test.

`target` is one class id an example; what depends on how many rows a class has is made once of the counts. Weights by
class need no loss of their own: `F.cross_entropy(logits, target, weight, reduction="none")` is w_y CE, and `focal` has
a `weight`, too.
"""

from math import log

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F


def log_counts(counts: Int[Tensor, " c"] | Float[Tensor, " c"]) -> Float[Tensor, " c"]:
    """log n_j, in double precision of any counts. ValueError for a class without training rows."""
    counts = torch.as_tensor(counts, dtype=torch.double)
    if counts.dim() != 1 or len(counts) < 2:
        raise ValueError(f"counts are rows of each of two classes or more, got shape {tuple(counts.shape)}")
    if not (counts > 0).all():
        raise ValueError(
            f"every class has training rows: class {int((~(counts > 0)).nonzero()[0])} has "
            f"{counts[~(counts > 0)][0]:g}; leave it out, or take counts from all of train"
        )
    return counts.log()


def balanced_softmax(
    logits: Float[Tensor, "b c"], target: Int[Tensor, " b"], log_n: Float[Tensor, " c"], *, exponent: float = 1.0
) -> Float[Tensor, " b"]:
    """-log(n_y e^η_y / Σ_j n_j e^η_j), of logits η that are read plainly at test (Ren et al. 2020, Eq. 14).

    `exponent` of the counts: 1 by Theorem 1, 1/4 by Corollary 1 (Eq. 28), 0 is cross-entropy.
    """
    return F.cross_entropy(logits + exponent * log_n.to(logits), target, reduction="none")


def adjust(logits: Float[Tensor, "*b c"], log_n: Float[Tensor, " c"], *, tau: float = 1.0) -> Float[Tensor, "*b c"]:
    """η - τ log n at test, of a model trained plainly (Menon et al. 2021, "Logit Adjustment", Eq. 9)."""
    return logits - tau * log_n.to(logits)


def sigmoid_offsets(counts: Int[Tensor, " c"] | Float[Tensor, " c"]) -> Float[Tensor, " c"]:
    """log((n/k) / n_j · (n - n_j) / (n - n/k)) = log((n - n_j) / n_j) - log(k - 1) (Eqs. 44-46), of k class counts.

    Equal counts give zero.
    """
    log_n = log_counts(counts)
    n = log_n.exp()
    rest = n.sum() - n
    return rest.log() - log_n - log(len(n) - 1)


def released_sigmoid_offsets(images: Int[Tensor, " c"], n_images: int) -> Float[Tensor, " c"]:
    """log((1 - f_j) / f_j) with f_j the share of images that show class j: what the release has in place of Eq. 44.

    It drops log(k - 1), 7.1 with LVIS' 1,203 classes, and counts images where the paper counts instances.
    """
    log_n = log_counts(images)
    if not n_images > int(images.max()):
        raise ValueError(
            f"a class is in some of all images, not in all: got {int(images.max())} images of one class and n_images "
            f"{n_images}; give the number of all images"
        )
    return torch.log(n_images - log_n.exp()) - log_n


def balanced_sigmoid(
    logits: Float[Tensor, "b c"],
    target: Int[Tensor, " b"],
    offsets: Float[Tensor, " c"],
    *,
    foreground_only: bool = False,
) -> Float[Tensor, " b"]:
    """Σ_j of binary cross-entropies of η_j - offset_j: both terms of Eqs. 36-37, with Eq. 46 in place of the sigmoid.

    A target of c is background: no class. `foreground_only`: background rows keep η, as in the release.
    """
    shifted = logits - offsets.to(logits)
    if foreground_only:
        shifted = torch.where(target.eq(logits.shape[1])[:, None], logits, shifted)
    return F.binary_cross_entropy_with_logits(shifted, _is_class(logits, target), reduction="none").sum(1)


def inverse_weights(counts: Int[Tensor, " c"] | Float[Tensor, " c"]) -> Float[Tensor, " c"]:
    """Class-balanced weighting: weights ∝ 1 / n_j whose mean is 1."""
    return _of_mean_one(log_counts(counts).neg())


def effective_weights(counts: Int[Tensor, " c"] | Float[Tensor, " c"], *, beta: float = 0.9999) -> Float[Tensor, " c"]:
    """Weights ∝ (1 - β) / (1 - β^n_j), one over the effective number, whose mean is 1 (Cui et al. 2019, Eq. 4)."""
    if not 0 <= beta < 1:
        raise ValueError(f"beta is in [0, 1), got {beta}; 0 weighs all alike, near 1 as one over the counts")
    n = log_counts(counts).exp()
    if beta == 0:
        return torch.ones_like(n)
    seen = -torch.expm1(n * log(beta))  # 1 - β^n, exact where it is small
    return _of_mean_one(-seen.log())


def ldam_margins(counts: Int[Tensor, " c"] | Float[Tensor, " c"], *, largest: float = 0.5) -> Float[Tensor, " c"]:
    """Margins ∝ n_j^(-1/4), the largest of which is `largest` (Cao et al. 2019, Eq. 13, and their code)."""
    margins = (-log_counts(counts) / 4).exp()
    return margins * (largest / margins.max())


def ldam(
    logits: Float[Tensor, "b c"], target: Int[Tensor, " b"], margins: Float[Tensor, " c"], *, scale: float = 30.0
) -> Float[Tensor, " b"]:
    """Cross-entropy of scaled logits, the true one less its class' margin (Cao et al. 2019, Eq. 13).

    Logits are cosines, of unit features and unit class vectors; otherwise a margin has no measure.
    """
    taken = torch.zeros_like(logits).scatter(1, target[:, None], margins.to(logits)[target][:, None])
    return F.cross_entropy(scale * (logits - taken), target, reduction="none")


def equalisation_softmax(
    logits: Float[Tensor, "b c"], target: Int[Tensor, " b"], tail: Bool[Tensor, " c"], *, gamma: float = 0.9
) -> Float[Tensor, " b"]:
    """Softmax whose sum leaves out each tail class with probability γ, unless it is the true one.

    Tan et al. 2020, "Equalization Loss", Eqs. 7-8: w_j = 1 - β 1[f_j < λ] (1 - y_j), with β drawn for every example and
    class; `tail` is 1[f_j < λ].
    """
    if not 0 <= gamma <= 1:
        raise ValueError(f"gamma is the probability that a tail class is left out, in [0, 1], got {gamma}")
    coin = torch.rand(logits.shape, device=logits.device) < gamma
    left_out = coin & tail & ~_is_class(logits, target).bool()
    return F.cross_entropy(logits.masked_fill(left_out, -torch.inf), target, reduction="none")


def equalisation_sigmoid(
    logits: Float[Tensor, "b c"], target: Int[Tensor, " b"], tail: Bool[Tensor, " c"]
) -> Float[Tensor, " b"]:
    """Σ_j w_j BCE_j, where tail classes hear no "no" from other classes' objects (Tan et al. 2020, Eqs. 2-3).

    w_j = 1 - E 1[f_j < λ] (1 - y_j), with E = 1 on objects and 0 on background, whose target is c.
    """
    yes = _is_class(logits, target)
    each = F.binary_cross_entropy_with_logits(logits, yes, reduction="none")
    deaf = tail & ~yes.bool() & target.lt(logits.shape[1])[:, None]
    return each.masked_fill(deaf, 0.0).sum(1)


def _is_class(logits: Float[Tensor, "b c"], target: Int[Tensor, " b"]) -> Float[Tensor, "b c"]:
    """1 at the true class; a row of zeros for a target of c."""
    return target[:, None].eq(torch.arange(logits.shape[1], device=logits.device)).to(logits)


def _of_mean_one(log_weight: Float[Tensor, " c"]) -> Float[Tensor, " c"]:
    return len(log_weight) * log_weight.softmax(0)
