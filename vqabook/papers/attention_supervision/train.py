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
    fit_best,
    plain_objective,
    train_or_load,
    training_table,
)
from vqabook.papers.attention_supervision.evaluation import describe_examples
from vqabook.papers.attention_supervision.examples import load_examples
from vqabook.papers.attention_supervision.maps import UNTRIED, make_maps, summarise
from vqabook.papers.attention_supervision.recipes import Run
from vqabook.surrogates.probing import Surrogates
from vqabook.training.best import select
from vqabook.training.fit import pick_device
from vqabook.training.stages import Scratch

TINY = 1e-9  # a loss below it is none
SCALED_ON = 8  # batches on which both losses are brought to one scale


def train(run: Run, scratch: Scratch, *, data_root: Path | None, device: str = "auto") -> dict:
    """One training run and everything the page reads off it."""
    examples = load_examples(run.task, run.data, run.seed, data_root, pick_device(device))
    maps: dict[str, Surrogates] = {}
    weights = {}
    if run.supervision is None:
        model, history = train_or_load(run, examples, scratch.stages, data_root, anew=True)
    else:
        model = build(run, examples, data_root)
        probed = model
        if run.supervision.maps not in UNTRIED:
            probed, _ = train_or_load(run, examples, scratch.stages, data_root)
        maps = {head: make_maps(head, run, probed, examples, scratch.stages) for head in run.supervision.heads}
        table = with_surrogates(training_table(examples), maps)
        objective = supervise(run, model, table)
        weights = {"weights": objective.weights}
        history = fit_best(model, objective, run, table, examples, scratch.checkpoint)
    selection, scores = select(history, first=0), [row.pop("scores") for row in history]
    return {
        "test": scores[selection["best_by_valid"]["epoch"] - 1],
        "selection": selection,
        "surrogates": {head: summarise(found) for head, found in maps.items()},
        **weights,
        "shown": describe_examples(model, examples),
        "parameters": {"model": sum(p.numel() for p in model.parameters())},
        "history": history,
    }


def with_surrogates(table: Table, maps: Mapping[str, Surrogates]) -> Table:
    """A table whose rows carry the maps that supervise each head."""
    side = {f"surrogate_{head}": surrogate.attention.to(table.device) for head, surrogate in maps.items()}
    return replace(table, side={**table.side, **side})


def supervise(run: Run, model: nn.Module, table: Table) -> AttentionSupervision:
    """A run's objective for a model that is yet to be trained; γ and β bring the losses to the run's shares."""
    asked = run.supervision
    how = {"bandwidth": run.bandwidth, "paired": asked.paired, "given": model.config.hidden if asked.given else 0}
    with torch.random.fork_rng():
        torch.manual_seed(run.seed + 1)  # not the model's own numbers
        losses = {
            head: AttentionLoss(asked.loss, width=table.side[f"surrogate_{head}"].shape[1], **how)
            for head in asked.heads
        }
    objective = AttentionSupervision(plain_objective(run), losses, dict.fromkeys(losses, 0.0)).to(table.device)
    plain, each = average_losses(objective, model, table, run.batch_size)
    objective.weights = {head: run.shares[head] * plain / max(each[head], TINY) for head in losses}
    return objective


@torch.no_grad()
def average_losses(
    objective: AttentionSupervision, model: nn.Module, table: Table, batch_size: int
) -> tuple[float, dict[str, float]]:
    """The mean of the loss without supervision and of each loss on attention, over some random batches."""
    rows = torch.randperm(len(table), generator=torch.Generator().manual_seed(0))[: SCALED_ON * batch_size]
    model.eval()
    means = []
    for part in rows.to(table.device).split(batch_size):
        batch = table.batch(part)
        each = objective.each(model(*batch.inputs), batch)
        plain = next(iter(objective.objective.steps(model, batch, 0.0)))
        means.append([float(loss.mean()) for loss in (plain, *each.values())])
    plain, *rest = (sum(column) / len(means) for column in zip(*means, strict=True))
    return plain, dict(zip(objective.losses, rest, strict=True))
