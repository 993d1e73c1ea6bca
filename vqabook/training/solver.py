"""How a network is trained, as a part of a recipe: one that a paper trains otherwise than its other networks."""

from dataclasses import dataclass
from typing import Any

from vqabook.training.fit import NO_CLIP, FitConfig, Schedule


@dataclass(frozen=True)
class Solver:
    """An optimiser and its rate's steps. `Solver()` is Adam at a constant rate, without clipping."""

    optimizer: str = "adam"
    clip: float | None = None  # gradient norm over all parameters
    nesterov: bool = False
    weight_decay: float = 0.0
    drops: tuple[tuple[float, float], ...] = ()  # (share of training, factor of lr from there on)

    def config(self, recipe: Any) -> FitConfig:
        """How a recipe's model is trained by it; epochs, batch size, rate and seed are the recipe's."""
        drops = tuple((round(share * recipe.epochs), factor) for share, factor in self.drops)
        own = {"optimizer": self.optimizer, "nesterov": self.nesterov, "weight_decay": self.weight_decay}
        schedule = Schedule(drops=drops) if drops else None
        return FitConfig.of(recipe, clip=self.clip or NO_CLIP, schedule=schedule, **own)
