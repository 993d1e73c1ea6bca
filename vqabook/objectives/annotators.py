"""Ilievski & Feng 2017, Eq. 2, as a training rule: all answers of the annotators, each with its weight."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor, nn

from vqabook.core import Batch
from vqabook.losses.annotators import annotator_cross_entropy
from vqabook.objectives.base import Objective


class AnnotatorCrossEntropy(Objective):
    """Cross-entropy on `batch.target`, answer ids [b, k], with `batch.side["weight"]` [b, k]; Eq. 1 is k = 1.

    The release averages the loss over the batch and not its gradient: `summed` multiplies the gradient by the batch
    size and leaves the loss as it is.
    """

    def __init__(self, *, summed: bool = False):
        super().__init__()
        self.summed = summed

    def steps(self, model: nn.Module, batch: Batch, progress: float) -> Iterator[Tensor]:
        if "weight" not in batch.side:
            raise ValueError(
                'each of a question\'s answers has a weight in batch.side["weight"] [b, k], got none; '
                "make it with annotator_weights(votes)"
            )
        losses = annotator_cross_entropy(model(*batch.inputs).logits, batch.target, batch.side["weight"])
        yield losses + (len(losses) - 1) * (losses - losses.detach()) if self.summed else losses
