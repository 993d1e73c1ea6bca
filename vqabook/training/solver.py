"""How a network is trained, in numbers and names: what recipes say of it and `fit` reads. No torch."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any


@dataclass(frozen=True)
class Schedule:
    """A factor of the learning rate: a linear warm-up, then constant, in steps or along a cosine.

    Epochs here have fractions: the factor changes from batch to batch.
    """

    warmup: float = 0.0  # epochs
    start: float = 0.0  # of the warm-up, in [0, 1]
    cosine: bool = False  # to zero at the end of training
    drops: tuple[tuple[int, float], ...] = ()  # (epoch, factor from its start on), each of `lr`

    def __post_init__(self):
        if self.warmup < 0 or not 0 <= self.start <= 1 or (self.cosine and self.drops):
            raise ValueError(
                "a schedule warms up for 0 epochs or more from a factor in [0, 1], and then falls along a cosine or in "
                f"steps, got {self}"
            )

    def factor(self, epoch: float, epochs: int) -> float:
        """At `epoch` of `epochs`, counted from 0."""
        if epoch < self.warmup:
            return self.start + (1 - self.start) * epoch / self.warmup
        if self.cosine:
            return (1 + math.cos(math.pi * (epoch - self.warmup) / max(epochs - self.warmup, 1e-9))) / 2
        return next((factor for at, factor in sorted(self.drops, reverse=True) if epoch >= at), 1.0)


OPTIMIZERS = {"adamax": "Adamax", "adam": "Adam", "adamw": "AdamW", "sgd": "SGD"}  # as torch calls them
PRECISIONS = ("fp32", "bf16")
NO_CLIP = float("inf")


@dataclass(frozen=True)
class FitConfig:
    """How to train. The defaults are UpDn's (Teney et al. 2018, as every method of Guo et al. 2022 uses it)."""

    epochs: int = 30
    batch_size: int = 512
    optimizer: str = "adamax"
    lr: float = 2e-3
    schedule: Schedule | None = None  # of lr; None: it stays
    momentum: float = 0.9  # of sgd
    nesterov: bool = False  # of sgd
    weight_decay: float = 0.0
    clip: float = 0.25  # gradient norm over all parameters
    seed: int = 0
    precision: str = "fp32"  # of the model's layers: fp32, or bf16, which pays where matrix units have it
    compile: bool = False  # torch.compile; pays on long runs
    checkpoint_every: float = 20.0  # seconds between checkpoints, at epoch ends

    def __post_init__(self):
        for name in ("epochs", "batch_size", "lr", "clip"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be positive, got {getattr(self, name)}")
        if self.optimizer not in OPTIMIZERS:
            raise ValueError(f"optimizer is one of {', '.join(OPTIMIZERS)}, got {self.optimizer!r}")
        if self.precision not in PRECISIONS:
            raise ValueError(f"precision is one of {', '.join(PRECISIONS)}, got {self.precision!r}")

    @classmethod
    def of(cls, recipe: object, **more: Any) -> FitConfig:
        """What a recipe says by these fields' names, None being nothing; `more` overrules it."""
        said = {field.name: getattr(recipe, field.name, None) for field in fields(cls)}
        return cls(**{name: value for name, value in said.items() if value is not None} | more)


@dataclass(frozen=True)
class Solver:
    """A part of a recipe: how a network is trained that a paper trains otherwise than its other networks.

    An optimiser and its rate's steps; `Solver()` is Adam at a constant rate, without clipping.
    """

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
