"""Losses against a known or learned bias: learned mixin, bias product and re-weighting, RUBi; focal and centre loss.

Clark et al. 2019, "Don't Take the Easy Way Out", arXiv:1909.03683; Cadene et al. 2019, "RUBi", arXiv:1906.10169; both
as the loss re-scaling paper (Guo et al. 2021) compares with them. Each trains an ensemble of the model with what the
question alone gives away; to predict, use the model's own `logits`. Centre loss, of Wen et al. 2016, "A Discriminative
Feature Learning Approach for Deep Face Recognition", ECCV, stands beside a softmax loss and draws a class together.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

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
) -> Float[Tensor, " b"]:
    """LM: sigmoid BCE of the model together with the bias, by the factor g: BCE(logits + g log((b + s) / (1 - b + s))).

    Clark et al. 2019, Sec. 3, for sigmoid outputs as released: [log σ(x), log σ(-x)] + g [log(b + s), log(1 - b + s)]
    renormalised pair by pair, which is exactly this shift of the logits and needs no [b, a, 2].
    `bias` in [0, 1] is an answer's mean score in train among questions of the same type; at 1/2 it says nothing.
    `gate` g >= 0 is softplus of a linear layer on the joint feature, `smooth` s > 0 the sigmoid of a scalar that starts
    at -1; both are trained, so both must reach the optimiser. `weight` multiplies both terms of the ensemble's BCE
    (Guo et al. 2021, Eq. 11), as their release does for this loss.
    """
    _refuse_other_shapes(logits, bias=bias)
    return sigmoid_bce(logits + _gated_log_odds(bias, gate, smooth), target, weight=weight)


def bias_entropy(
    bias: Float[Tensor, "b a"], *, gate: Float[Tensor, " b"] | Float[Tensor, "b 1"], smooth: Float[Tensor, ""] | float
) -> Float[Tensor, " b"]:
    """The penalty that makes LM to LMH: binary entropy (nats) of the gated, renormalised bias, mean over answers.

    Clark et al. 2019, Sec. 3: a small entropy keeps the gate from closing, at which it is log 2.
    The mean, though `learned_mixin` sums: the released weight, 0.36, multiplies a mean; a sum would be |A| times that.
    """
    size = _gated_log_odds(bias, gate, smooth).abs()
    # of log-odds ±x, by the smaller probability: softplus(x) - x σ(x) would cancel for a bias that is sure
    return (F.softplus(-size) + size * (-size).sigmoid()).mean(-1)


def bias_product(
    logits: Float[Tensor, "b a"],
    target: Float[Tensor, "b a"],
    *,
    bias: Float[Tensor, "b a"],
    smooth: Float[Tensor, ""] | float,
    weight: Float[Tensor, "#b a"] | None = None,
) -> Float[Tensor, " b"]:
    """The product of experts: `learned_mixin` with g = 1. Clark et al. 2019, Sec. 3; arguments as there."""
    _refuse_other_shapes(logits, bias=bias)
    return sigmoid_bce(logits + _log_odds(bias, smooth), target, weight=weight)


def bias_reweight(
    logits: Float[Tensor, "b a"], target: Float[Tensor, "b a"], *, bias: Float[Tensor, "b a"]
) -> Float[Tensor, " b"]:
    """Answers weigh 1 - `bias`; the *mean over the batch* is Σ (1 - b) BCE / Σ (1 - b) over examples and answers.

    Clark et al. 2019, as released. Σ (1 - b) runs over the batch, so that an example's value depends on its neighbours:
    no per-example loss gives this mean. It is an average over answers, |A| times smaller than the summed losses.
    For a sum that no neighbour changes, use `sigmoid_bce(logits, target, weight=1 - bias)`.
    """
    _refuse_other_shapes(logits, bias=bias)
    weight = 1 - bias
    total = weight.sum().clamp(min=torch.finfo(weight.dtype).tiny)  # a batch that the bias solves weighs nothing
    return sigmoid_bce(logits, target, weight=weight) * (len(logits) / total)


def focal(
    logits: Float[Tensor, "b a"],
    target: Float[Tensor, "b a"],
    *,
    gamma: float = 2.0,
    alpha: float = 0.25,
    weight: Float[Tensor, "#b a"] | None = None,
    softmax: bool = False,
) -> Float[Tensor, " b"]:
    """Focal loss α (1 - p_t)^γ (-log p_t): an answer that is already right weighs little.

    Guo et al. 2021, Eq. 10, which says p_t for a binary decision: p_t is σ(x) in the term that `target` weighs and
    σ(-x) in the one that 1 - `target` weighs, summed over answers. γ = 0, α = 1 is `sigmoid_bce`.
    `softmax` is their release: one p_t an example, exp(-Soft-CE), and γ = 0, α = 1 is `soft_cross_entropy`; but stable
    where softmax underflows. `weight` multiplies an answer's terms, never p_t.
    """
    if gamma < 0:
        raise ValueError(f"gamma must be at least 0 (0 is the plain loss), got {gamma}")
    if softmax:
        plain = soft_cross_entropy(logits, target)
        loss = plain if weight is None else soft_cross_entropy(logits, target, weight=weight)
        return alpha * _unlikely(plain) ** gamma * loss
    no = F.softplus(logits)  # -log σ(-x)
    yes = F.softplus(-logits)  # -log σ(x)
    loss = target * (-gamma * no).exp() * yes + (1 - target) * (-gamma * yes).exp() * no
    return alpha * (loss if weight is None else weight * loss).sum(-1)


def rubi(
    logits: Float[Tensor, "b a"],
    target: Float[Tensor, "b a"],
    *,
    mask: Float[Tensor, "b a"],
    question_logits: Float[Tensor, "b a"],
    question_weight: float = 1.0,
    weight: Float[Tensor, "#b a"] | None = None,
) -> Float[Tensor, " b"]:
    """L(logits · σ(mask)) + `question_weight` L(question_logits), with Soft-CE as L.

    Cadene et al. 2019, Sec. 3. `mask` is the question-only branch before its sigmoid, `question_logits` a linear
    layer on `mask` (or `mask` itself). Their release samples one answer and takes cross-entropy: the default with
    one-hot targets. A mask favours an answer only where logits are positive; it works in reverse on negative ones.
    `weight` is on the first loss alone, for the branch is to learn the bias as it is.
    No gradient is stopped here: the first loss trains the branch too, and neither may train the question encoder
    through it, so the *caller* detaches the question feature that the branch reads.
    """
    _refuse_other_shapes(logits, mask=mask, question_logits=question_logits)
    fused = soft_cross_entropy(logits * mask.sigmoid(), target, weight=weight)
    return fused + question_weight * soft_cross_entropy(question_logits, target)


def _log_odds(bias: Float[Tensor, "b a"], smooth: Float[Tensor, ""] | float) -> Float[Tensor, "b a"]:
    """log((b + s) / (1 - b + s)); the ratio itself would overflow where s is tiny and the bias is sure."""
    if not isinstance(smooth, Tensor) and not smooth > 0:
        raise ValueError(f"smooth must be > 0, or a bias of 0 or 1 has infinite log-odds, got {smooth}; try 1e-6")
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


def _refuse_other_shapes(logits: Float[Tensor, "b a"], **others: Tensor) -> None:
    """Raise for an argument that has another shape than `logits`: it would broadcast in silence."""
    for name, other in others.items():
        if other.shape != logits.shape:
            raise ValueError(f"{name} must have the shape of logits, {list(logits.shape)}, got {list(other.shape)}")


def centre_loss(
    hidden: Float[Tensor, "b h"], target: Int[Tensor, " b"], centres: Float[Tensor, "c h"]
) -> Float[Tensor, " b"]:
    """½ ‖x - c_y‖², half the squared distance of each feature from the centre of its class.

    Wen et al. 2016, Eq. 2. The paper sums this and the softmax loss over the batch; with means of both λ is the same.
    """
    return (hidden - centres[target]).square().sum(1) / 2


def centre_update(
    hidden: Float[Tensor, "b h"], target: Int[Tensor, " b"], centres: Float[Tensor, "c h"]
) -> Float[Tensor, "c h"]:
    """Δc: the sum of (c_j - x) over the batch's examples of class j, over one more than their number.

    Wen et al. 2016, Eq. 4. A class that is not in the batch stays where it is; the one damps the pull of few examples.
    """
    total = torch.zeros_like(centres).index_add_(0, target, centres[target] - hidden)
    number = torch.bincount(target, minlength=len(centres))
    return total / (1 + number)[:, None]
