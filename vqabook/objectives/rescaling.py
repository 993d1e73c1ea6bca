"""Guo et al. 2022 (loss re-scaling VQA): criteria, what an answer costs, and Eq. 17, with re-scaled answers and mask.

A criterion is a classification loss with what it owns (a gate, a branch) and what it must know. Sigm-BCE and Soft-CE;
and what the paper takes for backbones or compares with: the learned mixin and LMH, bias product, re-weighting (Clark
et al. 2019), RUBi (Cadene et al. 2019), focal loss (Eq. 10).
"""

import abc
from collections.abc import Iterator
from functools import partial
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from vqabook.core import Batch, Output
from vqabook.losses.base import check_choice, check_number
from vqabook.losses.debias import bias_entropy, bias_product, bias_reweight, focal, learned_mixin, rubi
from vqabook.losses.rescale import mask_loss
from vqabook.losses.soft import sigmoid_bce, soft_cross_entropy
from vqabook.objectives.base import Objective

Loss = Literal["bce", "ce"]


class Criterion(nn.Module, abc.ABC):
    """What an answer costs. Its parameters, if it has any, are trained with the model's."""

    @abc.abstractmethod
    def forward(self, out: Output, batch: Batch, weight: Float[Tensor, "b a"] | None) -> Float[Tensor, " b"]:
        """Loss of each example; `weight` is that of its answers (Guo et al. 2022, Eqs. 7-8), None for no weights."""


class Plain(Criterion):
    """Sigm-BCE (Eqs. 2, 11) or Soft-CE (Eqs. 3, 13); `positive_only` weighs the a log σ term alone, as released."""

    def __init__(self, loss: Loss, *, positive_only: bool = False):
        super().__init__()
        check_choice("loss", loss, ("bce", "ce"))
        self.loss, self.positive_only = loss, positive_only

    def forward(self, out: Output, batch: Batch, weight: Float[Tensor, "b a"] | None) -> Float[Tensor, " b"]:
        if self.loss == "ce":
            return soft_cross_entropy(out.logits, batch.target, weight=weight)
        return sigmoid_bce(out.logits, batch.target, weight=weight, positive_only=self.positive_only)


class _BiasCriterion(Criterion):
    """One that knows the bias [q, a] of each question type's answers, from `bias_table`."""

    bias: Tensor

    def __init__(self, bias: Float[Tensor, "q a"]):
        super().__init__()
        self.register_buffer("bias", bias, persistent=False)

    def bias_of(self, batch: Batch) -> Float[Tensor, "b a"]:
        """Each example's row of the table."""
        return self.bias[batch.side["question_type"]]


class LearnedMixin(_BiasCriterion):
    """LM, and with `entropy` > 0 LMH: BCE of the model together with its question type's bias (Clark et al. 2019).

    `hidden` is the width of the model's joint feature, which the gate reads. LMH takes entropy = 0.36. `frozen` leaves
    gate and smoothing at their first values: the released code of Guo et al. 2022 never gives them to its optimiser.
    """

    def __init__(self, bias: Float[Tensor, "q a"], hidden: int, *, entropy: float = 0.0, frozen: bool = False):
        super().__init__(bias)
        check_number("entropy", entropy, note="it weighs a penalty, 0 is LM, 0.36 LMH")
        self.entropy = entropy
        self.gate = nn.Linear(hidden, 1)
        self.smooth = nn.Parameter(torch.tensor(-1.0))  # sigmoid 0.269; release of Clark et al.
        if frozen:
            self.requires_grad_(False)

    def forward(self, out: Output, batch: Batch, weight: Float[Tensor, "b a"] | None) -> Float[Tensor, " b"]:
        if out.hidden is None:
            raise ValueError("the gate reads the model's hidden [b, h], got None; use a model that returns it")
        bias, gate, smooth = self.bias_of(batch), F.softplus(self.gate(out.hidden)), self.smooth.sigmoid()
        loss = learned_mixin(out.logits, batch.target, bias=bias, gate=gate, smooth=smooth, weight=weight)
        return loss + self.entropy * bias_entropy(bias, gate=gate, smooth=smooth) if self.entropy else loss


class BiasProduct(_BiasCriterion):
    """The learned mixin without its gate; the smoothing is trained."""

    def __init__(self, bias: Float[Tensor, "q a"]):
        super().__init__(bias)
        self.smooth = nn.Parameter(torch.tensor(-1.0))

    def forward(self, out: Output, batch: Batch, weight: Float[Tensor, "b a"] | None) -> Float[Tensor, " b"]:
        bias, smooth = self.bias_of(batch), self.smooth.sigmoid()
        return bias_product(out.logits, batch.target, bias=bias, smooth=smooth, weight=weight)


