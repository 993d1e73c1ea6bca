"""Guo et al. 2021, "Loss re-scaling VQA", arXiv:2010.16010, Sec. III-B and Fig. 4: the diagnosis on other tasks.

Imbalanced CIFAR-10 with a ResNet, seven people of LFW with centre loss, and, ours, long-tailed digits. The paper gives
no sizes and released no code for this: all sizes are ours. Each set has a control in which no class is more frequent;
there the order of the imbalanced set's classes serves as a placebo, so that the same statistic is computed where
imbalance has no part in it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vqabook import files
from vqabook.core import Batch, Output, Table
from vqabook.data.auto_augment import Augment
from vqabook.data.imbalanced import DIVISIONS, Cut, Division, divide
from vqabook.metrics.mistakes import loss_matrix, mistake_losses
from vqabook.models.resnet import ResNet, ResNetConfig, settle_norms
from vqabook.objectives.base import Objective
from vqabook.objectives.classification import CentreLoss, CrossEntropy
from vqabook.papers.loss_rescaling.vision_claims import TITLES, VISION_CLAIMS
from vqabook.training.fit import FitConfig, fit, pick_device, predict

if TYPE_CHECKING:
    from jaxtyping import Float

__all__ = ["TITLES", "VISION_CLAIMS", "produce", "recipes"]


@runtime_checkable
class Asked(Protocol):
    """What `recipes` reads of the paper's Setting."""

    profile: str
    data_root: str | None
    seeds: tuple[int, ...]
    vision: tuple[str, ...]


@dataclass(frozen=True)
class Setup:
    """How one data set is cut and trained; the values are ours, for minutes on one CPU core."""

    imbalance: float | None = None
    held_out: float | None = None
    depth: int = 8  # 6 n + 2; He et al. 2016 start at 20
    width: int = 16
    stem_stride: int = 1
    epochs: int = 15  # of the imbalanced cut; the control takes as many steps
    batch_size: int = 128  # He et al. 2016, Sec. 4.2
    optimizer: str = "adam"  # they use SGD with momentum, and lower lr in steps; here it stays
    lr: float = 2e-3
    clip: float = 5.0
    shift: int = 0  # pixels at most; He et al. 2016, Sec. 4.2: 4, and flips
    flip: bool = False
    centre_weight: float = 0.0  # λ, Wen et al. 2016; 0: softmax cross-entropy alone
    centre_rate: float = 0.5  # α, Wen et al. 2016
    watched: int = 2000  # rows of train and held out that are looked at after an epoch; all after the last


SETUPS = {
    "cifar10": Setup(imbalance=100.0, shift=4, flip=True),
    "faces": Setup(held_out=0.5, stem_stride=2, epochs=20, batch_size=32, shift=2, flip=True, centre_weight=0.003),
    "digits": Setup(imbalance=20.0, held_out=0.6, width=8, epochs=20, batch_size=32),
}
SETTLE_BATCH = 500
CHANGES: dict[str, dict] = {"smoke": {"width": 4, "epochs": 2}, "paper": {"depth": 32, "width": 16, "epochs": 200}}


def recipes(setting: Asked) -> list[dict]:
    """Every run of this part: each data set of `setting.vision`, imbalanced and balanced, for every seed."""
    sets = [(name, division, seed) for name in setting.vision for division in DIVISIONS for seed in setting.seeds]
    return [_recipe(setting, *run) for run in sets]


def _recipe(setting: Asked, dataset: str, division: str, seed: int) -> dict:
    if dataset not in SETUPS:
        raise ValueError(f"vision names data sets among {', '.join(SETUPS)}, got {dataset!r}; check the spelling")
    knobs = asdict(replace(SETUPS[dataset], **CHANGES.get(setting.profile, {})))
    cut = Cut(dataset, division, knobs.pop("imbalance"), knobs.pop("held_out"), seed)
    data = divide(cut, files.data_root(setting.data_root))
    knobs["epochs"] = max(1, round(knobs["epochs"] * data.frequency.sum() / len(data.train)))
    what = {"paper": "loss_rescaling", "part": "vision", "profile": setting.profile, "kind": "train"}
    what |= {"variant": f"{dataset} {division}", "prior": "none", "seed": seed}
    return what | {"data": asdict(cut) | data.about()} | knobs


