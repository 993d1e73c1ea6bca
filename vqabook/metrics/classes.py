"""Accuracy by class, and by how many training rows a class has; which classes a model believes in."""

from collections.abc import Mapping

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from vqabook.metrics.priors import weigh_rows


def accuracies(
    logits: Float[Tensor, "n c"], truth: Int[Tensor, " n"], counts: Int[Tensor, " c"], many: int, few: int
) -> dict:
    """Percent right over all, of each class, and the mean over classes of more than `many` training rows, of fewer than
    `few`, and of those between; None without such a class.
    """
    hit = logits.argmax(1) == truth
    per_class = class_accuracies(hit, truth, len(counts))
    groups = groups_of(counts, many, few)
    whole = {"overall": 100 * float(hit.double().mean())} | average(per_class, groups)
    return whole | {"per_class": [round(float(x), 4) for x in per_class]}


def class_accuracies(hit: Bool[Tensor, " n"], truth: Int[Tensor, " n"], classes: int) -> Float[Tensor, " c"]:
    """Percent right of each class; NaN for one without a row."""
    rows = torch.bincount(truth, minlength=classes)
    return 100 * (torch.bincount(truth, hit.double(), minlength=classes) / rows)


def groups_of(counts: Int[Tensor, " c"], many: int, few: int) -> dict[str, Bool[Tensor, " c"]]:
    """Classes of more than `many` training rows, of fewer than `few`, and those between."""
    return {"many": counts > many, "medium": (counts <= many) & (counts >= few), "few": counts < few}


def average(values: Tensor | np.ndarray, groups: Mapping[str, Tensor | np.ndarray]) -> dict[str, float | None]:
    """The mean over each group of classes; None over one without a class."""
    return {name: float(values[group].mean()) if group.any() else None for name, group in groups.items()}


def marginal(logits: Float[Tensor, "n c"]) -> dict:
    """p(y) as the model has it over a test set that is balanced, and its divergence from uniform in nats.

    Ren et al. 2020, Fig. 1.
    """
    p = logits.double().softmax(1).mean(0)
    divergence = float((p * (p * len(p)).clamp(min=1e-300).log()).sum())
    return {"p": np.round(p.numpy(), 6).tolist(), "divergence": divergence}


def macro_f1(picked: Int[Tensor, " n"], truth: Int[Tensor, " n"], prior: Float[Tensor, " c"]) -> float:
    """The mean over classes of F1, 2 TP / (answers + rows), in percent, were classes as frequent as `prior` says."""
    weight, c = weigh_rows(prior, truth), len(prior)
    right, answers, rows = (
        torch.bincount(of, weight * on, minlength=c)
        for of, on in ((truth, (picked == truth).double()), (picked, 1.0), (truth, 1.0))
    )
    return 100 * float((2 * right / (answers + rows).clamp(min=torch.finfo(right.dtype).tiny)).mean())


def average_precision(score: Float[Tensor, " n"], positive: Bool[Tensor, " n"], prior: Float[Tensor, " 2"]) -> float:
    """Σ (R_k - R_{k-1}) P_k over thresholds, in percent: precision averaged over recall; equal scores stand together.

    `prior`: how frequent negatives and positives are. Without ties it is scikit-learn's `average_precision_score`, and
    with them.
    """
    order = score.argsort(descending=True)
    weight = weigh_rows(prior, positive.long())[order]
    hits = (weight * positive[order].double()).cumsum(0)
    seen, ranked = weight.cumsum(0), score[order]
    last = torch.cat([ranked[1:] != ranked[:-1], torch.ones(1, dtype=torch.bool)])  # of those with its score
    hits, seen = hits[last], seen[last]
    if not hits[-1] > 0:
        return 0.0
    recall = hits / hits[-1]
    steps = torch.diff(recall, prepend=recall.new_zeros(1))
    return 100 * float((steps * hits / seen.clamp(min=torch.finfo(seen.dtype).tiny)).sum())


def find_threshold(score: Float[Tensor, " n"], positive: Bool[Tensor, " n"]) -> float:
    """The least score that is called positive where F1 of the positives, 2 TP / (called + positives), is highest."""
    order = score.argsort(descending=True)
    ranked, hits = score[order], positive[order].double().cumsum(0)
    f1 = 2 * hits / (torch.arange(1, len(score) + 1) + positive.sum())
    last = torch.cat([ranked[1:] != ranked[:-1], torch.ones(1, dtype=torch.bool)])  # equal scores stand together
    return float(ranked[torch.where(last, f1, -1.0).argmax()])


def f1_above(
    threshold: float, score: Float[Tensor, " n"], positive: Bool[Tensor, " n"], prior: Float[Tensor, " 2"]
) -> float:
    """F1 of the positives, in percent, were those with such a score called so; `prior`: of negatives and positives."""
    weight, called = weigh_rows(prior, positive.long()), score >= threshold
    right, both = (weight * (called & positive)).sum(), (weight * called).sum() + (weight * positive).sum()
    return 100 * float(2 * right / both)
