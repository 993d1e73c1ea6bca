"""One classifier of images of the balanced-activation paper: its tail, its rule, and how it is judged."""

import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vqabook import files
from vqabook.core import Table, pick_device
from vqabook.data.auto_augment import Augment, AutoAugment
from vqabook.data.image_tables import Division, divide
from vqabook.data.sampling import class_balanced_order
from vqabook.losses.longtail import adjust, log_counts
from vqabook.metrics.classes import accuracies, marginal
from vqabook.models.heads import CosineClassifier, Decoupled, ScaledClassifier
from vqabook.models.images import ResNet, ResNetConfig
from vqabook.objectives.base import Objective
from vqabook.objectives.longtail import SCALE, LabelLoss, Rule, long_tail, start_rare
from vqabook.objectives.meta_sampler import MetaSampler
from vqabook.papers.balanced_activation.recipes import Row, Run
from vqabook.papers.balanced_activation.setting import DROPS, Method
from vqabook.training.fit import NO_CLIP, FitConfig, Schedule, fit, predict
from vqabook.training.stages import Scratch

START = 0.5  # of the warm-up: release, 0.05 to 0.1
PADDING, HOLE = 4, 16  # pixels: release
SHIFT = 1  # of digits of 8 pixels: ours


def train(recipe: Run, scratch: Scratch, *, data_root: Path | None, device: str = "auto") -> dict:
    """One training run and everything the page reads off it."""
    data = divide(recipe.data, files.data_root(data_root)).to(pick_device(device))
    fit_row, network = partial(fit_network, data=data), build(recipe, data)
    model, history = fit_stages(network, recipe, fit_row, scratch, renew=lambda: build(recipe, data).classifier)
    counts, truth, bounds = torch.from_numpy(data.frequency), data.held_out.labels.cpu(), (recipe.many, recipe.few)
    logits = classify(model, data.held_out, recipe)
    result = {"test": accuracies(logits, truth, counts, *bounds), "marginal": marginal(logits)}
    if recipe.method == Run.FIRST:
        result["adjusted"] = accuracies(adjust(logits, log_counts(counts)), truth, counts, *bounds)
    if recipe.method.draw == "learnt":
        first, *_, rarest = history[-1]["rates"]
        result["rates"] = {"first": first, "rarest": rarest}
    learnt = accuracies(classify(model, data.train, recipe), data.train.labels.cpu(), counts, *bounds)
    return result | {
        "train": learnt,
        "best_on_test": max((row["test_accuracy"] for row in history if "test_accuracy" in row), default=None),
        "parameters": sum(p.numel() for p in model.parameters()),
        "history": history,
    }


def prepare(recipe: Run, *, data_root: Path | None, device: str = "auto") -> None:
    """Build what a run trains and what it is judged by: whatever cannot be raises now."""
    data = divide(recipe.data, files.data_root(data_root)).to(pick_device(device))
    build(recipe, data)
    build_objective(recipe, data)


def fit_stages(
    model: nn.Module, recipe: Row, fit_row: Callable[..., list[dict]], scratch: Scratch, renew: Callable[[], nn.Module]
) -> tuple[nn.Module, list[dict]]:
    """`model` as trained, with its history; a second stage trains the classifier alone, on the first one's features.

    `fit_row(model, checkpoint, recipe=...)` trains, `renew` makes a new classifier; LWS scales the first one.
    """
    if not recipe.shares:
        return model, fit_row(model, scratch.checkpoint, recipe=recipe)
    first, alone = recipe.first_stage(), recipe.method.second is None
    fit_first = partial(fit_row, recipe=first)
    if alone:
        return model, scratch.stages.go_on(model, first.asked(), fit_first, anew=scratch.checkpoint)
    scratch.stages.go_on(model, first.asked(), fit_first)
    classifier = _scaled(model.get_submodule("classifier")) if recipe.method.second == "lws" else renew()
    decoupled = Decoupled(model, classifier.to(next(model.parameters()).device))
    return decoupled, fit_row(decoupled, scratch.checkpoint, recipe=recipe)


def _scaled(classifier: nn.Module) -> ScaledClassifier:
    if not isinstance(classifier, nn.Linear):
        raise ValueError(f"scales are a linear classifier's, got {type(classifier).__name__}; train it by another rule")
    return ScaledClassifier(classifier)


