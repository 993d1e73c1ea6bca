"""The baseline of the attention paper: the model that is probed, and that a supervised run starts as."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
from filelock import FileLock
from torch import nn

from vqabook.core import Table
from vqabook.evidence.record import key_of
from vqabook.files import save_whole
from vqabook.losses.soft import annotator_weights
from vqabook.models.attentive_san import AttentiveSan, AttentiveSanConfig
from vqabook.models.small_cnn import SmallCnn, SmallCnnConfig
from vqabook.models.text import SelfAttentiveText, TextConfig
from vqabook.objectives.attention import HopPenalty
from vqabook.objectives.base import Objective
from vqabook.objectives.classification import AnnotatorCrossEntropy, CrossEntropy
from vqabook.papers.attention_supervision.evaluation import Watched
from vqabook.papers.attention_supervision.examples import Examples, glove_vectors
from vqabook.training.best import BestEpoch
from vqabook.training.fit import FitConfig, fit

NO_CLIP = float("inf")  # the paper names no clipping
SUPERVISED = ("supervision", "shares", "bandwidth", "masks", "probed")  # what a recipe has beyond its baseline's


def build(recipe: Mapping, examples: Examples, data_root: Path | None) -> nn.Module:
    """The model of a recipe, freshly initialised from its seed."""
    sizes, table = dict(recipe["model"]), examples.train
    with torch.random.fork_rng():
        torch.manual_seed(recipe["seed"])
        if recipe["task"] == "image":
            images = table.inputs[0]
            sizes |= {"side": images.shape[-1], "channels": images.shape[1]}
            model: nn.Module = SmallCnn(SmallCnnConfig(table.n_classes, **sizes))
        elif recipe["task"] == "vqa":
            n_words, feature = len(examples.words) + 2, examples.task.features.width
            model = AttentiveSan(AttentiveSanConfig(n_words, table.n_classes, feature=feature, **sizes))
        else:
            glove, n_words = sizes.pop("glove"), len(examples.words) + 2
            vectors = glove_vectors(examples.words, sizes["word"], recipe["seed"], data_root) if glove else None
            model = SelfAttentiveText(TextConfig(n_words, table.n_classes, **sizes), vectors)
    return model.to(table.device)


def plain_objective(recipe: Mapping) -> Objective:
    """L_c (Eq. 2): over the annotators' answers, or one label; with the penalty on hops where it is asked for."""
    objective: Objective = AnnotatorCrossEntropy() if recipe["task"] == "vqa" else CrossEntropy()
    return HopPenalty(objective, recipe["hop_penalty"]) if recipe.get("hop_penalty") else objective


def training_table(recipe: Mapping, table: Table) -> Table:
    """`table` as the objective reads it."""
    if recipe["task"] != "vqa":
        return table
    side = {**table.side, "weight": annotator_weights(table.side["votes"])}
    return replace(table, target=table.target.answer, side=side)


def fitted(
    model: nn.Module, objective: Objective, recipe: Mapping, table: Table, examples: Examples, checkpoint: Path
) -> list[dict]:
    """The history of `model` trained on `table`; it ends with the weights that were best on held-out rows."""
    names = ("epochs", "batch_size", "lr", "seed")
    config = FitConfig(
        **{name: recipe[name] for name in names}, optimizer="adam", clip=NO_CLIP, bf16=table.device.type == "cuda"
    )
    label = f"{recipe['variant']}, seed {recipe['seed']}"
    best = BestEpoch.begin(Watched(examples), checkpoint)
    history = fit(model, objective, table, config, evaluate=best, checkpoint=checkpoint, label=label)
    best.restore(model)
    return history


def trained_baseline(
    recipe: Mapping, examples: Examples, checkpoint: Path, data_root: Path | None
) -> tuple[nn.Module, list[dict]]:
    """Model and history of a baseline's own run, whose weights are left for the runs that need them."""
    model, weights = build(recipe, examples, data_root), beside(recipe, checkpoint, "weights")
    with FileLock(f"{weights}.lock"):
        table = training_table(recipe, examples.train)
        history = fitted(model, plain_objective(recipe), recipe, table, examples, checkpoint)
        save_whole(model.state_dict(), weights)
    return model, history


def baseline(recipe: Mapping, examples: Examples, checkpoint: Path, data_root: Path | None) -> nn.Module:
    """The trained baseline of a recipe: read, or trained where no run left it."""
    plain, weights = baseline_of(recipe), beside(recipe, checkpoint, "weights")
    model = build(plain, examples, data_root)
    with FileLock(f"{weights}.lock"):
        if weights.exists():
            model.load_state_dict(torch.load(weights, map_location=examples.train.device, weights_only=True))
        else:
            table = training_table(plain, examples.train)
            fitted(model, plain_objective(plain), plain, table, examples, weights.with_suffix(".checkpoint"))
            save_whole(model.state_dict(), weights)
    return model


def baseline_of(recipe: Mapping) -> dict:
    """The recipe of the run whose maps supervise this one, whatever it is called."""
    plain = {k: v for k, v in recipe.items() if k not in SUPERVISED}
    return plain | {"kind": "train", "variant": f"{recipe['task']} baseline", "supervision": None}


def beside(recipe: Mapping, checkpoint: Path, what: str) -> Path:
    """A file that runs with the same baseline share; it goes the way of stages."""
    return checkpoint.with_name("".join([key_of(baseline_of(recipe)), *checkpoint.suffixes, f".{what}.stage"]))
