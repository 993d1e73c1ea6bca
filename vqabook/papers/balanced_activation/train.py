"""One classifier of images of the balanced-activation paper: its tail, its rule, and how it is judged."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from filelock import FileLock
from torch import Tensor, nn

from vqabook import files
from vqabook.core import Batch, Output, Table
from vqabook.data.auto_augment import Augment, AutoAugment
from vqabook.data.imbalanced import Cut, Division, divide
from vqabook.data.sampling import class_balanced_order
from vqabook.evidence.record import key_of
from vqabook.files import save_whole
from vqabook.losses.longtail import adjusted, log_counts
from vqabook.models.heads import CosineClassifier, Decoupled, ScaledClassifier
from vqabook.models.resnet import ResNet, ResNetConfig
from vqabook.objectives.longtail import SCALE, LabelLoss, counts_of, long_tail
from vqabook.papers.balanced_activation.setting import DROPS, Method, first_stage
from vqabook.training.fit import FitConfig, fit, pick_device, predict
from vqabook.training.schedule import Schedule

if TYPE_CHECKING:
    from jaxtyping import Float, Int

NO_CLIP = float("inf")  # the papers name no clipping
START = 0.5  # of the warm-up: release, 0.05 to 0.1
PADDING, HOLE = 4, 16  # pixels: release
SHIFT = 1  # of digits of 8 pixels: ours


def train(recipe: Mapping, checkpoint: Path, data_root: Path | None, device: str) -> dict:
    """Train what `recipe` says; the record's result."""
    cut = Cut(**{name: recipe["data"][name] for name in Cut.__dataclass_fields__})
    data = divide(cut, files.data_root(data_root)).to(pick_device(device))
    method = Method(**recipe["method"])
    if method.second is None:
        model, history = _first(recipe, method, data, checkpoint)
    else:
        model, history = _second(recipe, method, data, checkpoint)
    model.eval()
    counts = torch.from_numpy(data.frequency)
    logits, truth = _logits(model, data.held_out, method), data.held_out.target.cpu()
    bounds = recipe["many"], recipe["few"]
    found = {"test": accuracies(logits, truth, counts, *bounds), "marginal": marginal(logits)}
    if method == Method("softmax"):
        found["adjusted"] = accuracies(adjusted(logits, log_counts(counts)), truth, counts, *bounds)
    seen = _logits(model, data.train, method).argmax(1) == data.train.target.cpu()
    found["train_accuracy"] = 100 * float(seen.double().mean())
    best = max(row["test_accuracy"] for row in history)
    parameters = sum(p.numel() for p in model.parameters())
    return found | {"best_on_test": best, "parameters": parameters, "history": history}


def build(recipe: Mapping, method: Method, data: Division) -> ResNet:
    """The network of a recipe, freshly initialised from its seed; with cosines where margins need them."""
    images, n = data.train.inputs[0], len(data.names)
    shape = {name: recipe[name] for name in ("depth", "width", "stem_stride")}
    with torch.random.fork_rng():
        torch.manual_seed(recipe["seed"])
        model = ResNet(ResNetConfig(n, channels=images.shape[1], **shape))
        if method.rule.startswith("ldam"):
            model.classifier = CosineClassifier(model.classifier.in_features, n)
    if method.rule.endswith("sigmoid"):
        nn.init.constant_(model.classifier.bias, -math.log(n - 1))  # release: all start at 1 / n
    return model.to(images.device, memory_format=torch.channels_last)


def objective_of(recipe: Mapping, method: Method, data: Division) -> LabelLoss:
    """The rule of a row, by the training counts; a control's are another class'."""
    counts = counts_of(data.train.target, torch.from_numpy(data.frequency))
    if method.dealt:
        generator = torch.Generator().manual_seed(recipe["seed"])
        counts = counts[torch.randperm(len(counts), generator=generator)]
    return long_tail(method.rule, counts, exponent=method.exponent)


def _first(recipe: Mapping, method: Method, data: Division, checkpoint: Path) -> tuple[nn.Module, list[dict]]:
    model, objective = build(recipe, method, data), objective_of(recipe, method, data)
    history = _fitted(model, objective, recipe, method, data, checkpoint, recipe["steps"])
    if method == Method("softmax"):
        save_whole(model.state_dict(), weights_of(recipe, checkpoint))
    return model, history


