"""Which classes a classifier is trained on, learnt: the meta sampler of balanced meta-softmax.

Ren et al. 2020, "Balanced Meta-Softmax for Long-Tailed Visual Recognition", arXiv:2007.10740, Sec. 3.2. "Release" is
the authors' code, repository jiawei-ren/BalancedMetaSoftmax-Classification.
"""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from vqabook.core import Batch, Output, Table
from vqabook.losses.base import check_number
from vqabook.objectives.base import Objective, cross_entropy
from vqabook.objectives.longtail import LabelLoss

BETAS, EPSILON = (0.9, 0.999), 1e-8  # of Adam: release


class Draw(NamedTuple):
    """A batch of training rows, with replacement."""

    rows: Int[Tensor, " b"]
    weight: Float[Tensor, " b"]  # ones, through which a loss' gradient reaches the rates


class MetaSampler(Objective):
    """`base` on rows of `table` whose classes are drawn at learnt rates; the given batch is the meta set.

    A step draws a batch, looks one gradient step of the classifier ahead upon it, and moves the rates to where that
    classifier has less cross-entropy on the meta set; then the classifier takes its own step on the batch (Sec. 3.2,
    steps 1 to 3). Give batches whose classes are drawn evenly, `data.sampling.class_balanced_order`: all of the
    training set that the paper's meta set is. Learns the model's `classifier` alone, from its `hidden` as it is.

    A row's rate is σ(ψ) of its class, at first 1/2: rows as they come. `lr` is of ψ, by Adam, `ahead` of the step
    ahead. σ, Adam and these rates are the release's, as is what a gradient reaches: the drawn row's own share of the
    noisy rates, not those of rows that might have been drawn. The release's step ahead has the momentum and the decay
    of its optimiser; here it is the paper's plain one. Rates are saved and restored with the run.
    """

    psi: Tensor
    mean: Tensor
    square: Tensor
    moves: Tensor

    def __init__(self, base: LabelLoss, table: Table, *, ahead: float, lr: float = 0.01):
        super().__init__()
        check_number("ahead", ahead, above=True, note="it is the rate of the step that the meta set judges")
        check_number("lr", lr, note="0 leaves rows drawn as they come")
        self.base, self.table, self.ahead, self.lr = base, table, ahead, lr
        for name in ("psi", "mean", "square"):
            self.register_buffer(name, torch.zeros(table.n_classes))
        self.register_buffer("moves", torch.zeros((), dtype=torch.long))

    @property
    def rates(self) -> Float[Tensor, " c"]:
        """How often a row of each class is drawn, in (0, 1), of which only the ratios count."""
        return self.psi.sigmoid()

    def steps(self, model: nn.Module, batch: Batch, progress: float) -> Iterator[Tensor]:
        classifier = _classifier_of(model)
        psi = self.psi.detach().clone().requires_grad_()
        drawn = self.draw(psi, len(batch.target))
        train = self.table.batch(drawn.rows)
        hidden, meta = (_hidden_of(model, inputs) for inputs in (train.inputs, batch.inputs))
        losses = self.base.cost(classifier(hidden), train.target, progress)
        ahead = look_ahead(classifier, drawn.weight * losses, self.ahead)
        judged = cross_entropy(functional_call(classifier, ahead, (meta,)), batch.target).mean()
        (gradient,) = torch.autograd.grad(judged, psi, retain_graph=True)
        self._move(gradient)
        yield losses

    def draw(self, psi: Float[Tensor, " c"], size: int) -> Draw:
        """`size` rows, with replacement, by Gumbel noise of each; straight through (Jang et al. 2017, Sec. 2.2)."""
        rate = F.logsigmoid(psi)[self.table.labels]
        noisy = rate - torch.empty(size, len(rate), dtype=rate.dtype, device=rate.device).exponential_().log()
        highest, rows = noisy.max(1)
        soft = (highest - noisy.logsumexp(1)).exp()
        return Draw(rows, 1 + soft - soft.detach())

    @torch.no_grad()
    def _move(self, gradient: Float[Tensor, " c"]) -> None:
        """One step of Adam, whose moments are buffers of this objective's (Kingma & Ba 2015, Algorithm 1)."""
        self.moves += 1
        for moment, value, beta in zip((self.mean, self.square), (gradient, gradient.square()), BETAS, strict=True):
            moment.lerp_(value, 1 - beta)
        mean, square = (x / (1 - b**self.moves) for x, b in zip((self.mean, self.square), BETAS, strict=True))
        self.psi -= self.lr * mean / (square.sqrt() + EPSILON)


def look_ahead(module: nn.Module, losses: Float[Tensor, " b"], lr: float) -> dict[str, Tensor]:
    """The parameters of `module` after a plain gradient step of the mean of `losses`, through which gradients flow."""
    learning = {name: weight for name, weight in module.named_parameters() if weight.requires_grad}
    gradients = torch.autograd.grad(losses.mean(), list(learning.values()), create_graph=True)
    return {name: x.detach() - lr * g for (name, x), g in zip(learning.items(), gradients, strict=True)}


def _classifier_of(model: nn.Module) -> nn.Module:
    classifier = getattr(getattr(model, "_orig_mod", model), "classifier", None)
    if not isinstance(classifier, nn.Module):
        raise ValueError(
            f"a meta sampler trains the model's `classifier`, got a {type(model).__name__} without; name it so"
        )
    return classifier


def _hidden_of(model: nn.Module, inputs: tuple[Tensor, ...]) -> Float[Tensor, "b h"]:
    hidden = Output.of(model(*inputs)).hidden
    if hidden is None:
        raise ValueError(
            "a meta sampler trains a classifier of the model's hidden [b, h], got None; use a model that returns it"
        )
    return hidden.detach()
