"""Many linear classifiers of the same rows side by side: one matrix product for all that see the same input."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

SEES = ("plain", "even", "cosine")  # rows as they come, rows drawn class by class, rows of unit length


class Heads(nn.Module):
    """Linear classifiers by name, those that see the same input side by side; cosine ones have no bias.

    `groups`: names by what their classifiers see, "plain", "even" or "cosine"; ValueError for another group.
    """

    def __init__(self, width: int, classes: int, groups: Mapping[str, Sequence[str]]):
        super().__init__()
        if unknown := groups.keys() - set(SEES):
            raise ValueError(f"heads are grouped by what they see, {', '.join(SEES)}, got {min(unknown)}; choose one")
        self.groups = {group: tuple(names) for group, names in groups.items()}
        sizes = {group: len(names) for group, names in self.groups.items()}
        start = {group: torch.randn(n, classes, width) / math.sqrt(width) for group, n in sizes.items()}
        self.weight = nn.ParameterDict(start)
        biased = {group: n for group, n in sizes.items() if group != "cosine"}
        self.bias = nn.ParameterDict({group: torch.zeros(n, classes) for group, n in biased.items()})

    def logits(self, x: Float[Tensor, "b d"], even: Float[Tensor, "b d"] | None = None) -> dict[str, Tensor]:
        """Logits [b, c] by name; cosines of those in "cosine". `even`: what those drawn class by class see."""
        seen = {"plain": x, "even": x if even is None else even, "cosine": F.normalize(x)}
        found: dict[str, Tensor] = {}
        for group, names in self.groups.items():
            weight = self.weight[group]
            if group == "cosine":
                flat = F.linear(seen[group], F.normalize(weight, dim=-1).flatten(0, 1))
            else:
                flat = F.linear(seen[group], weight.flatten(0, 1), self.bias[group].flatten())
            found |= dict(zip(names, flat.view(len(x), *weight.shape[:2]).unbind(1), strict=True))
        return found

    def forward(self, x: Float[Tensor, "b d"], even: Float[Tensor, "b d"]) -> dict[str, Tensor]:
        return self.logits(x, even)

    def squares(self) -> Float[Tensor, ""]:
        """The sum of squared class vectors. A cosine's length says nothing, and sets how far a step turns it."""
        return torch.stack([weight.square().sum() for weight in self.weight.values()]).sum()
