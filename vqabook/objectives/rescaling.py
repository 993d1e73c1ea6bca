"""Guo et al. 2021 (loss re-scaling VQA), Eq. 17: classification loss with re-scaled answers, plus the mask loss."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

from torch import Tensor, nn

from vqabook.core import Batch
from vqabook.losses.rescale import mask_loss
from vqabook.objectives.base import Objective
from vqabook.objectives.criteria import Criterion, Loss, Plain

if TYPE_CHECKING:
    from jaxtyping import Float


class LossRescaling(Objective):
    """L = L_cls + `mask_weight` L_mask; answer i of question type j weighs `weight[j, i]` once `progress` >= `after`.

    L_cls is the `criterion`; "bce" and "ce" are short for `Plain`. `weight` [q, a] from `rescaling_weights`, or None
    for the plain loss; `label` [q, a] from `in_type`, read when the model has an answer mask. Schedule (Sec. V-D):
    train until the mask converges, then go on with the weights. Costs one gather by type.
    """

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
        self.criterion = criterion if isinstance(criterion, Criterion) else Plain(criterion)
        self.after, self.mask_weight = after, mask_weight
        self.mask_options = {"second_sigmoid": mask_second_sigmoid, "reduction": mask_reduction}
        self.register_buffer("weight", weight, persistent=False)  # known from the data
        self.register_buffer("label", label, persistent=False)

    def steps(self, model: nn.Module, batch: Batch, progress: float) -> Iterator[Tensor]:
        out = model(*batch.inputs)
        kind = batch.side["question_type"]
        weight = self.weight[kind] if self.weight is not None and progress >= self.after else None
        loss = self.criterion(out, batch, weight)
        if out.mask is not None:
            if self.label is None:
                raise ValueError("a model with an answer mask learns from label [q, a], got None; pass in_type(counts)")
            loss = loss + self.mask_weight * mask_loss(out.mask, self.label[kind], **self.mask_options)
        yield loss