def _second(recipe: Mapping, method: Method, data: Division, checkpoint: Path) -> tuple[nn.Module, list[dict]]:
    """The classifier alone, on the features of the first stage: those that a run left, or trained where none did."""
    first, path = first_stage(method), weights_of(recipe, checkpoint)
    trained = build(recipe, first, data)
    with FileLock(f"{path}.lock"):
        if not path.exists():
            _first(recipe | {"method": vars(first)}, first, data, path.with_suffix(".checkpoint"))
        trained.load_state_dict(torch.load(path, map_location=data.train.device, weights_only=True))
    if method.second == "lws":
        classifier = ScaledClassifier(trained.classifier)
    else:
        classifier = build(recipe, first, data).classifier
    model = Decoupled(trained, classifier).to(data.train.device)
    objective = objective_of(recipe, method, data)
    evenly = replace(method, draw="classes")
    return model, _fitted(model, objective, recipe, evenly, data, checkpoint, recipe["second_steps"])


def _fitted(
    model: nn.Module,
    objective: LabelLoss,
    recipe: Mapping,
    method: Method,
    data: Division,
    checkpoint: Path,
    steps: int,
) -> list[dict]:
    table = replace(data.train, lookup=augmented(recipe["augment"], data.train))
    config = config_of(recipe, len(table), steps, table.device)
    order = partial(_evenly, table.target.cpu()) if method.draw == "classes" else None

    def evaluate(model: nn.Module) -> dict:
        logits = _logits(model, data.held_out, method)
        return {"test_accuracy": 100 * float((logits.argmax(1) == data.held_out.target.cpu()).double().mean())}

    label = f"{recipe['variant']}, seed {recipe['seed']}"
    return fit(model, objective, table, config, evaluate=evaluate, checkpoint=checkpoint, order=order, label=label)


def config_of(recipe: Mapping, n: int, steps: int, device: torch.device) -> FitConfig:
    """`steps` of a batch each as whole epochs of `n` rows, with the recipe's schedule."""
    an_epoch = math.ceil(n / recipe["batch_size"])
    epochs = max(1, round(steps / an_epoch))
    warmup = min(recipe["warmup"] * steps / recipe["steps"] / an_epoch, epochs)  # a second stage's is as much shorter
    if recipe["schedule"] == "cosine":
        schedule = Schedule(warmup=warmup, start=START, cosine=True)
    else:
        schedule = Schedule(warmup=warmup, drops=tuple((round(share * epochs), factor) for share, factor in DROPS))
    names = ("batch_size", "lr", "weight_decay", "seed")
    return FitConfig(
        **{name: recipe[name] for name in names}, epochs=epochs, optimizer="sgd", schedule=schedule, clip=NO_CLIP,
        bf16=device.type == "cuda",
    )  # fmt: skip


def augmented(how: str, table: Table) -> object:
    """The lookup of training rows."""
    match how:
        case "autoaugment":
            return AutoAugment(table.lookup, padding=PADDING, hole=HOLE)
        case "crop and flip":
            return AutoAugment(table.lookup, padding=PADDING, policy=False, hole=None)
        case "shift":
            return Augment(table.lookup, SHIFT, flip=False)
    return table.lookup


def weights_of(recipe: Mapping, checkpoint: Path) -> Path:
    """Where runs of one seed and tail leave and find the first stage; the file goes the way of stages."""
    softmax = {k: v for k, v in recipe.items() if k not in ("variant", "method", "second_steps", "many", "few")}
    return checkpoint.with_name(f"{key_of(softmax | {'variant': 'first stage'})}.weights.stage")


def _evenly(labels: Int[Tensor, " n"], generator: torch.Generator) -> Int[Tensor, " n"]:
    return class_balanced_order(labels, generator=generator)


def _logits(model: nn.Module, table: Table, method: Method) -> Float[Tensor, "n c"]:
    """What is read at test; of cosines, on the scale at which they were trained."""
    scale = SCALE if method.rule.startswith("ldam") else 1.0

    def read(out: Output, batch: Batch) -> Tensor:
        return scale * out.logits.float()

    return predict(model, table, read)


def accuracies(
    logits: Float[Tensor, "n c"], truth: Int[Tensor, " n"], counts: Int[Tensor, " c"], many: int, few: int
) -> dict:
    """Percent right over all, of each class, and the mean over classes of more than `many` training rows, of fewer than
    `few`, and of those between; None without such a class.
    """
    hit = (logits.argmax(1) == truth).double()
    per_class = torch.stack([100 * hit[truth == i].mean() for i in range(len(counts))])
    groups = {"many": counts > many, "medium": (counts <= many) & (counts >= few), "few": counts < few}
    means = {name: float(per_class[some].mean()) if some.any() else None for name, some in groups.items()}
    return {"overall": 100 * float(hit.mean()), **means, "per_class": [round(float(x), 4) for x in per_class]}


def marginal(logits: Float[Tensor, "n c"]) -> dict:
    """Fig. 1: p(y) as the model has it over a test set that is balanced, and its divergence from uniform in nats."""
    p = logits.double().softmax(1).mean(0)
    divergence = float((p * (p * len(p)).clamp(min=1e-300).log()).sum())
    return {"p": np.round(p.numpy(), 6).tolist(), "divergence": divergence}
