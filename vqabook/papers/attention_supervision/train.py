"""One training run of the attention paper, and what a record keeps of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from vqabook.core import Table
from vqabook.objectives.attention import AttentionLoss, AttentionSupervision
from vqabook.papers.attention_supervision.baseline import (
    build,
    fitted,
    plain_objective,
    trained_baseline,
    training_table,
)
from vqabook.papers.attention_supervision.evaluation import shown
from vqabook.papers.attention_supervision.examples import Examples
from vqabook.papers.attention_supervision.maps import maps_of, summary
from vqabook.papers.attention_supervision.setting import Supervision
from vqabook.training.best import select

TINY = 1e-9  # a loss below it is none
SCALED_ON = 8  # batches on which both losses are brought to one scale


def train(recipe: Mapping, examples: Examples, checkpoint: Path, data_root: Path | None) -> dict:
    """One training run and everything the page reads off it."""
    maps, about = {}, {}
    if recipe["supervision"] is None:
        model, history = trained_baseline(recipe, examples, checkpoint, data_root)
    else:
        asked = Supervision(**recipe["supervision"])
        maps = {head: maps_of(head, asked.maps, recipe, examples, checkpoint, data_root) for head in asked.heads}
        model, table = build(recipe, examples, data_root), training_table(recipe, examples.train)
        side = {f"surrogate_{head}": found.attention.to(table.device) for head, found in maps.items()}
        table = replace(table, side={**table.side, **side})
        objective = supervised(recipe, model, table)
        about = {"weights": objective.weights}
        history = fitted(model, objective, recipe, table, examples, checkpoint)
    selection, scores = select(history, first=0), [row.pop("scores") for row in history]
    return {
        "test": scores[selection["best_by_valid"]["epoch"] - 1],
        "selection": selection,
        "surrogates": {head: summary(found) for head, found in maps.items()},
        **about,
        "shown": shown(model, examples),
        "parameters": {"model": sum(p.numel() for p in model.parameters())},
        "history": history,
    }


def supervised(recipe: Mapping, model: nn.Module, table: Table) -> AttentionSupervision:
    """The recipe's objective for a model that is yet to be trained; γ and β bring the losses to the recipe's shares."""
    asked, sizes = Supervision(**recipe["supervision"]), recipe["model"]
    more = {"bandwidth": recipe["bandwidth"], "paired": asked.paired, "given": sizes["hidden"] if asked.given else 0}
    with torch.random.fork_rng():
        torch.manual_seed(recipe["seed"] + 1)  # not the model's own numbers
        losses = {
            head: AttentionLoss(asked.loss, width=table.side[f"surrogate_{head}"].shape[1], **more)
            for head in asked.heads
        }
    objective = AttentionSupervision(plain_objective(recipe), losses, dict.fromkeys(losses, 0.0)).to(table.device)
    plain, each = means(objective, model, table, recipe["batch_size"])
    objective.weights = {head: recipe["shares"][head] * plain / max(each[head], TINY) for head in losses}
    return objective


@torch.no_grad()
def means(
    objective: AttentionSupervision, model: nn.Module, table: Table, batch_size: int
) -> tuple[float, dict[str, float]]:
    """The mean of the loss without supervision and of each loss on attention, over some random batches."""
    rows = torch.randperm(len(table), generator=torch.Generator().manual_seed(0))[: SCALED_ON * batch_size]
    model.eval()
    found = []
    for some in rows.to(table.device).split(batch_size):
        batch = table.batch(some)
        each = objective.each(model(*batch.inputs), batch)
        plain = next(iter(objective.objective.steps(model, batch, 0.0)))
        found.append([float(loss.mean()) for loss in (plain, *each.values())])
    plain, *rest = (sum(column) / len(found) for column in zip(*found, strict=True))
    return plain, dict(zip(objective.losses, rest, strict=True))
