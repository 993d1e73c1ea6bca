"""A detector's losses as a training rule, so that `fit` trains it like everything else."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor, nn

from vqabook.core import Batch
from vqabook.objectives.base import Objective


class DetectionLoss(Objective):
    """The sum of Mask R-CNN's losses: of proposals, boxes, masks, and of its `Classification`.

    torchvision takes their means over a batch's regions, so that every image of the batch has the same share.
    """

    def steps(self, model: nn.Module, batch: Batch, progress: float) -> Iterator[Tensor]:
        losses = model(*batch.inputs)
        yield sum(losses.values()).expand(len(batch.rows))
