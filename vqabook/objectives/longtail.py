"""Training on labels of a long tail, by the number of rows that each class has: the rules of Ren et al. 2020."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Literal, get_args

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from vqabook.core import Batch
from vqabook.losses import longtail as losses
from vqabook.losses.debias import focal
from vqabook.objectives.base import Objective

Loss = Callable[["Float[Tensor, 'b c']", "Int[Tensor, ' b']"], "Float[Tensor, ' b']"]
Rule = Literal[
    "softmax", "inverse", "focal", "effective", "effective_focal", "ldam", "ldam_drw", "equalisation",
    "balanced_softmax", "sigmoid", "equalisation_sigmoid", "balanced_sigmoid", "released_sigmoid",
]  # fmt: skip
DEFERRED = 0.8  # of training: Cao et al. 2019 re-weight from epoch 160 of 200 on
BETA = 0.9999  # Cui et al. 2019 and Cao et al. 2019, on CIFAR
TAIL = 5e-3  # share of the rows below which a class is tail: Tan et al. 2020, on CIFAR-100-LT
SCALE = 30.0  # of cosines: Cao et al. 2019, release


class LabelLoss(Objective):
    """A loss of logits [b, c] and class ids [b]; from `since` of training on, `later` in its place."""

    def __init__(self, loss: Loss, *, later: Loss | None = None, since: float = 1.0):
        super().__init__()
        self.loss, self.later, self.since = loss, later, since

    def steps(self, model: nn.Module, batch: Batch, progress: float) -> Iterator[Tensor]:
        now = self.loss if self.later is None or progress < self.since else self.later
        yield now(model(*batch.inputs).logits, batch.target)


def long_tail(
    rule: Rule, counts: Int[Tensor, " c"], *, tail: Bool[Tensor, " c"] | None = None, exponent: float = 1.0
) -> LabelLoss:
    """The objective of a row of Table 1 or 2. `counts`: training rows of each class.

    `exponent` is balanced softmax' (Eq. 28: 1/4, Eq. 14: 1), `tail` equalisation loss', by default classes of less than
    0.5 % of the rows. LDAM wants a model that returns cosines; under the sigmoids a label of c is background.
    """
    tail = counts < TAIL * counts.sum() if tail is None else tail
    effective = losses.effective_weights(counts, beta=BETA)
    margins = partial(losses.ldam, margins=losses.ldam_margins(counts), scale=SCALE)
    released = losses.released_sigmoid_offsets(counts, int(counts.sum()))
    rules = {
        "softmax": _softmax,
        "inverse": weigh(_softmax, losses.inverse_weights(counts)),
        "focal": _focal,
        "effective": weigh(_softmax, effective),
        "effective_focal": weigh(_focal, effective),
        "ldam": margins,
        "equalisation": lambda x, y: losses.equalisation_softmax(x, y, tail.to(x.device)),
        "balanced_softmax": partial(losses.balanced_softmax, log_n=losses.log_counts(counts), exponent=exponent),
        "sigmoid": partial(losses.balanced_sigmoid, offsets=torch.zeros(len(counts))),
        "equalisation_sigmoid": lambda x, y: losses.equalisation_sigmoid(x, y, tail.to(x.device)),
        "balanced_sigmoid": partial(losses.balanced_sigmoid, offsets=losses.sigmoid_offsets(counts)),
        "released_sigmoid": partial(losses.balanced_sigmoid, offsets=released, foreground_only=True),
    }
    if rule == "ldam_drw":
        return LabelLoss(margins, later=weigh(margins, effective), since=DEFERRED)
    if rule not in rules:
        raise ValueError(f"rule is one of {', '.join(get_args(Rule))}, got {rule!r}; choose one")
    return LabelLoss(rules[rule])


def weigh(loss: Loss, weight: Float[Tensor, " c"]) -> Loss:
    """`loss` times the weight of each example's class; its mean is over examples, not over weights."""

    def each(logits: Float[Tensor, "b c"], target: Int[Tensor, " b"]) -> Float[Tensor, " b"]:
        return weight.to(logits)[target] * loss(logits, target)

    return each


def _softmax(logits: Float[Tensor, "b c"], target: Int[Tensor, " b"]) -> Float[Tensor, " b"]:
    return F.cross_entropy(logits, target, reduction="none")


def _focal(logits: Float[Tensor, "b c"], target: Int[Tensor, " b"]) -> Float[Tensor, " b"]:
    return focal(logits, F.one_hot(target, logits.shape[1]).to(logits), alpha=1.0, softmax=True)
