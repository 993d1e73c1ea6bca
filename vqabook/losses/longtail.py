"""Losses of labels under long tails: a class has few training rows, and counts as much as any other at test.

`target` is one class id an example, an integer [b], or [b, ...] beside dense logits [b, c, ...]; rows whose id is
`ignore_index` cost 0 and are left out of a mean: -100, as in torch, under softmaxes; none unless you say so under
sigmoids, where c is background. A loss that takes shares of classes (mixup, several labels) says so.
What depends on how many rows a class has is made once of the counts, in double precision, and returned in single; it
follows the logits to their device and dtype. Weights by class need no loss of their own:
`F.cross_entropy(logits, target, weight, reduction="none")` is w_y CE, and `focal` has a `weight`, too.
"""

from math import log

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

from vqabook.losses.base import IGNORED, Reduction, check_number, per_class, rows_of, settle

Ids = Int[Tensor, "b *d"]
Shares = Float[Tensor, "b c *d"]


def log_counts(counts: Int[Tensor, " c"] | Float[Tensor, " c"]) -> Float[Tensor, " c"]:
    """log n_j of any counts. ValueError for a class without training rows."""
    return _log(counts).float()


def balanced_softmax(
    logits: Float[Tensor, "b c *d"],
    target: Ids | Shares,
    log_n: Float[Tensor, " c"],
    *,
    exponent: float = 1.0,
    ignore_index: int = IGNORED,
    reduction: Reduction = "none",
) -> Float[Tensor, "*r"]:
    """-log(n_y e^η_y / Σ_j n_j e^η_j), of logits η that are read plainly at test (Ren et al. 2020, Eq. 14).

    `exponent` of the counts: 1 by Theorem 1, 1/4 by Corollary 1 (Eq. 28), 0 is cross-entropy. It is the τ of logit
    adjustment's training loss (Menon et al. 2021, Eq. 10), which at 1 is this loss. Shares of classes weigh their
    losses.
    """
    check_number("exponent", exponent, note="0 is cross-entropy")
    rows = rows_of(logits, target, ignore_index)
    shifted = rows.logits + exponent * per_class("log_n", log_n, rows.logits)
    return rows.reduce(rows.cross_entropy(shifted), reduction)


def vector_scales(counts: Int[Tensor, " c"] | Float[Tensor, " c"], *, gamma: float = 0.15) -> Float[Tensor, " c"]:
    """(n_j / n_max)^γ: a frequent class' logit keeps its size, a rare one's shrinks (Kini et al. 2021, Eq. 2)."""
    check_number("gamma", gamma, note="0 is balanced softmax")
    log_n = _log(counts)
    return (gamma * (log_n - log_n.max())).exp().float()


def vector_scaling(
    logits: Float[Tensor, "b c *d"],
    target: Ids | Shares,
    log_n: Float[Tensor, " c"],
    scales: Float[Tensor, " c"],
    *,
    tau: float = 1.0,
    ignore_index: int = IGNORED,
    reduction: Reduction = "none",
) -> Float[Tensor, "*r"]:
    """Cross-entropy of Δ_j η_j + τ log n_j (Kini et al. 2021, "VS-loss", Eq. 2); logits are read plainly at test.

    With scales of 1 and τ = 1 it is balanced softmax.
    """
    check_number("tau", tau, note="0 leaves the scales alone")
    rows = rows_of(logits, target, ignore_index)
    scale, shift = (per_class(name, x, rows.logits) for name, x in (("scales", scales), ("log_n", log_n)))
    return rows.reduce(rows.cross_entropy(scale * rows.logits + tau * shift), reduction)


def adjust(logits: Float[Tensor, "*b c"], log_n: Float[Tensor, " c"], *, tau: float = 1.0) -> Float[Tensor, "*b c"]:
    """η - τ log n at test, of a model trained plainly (Menon et al. 2021, "Logit Adjustment", Eq. 9)."""
    check_number("tau", tau, low=-torch.inf)
    if log_n.shape != logits.shape[-1:]:
        raise ValueError(
            f"log_n has a value for each class, the last of logits {list(logits.shape)}, got {list(log_n.shape)}"
        )
    return logits - tau * log_n.to(logits)


