"""Classifiers of regions under a detector's tail, without images: real counts of 1,203 categories, made features.

Regions of a category are normal around its mean, as likely as the annotations have it, and background around zero; so
the best possible classifier is known. Only the loss and the sampling of a linear classifier differ between rows, which
is what Table 2 of Ren et al. varies in Mask R-CNN. Ours; it stands beside the detector, not for it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor, nn

from vqabook import files
from vqabook.core import Batch, Output, Table
from vqabook.data.lvis import BOUNDS, FREQUENCIES, category_counts
from vqabook.data.sampling import class_factors
from vqabook.models.heads import Decoupled, LinearModel, ScaledClassifier
from vqabook.objectives.longtail import long_tail
from vqabook.papers.balanced_activation.setting import COUNTS_ROWS, NAME, Method
from vqabook.training.fit import FitConfig, fit, pick_device, predict
from vqabook.training.schedule import Schedule

if TYPE_CHECKING:
    from jaxtyping import Float, Int

CATEGORIES = "lvis/lvis_v1_train_cat_info.json.gz"
IMAGES = 100_170  # of LVIS 1.0's train split
MADE = (2000.0, 1.3)  # instances of the most frequent class of a made tail, and the power of the others' rank
TEST_ROWS = 10  # of a category; of background as many in all
BATCH = 512
THRESHOLD = 1e-3  # of repeat-factor sampling: Gupta et al. 2019


@runtime_checkable
class Asked(Protocol):
    """What `recipes` reads of the paper's Setting."""

    profile: str
    data_root: str | None
    counts: str
    counts_seeds: tuple[int, ...]
    counts_classes: int
    counts_share: float
    counts_width: int
    counts_noise: float
    counts_background: float
    counts_steps: int
    counts_lr: float


@dataclass(frozen=True)
class Tail:
    """Training rows, share of the images and frequency (a place in `FREQUENCIES`) of each category."""

    counts: Int[np.ndarray, " c"]
    share: Float[np.ndarray, " c"]
    frequency: Int[np.ndarray, " c"]


@dataclass(frozen=True)
class Regions:
    """Features of regions; a target of c is background. `best`: logits of the true posterior, categories alike."""

    train: Table
    test: Table
    best: Float[Tensor, "n c"]


def recipes(s: Asked) -> list[dict]:
    """Every run of this part. `variant`: "counts <row>"."""
    tail = tail_of(s.counts, s.counts_classes, s.counts_share, files.data_root(s.data_root))
    data = {
        "dataset": s.counts, "share": s.counts_share, "width": s.counts_width, "noise": s.counts_noise,
        "background": s.counts_background, "classes": len(tail.counts), "rows": int(tail.counts.sum()),
    }  # fmt: skip
    what = {"paper": NAME, "part": "counts", "profile": s.profile, "kind": "train", "prior": "none", "data": data}
    what |= {"steps": s.counts_steps, "lr": s.counts_lr}
    return [
        what | {"seed": seed, "variant": f"counts {row}", "method": asdict(method)}
        for seed in s.counts_seeds
        for row, method in COUNTS_ROWS.items()
    ]


@lru_cache(maxsize=2)
def tail_of(name: str, classes: int, share: float, folder: Path) -> Tail:
    """The real categories' tail, `share` of their instances; or one by a power law, which needs no file."""
    if name == "made":
        whole = MADE[0] / np.arange(1, classes + 1) ** MADE[1]
        counts = np.maximum(1, np.rint(whole * share)).astype(np.int64)
        return Tail(counts, counts / counts.sum(), np.searchsorted(BOUNDS, counts))  # an image a region
    path = folder / CATEGORIES
    if not path.exists():
        raise FileNotFoundError(
            f"{path} does not exist; check data_root, fetch LVIS' category info, or set counts = 'made'"
        )
    found = category_counts(path)
    if (found.instance_count < 1).any():
        empty = found.name[int(np.argmin(found.instance_count))]
        raise ValueError(f"every category has training instances, {empty} of {path} has none; fetch it again")
    counts = np.maximum(1, np.rint(found.instance_count * share)).astype(np.int64)
    return Tail(counts, found.image_count / IMAGES, found.frequency)


def regions(data: Mapping, tail: Tail, seed: int, device: torch.device) -> Regions:
    """Train and test regions of a seed, with category means of its own."""
    generator = torch.Generator().manual_seed(seed)
    n, width, noise = len(tail.counts), data["width"], data["noise"]
    means = torch.randn(n + 1, width, generator=generator)
    means[n] = 0
    spread = torch.full((n + 1, 1), noise)
    spread[n] = math.sqrt(1 + noise**2)  # as all categories together

    def table(labels: Int[Tensor, " n"]) -> Table:
        features = means[labels] + spread[labels] * torch.randn(len(labels), width, generator=generator)
        return Table((features.to(device),), labels.to(device), n)

    each = torch.from_numpy(tail.counts)
    background = round(int(each.sum()) * data["background"] / (1 - data["background"]))
    train = table(torch.arange(n + 1).repeat_interleave(torch.cat([each, torch.tensor([background])])))
    test = table(torch.arange(n + 1).repeat_interleave(torch.tensor([TEST_ROWS] * n + [TEST_ROWS * n])))
    away = torch.cdist(test.inputs[0], means[:n].to(device)).square() / (2 * noise**2)
    return Regions(train, test, -away.cpu())


