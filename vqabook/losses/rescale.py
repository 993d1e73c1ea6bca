"""Loss re-scaling: the weights, the in-type answer sets, and the mask loss of Guo et al. 2022, Sec. IV-B and IV-C."""

from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from vqabook.losses.base import (
    Reduction,
    check_choice,
    check_ids,
    check_number,
    check_range,
    check_same,
    follow,
    reduce,
)


def type_counts(
    question_type: Int[Tensor, " n"],
    answer: Int[Tensor, "n k"],
    votes: Int[Tensor, "n k"],
    *,
    n_types: int,
    n_answers: int,
) -> Int[Tensor, "q a"]:
    """n_i^j: annotator votes for answer i over all questions of type j (before Eq. 7)."""
    check_same("answer", answer, votes=votes)
    check_ids("a question type", question_type, n_types)
    check_ids("an answer", answer, n_answers)
    counts = votes.new_zeros(n_types, n_answers, dtype=torch.long)
    at = (question_type[:, None].expand_as(answer), answer.long())
    return counts.index_put_(at, votes.long(), accumulate=True)


def in_type(counts: Int[Tensor, "q a"], *, min_votes: int = 1) -> Float[Tensor, "q a"]:
    """m_a: 1 for the answers of each question type, else 0 (before Eq. 5). The release asks for `min_votes` = 10."""
    return (counts >= min_votes).float()


def rescaling_weights(
    counts: Int[Tensor, "q a"],
    *,
    min_votes: int = 1,
    cap: float = 100.0,
    out_of_type: float = 1.0,
    smooth_all: bool = False,
) -> Float[Tensor, "q a"]:
    """µ per question type and answer: softplus((Σ_k n_k - n_i) / n_i) up to `cap` (Eqs. 7-8), else `out_of_type`.

    Σ runs over the in-type answers (those with `min_votes` or more). Eq. 8 prints max(100, ·), which would make every
    weight at least 100; min is meant and released. `out_of_type` is 1 in the paper, 1 + log 2 in its release.
    `smooth_all` reads Eq. 8 to the letter: it smooths that weight, too, so that 1 becomes log(1 + e) = 1.31.
    An answer that has its type to itself gets log 2, since µ = 0 before smoothing.
    The release leaves the answer with id 0 out of every type, by a slip: so do counts with `counts[:, 0] = 0`.
    """
    if not cap > 0:
        raise ValueError(f"cap is the largest weight, greater than 0, got {cap}; the paper has 100, inf is no cap")
    check_number("out_of_type", out_of_type, note="the paper has 1")
    inside = counts >= min_votes
    n = torch.where(inside, counts, 0).float()
    mu = torch.where(inside, (n.sum(1, keepdim=True) - n) / n.clamp(min=1), out_of_type)
    smooth = F.softplus(mu).clamp(max=cap)
    return smooth if smooth_all else torch.where(inside, smooth, out_of_type)


def mask_loss(
    mask: Float[Tensor, "b a"],
    label: Float[Tensor, "b a"],
    *,
    second_sigmoid: bool = False,
    over_answers: Literal["sum", "mean"] = "sum",
    reduction: Reduction = "none",
) -> Float[Tensor, "*b"]:
    """BCE between the predicted mask m_p in [0, 1] and m_a: Eq. 5, with the minus sign it lacks.

    `over_answers`: their sum (paper) or mean (release).
    `second_sigmoid` feeds the already activated mask to a sigmoid again, as the release does: the loss then cannot fall
    below 0.313 a positive and 0.693 a negative answer.
    """
    check_choice("over_answers", over_answers, ("sum", "mean"))
    check_same("mask", mask, label=label)
    check_range("a label of an answer", label)
    label = follow(label, mask)
    if second_sigmoid:
        loss = F.binary_cross_entropy_with_logits(mask, label, reduction="none")
    else:
        # F.binary_cross_entropy refuses to run under autocast, and 1 - 1e-6 is 1 in half precision
        check_range("a mask", mask)
        p = mask.to(torch.promote_types(mask.dtype, torch.float32)).clamp(1e-6, 1 - 1e-6)
        loss = -(label * p.log() + (1 - label) * (-p).log1p())
    return reduce(loss.sum(-1) if over_answers == "sum" else loss.mean(-1), reduction)
