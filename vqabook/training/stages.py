"""What a run leaves for others to go on from: weights, maps, logits. Locked, written whole, named by recipe *and* code.

A second stage that finds no first one makes it; one that older code left is never found. Files go after a day. One
that cannot be read back is set aside, with a warning, and made again.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar, overload

from filelock import FileLock
from torch import Tensor, nn

from vqabook.evidence.record import key_of
from vqabook.files import load_saved, read_or_set_aside, save_whole

M = TypeVar("M", bound=nn.Module)
T = TypeVar("T")


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

    @overload
    def go_on(self, model: M, recipe: Mapping, train: Callable[[M, Path], T], *, anew: Path) -> T: ...

    @overload
    def go_on(self, model: M, recipe: Mapping, train: Callable[[M, Path], T], *, anew: None = None) -> T | None: ...

    def go_on(self, model: M, recipe: Mapping, train: Callable[[M, Path], T], *, anew: Path | None = None) -> T | None:
        """Give `model` the weights that a run of `recipe` left; if none did, `train(model, checkpoint)` comes first.

        Returns what `train` did, or None. `anew`: the checkpoint of the very run that leaves them, which trains
        whatever is there, and whose checkpoint stays until its record is written.
        """
        with self.lock(recipe, "weights") as path:
            if anew is None:
                weights = read_or_set_aside(path, lambda path: check_state(load_saved(path), model.state_dict()))
                if weights is not None:
                    model.load_state_dict(weights)
                    return None
            checkpoint = anew or path.with_suffix(".checkpoint")
            trained = train(model, checkpoint)
            save_whole(model.state_dict(), path)
            if anew is None:
                for left in self.folder.glob(f"{key_of(recipe)}.*.weights.checkpoint"):  # of older code, too
                    left.unlink(missing_ok=True)
            return trained


@dataclass(frozen=True)
class Scratch:
    """A run's files beside its record: its own checkpoint, and the stages that it shares with others."""

    checkpoint: Path
    stages: Stages


def check_state(state: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """`state`, if it has the names, shapes and dtypes of a module's `own`; ValueError if not, before anything loads."""
    for name in own.keys() | state.keys():
        kinds = [(tuple(x[name].shape), x[name].dtype) if name in x else "no such" for x in (state, own)]
        if kinds[0] != kinds[1]:
            raise ValueError(f"weights are of this model: {name} is {kinds[0]}, expected {kinds[1]}")
    return state
