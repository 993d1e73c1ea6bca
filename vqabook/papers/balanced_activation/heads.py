"""Heads of every rule (`arena.heads`) on frozen features: trained at once on one tail, judged on the same test rows."""

from __future__ import annotations

import math
from pathlib import Path

import torch
from jaxtyping import Float, Int
from torch import Tensor

from vqabook import files
from vqabook.arena.heads import (
    EVEN,
    GROUPS,
    NO_PROBABILITIES,
    Answers,
    average_classes,
    classify,
    judge,
    know_priors,
    list_rules,
)
from vqabook.core import Table, pick_device
from vqabook.data.frozen import cut_tail
from vqabook.data.sampling import DrawEvenly
from vqabook.metrics.classes import groups_of
from vqabook.metrics.priors import priors_of
from vqabook.models.side_by_side import Heads
from vqabook.objectives.side_by_side import AllRules
from vqabook.papers.balanced_activation.head_recipes import HeadsRun, frozen_of
from vqabook.training.fit import NO_CLIP, FitConfig, Schedule, fit
from vqabook.training.stages import Scratch

BELIEVED = {"uniform": "", "training": "_training"}  # prior -> the ending of its calibration's names


def train(recipe: HeadsRun, scratch: Scratch, *, data_root: Path | None, device: str = "auto") -> dict:
    """One tail: heads of all rules, judged on the same test rows."""
    frozen = frozen_of(recipe, files.data_root(data_root))
    rows, sizes = cut_tail(frozen, recipe.data.imbalance, recipe.seed)
    counts, labels = torch.tensor(sizes), torch.from_numpy(frozen.labels[rows])
    shown = torch.from_numpy(frozen.train[rows]).float()
    mean, std = shown.mean(0), shown.std(0).clamp(min=1e-3)
    x, test = (shown - mean) / std, (torch.from_numpy(frozen.test).float() - mean) / std
    picked, truth = pick_device(device), torch.from_numpy(frozen.truth)
    with torch.random.fork_rng():
        torch.manual_seed(recipe.seed)
        heads = Heads(x.shape[1], recipe.classes, GROUPS).to(picked)
    history = fit_heads(heads, recipe, x.to(picked), labels.to(picked), counts, scratch.checkpoint)
    heads = heads.cpu()
    priors, groups = priors_of(counts), groups_of(counts, recipe.many, recipe.few)
    judged = {
        name: judge(Answers.of(logits, truth), truth, priors, groups, {} if name in NO_PROBABILITIES else BELIEVED)
        for name, logits in classify(heads, test, counts, average_classes([(x, labels)], counts)).items()
    }
    judged |= know_priors(heads, test, truth, counts)
    with torch.no_grad():
        learnt = {name: _percent(logits.argmax(1) == labels) for name, logits in heads.logits(x).items()}
    return {"rows": judged, "learnt": learnt, "parameters": x.shape[1] * recipe.classes, "history": history}


def prepare(recipe: HeadsRun, *, data_root: Path | None, device: str = "auto") -> None:
    """Read what a run reads: whatever cannot be raises now."""
    frozen_of(recipe, files.data_root(data_root))


def fit_heads(
    heads: Heads,
    recipe: HeadsRun,
    x: Float[Tensor, "n d"],
    labels: Int[Tensor, " n"],
    counts: Int[Tensor, " c"],
    checkpoint: Path,
) -> list[dict]:
    """Train all heads; their history."""
    rows = torch.arange(len(x), device=x.device)
    lookup = DrawEvenly(x, labels.argsort(stable=True), counts.to(x.device))
    table = Table((rows,), labels, recipe.classes, lookup=lookup)
    epochs = max(1, round(recipe.steps / math.ceil(len(x) / recipe.batch_size)))
    config = FitConfig.of(recipe, epochs=epochs, optimizer="adam", schedule=Schedule(cosine=True), clip=NO_CLIP)
    objective = AllRules(list_rules(counts), recipe.decay, even=EVEN)
    return fit(heads, objective, table, config, checkpoint=checkpoint, keep=True, label=recipe.label)


def _percent(hit: Tensor) -> float:
    return 100 * float(hit.double().mean())
