"""Training on labels of a long tail, by the number of rows that each class has: the rules of Ren et al. 2020."""

from collections.abc import Callable, Iterator
from functools import partial
from math import log
from typing import Any, Literal, get_args

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from vqabook.core import Batch, Output
from vqabook.losses import longtail as losses
from vqabook.losses.base import IGNORED, Loss, check_choice, check_number, rows_of
from vqabook.losses.debias import focal
from vqabook.objectives.base import Objective

Rule = Literal[
    "softmax", "inverse", "focal", "effective", "effective_focal", "ldam", "ldam_drw", "ldam_drw_released",
    "equalisation",
    "balanced_softmax", "balanced_softmax_drw", "vector_scaling",
    "sigmoid", "equalisation_sigmoid", "balanced_sigmoid", "released_sigmoid",
]  # fmt: skip
DEFERRED = 0.8  # of training: Cao et al. 2019 re-weight from epoch 160 of 200 on
BETA = 0.9999  # Cui et al. 2019 and Cao et al. 2019, on CIFAR
TAIL = 0.5  # of the mean rows of a class, below which one is tail: 0.5 % of all rows on CIFAR-100-LT, Tan et al. 2020
DRW = ("ldam_drw", "ldam_drw_released", "balanced_softmax_drw")  # weigh late
EFFECTIVE = ("effective", "effective_focal", *DRW)  # weigh by the effective number
SCALE = 30.0  # of cosines: Cao et al. 2019, release


class LabelLoss(Objective):
    """A loss of logits [b, c] and class ids [b], times the `weight` [c] of each example's class from `since` on.

    The mean is over examples; `over_weights`: over weights, Σ w l / Σ w of the batch, as
    `F.cross_entropy(logits, target, weight)` has it. Ignored ids, -100, cost nothing and are in neither mean.
    """

    weight: Tensor | None

    def __init__(
        self,
        loss: Callable[[Tensor, Tensor], Tensor],
        *,
        weight: Float[Tensor, " c"] | None = None,
        since: float = 0.0,
        over_weights: bool = False,
    ):
        super().__init__()
        check_number("since", since, high=1.0, note="it is a share of training")
        self.loss, self.since, self.over_weights = loss, since, over_weights
        self.register_buffer("weight", weight, persistent=False)  # known from the data

    def steps(self, model: nn.Module, batch: Batch, progress: float) -> Iterator[Tensor]:
        yield self.cost(Output.of(model(*batch.inputs)).logits, batch.target, progress)

    def cost(self, logits: Float[Tensor, "b c *d"], target: Tensor, progress: float = 0.0) -> Float[Tensor, "b *d"]:
        """What each example costs, so that the plain mean is that of the class."""
        loss = self.loss(logits, target)
        labelled = not target.is_floating_point() and target.shape == loss.shape
        counted = target != IGNORED if labelled else torch.ones_like(loss)
        if self.weight is not None and progress >= self.since:
            if not labelled:
                raise ValueError("weights by class are of labels [b], got shares of classes; mix the losses of labels")
            weight = self.weight.to(logits)[target.long().where(counted, 0)]
            loss = weight * loss
            counted = weight.float() * counted if self.over_weights else counted
        total = counted.sum()
        return loss * (loss.numel() / total.where(total > 0, 1))


def long_tail(
    rule: Rule,
    counts: Int[Tensor, " c"],
    *,
    tail: Bool[Tensor, " c"] | None = None,
    exponent: float = 1.0,
    beta: float = BETA,
    gamma: float | None = None,
    largest: float = 0.5,
) -> LabelLoss:
    """The objective of a row of Table 1 or 2. `counts`: training rows of each class.

    `exponent` is balanced softmax' (Eq. 28: 1/4, Eq. 14: 1); `beta` of effective numbers; `gamma` of focal loss, of
    equalisation and of vector scaling, None: each paper's; `largest`: LDAM's margin. LDAM wants a model that returns
    cosines; under the sigmoids a label of c is background.

    `tail` is equalisation loss': by default classes of less than half the mean of `counts`. Tan et al. 2020 take those
    of less than 0.5 % of the rows on CIFAR-100-LT, which are the same: 52 of 100 classes at an imbalance of 100. Of ten
    classes none has so few at an imbalance of 10, and the loss would be softmax'; three have less than half the mean,
    at 100 five.

    "ldam_drw_released" divides the deferred loss of a batch by Σ w, as the release of Cao et al. 2019 does; "ldam_drw"
    by the number of examples, whose mean weight is 0.17 at an imbalance of 100: a sixth of the gradient.
    "balanced_softmax_drw" divides as that release does. "effective_focal" has w outside p_t, by Cui et al. 2019; the
    release of Cao et al. has it inside, p_t = exp(-w CE).
    """
    check_choice("rule", rule, get_args(Rule))
    tail = counts < TAIL * counts.double().mean() if tail is None else tail
    log_n = losses.log_counts(counts)
    softmax = Loss(losses.balanced_softmax, log_n=log_n, exponent=0.0)
    ldam = Loss(losses.ldam, margins=losses.ldam_margins(counts, largest=largest), scale=SCALE)
    own: dict[str, Any] = {} if gamma is None else {"gamma": gamma}
    released = losses.released_sigmoid_offsets(counts, int(counts.sum()))
    rules: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
        "focal": partial(_focal, **own),
        "effective_focal": partial(_focal, **own),
        "ldam": ldam,
        "ldam_drw": ldam,
        "ldam_drw_released": ldam,
        "equalisation": Loss(losses.equalisation_softmax, tail=tail, **own),
        "balanced_softmax": Loss(losses.balanced_softmax, log_n=log_n, exponent=exponent),
        "balanced_softmax_drw": Loss(losses.balanced_softmax, log_n=log_n, exponent=exponent),
        "vector_scaling": Loss(losses.vector_scaling, log_n=log_n, scales=losses.vector_scales(counts, **own)),
        "sigmoid": Loss(losses.balanced_sigmoid, offsets=torch.zeros(len(counts))),
        "equalisation_sigmoid": Loss(losses.equalisation_sigmoid, tail=tail),
        "balanced_sigmoid": Loss(losses.balanced_sigmoid, offsets=losses.sigmoid_offsets(counts)),
        "released_sigmoid": Loss(losses.balanced_sigmoid, offsets=released, foreground_only=True),
    }
    weight: Tensor | None = None
    if rule == "inverse":
        weight = losses.inverse_weights(counts)
    elif rule in EFFECTIVE:
        weight = losses.effective_weights(counts, beta=beta)
    since = DEFERRED if rule in DRW else 0.0
    over_weights = rule in DRW and rule != "ldam_drw"
    return LabelLoss(rules.get(rule, softmax), weight=weight, since=since, over_weights=over_weights)


def start_rare(classifier: nn.Linear, n: int) -> None:
    """Let each of `n` logistic classifiers start at 1 / n: all their losses of a row add up to 1 + log n, not n log 2.

    A prior bias: Lin et al. 2017, "Focal Loss", Sec. 4.1, and the release of Cui et al. 2019, whose share this is.
    """
    nn.init.constant_(classifier.bias, -log(n - 1))


def _focal(logits: Float[Tensor, "b c"], target: Int[Tensor, " b"], gamma: float = 2.0) -> Float[Tensor, " b"]:
    rows = rows_of(logits, target)
    return rows.reduce(focal(rows.logits, rows.one_hot(), alpha=1.0, gamma=gamma, softmax=True), "none")
