"""Guo et al. 2022, "Loss re-scaling VQA", arXiv:2010.16010, Sec. III-B and Fig. 4: the diagnosis on other tasks.

Imbalanced CIFAR-10 with a ResNet, seven people of LFW with centre loss, and, ours, long-tailed digits. The paper gives
no sizes and released no code for this: all sizes are ours. Each set has a control in which no class is more frequent;
there the order of the imbalanced set's classes serves as a placebo, so that the same statistic is computed where
imbalance has no part in it.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import nn
from torch.nn import functional as F
from torch.optim.swa_utils import update_bn

from vqabook import files
from vqabook.core import Table, pick_device
from vqabook.data.auto_augment import Augment
from vqabook.data.image_tables import Division, divide
from vqabook.metrics.mistakes import confusions, finite, mistake_losses
from vqabook.models.images import ResNet, ResNetConfig
from vqabook.objectives.base import CentreLoss, CrossEntropy, Objective
from vqabook.papers.loss_rescaling.evaluation import find_losses
from vqabook.papers.loss_rescaling.recipes import VisionRun
from vqabook.training.fit import FitConfig, fit
from vqabook.training.stages import Scratch

SETTLE_BATCH = 500


def train(recipe: VisionRun, scratch: Scratch, *, data_root: Path | None, device: str = "auto") -> dict:
    """One training run. `held_out` and `train` of its result are the diagnosis of these rows."""
    data = divide(recipe.data, files.data_root(data_root)).to(pick_device(device))
    tables = {"held_out": data.held_out, "train": data.train}
    watched = {name: pick_rows(table, recipe.watched, recipe.seed) for name, table in tables.items()}

    def evaluate(model: nn.Module) -> dict:
        few = torch.arange(len(watched["train"]), device=data.train.device).split(SETTLE_BATCH)
        # running statistics lag behind the weights: after few or large steps, eval mode is another model
        update_bn((watched["train"].batch(rows).inputs for rows in few), model)
        seen = {name: diagnose(model, table, data) for name, table in watched.items()}
        return {name: {key: whole[key] for key in ("accuracy", "mistakes")} for name, whole in seen.items()}

    model, objective = build(recipe, data)
    config = FitConfig.of(recipe)
    rows = replace(data.train, lookup=Augment(data.train.lookup, recipe.shift, recipe.flip))
    history = fit(
        model, objective, rows, config, evaluate=evaluate, checkpoint=scratch.checkpoint, keep=True, label=recipe.label
    )
    diagnosed = {name: diagnose(model, table, data) for name, table in tables.items()}
    return {
        "test": {"overall": diagnosed["held_out"]["accuracy"], "per_class": diagnosed["held_out"]["per_class"]},
        "train_accuracy": diagnosed["train"]["accuracy"],
        **diagnosed,
        "parameters": sum(p.numel() for p in model.parameters()),
        "history": history,
    }


def prepare(recipe: VisionRun, *, data_root: Path | None, device: str = "auto") -> None:
    """Build what a run trains and what it is judged by: whatever cannot be raises now."""
    build(recipe, divide(recipe.data, files.data_root(data_root)).to(pick_device(device)))


def build(recipe: VisionRun, data: Division) -> tuple[ResNet, Objective]:
    """Model and objective of a recipe, freshly initialised from its seed."""
    images, n = data.train.inputs[0], len(data.names)
    shape = {name: getattr(recipe, name) for name in ("depth", "width", "stem_stride")}
    with torch.random.fork_rng():
        torch.manual_seed(recipe.seed)
        model = ResNet(ResNetConfig(n, channels=images.shape[1], **shape))
    objective: Objective = CrossEntropy()
    if recipe.centre_weight:
        width = model.classifier.in_features
        objective = CentreLoss(n, width, weight=recipe.centre_weight, rate=recipe.centre_rate)
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # 1.7 times as fast on a CPU
    return model.to(images.device), objective


def diagnose(model: nn.Module, table: Table, data: Division) -> dict:
    """Sec. III's statistics with the classes in place of one question type's answers, all most frequent class first.

    `mistakes` has besides, over all cells and over the pairs confused both ways: sparse_excess, what a sparse class
    taken for a frequent one costs beyond the reverse, and its size, gap. Losses are softmax cross-entropy whatever the
    model was trained with; `by_class` has their means over mistakes, by true and by predicted class.
    """
    losses, predicted = find_losses(model, table, lambda x, y: F.cross_entropy(x.float(), y, reduction="none"))
    losses, truth = losses.astype(np.float64), table.labels.cpu().numpy()
    order, wrong = np.argsort(-data.frequency, kind="stable"), truth != predicted
    cells = confusions(losses, truth, predicted, order, data.frequency)
    mistakes = mistake_losses(losses, truth, predicted, np.zeros_like(truth), data.frequency[None])._asdict()
    for kind in ("", "_paired"):
        excess = mistakes[f"easy{kind}"] - mistakes[f"hard{kind}"]
        mistakes |= {f"sparse_excess{kind}": excess, f"gap{kind}": abs(excess)}
    return {
        "accuracy": 100 * float((~wrong).mean()),
        "per_class": [_mean(100.0 * ~wrong[truth == i]) for i in order],
        "mistakes": {name: finite(value) for name, value in mistakes.items()},
        "matrix": {"classes": [data.names[i] for i in order], **cells},
        "by_class": {
            "truth": [_mean(losses[wrong & (truth == i)]) for i in order],
            "predicted": [_mean(losses[wrong & (predicted == i)]) for i in order],
        },
    }


def _mean(values: Float[np.ndarray, " n"]) -> float | None:
    return float(values.mean()) if len(values) else None


def pick_rows(table: Table, n: int, seed: int) -> Table:
    """At most `n` random rows."""
    return table.subset(torch.from_numpy(np.sort(np.random.default_rng(seed).permutation(len(table))[:n])))