def produce(recipe: Mapping, checkpoint: Path, *, data_root: Path | None, device: str = "auto") -> dict:
    """Train what `recipe` says; the record's result. `held_out` and `train` are the diagnosis of these rows."""
    cut = Cut(**{name: recipe["data"][name] for name in Cut.__dataclass_fields__})
    data = divide(cut, files.data_root(data_root)).to(pick_device(device))
    tables = {"held_out": data.held_out, "train": data.train}
    watched = {name: _some(table, recipe["watched"], recipe["seed"]) for name, table in tables.items()}

    def evaluate(model: nn.Module) -> dict:
        few = torch.arange(len(watched["train"]), device=data.train.device).split(SETTLE_BATCH)
        settle_norms(model, (watched["train"].batch(rows).inputs for rows in few))
        seen = {name: diagnose(model, table, data) for name, table in watched.items()}
        return {name: {key: found[key] for key in ("accuracy", "mistakes")} for name, found in seen.items()}

    model, objective = build(recipe, data)
    names = ("epochs", "batch_size", "optimizer", "lr", "clip", "seed")
    config = FitConfig(**{name: recipe[name] for name in names}, bf16=data.train.device.type == "cuda")
    train = replace(data.train, lookup=Augment(data.train.lookup, recipe["shift"], recipe["flip"]))
    label = f"{recipe['variant']}, seed {recipe['seed']}"
    history = fit(model, objective, train, config, evaluate=evaluate, checkpoint=checkpoint, label=label)
    found = {name: diagnose(model, table, data) for name, table in tables.items()}
    held_out, parameters = found["held_out"], sum(p.numel() for p in model.parameters())
    test = {"overall": held_out["accuracy"], "per_class": held_out["per_class"]}
    return {"test": test, "train_accuracy": found["train"]["accuracy"], **found, "parameters": parameters,
            "history": history}  # fmt: skip


def build(recipe: Mapping, data: Division) -> tuple[ResNet, Objective]:
    """Model and objective of a recipe, freshly initialised from its seed."""
    images, n = data.train.inputs[0], len(data.names)
    shape = {name: recipe[name] for name in ("depth", "width", "stem_stride")}
    with torch.random.fork_rng():
        torch.manual_seed(recipe["seed"])
        model = ResNet(ResNetConfig(n, channels=images.shape[1], **shape))
    objective: Objective = CrossEntropy()
    if recipe["centre_weight"]:
        width = model.classifier.in_features
        objective = CentreLoss(n, width, weight=recipe["centre_weight"], rate=recipe["centre_rate"])
    return model.to(images.device, memory_format=torch.channels_last), objective  # 1.7 times as fast on a CPU


def diagnose(model: nn.Module, table: Table, data: Division) -> dict:
    """Sec. III's statistics with the classes in place of one question type's answers, all most frequent class first.

    `mistakes` has besides, over all cells and over the pairs confused both ways: sparse_excess, what a sparse class
    taken for a frequent one costs beyond the reverse, and its size, gap. Losses are softmax cross-entropy whatever the
    model was trained with; `by_class` has their means over mistakes, by true and by predicted class.
    """

    def read(out: Output, batch: Batch) -> Tensor:
        loss = F.cross_entropy(out.logits.float(), batch.target, reduction="none")
        return torch.stack([loss, out.logits.argmax(-1).float()], 1)

    losses, predicted = predict(model, table, read).double().numpy().T
    truth, predicted = table.target.cpu().numpy(), predicted.astype(np.int64)
    order, wrong = np.argsort(-data.frequency, kind="stable"), truth != predicted
    found = mistake_losses(losses, truth, predicted, np.zeros_like(truth), data.frequency[None])._asdict()
    for kind in ("", "_paired"):
        excess = found[f"easy{kind}"] - found[f"hard{kind}"]
        found |= {f"sparse_excess{kind}": excess, f"gap{kind}": abs(excess)}
    cells, count = loss_matrix(losses, truth, predicted, order)
    return {
        "accuracy": 100 * float((~wrong).mean()),
        "per_class": [_mean(100.0 * ~wrong[truth == i]) for i in order],
        "mistakes": {name: _finite(value) for name, value in found.items()},
        "matrix": {
            "classes": [data.names[i] for i in order],
            "frequency": data.frequency[order].tolist(),
            "loss": [[_finite(round(x, 4)) for x in row] for row in cells.tolist()],
            "count": count.tolist(),
        },
        "by_class": {
            "truth": [_mean(losses[wrong & (truth == i)]) for i in order],
            "predicted": [_mean(losses[wrong & (predicted == i)]) for i in order],
        },
    }


def _mean(values: Float[np.ndarray, " n"]) -> float | None:
    return float(values.mean()) if len(values) else None


def _finite(x: float) -> float | None:
    """JSON has no NaN: a mean over nothing is None."""
    return x if np.isfinite(x) else None


def _some(table: Table, n: int, seed: int) -> Table:
    """At most `n` random rows."""
    return table.subset(torch.from_numpy(np.sort(np.random.default_rng(seed).permutation(len(table))[:n])))
