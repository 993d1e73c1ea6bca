"""What a run leaves for others to go on from: weights, maps, logits. Locked, written whole, named by recipe *and* code.

A second stage that finds no first one makes it; one that older code left is never found. Files go after a day. One
that cannot be read back is set aside, with a warning, and made again.
"""

import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from filelock import FileLock
from torch import nn

from vqabook.evidence.record import key_of
from vqabook.files import save_whole

M = TypeVar("M", bound=nn.Module)


@dataclass(frozen=True)
class Stages:
    """The stages of one code in a folder of records."""

    folder: Path
    code: str

    def path(self, recipe: Mapping, what: str) -> Path:
        """Where `what` of a recipe lies; give every run that shares it the same recipe."""
        return self.folder / f"{key_of(recipe)}.{self.code}.{what}.stage"

    @contextmanager
    def lock(self, recipe: Mapping, what: str) -> Iterator[Path]:
        """`path`, which no other process makes or reads meanwhile."""
        path = self.path(recipe, what)
        with FileLock(f"{path}.lock"):
            yield path

    def go_on(self, model: M, recipe: Mapping, train: Callable[[M, Path], object], *, anew: bool = False) -> object:
        """Give `model` the weights that a run of `recipe` left; none did, or `anew`: `train(model, checkpoint)` first.

        Returns what `train` did, or None.
        """
        with self.lock(recipe, "weights") as path:
            if not anew and (weights := load_or_set_aside(path)) is not None:
                model.load_state_dict(weights)
                return None
            trained = train(model, path.with_suffix(".checkpoint"))
            save_whole(model.state_dict(), path)
            return trained


@dataclass(frozen=True)
class Scratch:
    """A run's files beside its record: its own checkpoint, and the stages that it shares with others."""

    checkpoint: Path
    stages: Stages


def load_or_set_aside(path: Path) -> Any:
    """What `save_whole` wrote, on the CPU; None if it is not there or cannot be read back."""
    if not path.exists():
        return None
    with path.open("rb") as file:  # who may not read it hears so
        try:
            return torch.load(file, map_location="cpu", weights_only=True)
        except MemoryError:
            raise
        except Exception as error:  # whatever damaged bytes lead to
            set_aside(path, error)
    return None


def set_aside(path: Path, error: Exception) -> None:
    """Rename a file that cannot be read back, and say so in a sentence."""
    damaged = path.with_name(f"{path.name}.damaged")
    with suppress(FileNotFoundError):  # another process was first
        path.replace(damaged)
    reason = str(error).partition("\n")[0] or type(error).__name__
    warnings.warn(
        f"what a run leaves can be read back: {path} cannot ({reason}), is now {damaged.name}, and is made again",
        stacklevel=3,
    )
