"""One training run of the loss re-scaling paper: UpDn with any of its modules; the run that every backbone shares."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from vqabook.data.sets import DataSpec, Task, load_task
from vqabook.losses.rescale import in_type, rescaling_weights
from vqabook.models.answer_mask import AnswerMask
from vqabook.models.updn import UpDn, UpDnConfig
from vqabook.objectives.base import Objective
from vqabook.objectives.rescaling import Criterion, LossRescaling, Plain
from vqabook.papers.loss_rescaling.evaluation import Diagnosis, counts_of, looks, score, statistics
from vqabook.papers.loss_rescaling.recipes import Run
from vqabook.papers.loss_rescaling.setting import Method
from vqabook.papers.paper import Recipe
from vqabook.training.fit import FitConfig, Stage, fit, pick_device, predict, select, soft_score
from vqabook.training.stages import Scratch, Stages

if TYPE_CHECKING:
    from jaxtyping import Int

    Build = Callable[[Run, Task, Int[Tensor, "q a"]], tuple[nn.Module, Objective]]

WEIGHT_DECAY = {"adamw": 0.01}  # LXMERT's release


def load(recipe: Recipe, data_root: Path | None, device: str) -> Task:
    """The data that a recipe names, on the device."""
    return load_task(DataSpec.of(recipe.data), data_root, pick_device(device))


def count(recipe: Recipe, scratch: Scratch, *, data_root: Path | None, device: str = "auto") -> dict:
    """What the answers look like before any training."""
    return statistics(load(recipe, data_root, device))


def train(recipe: Run, scratch: Scratch, *, data_root: Path | None, device: str = "auto") -> dict:
    """Train UpDn as a recipe says; the record's result."""
    return run(recipe, load(recipe, data_root, device), scratch, build)


def build(recipe: Run, task: Task, counts: Int[Tensor, "q a"]) -> tuple[nn.Module, Objective]:
    """UpDn and the objective of a recipe, freshly initialised from its seed; `counts` from `counts_of`."""
    m = recipe.method
    with torch.random.fork_rng():
        torch.manual_seed(recipe.seed)
        model = build_updn(recipe, task)
    objective = build_objective(Plain(m.loss, positive_only=m.positive_only), recipe, counts)
    return model.to(task.train.device), objective


def build_updn(recipe: Run, task: Task, *, more_words: int = 0) -> nn.Module:
    """UpDn in the recipe's sizes, behind the answer mask if it asks for one; `more_words` beyond the vocabulary."""
    m, n_answers = recipe.method, task.train.n_classes
    config = UpDnConfig(
        n_words=len(task.vocabulary.words) + 2 + more_words,
        n_answers=n_answers,
        feature=task.features.width,
        hidden=recipe.hidden,
        word=recipe.word,
        attention_dropout=recipe.attention_dropout,
    )
    if m.mask is None:
        return UpDn(config)
    options = {"activation": m.mask, "combine": m.mask_combine, "dropout": m.mask_dropout}
    return AnswerMask(UpDn(config), recipe.hidden, n_answers, **options)


def build_objective(criterion: Criterion, recipe: Run, counts: Int[Tensor, "q a"]) -> LossRescaling:
    """The criterion with the recipe's weights and schedule, and the mask loss."""
    m = recipe.method
    options = {"min_votes": m.min_votes, "cap": m.cap, "out_of_type": m.out_of_type}
    return LossRescaling(
        criterion,
        weight=rescaling_weights(counts, **options) if m.rescale else None,
        label=in_type(counts, min_votes=m.min_votes),
        after=0.0 if m.from_start else recipe.epochs / (recipe.epochs + recipe.rescale_epochs),
        mask_weight=m.mask_weight,
        mask_second_sigmoid=m.mask_second_sigmoid,
        mask_reduction=m.mask_reduction,
    )


def run(recipe: Run, task: Task, scratch: Scratch, build: Build) -> dict:
    """One training and everything the pages read off it."""
    m, counts = recipe.method, counts_of(task)
    model, objective = build(recipe, task, counts)
    core = model.model if isinstance(model, AnswerMask) else model
    diagnosis = None if recipe.backbone or m.mask or m.rescale else Diagnosis(task, m.loss)

    def evaluate(model: nn.Module) -> dict:
        tables = {"valid": task.valid, "test": task.test}
        soft = {name: 100 * float(predict(model, table, soft_score).mean()) for name, table in tables.items()}
        return soft | ({"mistakes": diagnosis.mistakes(model)} if diagnosis else {})

    history = fit(
        model,
        objective,
        task.train,
        fit_config(recipe, task.train.device),
        evaluate=evaluate,
        watch={"question": core.question_encoder.parameters(), "classifier": core.classifier.parameters()},
        checkpoint=scratch.checkpoint,
        stage=first_stage(recipe, scratch.stages),
        label=f"{recipe.variant}, {recipe.prior} priors, seed {recipe.seed}",
    )
    if diagnosis is None:  # the run that left its first stage may have been diagnosed
        history = [{k: v for k, v in row.items() if k != "mistakes"} for row in history]
    sizes = {"model": model, "question": core.question_encoder, "classifier": core.classifier}
    result = {
        "test": score(model, task, counts),
        "valid": history[-1]["valid"],
        "selection": select(history, first=recipe.epochs if m.rescale and not m.from_start else 0),
        "history": history,
        "parameters": {name: sum(p.numel() for p in part.parameters()) for name, part in sizes.items()},
        "looks": looks(model, task),
    }
    return result | ({"matrices": diagnosis.matrices(model)} if diagnosis else {})


def fit_config(recipe: Run, device: torch.device) -> FitConfig:
    """How both stages are trained; a backbone may have an optimiser of its own."""
    own = {name: getattr(recipe.backbone, name, None) for name in ("optimizer", "clip")}
    own = {name: value for name, value in own.items() if value is not None}
    decay = WEIGHT_DECAY.get(own.get("optimizer"), 0.0)
    return FitConfig.of(recipe, device, epochs=recipe.epochs + recipe.rescale_epochs, weight_decay=decay, **own)


def first_stage(recipe: Run, stages: Stages) -> Stage | None:
    """All epochs before weights count: common to every run that differs in its weights alone."""
    m, unweighted = recipe.method, Method()
    if m.from_start:
        return None
    unread = ["rescale", "out_of_type", "cap", "positive_only"] + ([] if m.mask else ["min_votes"])
    common = replace(m, **{name: getattr(unweighted, name) for name in unread})
    shared = replace(recipe, variant="first stage", method=common)
    return Stage(recipe.epochs, stages.path(shared.asked(), "state"), write=not m.rescale)