def build(recipe: Run, data: Division) -> ResNet:
    """The network of a recipe, freshly initialised from its seed; with cosines where margins need them."""
    images, n, rule = data.train.inputs[0], len(data.names), recipe.method.rule
    shape = {name: getattr(recipe, name) for name in ("depth", "width", "stem_stride")}
    with torch.random.fork_rng():
        torch.manual_seed(recipe.seed)
        model = ResNet(ResNetConfig(n, channels=images.shape[1], **shape))
        if rule.startswith("ldam"):
            model.register_module("classifier", CosineClassifier(model.classifier.in_features, n))
    if rule.endswith("sigmoid"):
        start_rare(model.classifier, n)
    return model.to(images.device, memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch has it


def rule_of(method: Method) -> Rule:
    """The rule of a row; whoever takes it checks it."""
    return cast(Rule, method.rule)


def build_objective(recipe: Run, data: Division) -> LabelLoss:
    """The rule of a row, by the training counts; a control's are another class'."""
    counts = torch.from_numpy(data.frequency)
    if recipe.method.dealt:
        generator = torch.Generator().manual_seed(recipe.seed)
        counts = counts[torch.randperm(len(counts), generator=generator)]
    return long_tail(rule_of(recipe.method), counts, exponent=recipe.method.exponent)


def fit_network(model: nn.Module, checkpoint: Path, recipe: Run, data: Division) -> list[dict]:
    """Train what of `model` has gradients; its history, judged on test after every epoch, with learnt rates (%)."""
    table, labels = replace(data.train, lookup=augment(recipe.augment, data.train)), data.train.labels.cpu()
    objective: Objective = (rule := build_objective(recipe, data))
    if recipe.method.draw == "learnt":
        objective = MetaSampler(rule, table, ahead=recipe.lr)

    def judge(model: nn.Module) -> dict:
        rates = {"rates": (100 * objective.rates).tolist()} if isinstance(objective, MetaSampler) else {}
        return {"test_accuracy": measure_accuracy(model, data.held_out, recipe), **rates}

    return fit(
        model,
        objective,
        table,
        fit_config(recipe, len(table)),
        evaluate=judge if recipe.part is None else None,  # of a network of full size it would cost half as much again
        checkpoint=checkpoint,
        keep=True,
        order=(lambda generator: class_balanced_order(labels, generator=generator)) if recipe.method.evenly else None,
        label=recipe.label,
    )


def fit_config(recipe: Run, n: int) -> FitConfig:
    """A stage's steps of a batch each as whole epochs of `n` rows, with the recipe's schedule."""
    steps = recipe.second_steps if recipe.method.second else recipe.steps
    an_epoch = math.ceil(n / recipe.batch_size)
    epochs = max(1, round(steps / an_epoch))
    warmup = min(recipe.warmup * steps / recipe.steps / an_epoch, epochs)  # a second stage's is as much shorter
    if recipe.schedule == "cosine":
        schedule = Schedule(warmup=warmup, start=START, cosine=True)
    else:
        schedule = Schedule(warmup=warmup, drops=tuple((round(share * epochs), factor) for share, factor in DROPS))
    return FitConfig.of(recipe, epochs=epochs, optimizer="sgd", schedule=schedule, clip=NO_CLIP)


def augment(how: str, table: Table) -> Callable:
    """The lookup of training rows."""
    match how:
        case "autoaugment":
            return AutoAugment(table.lookup, padding=PADDING, hole=HOLE)
        case "autoaugment, bicubic":
            return AutoAugment(table.lookup, padding=PADDING, hole=HOLE, cubic=True)
        case "crop and flip":
            return AutoAugment(table.lookup, padding=PADDING, policy=False, hole=None)
        case "shift":
            return Augment(table.lookup, SHIFT, flip=False)
    return table.lookup


def classify(model: nn.Module, table: Table, recipe: Run) -> Float[Tensor, "n c"]:
    """Logits as they are read at test; of cosines, on the scale at which they were trained."""
    scale = SCALE if recipe.method.rule.startswith("ldam") else 1.0
    return predict(model, table, lambda out, batch: scale * out.logits.float())


def measure_accuracy(model: nn.Module, table: Table, recipe: Run) -> float:
    """Percent right."""
    return 100 * float((classify(model, table, recipe).argmax(1) == table.labels.cpu()).double().mean())