class Reweight(_BiasCriterion):
    """Answers weigh 1 - bias, normalised over the batch (Clark et al. 2019); takes no other weights."""

    def forward(self, out: Output, batch: Batch, weight: Float[Tensor, "b a"] | None) -> Float[Tensor, " b"]:
        if weight is not None:
            raise ValueError("re-weighting has weights of its own, got others as well; train it without re-scaling")
        return bias_reweight(out.logits, batch.target, bias=self.bias_of(batch))


class Focal(Criterion):
    """Focal loss, Eq. 10 per binary decision; `softmax` is the release's, with one p_t an example."""

    def __init__(self, *, gamma: float = 2.0, alpha: float = 0.25, softmax: bool = False):
        super().__init__()
        check_number("gamma", gamma, note="0 is the plain loss")
        check_number("alpha", alpha, note="1 leaves the loss as it is")
        self.focal = partial(focal, gamma=gamma, alpha=alpha, softmax=softmax)

    def forward(self, out: Output, batch: Batch, weight: Float[Tensor, "b a"] | None) -> Float[Tensor, " b"]:
        return self.focal(out.logits, batch.target, weight=weight)


class Rubi(Criterion):
    """RUBi: the logits are masked by a question-only branch, which learns the bias itself (Cadene et al. 2019).

    `branch` maps a question encoding to an Output with `n_answers` logits. It reads `Output.question` detached, so that
    neither loss trains the question encoder through it.
    """

    def __init__(self, branch: nn.Module, n_answers: int, *, question_weight: float = 1.0):
        super().__init__()
        check_number("question_weight", question_weight)
        self.branch, self.classify, self.question_weight = branch, nn.Linear(n_answers, n_answers), question_weight

    def forward(self, out: Output, batch: Batch, weight: Float[Tensor, "b a"] | None) -> Float[Tensor, " b"]:
        if out.question is None:
            raise ValueError(
                "RUBi's branch reads the question encoding, got an Output without question; use UpDn or SAN"
            )
        mask = Output.of(self.branch(out.question.detach())).logits
        return rubi(
            out.logits,
            batch.target,
            mask=mask,
            question_logits=self.classify(mask),
            question_weight=self.question_weight,
            weight=weight,
        )


class LossRescaling(Objective):
    """L = L_cls + `mask_weight` L_mask: answer i of type j weighs `weight[j, i]` once `progress` >= `after`.

    L_cls is the `criterion`; "bce" and "ce" are short for `Plain`. `weight` [q, a] from `rescaling_weights`, or None
    for the plain loss; `label` [q, a] from `in_type`, read when the model has an answer mask. Schedule (Sec. V-D):
    train until the mask converges, then go on with the weights. Costs one gather by type.
    """

    weight: Tensor | None
    label: Tensor | None

    def __init__(
        self,
        criterion: Criterion | Loss,
        *,
        weight: Float[Tensor, "q a"] | None = None,
        label: Float[Tensor, "q a"] | None = None,
        after: float = 0.0,
        mask_weight: float = 1.0,
        mask_second_sigmoid: bool = False,
        mask_reduction: Literal["sum", "mean"] = "sum",
    ):
        super().__init__()
        check_number("after", after, high=1.0, note="it is a share of training")
        check_number("mask_weight", mask_weight, note="0 trains the mask by the answers alone")
        check_choice("mask_reduction", mask_reduction, ("sum", "mean"))
        self.criterion = criterion if isinstance(criterion, Criterion) else Plain(criterion)
        self.after, self.mask_weight = after, mask_weight
        self.mask_loss = partial(mask_loss, second_sigmoid=mask_second_sigmoid, over_answers=mask_reduction)
        self.register_buffer("weight", weight, persistent=False)  # known from the data
        self.register_buffer("label", label, persistent=False)

    def steps(self, model: nn.Module, batch: Batch, progress: float) -> Iterator[Tensor]:
        out = Output.of(model(*batch.inputs))
        kind = batch.side["question_type"]
        weight = self.weight[kind] if self.weight is not None and progress >= self.after else None
        loss = self.criterion(out, batch, weight)
        if out.mask is not None:
            if self.label is None:
                raise ValueError("a model with an answer mask learns from label [q, a], got None; pass in_type(counts)")
            loss = loss + self.mask_weight * self.mask_loss(out.mask, self.label[kind])
        yield loss
