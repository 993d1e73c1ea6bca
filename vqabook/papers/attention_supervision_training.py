"""One training run of the attention paper, and what a record keeps of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch

from vqabook.evaluate import select
from vqabook.objectives.attention import AttentionLoss, AttentionSupervision
from vqabook.objectives.base import Objective
from vqabook.papers.attention_supervision_baseline import beside, build, fitted, keep, plain_objective, training_table
from vqabook.papers.attention_supervision_data import Examples
from vqabook.papers.attention_supervision_evaluation import shown
from vqabook.papers.attention_supervision_maps import maps_of, summary
from vqabook.papers.attention_supervision_setting import Supervision


def train(recipe: Mapping, examples: Examples, checkpoint: Path, data_root: Path | None) -> dict:
    """One training run and everything the page reads off it."""
    table, objective, maps = training_table(recipe, examples.train), plain_objective(recipe), {}
    model = build(recipe, examples, data_root)
    if recipe["supervision"] is not None:
        asked = Supervision(**recipe["supervision"])
        maps = {head: maps_of(head, asked.maps, recipe, examples, checkpoint, data_root) for head in asked.heads}
        side = {f"surrogate_{head}": found.attention.to(table.device) for head, found in maps.items()}
        table = replace(table, side={**table.side, **side})
        objective = supervised(objective, recipe, {head: found.attention.shape[1] for head, found in maps.items()})
    history = fitted(model, objective, recipe, table, examples, checkpoint)
    if recipe["supervision"] is None:
        keep(model, beside(recipe, checkpoint, "weights"))
    selection, scores = select(history, first=0), [row.pop("scores") for row in history]
    return {
        "test": scores[selection["best_by_valid"]["epoch"] - 1],
        "selection": selection,
        "surrogates": {head: summary(found) for head, found in maps.items()},
        "shown": shown(model, examples),
        "parameters": {"model": sum(p.numel() for p in model.parameters())},
        "history": history,
    }


def supervised(objective: Objective, recipe: Mapping, width: Mapping[str, int]) -> AttentionSupervision:
    """The objective with the loss of the recipe on each of its heads, whose maps have so many regions or words."""
    asked, sizes = Supervision(**recipe["supervision"]), recipe["model"]
    hidden = sizes["wide"] if recipe["task"] == "text" else sizes["hidden"]
    more = {"bandwidth": recipe["bandwidth"], "given": hidden if asked.given else 0}
    with torch.random.fork_rng():
        torch.manual_seed(recipe["seed"])
        losses = {head: AttentionLoss(asked.loss, width=n, **more) for head, n in width.items()}
    return AttentionSupervision(objective, losses, recipe["weights"])
