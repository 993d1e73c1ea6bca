"""Many classifiers trained at once, each by a rule of its own: the sum of their losses, which share no parameter."""

from collections.abc import Iterator, Mapping
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from vqabook.core import Batch
from vqabook.objectives.base import Objective


@runtime_checkable
class SideBySide(Protocol):
    """What `AllRules` trains, `models.side_by_side`: logits [b, c] by name, and the sum of squared class vectors."""

    def __call__(self, x: Tensor, even: Tensor) -> dict[str, Tensor]: ...

    def squares(self) -> Tensor: ...


class AllRules(Objective):
    """The sum of all rules' losses of a batch, and half `decay` times the squared class vectors.

    `rules`: the loss of each classifier by its name, a `LabelLoss` or another module with its `cost`. That of `even` is
    of rows drawn class by class: inputs are x, the rows drawn and their labels, as `data.sampling.DrawEvenly` gives
    them. TypeError for a model of another kind.
    """

    def __init__(self, rules: Mapping[str, Any], decay: float, *, even: str | None = None):
        super().__init__()
        self.rules, self.even = dict(rules), even
        self.kept, self.decay = nn.ModuleList(self.rules.values()), decay

    def steps(self, model: nn.Module, batch: Batch, progress: float) -> Iterator[Tensor]:
        if not isinstance(model, SideBySide):
            raise TypeError(
                f"rules side by side train classifiers side by side, got {type(model).__name__}; give them "
                "models.side_by_side.Heads"
            )
        x, even, drawn = batch.inputs
        logits = model(x, even)
        losses = [
            rule.cost(logits[name], drawn if name == self.even else batch.target, progress)
            for name, rule in self.rules.items()
        ]
        yield torch.stack(losses).sum(0) + self.decay / 2 * model.squares()
