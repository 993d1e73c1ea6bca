"""The weights of the epoch that was best on held-out rows, kept on disk while training goes on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from torch import nn

from vqabook.files import save_whole


class BestEpoch:
    """Wraps what `fit` calls after every epoch, whose `valid` decides; the first of equals stays.

    A run that goes on from a checkpoint finds the best weights so far in `path`; `begin` forgets those of a run that
    does not. `restore` loads them into the model and takes the file away.
    """

    def __init__(self, evaluate: Callable[[nn.Module], dict], path: Path):
        self.evaluate, self.path = evaluate, path
        self.highest = torch.load(path, weights_only=True)["valid"] if path.exists() else -float("inf")

    @classmethod
    def begin(cls, evaluate: Callable[[nn.Module], dict], checkpoint: Path) -> BestEpoch:
        """Beside `checkpoint`, whose absence says that training starts anew."""
        path = checkpoint.with_name(f"{checkpoint.name}.best")
        if not checkpoint.exists():
            path.unlink(missing_ok=True)
        return cls(evaluate, path)

    def __call__(self, model: nn.Module) -> dict:
        found = self.evaluate(model)
        if found["valid"] > self.highest:
            self.highest = found["valid"]
            save_whole({"valid": found["valid"], "model": model.state_dict()}, self.path)
        return found

    def restore(self, model: nn.Module) -> None:
        device = next(model.parameters()).device
        model.load_state_dict(torch.load(self.path, map_location=device, weights_only=True)["model"])
        self.path.unlink()


def select(history: Sequence[Mapping], *, first: int) -> dict:
    """The last epoch, the best by validation and the best by test, with both soft scores (percent) at each.

    Only epochs after the `first` ones are chosen among: those of the second stage, where there are two. The best by
    test is what the released code reports; it is shown beside the others and chooses nothing here.
    """
    later = [{k: row[k] for k in ("epoch", "valid", "test")} for row in history[first:]]
    best = {f"best_by_{part}": max(later, key=lambda row, part=part: row[part]) for part in ("valid", "test")}
    return {"last": later[-1], **best}
