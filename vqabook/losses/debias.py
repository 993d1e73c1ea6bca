"""Losses against a known or learned bias: learned mixin, bias product and re-weighting, RUBi; focal and centre loss.

Clark et al. 2019, "Don't Take the Easy Way Out", arXiv:1909.03683; Cadene et al. 2019, "RUBi", arXiv:1906.10169; both
as the loss re-scaling paper (Guo et al. 2022) compares with them. Each trains an ensemble of the model with what the
question alone gives away; to predict, use the model's own `logits`. Centre loss, of Wen et al. 2016, "A Discriminative
Feature Learning Approach for Deep Face Recognition", ECCV, stands beside a softmax loss and draws a class together.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from vqabook.losses.base import (
    Reduction,
    check_ids,
    check_number,
    check_range,
    check_same,
    follow,
    reduce,
    scores_of,
    settle,
)
from vqabook.losses.soft import sigmoid_bce, soft_cross_entropy


def bias_table(
    question_type: Int[Tensor, " n"],
    answer: Int[Tensor, "n k"],
    score: Float[Tensor, "n k"],
    *,
    n_types: int,
    n_answers: int,
) -> Float[Tensor, "q a"]:
    """b: mean soft score of each answer over the questions of each type; 0 for a type that nobody asked.

    Clark et al. 2019, as released: counted on train alone. `answer` and `score` are the columns of `SparseScores`.
    """
    check_same("answer", answer, score=score)
    check_ids("a question type", question_type, n_types)
    check_ids("an answer", answer, n_answers)
    total = score.new_zeros(n_types, n_answers)
    total.index_put_((question_type[:, None].expand_as(answer), answer.long()), score, accumulate=True)
    return total / torch.bincount(question_type.long(), minlength=n_types).clamp(min=1)[:, None]


def learned_mixin(
    logits: Float[Tensor, "b a"],
    target: Float[Tensor, "b a"],
    *,
    bias: Float[Tensor, "b a"],
    gate: Float[Tensor, " b"] | Float[Tensor, "b 1"],
    smooth: Float[Tensor, ""] | float,
    weight: Float[Tensor, "#b a"] | None = None,
    reduction: Reduction = "none",
) -> Float[Tensor, "*b"]:
    """LM: sigmoid BCE of the model together with the bias, by the factor g: BCE(logits + g log((b + s) / (1 - b + s))).

    Clark et al. 2019, Sec. 3, for sigmoid outputs as released: [log σ(x), log σ(-x)] + g [log(b + s), log(1 - b + s)]
    renormalised pair by pair, which is exactly this shift of the logits and needs no [b, a, 2].
    `bias` in [0, 1] is an answer's mean score in train among questions of the same type; at 1/2 it says nothing.
    `gate` g >= 0 is softplus of a linear layer on the joint feature, `smooth` s > 0 the sigmoid of a scalar that starts
    at -1; both are trained, so both must reach the optimiser. `weight` multiplies both terms of the ensemble's BCE
    (Guo et al. 2022, Eq. 11), as their release does for this loss.
    """
    check_same("logits", logits, bias=bias)
    bias = follow(bias, logits)
    return sigmoid_bce(logits + _gated_log_odds(bias, gate, smooth), target, weight=weight, reduction=reduction)


def bias_entropy(
    bias: Float[Tensor, "b a"],
    *,
    gate: Float[Tensor, " b"] | Float[Tensor, "b 1"],
    smooth: Float[Tensor, ""] | float,
    reduction: Reduction = "none",
) -> Float[Tensor, "*b"]:
    """The penalty that makes LM to LMH: binary entropy (nats) of the gated, renormalised bias, mean over answers.

    Clark et al. 2019, Sec. 3: a small entropy keeps the gate from closing, at which it is log 2.
    The mean, though `learned_mixin` sums: the released weight, 0.36, multiplies a mean; a sum would be |A| times that.
    """
    size = _gated_log_odds(bias, gate, smooth).abs()
    # of log-odds ±x, by the smaller probability: softplus(x) - x σ(x) would cancel for a bias that is sure
    return reduce((F.softplus(-size) + size * (-size).sigmoid()).mean(-1), reduction)


def bias_product(
    logits: Float[Tensor, "b a"],
    target: Float[Tensor, "b a"],
    *,
    bias: Float[Tensor, "b a"],
    smooth: Float[Tensor, ""] | float,
    weight: Float[Tensor, "#b a"] | None = None,
    reduction: Reduction = "none",
) -> Float[Tensor, "*b"]:
    """The product of experts: `learned_mixin` with g = 1. Clark et al. 2019, Sec. 3; arguments as there."""
    check_same("logits", logits, bias=bias)
    bias = follow(bias, logits)
    return sigmoid_bce(logits + _log_odds(bias, smooth), target, weight=weight, reduction=reduction)


def bias_reweight(
    logits: Float[Tensor, "b a"],
    target: Float[Tensor, "b a"],
    *,
    bias: Float[Tensor, "b a"],
    reduction: Reduction = "none",
) -> Float[Tensor, "*b"]:
    """Answers weigh 1 - `bias`; the *mean over the batch* is Σ (1 - b) BCE / Σ (1 - b) over examples and answers.

    Clark et al. 2019, as released. Σ (1 - b) runs over the batch, so that an example's value depends on its neighbours:
    no per-example loss gives this mean. It is an average over answers, |A| times smaller than the summed losses.
    For a sum that no neighbour changes, use `sigmoid_bce(logits, target, weight=1 - bias)`. A batch that the bias
    solves everywhere weighs nothing: 0.
    """
    check_same("logits", logits, bias=bias)
    check_range("a bias", bias)
    weight = 1 - follow(bias, logits)
    total = weight.sum()
    total = total.masked_fill(total == 0, torch.inf)
    return reduce(sigmoid_bce(logits, target, weight=weight) * (len(logits) / total), reduction)


def focal(
    logits: Float[Tensor, "b a"],
    target: Float[Tensor, "b a"],
    *,
    gamma: float = 2.0,
    alpha: float = 0.25,
    weight: Float[Tensor, "#b a"] | None = None,
    softmax: bool = False,
    reduction: Reduction = "none",
) -> Float[Tensor, "*b"]:
    """Focal loss α (1 - p_t)^γ (-log p_t): an answer that is already right weighs little.

    Guo et al. 2022, Eq. 10, which says p_t for a binary decision: p_t is σ(x) in the term that `target` weighs and
    σ(-x) in the one that 1 - `target` weighs, summed over answers. γ = 0, α = 1 is `sigmoid_bce`.
    `softmax` is their release: one p_t an example, exp(-Soft-CE), and γ = 0, α = 1 is `soft_cross_entropy`; but stable
    where softmax underflows. `weight` multiplies an answer's terms, never p_t.
    """
    check_number("gamma", gamma, note="0 is the plain loss")
    check_number("alpha", alpha, note="1 leaves the loss as it is")
    target, weight = scores_of(logits, target, weight, high=torch.inf if softmax else 1.0)
    if softmax:
        plain = soft_cross_entropy(logits, target)
        loss = plain if weight is None else soft_cross_entropy(logits, target, weight=weight)
        return reduce(alpha * _unlikely(plain) ** gamma * loss, reduction)
    logits = settle(logits, target)
    no = F.softplus(logits)  # -log σ(-x)
    yes = F.softplus(-logits)  # -log σ(x)
    loss = target * (-gamma * no).exp() * yes + (1 - target) * (-gamma * yes).exp() * no
    return reduce(alpha * (loss if weight is None else weight * loss).sum(-1), reduction)


def rubi(
    logits: Float[Tensor, "b a"],
    target: Float[Tensor, "b a"],
    *,
    mask: Float[Tensor, "b a"],
    question_logits: Float[Tensor, "b a"],
    question_weight: float = 1.0,
    weight: Float[Tensor, "#b a"] | None = None,
    reduction: Reduction = "none",
) -> Float[Tensor, "*b"]:
    """L(logits · σ(mask)) + `question_weight` L(question_logits), with Soft-CE as L.

    Cadene et al. 2019, Sec. 3. `mask` is the question-only branch before its sigmoid, `question_logits` a linear
    layer on `mask` (or `mask` itself). Their release samples one answer and takes cross-entropy: the default with
    one-hot targets. A mask favours an answer only where logits are positive; it works in reverse on negative ones.
    `weight` is on the first loss alone, for the branch is to learn the bias as it is.
    No gradient is stopped here: the first loss trains the branch too, and neither may train the question encoder
    through it, so the *caller* detaches the question feature that the branch reads.
    """
    check_same("logits", logits, mask=mask, question_logits=question_logits)
    check_number("question_weight", question_weight, note="0 leaves the branch to the first loss")
    fused = soft_cross_entropy(logits * mask.sigmoid(), target, weight=weight)
    return reduce(fused + question_weight * soft_cross_entropy(question_logits, target), reduction)


def _log_odds(bias: Float[Tensor, "b a"], smooth: Float[Tensor, ""] | float) -> Float[Tensor, "b a"]:
    """log((b + s) / (1 - b + s)); the ratio itself would overflow where s is tiny and the bias is sure."""
    check_number("smooth", smooth, above=True, note="a bias of 0 or 1 has infinite log-odds else; try 1e-6")
    check_range("a bias", bias)
    return (bias + smooth).log() - (1 - bias + smooth).log()


def _gated_log_odds(
    bias: Float[Tensor, "b a"], gate: Float[Tensor, " b"] | Float[Tensor, "b 1"], smooth: Float[Tensor, ""] | float
) -> Float[Tensor, "b a"]:
    """g log((b + s) / (1 - b + s)): the log-odds of the bias expert."""
    b = len(bias)
    if gate.shape not in ((b,), (b, 1)):
        raise ValueError(f"gate holds one factor an example, [{b}] or [{b}, 1], got {list(gate.shape)}")
    return gate.reshape(b, 1) * _log_odds(bias, smooth)


def _unlikely(loss: Float[Tensor, " b"]) -> Float[Tensor, " b"]:
    """1 - exp(-loss), and above 0, where a power below 1 would have an infinite slope."""
    return (-(-loss).expm1()).clamp(min=torch.finfo(loss.dtype).tiny)


def centre_loss(
    hidden: Float[Tensor, "b h"],
    target: Int[Tensor, " b"],
    centres: Float[Tensor, "c h"],
    *,
    reduction: Reduction = "none",
) -> Float[Tensor, "*b"]:
    """½ ‖x - c_y‖², half the squared distance of each feature from the centre of its class.

    Wen et al. 2016, Eq. 2. The paper sums this and the softmax loss over the batch; with means of both λ is the same.
    """
    target = _classes(hidden, target, centres)
    return reduce((hidden - centres[target].to(hidden)).square().sum(1) / 2, reduction)


def centre_update(
    hidden: Float[Tensor, "b h"], target: Int[Tensor, " b"], centres: Float[Tensor, "c h"]
) -> Float[Tensor, "c h"]:
    """Δc: the sum of (c_j - x) over the batch's examples of class j, over one more than their number.

    Wen et al. 2016, Eq. 4. A class that is not in the batch stays where it is; the one damps the pull of few examples.
    """
    target = _classes(hidden, target, centres)
    total = torch.zeros_like(centres).index_add_(0, target, centres[target] - hidden.to(centres))
    number = torch.bincount(target, minlength=len(centres))
    return total / (1 + number)[:, None]


def _classes(hidden: Float[Tensor, "b h"], target: Int[Tensor, " b"], centres: Float[Tensor, "c h"]) -> Tensor:
    """The class of each feature as it may index the centres."""
    if target.shape != hidden.shape[:1] or hidden.shape[1:] != centres.shape[1:] or target.is_floating_point():
        raise ValueError(
            "a feature [b, h] has one class id [b], and a class one centre [c, h], got hidden "
            f"{list(hidden.shape)}, target {target.dtype} {list(target.shape)} and centres {list(centres.shape)}"
        )
    check_ids("target", target, len(centres))
    return target.long()
