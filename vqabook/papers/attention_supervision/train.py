"""Runs of the attention paper: baselines, whose weights are left for others, their probes, supervised attention."""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, overload

import torch
from torch import nn

from vqabook.core import Table, pick_device
from vqabook.data.glove import glove_vectors
from vqabook.losses.soft import annotator_weights
from vqabook.models.images import SmallCnn, SmallCnnConfig
from vqabook.models.san import AttentiveSan, AttentiveSanConfig
from vqabook.models.words import SelfAttentiveText, TextConfig
from vqabook.objectives.attention import AttentionLoss, AttentionSupervision, HopPenalty
from vqabook.objectives.base import AnnotatorCrossEntropy, CrossEntropy, Objective
from vqabook.papers.attention_supervision.evaluation import describe_examples, score_epoch
from vqabook.papers.attention_supervision.examples import Examples, load_examples
from vqabook.papers.attention_supervision.maps import UNTRIED, check_maps, draw_masks, make_maps, read_masks, summarise
from vqabook.papers.attention_supervision.recipes import Probing, Run
from vqabook.training.fit import NO_CLIP, FitConfig, fit_best, select
from vqabook.training.stages import Scratch, Stages

TINY = 1e-9  # a loss below it is none
SCALED_ON = 8  # batches on which both losses are brought to one scale


def train(run: Run, scratch: Scratch, *, data_root: Path | None, device: str = "auto") -> dict:
    """One training run and everything the page reads off it."""
    examples = load_examples(run.task, run.data, run.seed, data_root, pick_device(device))
    if run.supervision is None:
        model, history = train_or_load(run, examples, scratch.stages, data_root, anew=scratch.checkpoint)
        about: dict = {"surrogates": {}}
    else:
        model, history, about = train_supervised(run, examples, scratch, data_root)
    selection, scores = select(history, first=0), [row.pop("scores") for row in history]
    return {
        "test": scores[selection["best_by_valid"]["epoch"] - 1],
        "selection": selection,
        **about,
        "shown": describe_examples(model, examples),
        "parameters": {"model": sum(p.numel() for p in model.parameters())},
        "history": history,
    }


def prepare(run: Run, *, data_root: Path | None, device: str = "auto") -> None:
    """Build what a run trains and what it is judged by: whatever cannot be raises now."""
    examples = load_examples(run.task, run.data, run.seed, data_root, pick_device(device))
    model = build(run, examples, data_root)
    if run.supervision is not None:
        check_maps(run, examples)
    for asked in (run.masks or {}).values():
        draw_masks(asked, model, examples, run.seed)


def probe(run: Probing, scratch: Scratch, *, data_root: Path | None, device: str = "auto") -> dict:
    """What masks do to the run's baseline on `probed` training examples."""
    examples = load_examples(run.task, run.data, run.seed, data_root, pick_device(device))
    return read_masks(run, train_or_load(run, examples, scratch.stages, data_root)[0], examples)


def train_supervised(
    run: Run, examples: Examples, scratch: Scratch, data_root: Path | None
) -> tuple[nn.Module, list[dict], dict]:
    """The model of a run that maps supervise, its history, and what those maps and their losses' weights are."""
    model, asked = build(run, examples, data_root), run.supervised
    probed = model if asked.maps in UNTRIED else train_or_load(run, examples, scratch.stages, data_root)[0]
    maps = {head: make_maps(head, run, probed, examples, scratch.stages) for head in asked.heads}
    table = training_table(examples)
    side = {f"surrogate_{head}": surrogate.attention.to(table.device) for head, surrogate in maps.items()}
    table = replace(table, side={**table.side, **side})
    objective = supervise(run, model, table)
    history = fit_run(model, objective, run, table, examples, scratch.checkpoint)
    summaries = {head: summarise(surrogate) for head, surrogate in maps.items()}
    return model, history, {"surrogates": summaries, "weights": objective.weights}


