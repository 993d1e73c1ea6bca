"""The baseline of the attention paper: the model that is probed, and that a supervised run starts as."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from vqabook.core import Table
from vqabook.losses.soft import annotator_weights
from vqabook.models.attentive_san import AttentiveSan, AttentiveSanConfig
from vqabook.models.small_cnn import SmallCnn, SmallCnnConfig
from vqabook.models.text import SelfAttentiveText, TextConfig
from vqabook.objectives.attention import HopPenalty
from vqabook.objectives.base import Objective
from vqabook.objectives.classification import AnnotatorCrossEntropy, CrossEntropy
from vqabook.papers.attention_supervision.evaluation import Watched
from vqabook.papers.attention_supervision.examples import Examples, glove_vectors
from vqabook.papers.attention_supervision.recipes import Run
from vqabook.training.best import BestEpoch
from vqabook.training.fit import FitConfig, fit
from vqabook.training.stages import Stages

NO_CLIP = float("inf")  # the paper names no clipping


def build(run: Run, examples: Examples, data_root: Path | None) -> nn.Module:
    """The model of a run, freshly initialised from its seed."""
    sizes, table, n_words = dict(run.model), examples.train, len(examples.words) + 2
    with torch.random.fork_rng():
        torch.manual_seed(run.seed)
        if run.task == "image":
            _, channels, _, side = table.inputs[0].shape
            model: nn.Module = SmallCnn(SmallCnnConfig(table.n_classes, side=side, channels=channels, **sizes))
        elif run.task == "vqa":
            feature = examples.task.features.width
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
    return replace(table, target=table.target.answer, side=side)


def fit_best(
    model: nn.Module, objective: Objective, run: Run, table: Table, examples: Examples, checkpoint: Path
) -> list[dict]:
    """The history of `model` trained on `table`; it ends with the weights that were best on held-out rows."""
    config = FitConfig(
        epochs=run.epochs,
        batch_size=run.batch_size,
        optimizer="adam",
        lr=run.lr,
        clip=NO_CLIP,
        seed=run.seed,
        bf16=table.device.type == "cuda",
    )
    best = BestEpoch.begin(Watched(examples), checkpoint)
    label = f"{run.variant}, seed {run.seed}"
    history = fit(model, objective, table, config, evaluate=best, checkpoint=checkpoint, label=label)
    best.restore(model)
    return history


def train_or_load(
    run: Run, examples: Examples, stages: Stages, data_root: Path | None, *, anew: bool = False
) -> tuple[nn.Module, list[dict] | None]:
    """The baseline of a run with the weights that another run left; none did, or `anew`: trained, with its history."""
    baseline = run.baseline

    def train(model: nn.Module, checkpoint: Path) -> list[dict]:
        return fit_best(model, plain_objective(baseline), baseline, training_table(examples), examples, checkpoint)

    model = build(baseline, examples, data_root)
    return model, stages.go_on(model, baseline.asked(), train, anew=anew)
