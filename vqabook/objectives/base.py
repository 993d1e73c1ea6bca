"""What a training rule is: an `Objective` turns a model and a batch into per-example losses. And the plainest ones."""

import abc
from collections.abc import Callable, Iterator
from functools import wraps
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from vqabook.core import Batch, Output
from vqabook.losses.base import check_number, rows_of
from vqabook.losses.debias import centre_loss, centre_update
from vqabook.losses.soft import annotator_cross_entropy


class Objective(nn.Module, abc.ABC):
    """A paper's training rule. `steps` yields per-example losses [b]; `fit` takes one optimiser step per yield.

    Almost all yield once; a method that re-reads the model after its own update (CSS) yields twice.
    An objective may own parameters (a bias gate, a discriminator): `fit` trains them too, a loop of your own gives them
    to the optimiser. Over several processes wrap `JointStep(model, objective)`: DistributedDataParallel(model) leaves
    those of the objective alone, so that `steps` of one that learns refuses it.
    """

    def __init_subclass__(cls, **options: Any):
        super().__init_subclass__(**options)
        if "steps" in vars(cls):
            cls.steps = _synchronised(cls.steps)  # type: ignore[method-assign]  # of each class, once

    @abc.abstractmethod
    def steps(self, model: nn.Module, batch: Batch, progress: float) -> Iterator[Tensor]:
        """Yield losses [b] for `batch`. `progress`, in [0, 1), is the share of training done, constant in an epoch."""


def _synchronised(steps: Callable) -> Callable:
    @wraps(steps)
    def checked(self: Objective, model: nn.Module, batch: Batch, progress: float) -> Iterator[Tensor]:
        learns = any(p.requires_grad for p in self.parameters()) or len(self.state_dict()) > len(
            list(self.parameters())
        )
        if isinstance(getattr(model, "_orig_mod", model), DistributedDataParallel) and learns:
            raise ValueError(
                f"{type(self).__name__} learns with the model, got DistributedDataParallel(model), which leaves each "
                "process an objective of its own; wrap both, DistributedDataParallel(JointStep(model, objective))"
            )
        return steps(self, model, batch, progress)

    return checked


class JointStep(nn.Module):
    """Model and objective as one module, called with a batch: what DistributedDataParallel, accelerate, Lightning wrap.

    Its parameters and buffers are those of both; DistributedDataParallel sends buffers from rank 0, whose batches the
    centres of `CentreLoss` then follow. ValueError for an objective of two steps a batch, which no wrapper knows.
    """

    def __init__(self, model: nn.Module, objective: Objective):
        super().__init__()
        self.model, self.objective = model, objective

    def forward(self, batch: Batch, progress: float = 0.0) -> Float[Tensor, " b"]:
        """Losses [b]; take their mean, `backward`, and an optimiser step."""
        return only_step(self.objective.steps(self.model, batch, progress))


def only_step(steps: Iterator[Tensor]) -> Tensor:
    """The losses of an objective that yields once. ValueError for one that yields twice."""
    losses = list(steps)
    if len(losses) != 1:
        raise ValueError(f"here an objective takes one step a batch, got {len(losses)}; give it one that yields once")
    return losses[0]


def cross_entropy(logits: Float[Tensor, "b c *d"], target: Tensor) -> Float[Tensor, "b *d"]:
    """-log softmax of class ids, or of shares, of each example."""
    rows = rows_of(logits, target)
    return rows.reduce(rows.cross_entropy(rows.logits), "none")


class CrossEntropy(Objective):
    """-log softmax of the label; `batch.target` holds class ids [b]."""

    def steps(self, model: nn.Module, batch: Batch, progress: float) -> Iterator[Tensor]:
        yield cross_entropy(Output.of(model(*batch.inputs)).logits, batch.target)


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
        losses = annotator_cross_entropy(Output.of(model(*batch.inputs)).logits, batch.target, batch.side["weight"])
        yield losses + (len(losses) - 1) * (losses - losses.detach()) if self.summed else losses


class CentreLoss(Objective):
    """L_S + `weight` L_C (Wen et al. 2016, Eq. 5) on the model's `hidden` [b, width]; the paper's best λ is 0.003.

    Keeps a centre a class, first at zero, and after each optimiser step moves them by Eq. 4 at rate α = `rate`, towards
    the features that the step was computed from (Algorithm 1). Saved and restored with the run; no host sync.
    """

    centres: Tensor

    def __init__(self, n_classes: int, width: int, *, weight: float = 0.003, rate: float = 0.5):
        super().__init__()
        check_number("rate", rate, high=1.0, note="it is α (Wen et al. 2016, Sec. 3.2), the paper uses 0.5")
        check_number("weight", weight, note="it is λ, the paper uses 0.003, and 0 is plain cross-entropy")
        self.weight, self.rate = weight, rate
        self.register_buffer("centres", torch.zeros(n_classes, width))

    def steps(self, model: nn.Module, batch: Batch, progress: float) -> Iterator[Tensor]:
        out = Output.of(model(*batch.inputs))
        if out.hidden is None:
            raise ValueError("centre loss reads the model's hidden [b, h], got None; use a model that returns it")
        hidden = out.hidden.float()  # under autocast the centres stay exact
        softmax = cross_entropy(out.logits, batch.target)
        yield softmax + self.weight * centre_loss(hidden, batch.target, self.centres)
        self.centres -= self.rate * centre_update(hidden.detach(), batch.target, self.centres)
