"""Losses of soft-labelled VQA: targets as wide as the vocabulary, or all annotators' answers with a weight each.

Guo et al. 2022 (loss re-scaling), Eqs. 2-3, with weights Eqs. 11 and 13; Ilievski & Feng 2017, "A simple loss function
... of VQA models", arXiv:1708.00584. A question's answers are few whatever the vocabulary's size: there they stay
sparse, ids [b, k], and nothing as wide as the vocabulary is built for them.
"""

from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from vqabook.losses.base import (
    Reduction,
    check_choice,
    check_ids,
    check_range,
    check_same,
    follow,
    reduce,
    scores_of,
    settle,
)

N_ANNOTATORS = 10


def sigmoid_bce(
    logits: Float[Tensor, "b a"],
    target: Float[Tensor, "b a"],
    *,
    weight: Float[Tensor, "#b a"] | None = None,
    positive_only: bool = False,
    reduction: Reduction = "none",
) -> Float[Tensor, "*b"]:
    """Binary cross-entropy summed over answers; `target` holds soft scores in [0, 1].

    Guo et al. 2022, Eq. 2; with per-answer `weight` µ, Eq. 11. `positive_only` weighs the a log σ term alone, as their
    release does.
    """
    target, weight = scores_of(logits, target, weight)
    all_terms, positive = (None, weight) if positive_only else (weight, None)
    each = F.binary_cross_entropy_with_logits(
        settle(logits, target), target, weight=all_terms, pos_weight=positive, reduction="none"
    )
    return reduce(each.sum(-1), reduction)


def soft_cross_entropy(
    logits: Float[Tensor, "b a"],
    target: Float[Tensor, "b a"],
    *,
    weight: Float[Tensor, "#b a"] | None = None,
    reduction: Reduction = "none",
) -> Float[Tensor, "*b"]:
    """-Σ a log softmax(logits); `target` is not normalised, so a question without a known answer weighs nothing.

    Guo et al. 2022, Eq. 3; with per-answer `weight` µ, Eq. 13. Their release also divides the loss by ten, we do not.
    """
    target, weight = scores_of(logits, target, weight, high=torch.inf)
    if weight is not None:
        target = target * weight
    log_p = logits.log_softmax(-1).masked_fill(target == 0, 0)  # an answer that is ruled out has a logit of -inf
    return reduce(-(target * log_p).sum(-1), reduction)


def annotator_weights(
    votes: Int[Tensor, "n k"], *, of: Literal["votes", "scores"] = "votes", renormalise: bool = False
) -> Float[Tensor, "n k"]:
    """w of each distinct answer from its number of votes; 0 votes pad a row and weigh nothing.

    "votes": count / 10, below Eq. 2. Answers outside the vocabulary have no column and their votes are dropped,
    so a row sums to less than 1 (release); `renormalise` divides by the sum, a row without any answer stays zero.
    "scores": what the evaluator gives for the answer, min(1, matches / 3) averaged over the ways to leave an annotator
    out: min(1, 0.3 count) for ten. ValueError if a row has negative votes, or more than there are annotators.
    """
    check_choice("of", of, ("votes", "scores"))
    total = votes.sum(-1, keepdim=True)
    if votes.numel() and (votes.min() < 0 or total.max() > N_ANNOTATORS):
        row = int(((votes < 0).any(-1) | (total[:, 0] > N_ANNOTATORS)).nonzero()[0, 0])
        raise ValueError(
            f"the votes on a question's answers are 0 or more and at most {N_ANNOTATORS} in all, got "
            f"{votes[row].tolist()} in row {row}; count each annotator once"
        )
    weight = votes / N_ANNOTATORS
    if of == "scores":
        # one who gave the answer is left out, or not
        without, with_all = ((n / 3).clamp(0, 1) for n in (votes - 1, votes))
        weight = weight * without + (1 - weight) * with_all
    return weight / weight.sum(-1, keepdim=True).clamp(min=torch.finfo(weight.dtype).tiny) if renormalise else weight


def annotator_cross_entropy(
    logits: Float[Tensor, "b a"],
    answer: Int[Tensor, "b k"],
    weight: Float[Tensor, "b k"],
    *,
    reduction: Reduction = "none",
) -> Float[Tensor, "*b"]:
    """Σ_i w_i (-x_{c_i} + log Σ_j exp x_j) over a question's distinct answers c_i (Eq. 2).

    `answer` holds their ids, padded with any id at `weight` 0. One answer of weight 1 is plain cross-entropy (Eq. 1).
    A question whose weights are all zero, because no answer of its is in the vocabulary, trains nothing.
    """
    if logits.dim() != 2 or answer.dim() != 2 or len(answer) != len(logits):
        raise ValueError(
            f"logits are [b, a] and answer [b, k], got {list(logits.shape)} and {list(answer.shape)}; one label an "
            "example is [b, 1]"
        )
    check_same("answer", answer, weight=weight)
    check_ids("an answer", answer, logits.shape[1])
    check_range("a weight", weight, high=torch.inf)
    log_p = logits.log_softmax(-1).gather(1, answer.long())
    each = -(follow(weight, logits) * log_p.masked_fill(weight == 0, 0)).sum(
        -1
    )  # padding may be an answer ruled out, logit -inf
    return reduce(each, reduction)