def sigmoid_offsets(counts: Int[Tensor, " c"] | Float[Tensor, " c"]) -> Float[Tensor, " c"]:
    """log((n/k) / n_j · (n - n_j) / (n - n/k)) = log((n - n_j) / n_j) - log(k - 1) (Eqs. 44-46), of k class counts.

    Equal counts give zero.
    """
    log_n = _log(counts)
    n = log_n.exp()
    rest = n.sum() - n
    return (rest.log() - log_n - log(len(n) - 1)).float()


def released_sigmoid_offsets(images: Int[Tensor, " c"] | Float[Tensor, " c"], n_images: int) -> Float[Tensor, " c"]:
    """log((1 - f_j) / f_j) with f_j the share of images that show class j: what the release has in place of Eq. 44.

    It drops log(k - 1), 7.1 with LVIS' 1,203 classes, and counts images where the paper counts instances.
    """
    log_n = _log(images)
    if not n_images > int(images.max()):
        raise ValueError(
            f"a class is in some of all images, not in all: got {int(images.max())} images of one class and n_images "
            f"{n_images}; give the number of all images"
        )
    return (torch.log(n_images - log_n.exp()) - log_n).float()


def balanced_sigmoid(
    logits: Float[Tensor, "b c *d"],
    target: Ids | Shares | Bool[Tensor, "b c *d"],
    offsets: Float[Tensor, " c"],
    *,
    foreground_only: bool = False,
    ignore_index: int | None = None,
    reduction: Reduction = "none",
) -> Float[Tensor, "*r"]:
    """Σ_j of binary cross-entropies of η_j - offset_j: both terms of Eqs. 36-37, with Eq. 46 in place of the sigmoid.

    A target of c is background: no class. One as wide as the logits, bool or in [0, 1], has several classes or shares.
    `foreground_only`: background rows keep η, as in the release.
    """
    rows = rows_of(logits, target, ignore_index, background=True)
    yes, shifted = rows.one_hot(), rows.logits - per_class("offsets", offsets, rows.logits)
    if foreground_only:
        shifted = torch.where(rows.no_class()[:, None], rows.logits, shifted)
    return rows.reduce(_binary(shifted, yes).sum(1), reduction)


def inverse_weights(counts: Int[Tensor, " c"] | Float[Tensor, " c"]) -> Float[Tensor, " c"]:
    """Class-balanced weighting: weights ∝ 1 / n_j whose mean is 1."""
    return _of_mean_one(_log(counts).neg())


def effective_weights(counts: Int[Tensor, " c"] | Float[Tensor, " c"], *, beta: float = 0.9999) -> Float[Tensor, " c"]:
    """Weights ∝ (1 - β) / (1 - β^n_j), one over the effective number, whose mean is 1 (Cui et al. 2019, Eq. 4)."""
    if not 0 <= beta < 1:
        raise ValueError(f"beta is in [0, 1), got {beta}; 0 weighs all alike, near 1 as one over the counts")
    n = _log(counts).exp()
    if beta == 0:
        return torch.ones_like(n).float()
    seen = -torch.expm1(n * log(beta))  # 1 - β^n, exact where it is small
    return _of_mean_one(-seen.log())


def ldam_margins(counts: Int[Tensor, " c"] | Float[Tensor, " c"], *, largest: float = 0.5) -> Float[Tensor, " c"]:
    """Margins ∝ n_j^(-1/4), the largest of which is `largest` (Cao et al. 2019, Eq. 13, and their code)."""
    check_number("largest", largest, note="0 is cross-entropy")
    margins = (-_log(counts) / 4).exp()
    return (margins * (largest / margins.max())).float()