def supervise(run: Run, model: nn.Module, table: Table) -> AttentionSupervision:
    """A run's objective for a model that is yet to be trained; γ and β bring the losses to the run's shares."""
    asked, shares = run.supervised, run.shares or {}
    how: dict[str, Any] = {"bandwidth": run.bandwidth, "paired": asked.paired}
    how["given"] = run.model["hidden"] if asked.given else 0  # the width of the question's encoding
    with torch.random.fork_rng():
        torch.manual_seed(run.seed + 1)  # not the model's own numbers
        losses = {
            head: AttentionLoss(asked.loss, width=table.side[f"surrogate_{head}"].shape[1], **how)
            for head in asked.heads
        }
    objective = AttentionSupervision(plain_objective(run), losses, dict.fromkeys(losses, 0.0)).to(table.device)
    plain, each = average_losses(objective, model, table, run.batch_size)
    objective.weights = {head: shares[head] * plain / max(each[head], TINY) for head in losses}
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


def build(run: Run, examples: Examples, data_root: Path | None) -> nn.Module:
    """The model of a run, freshly initialised from its seed."""
    sizes, table, n_words = dict(run.model), examples.train, len(examples.words) + 2
    with torch.random.fork_rng():
        torch.manual_seed(run.seed)
        if run.task == "image":
            _, channels, _, side = table.inputs[0].shape
            model: nn.Module = SmallCnn(SmallCnnConfig(table.n_classes, side=side, channels=channels, **sizes))
        elif run.task == "vqa":
            feature = examples.vqa.features.width
            model = AttentiveSan(AttentiveSanConfig(n_words, table.n_classes, feature=feature, **sizes))
        else:
            glove = sizes.pop("glove")
            vectors = glove_vectors(examples.words, sizes["word"], run.seed, data_root) if glove else None
            model = SelfAttentiveText(TextConfig(n_words, table.n_classes, **sizes), vectors)
    return model.to(table.device)


def plain_objective(run: Run) -> Objective:
    """L_c (Eq. 2): over the annotators' answers, or one label; with the penalty on hops where it is asked for."""
    objective: Objective = AnnotatorCrossEntropy() if run.task == "vqa" else CrossEntropy()
    return HopPenalty(objective, run.hop_penalty) if run.hop_penalty else objective


def training_table(examples: Examples) -> Table:
    """Train as the objective reads it."""
    table = examples.train
    if examples.task is None:
        return table
    side = {**table.side, "weight": annotator_weights(table.side["votes"])}
    return replace(table, target=table.scores.answer, side=side)


def fit_run(
    model: nn.Module, objective: Objective, run: Run, table: Table, examples: Examples, checkpoint: Path
) -> list[dict]:
    """The history of `model` trained on `table`; it ends with the weights that were best on held-out rows."""
    config = FitConfig.of(run, optimizer="adam", clip=NO_CLIP)
    evaluate = partial(score_epoch, examples=examples)
    return fit_best(model, objective, table, config, evaluate=evaluate, checkpoint=checkpoint, label=run.label)


@overload
def train_or_load(
    run: Run, examples: Examples, stages: Stages, data_root: Path | None, *, anew: Path
) -> tuple[nn.Module, list[dict]]:
    """Always trained."""


@overload
def train_or_load(
    run: Run, examples: Examples, stages: Stages, data_root: Path | None, *, anew: None = None
) -> tuple[nn.Module, list[dict] | None]:
    """Trained if no other run left its weights."""


def train_or_load(
    run: Run, examples: Examples, stages: Stages, data_root: Path | None, *, anew: Path | None = None
) -> tuple[nn.Module, list[dict] | None]:
    """The baseline of a run with the weights that another run left; none did, or `anew`: trained, with its history."""
    baseline = run.baseline

    def train(model: nn.Module, checkpoint: Path) -> list[dict]:
        return fit_run(model, plain_objective(baseline), baseline, training_table(examples), examples, checkpoint)

    model = build(baseline, examples, data_root)
    return model, stages.go_on(model, baseline.asked(), train, anew=anew)