def produce(recipe: Mapping, checkpoint: Path, *, data_root: Path | None, device: str = "auto") -> dict:
    """Train the linear classifier of `recipe`; the record's result."""
    data, method = recipe["data"], Method(**recipe["method"])
    tail = tail_of(data["dataset"], data["classes"], data["share"], files.data_root(data_root))
    found = regions(data, tail, recipe["seed"], pick_device(device))
    model = _started(recipe, method, found.train)
    if method.second:
        fitted(model, recipe, Method(method.rule), tail, found.train, checkpoint.with_suffix(".first"))
        with torch.random.fork_rng():
            torch.manual_seed(recipe["seed"])
            new = nn.Linear(data["width"], found.train.n_classes).to(found.train.device)
        model = Decoupled(model, ScaledClassifier(model.classifier) if method.second == "lws" else new)
        method = Method(method.rule, draw="classes")
    history = fitted(model, recipe, method, tail, found.train, checkpoint)

    def read(out: Output, batch: Batch) -> Tensor:
        return out.logits.sigmoid() if method.rule.endswith("sigmoid") else out.logits.softmax(-1)

    truth = found.test.target.cpu().numpy()
    scores = predict(model, found.test, read)[:, : found.train.n_classes].numpy()
    return judged(scores, truth, tail) | {
        "best": judged(found.best.softmax(1).numpy(), truth, tail),
        "parameters": sum(p.numel() for p in model.parameters() if p.requires_grad),
        "history": history,
    }


def _started(recipe: Mapping, method: Method, table: Table) -> LinearModel:
    """Softmax has background as one more class."""
    n = table.n_classes + (not method.rule.endswith("sigmoid"))
    with torch.random.fork_rng():
        torch.manual_seed(recipe["seed"])
        model = LinearModel(recipe["data"]["width"], n).to(table.device)
    if method.rule.endswith("sigmoid"):
        nn.init.constant_(model.classifier.bias, -math.log(n - 1))  # release: all start at 1 / n
    return model


def fitted(model: nn.Module, recipe: Mapping, method: Method, tail: Tail, table: Table, checkpoint: Path) -> list[dict]:
    """The history of a classifier trained by a row's rule."""
    counts = torch.from_numpy(tail.counts)
    rare = torch.from_numpy(tail.frequency == 0)  # equalisation leaves rare categories alone
    if not method.rule.endswith("sigmoid"):
        counts = torch.cat([counts, torch.tensor([int((table.target == len(counts)).sum())])])
        rare = torch.cat([rare, torch.tensor([False])])
    objective = long_tail(method.rule, counts, tail=rare, exponent=method.exponent)
    epochs = max(1, round(recipe["steps"] / math.ceil(len(table) / BATCH)))
    config = FitConfig(
        epochs=epochs, batch_size=BATCH, optimizer="adam", lr=recipe["lr"], schedule=Schedule(cosine=True),
        clip=float("inf"), seed=recipe["seed"],
    )  # fmt: skip
    order = None if method.draw == "rows" else partial(_drawn, weights_of(method.draw, tail, table.target.cpu()))
    label = f"{recipe['variant']}, seed {recipe['seed']}"
    return fit(model, objective, table, config, checkpoint=checkpoint, order=order, label=label)


def weights_of(draw: str, tail: Tail, labels: Int[Tensor, " n"]) -> Float[Tensor, " n"]:
    """How often each row is drawn beside another: its category's repeat factor; or all categories evenly, in whose
    place background stays as frequent as it is.
    """
    if draw == "repeat":
        of_class = class_factors(torch.from_numpy(tail.share).double(), threshold=THRESHOLD)
    else:
        counts = torch.from_numpy(tail.counts).double()
        of_class = counts.mean() / counts
    return torch.cat([of_class, torch.ones(1, dtype=torch.double)])[labels]


def _drawn(weight: Float[Tensor, " n"], generator: torch.Generator) -> Int[Tensor, " n"]:
    return torch.multinomial(weight, len(weight), replacement=True, generator=generator)


def judged(scores: Float[np.ndarray, "n c"], truth: Int[np.ndarray, " n"], tail: Tail) -> dict:
    """Of rare, common and frequent categories and of all, in percent: `test`, how many regions of a category have it as
    their highest score; `ap`, average precision of all scores of a category; `ap_top`, of regions whose highest it is.
    """
    from sklearn.metrics import average_precision_score

    n, top = scores.shape[1], scores.argmax(1)
    hit = np.array([np.mean(top[truth == i] == i) for i in range(n)])
    alone = np.where(np.arange(n) == top[:, None], scores, -1.0)
    found = {"test": hit}
    for name, some in (("ap", scores), ("ap_top", alone)):
        found[name] = np.array([average_precision_score(truth == i, some[:, i]) for i in range(n)])
    return {name: _by_frequency(100 * values, tail) for name, values in found.items()}


def _by_frequency(values: Float[np.ndarray, " c"], tail: Tail) -> dict:
    parts = {name: values[tail.frequency == i] for i, name in enumerate(FREQUENCIES)}
    means = {name: float(some.mean()) if len(some) else None for name, some in parts.items()}
    return {"overall": float(values.mean()), **means}
