"""What a training rule is: an `Objective` turns a model and a batch into per-example losses. And the plainest ones."""

import abc
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vqabook.core import Batch
from vqabook.losses.debias import centre_loss, centre_update
from vqabook.losses.soft import annotator_cross_entropy


class Objective(nn.Module, abc.ABC):
    """A paper's training rule. `steps` yields per-example losses [b]; `fit` takes one optimiser step per yield.

    Almost all yield once; a method that re-reads the model after its own update (CSS) yields twice.
    An objective may own parameters (a bias gate, a discriminator): `fit` trains them too.
    """

    @abc.abstractmethod
    def steps(self, model: nn.Module, batch: Batch, progress: float) -> Iterator[Tensor]:
        """Yield losses [b] for `batch`. `progress`, in [0, 1), is the share of training done, constant in an epoch."""


class CrossEntropy(Objective):
    """-log softmax of the label; `batch.target` holds class ids [b]."""

    def steps(self, model: nn.Module, batch: Batch, progress: float) -> Iterator[Tensor]:
        yield F.cross_entropy(model(*batch.inputs).logits, batch.target, reduction="none")


class AnnotatorCrossEntropy(Objective):
    """Cross-entropy on `batch.target`, answer ids [b, k], with `batch.side["weight"]` [b, k].

    Ilievski & Feng 2017, Eq. 2; Eq. 1 is k = 1. The release averages the loss over the batch and not its gradient:
    `summed` multiplies the gradient by the batch size and leaves the loss as it is.
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


class CentreLoss(Objective):
    """L_S + `weight` L_C (Wen et al. 2016, Eq. 5) on the model's `hidden` [b, width]; the paper's best λ is 0.003.

    Keeps a centre a class, first at zero, and after each optimiser step moves them by Eq. 4 at rate α = `rate`, towards
    the features that the step was computed from (Algorithm 1). Saved and restored with the run; no host sync.
    """

    def __init__(self, n_classes: int, width: int, *, weight: float = 0.003, rate: float = 0.5):
        super().__init__()
        if not 0 <= rate <= 1:
            raise ValueError(f"rate is α in [0, 1] (Wen et al. 2016, Sec. 3.2), got {rate}; the paper uses 0.5")
        if not weight >= 0:
            raise ValueError(f"weight is λ >= 0, got {weight}; the paper uses 0.003, and 0 is plain cross-entropy")
        self.weight, self.rate = weight, rate
        self.register_buffer("centres", torch.zeros(n_classes, width))

    def steps(self, model: nn.Module, batch: Batch, progress: float) -> Iterator[Tensor]:
        out = model(*batch.inputs)
        if out.hidden is None:
            raise ValueError("centre loss reads the model's hidden [b, h], got None; use a model that returns it")
        hidden = out.hidden.float()  # under autocast the centres stay exact
        softmax = F.cross_entropy(out.logits, batch.target, reduction="none")
        yield softmax + self.weight * centre_loss(hidden, batch.target, self.centres)
        self.centres -= self.rate * centre_update(hidden.detach(), batch.target, self.centres)