def ldam(
    logits: Float[Tensor, "b c *d"],
    target: Ids,
    margins: Float[Tensor, " c"],
    *,
    scale: float = 30.0,
    ignore_index: int = IGNORED,
    reduction: Reduction = "none",
) -> Float[Tensor, "*r"]:
    """Cross-entropy of scaled logits, the true one less its class' margin (Cao et al. 2019, Eq. 13).

    Logits are cosines, of unit features and unit class vectors; otherwise a margin has no measure. A margin is a
    label's: for mixup take the losses of both labels, and mix them.
    """
    check_number("scale", scale, above=True, note="of cosines; the release has 30")
    rows = rows_of(logits, target, ignore_index, soft=False)
    margin = per_class("margins", margins, rows.logits)[rows.target][:, None]
    taken = torch.zeros_like(rows.logits).scatter(1, rows.target[:, None], margin)
    return rows.reduce(rows.cross_entropy(scale * (rows.logits - taken)), reduction)


def equalisation_softmax(
    logits: Float[Tensor, "b c *d"],
    target: Ids | Shares,
    tail: Bool[Tensor, " c"],
    *,
    gamma: float = 0.9,
    ignore_index: int = IGNORED,
    reduction: Reduction = "none",
) -> Float[Tensor, "*r"]:
    """Softmax whose sum leaves out each tail class with probability γ, unless it is the true one.

    Tan et al. 2020, "Equalization Loss", Eqs. 7-8: w_j = 1 - β 1[f_j < λ] (1 - y_j), with β drawn for every example and
    class; `tail` is 1[f_j < λ]. A class with a share of an example is not left out.
    """
    check_number("gamma", gamma, high=1.0, note="it is the probability that a tail class is left out")
    rows = rows_of(logits, target, ignore_index)
    coin = torch.rand(rows.logits.shape, device=logits.device) < gamma
    left_out = coin & per_class("tail", tail, rows.logits) & (rows.one_hot() == 0)
    return rows.reduce(rows.cross_entropy(rows.logits.masked_fill(left_out, -torch.inf)), reduction)


def equalisation_sigmoid(
    logits: Float[Tensor, "b c *d"],
    target: Ids | Shares | Bool[Tensor, "b c *d"],
    tail: Bool[Tensor, " c"],
    *,
    ignore_index: int | None = None,
    reduction: Reduction = "none",
) -> Float[Tensor, "*r"]:
    """Σ_j w_j BCE_j, where tail classes hear no "no" from other classes' objects (Tan et al. 2020, Eqs. 2-3).

    w_j = 1 - E 1[f_j < λ] (1 - y_j), with E = 1 on objects and 0 on background, whose target is c, or zeros where it is
    as wide as the logits: shares y_j, or several classes.
    """
    rows = rows_of(logits, target, ignore_index, background=True)
    yes = rows.one_hot()
    deaf = per_class("tail", tail, rows.logits) & ~rows.no_class()[:, None]
    weight = torch.where(deaf, yes, 1.0)
    return rows.reduce((weight * _binary(rows.logits, yes)).masked_fill(weight == 0, 0.0).sum(1), reduction)


def _binary(logits: Float[Tensor, "n c"], yes: Float[Tensor, "n c"]) -> Float[Tensor, "n c"]:
    return F.binary_cross_entropy_with_logits(settle(logits, yes), yes, reduction="none")


def _log(counts: Int[Tensor, " c"] | Float[Tensor, " c"]) -> Float[Tensor, " c"]:
    """log n_j, in double precision."""
    counts = torch.as_tensor(counts).double()
    if counts.dim() != 1 or len(counts) < 2:
        raise ValueError(f"counts are rows of each of two classes or more, got shape {tuple(counts.shape)}")
    bad = ~((counts > 0) & counts.isfinite())
    if bad.any():
        raise ValueError(
            f"every class has training rows: class {int(bad.nonzero()[0])} has {counts[bad][0]:g}; leave it out, or "
            "take counts from all of train"
        )
    return counts.log()


def _of_mean_one(log_weight: Float[Tensor, " c"]) -> Float[Tensor, " c"]:
    return (len(log_weight) * log_weight.softmax(0)).float()
