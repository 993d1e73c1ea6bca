"""Classifiers of regions under a detector's tail, without images: real counts of 1,203 categories, made features.

Regions of a category are normal around its mean, as likely as the annotations have it, and background around zero; so
the best possible classifier is known. Only the loss and the sampling of a linear classifier differ between rows, which
is what Table 2 of Ren et al. varies in Mask R-CNN. Ours; it stands beside the detector, not for it.
"""

import math
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from vqabook import files
from vqabook.core import Table, pick_device
from vqabook.data.lvis import FREQUENCIES
from vqabook.data.sampling import class_factors
from vqabook.extras import import_extra
from vqabook.metrics.classes import average
from vqabook.models.heads import LinearModel
from vqabook.objectives.longtail import long_tail, start_rare
from vqabook.papers.balanced_activation.recipes import CountsRun, Features, Tail, read_tail
from vqabook.papers.balanced_activation.setting import Method
from vqabook.papers.balanced_activation.train import fit_stages, rule_of
from vqabook.training.fit import NO_CLIP, FitConfig, Schedule, fit, predict
from vqabook.training.stages import Scratch

metrics = import_extra("sklearn.metrics")
TEST_ROWS = 10  # of a category; of background as many in all
BATCH = 512
THRESHOLD = 1e-3  # of repeat-factor sampling: Gupta et al. 2019


@dataclass(frozen=True)
class Regions:
    """Features of regions; a target of c is background. `best`: logits of the true posterior, categories alike."""

    train: Table
    test: Table
    best: Float[Tensor, "n c"]


def draw_regions(data: Features, tail: Tail, seed: int, device: torch.device) -> Regions:
    """Train and test regions of a seed, with category means of its own."""
    generator = torch.Generator().manual_seed(seed)
    n = len(tail.counts)
    means = torch.randn(n + 1, data.width, generator=generator)
    means[n] = 0
    spread = torch.full((n + 1, 1), data.noise)
    spread[n] = math.sqrt(1 + data.noise**2)  # as all categories together

    def table(labels: Int[Tensor, " n"]) -> Table:
        features = means[labels] + spread[labels] * torch.randn(len(labels), data.width, generator=generator)
        return Table((features.to(device),), labels.to(device), n)

    each = torch.from_numpy(tail.counts)
    background = round(int(each.sum()) * data.background / (1 - data.background))
    train = table(torch.arange(n + 1).repeat_interleave(torch.cat([each, torch.tensor([background])])))
    test = table(torch.arange(n + 1).repeat_interleave(torch.tensor([TEST_ROWS] * n + [TEST_ROWS * n])))
    away = torch.cdist(test.inputs[0], means[:n].to(device)).square() / (2 * data.noise**2)
    return Regions(train, test, -away.cpu())


def train(recipe: CountsRun, scratch: Scratch, *, data_root: Path | None, device: str = "auto") -> dict:
    """One linear classifier, and how it and the best possible one are judged."""
    data, sigmoid = recipe.data, recipe.method.rule.endswith("sigmoid")
    tail = read_tail(data.dataset, data.classes, data.share, files.data_root(data_root))
    regions = draw_regions(data, tail, recipe.seed, pick_device(device))
    n = regions.train.n_classes

    def build(n: int) -> LinearModel:
        with torch.random.fork_rng():
            torch.manual_seed(recipe.seed)
            model = LinearModel(data.width, n).to(regions.train.device)
        if sigmoid:
            start_rare(model.classifier, n)
        return model

    linear = build(n if sigmoid else n + 1)
    fit_row = partial(fit_classifier, tail=tail, table=regions.train)
    model, history = fit_stages(linear, recipe, fit_row, scratch, renew=lambda: build(n).classifier)
    truth, activate = regions.test.labels.cpu().numpy(), torch.sigmoid if sigmoid else partial(torch.softmax, dim=-1)
    scores = predict(model, regions.test, lambda out, batch: activate(out.logits))
    return judge(scores[:, :n].numpy(), truth, tail) | {
        "best": judge(regions.best.softmax(1).numpy(), truth, tail),
        "parameters": sum(p.numel() for p in model.parameters() if p.requires_grad),
        "history": history,
    }


def fit_classifier(model: nn.Module, checkpoint: Path, recipe: CountsRun, tail: Tail, table: Table) -> list[dict]:
    """The history of a classifier trained by a row's rule."""
    method, labels = recipe.method, table.labels.cpu()
    n = len(tail.counts) + (not method.rule.endswith("sigmoid"))  # softmax has background as one more class
    equalised = torch.from_numpy(np.append(tail.equalised, False))
    objective = long_tail(rule_of(method), torch.bincount(labels)[:n], tail=equalised[:n], exponent=method.exponent)
    config = FitConfig.of(
        recipe, epochs=max(1, round(recipe.steps / math.ceil(len(table) / BATCH))), batch_size=BATCH,
        optimizer="adam", schedule=Schedule(cosine=True), clip=NO_CLIP,
    )  # fmt: skip
    weights = sampling_weights(method, tail, labels)
    order = None if weights is None else lambda draw: torch.multinomial(weights, len(labels), True, generator=draw)
    return fit(model, objective, table, config, checkpoint=checkpoint, keep=True, order=order, label=recipe.label)


def sampling_weights(method: Method, tail: Tail, labels: Int[Tensor, " n"]) -> Float[Tensor, " n"] | None:
    """How often each row is drawn beside another: its category's repeat factor; or all categories evenly, in whose
    place background stays as frequent as it is. None: every row once.
    """
    if method.draw == "repeat":
        of_class = class_factors(torch.from_numpy(tail.share).double(), threshold=THRESHOLD)
    elif method.evenly:
        counts = torch.from_numpy(tail.counts).double()
        of_class = counts.mean() / counts
    else:
        return None
    return torch.cat([of_class, torch.ones(1, dtype=torch.double)])[labels]


def judge(scores: Float[np.ndarray, "n c"], truth: Int[np.ndarray, " n"], tail: Tail) -> dict:
    """Of rare, common and frequent categories and of all, in percent: `test`, how many regions of a category have it as
    their highest score; `ap`, average precision of all scores of a category; `ap_top`, of regions whose highest it is.
    """
    n, top = scores.shape[1], scores.argmax(1)
    alone = np.where(np.arange(n) == top[:, None], scores, -1.0)
    values = {"test": np.array([np.mean(top[truth == i] == i) for i in range(n)])}
    for name, column in (("ap", scores), ("ap_top", alone)):
        values[name] = np.array([metrics.average_precision_score(truth == i, column[:, i]) for i in range(n)])
    groups = {"overall": np.ones(n, bool)} | {name: tail.frequency == i for i, name in enumerate(FREQUENCIES)}
    return {name: average(100 * value, groups) for name, value in values.items()}
