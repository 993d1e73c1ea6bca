"""The two losses of soft-labelled VQA: Guo et al. 2021 (loss re-scaling), Eqs. 2-3; with weights, Eqs. 11 and 13."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor
from torch.nn import functional as F

if TYPE_CHECKING:
    from jaxtyping import Float


def sigmoid_bce(
    logits: Float[Tensor, "b a"],
    target: Float[Tensor, "b a"],
    *,
    weight: Float[Tensor, "#b a"] | None = None,
    positive_only: bool = False,
) -> Float[Tensor, " b"]:
    """Binary cross-entropy summed over answers; `target` holds soft scores in [0, 1].

    Guo et al. 2021, Eq. 2; with per-answer `weight` µ, Eq. 11. `positive_only` weighs the a log σ term alone, as their
    release does.
    """
    if weight is None:
        return F.binary_cross_entropy_with_logits(logits, target, reduction="none").sum(-1)
    if positive_only:
        return F.binary_cross_entropy_with_logits(logits, target, pos_weight=weight, reduction="none").sum(-1)
    return F.binary_cross_entropy_with_logits(logits, target, weight=weight, reduction="none").sum(-1)


def soft_cross_entropy(
    logits: Float[Tensor, "b a"], target: Float[Tensor, "b a"], *, weight: Float[Tensor, "#b a"] | None = None
) -> Float[Tensor, " b"]:
    """-Σ a log softmax(logits); `target` is not normalised, so a question without a known answer weighs nothing.

    Guo et al. 2021, Eq. 3; with per-answer `weight` µ, Eq. 13. Their release also divides the loss by ten, we do not.
    """
    if weight is not None:
        target = target * weight
    return -(target * logits.log_softmax(-1)).sum(-1)
