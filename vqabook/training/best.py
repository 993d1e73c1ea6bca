"""The weights of the epoch that was best on held-out rows, kept on disk while training goes on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from torch import nn

from vqabook.core import Table
from vqabook.files import save_whole
from vqabook.objectives.base import Objective
from vqabook.training.fit import FitConfig, fit
from vqabook.training.stages import load_or_set_aside


class BestEpoch:
    """Wraps what `fit` calls after every epoch, whose `valid` decides; the first of equals stays.

    A run that goes on from a checkpoint finds the best weights so far in `path`; `begin` forgets those of a run that
    does not, and a checkpoint whose best weights are lost. `restore` loads them into the model and takes the file away.
    """

    def __init__(self, evaluate: Callable[[nn.Module], dict], path: Path):
        self.evaluate, self.path = evaluate, path
        best = load_or_set_aside(path)
        self.highest = -float("inf") if best is None else best["valid"]

    @classmethod
    def begin(cls, evaluate: Callable[[nn.Module], dict], checkpoint: Path) -> BestEpoch:
        """Beside `checkpoint`, whose absence says that training starts anew."""
        path = checkpoint.with_name(f"{checkpoint.name}.best")
        if not checkpoint.exists():
            path.unlink(missing_ok=True)
        best = cls(evaluate, path)
        if not path.exists():
            checkpoint.unlink(missing_ok=True)
        return best

    def __call__(self, model: nn.Module) -> dict:
        scores = self.evaluate(model)
        if scores["valid"] > self.highest:
            self.highest = scores["valid"]
            save_whole({"valid": self.highest, "model": model.state_dict()}, self.path)
        return scores

    def restore(self, model: nn.Module) -> None:
        device = next(model.parameters()).device
        model.load_state_dict(torch.load(self.path, map_location=device, weights_only=True)["model"])
        self.path.unlink()


def fit_best(
    model: nn.Module,
    objective: Objective,
    train: Table,
    config: FitConfig,
    *,
    evaluate: Callable[[nn.Module], dict],
    checkpoint: Path,
    label: str,
) -> list[dict]:
    """`fit`, after which the model has the weights of the epoch that was best on held-out rows; its history."""
    best = BestEpoch.begin(evaluate, checkpoint)
    history = fit(model, objective, train, config, evaluate=best, checkpoint=checkpoint, label=label)
    best.restore(model)
    return history


def select(history: Sequence[Mapping], *, first: int) -> dict:
    """The last epoch, the best by validation and the best by test, with both soft scores (percent) at each.

    Only epochs after the `first` ones are chosen among: those of the second stage, where there are two. The best by
    test is what the released code reports; it is shown beside the others and chooses nothing here.
    """
    later = [{k: row[k] for k in ("epoch", "valid", "test")} for row in history[first:]]
    best = {f"best_by_{part}": max(later, key=lambda row, part=part: row[part]) for part in ("valid", "test")}
    return {"last": later[-1], **best}
