"""Linear classifiers on fixed features under a long tail, all rules at once, and how each is judged.

The loss is all that differs: Table 1 of Ren et al. 2020 without the learning of features. Classifiers share a matrix
product and random draws, and nothing else. What is made after training (Menon et al. 2021, Eq. 9; Kang et al. 2020,
Secs. 4.1-4.2) is made of softmax' classifier.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

from vqabook.losses.longtail import adjust, log_counts
from vqabook.metrics.calibration import calibration_gap, find_costs, mean_cost
from vqabook.metrics.classes import average, class_accuracies
from vqabook.metrics.priors import accuracy_under, priors_of, weigh_rows
from vqabook.models.side_by_side import Heads
from vqabook.objectives.longtail import SCALE, LabelLoss, Rule, long_tail

PLAIN, MINE = "softmax", "balanced softmax"
EVEN = "cbs"  # the row whose examples are drawn class by class
RULES: dict[str, tuple[Rule, float]] = {  # row -> rule and tau, the power of the counts
    "softmax": ("softmax", 1.0),
    "cbw": ("inverse", 1.0),
    "cbs": ("softmax", 1.0),
    "focal": ("focal", 1.0),
    "class balance": ("effective", 1.0),
    "ldam": ("ldam", 1.0),
    "equalisation": ("equalisation", 1.0),
    "balanced softmax": ("balanced_softmax", 1.0),
    "ldam @ drw": ("ldam_drw_released", 1.0),
    "balanced softmax @ drw": ("balanced_softmax_drw", 1.0),
    "balanced softmax @ tau 1/2": ("balanced_softmax", 0.5),
    "balanced softmax @ tau 2": ("balanced_softmax", 2.0),
    "vector scaling": ("vector_scaling", 1.0),
}
GROUPS = {  # rows by what they see: rows as they come, rows drawn class by class, rows of unit length
    "plain": [name for name, (rule, _) in RULES.items() if name != EVEN and not rule.startswith("ldam")],
    "even": [EVEN],
    "cosine": [name for name, (rule, _) in RULES.items() if rule.startswith("ldam")],
}
TITLES = {  # row -> its name on a page, in the order of tables
    "softmax": "softmax", "cbw": "class-balanced weighting", "cbs": "class-balanced sampling", "focal": "focal loss",
    "class balance": "class-balanced loss", "ldam": "LDAM", "equalisation": "equalisation loss",
    "balanced softmax": "balanced softmax", "ldam @ drw": "LDAM-DRW", "balanced softmax @ drw": "balanced softmax, DRW",
    "balanced softmax @ tau 1/2": "balanced softmax, τ = 1/2", "balanced softmax @ tau 2": "balanced softmax, τ = 2",
    "vector scaling": "VS loss", "adjusted": "softmax, adjusted after training",
    "tau-normalised": "softmax, class vectors normalised", "ncm": "nearest class mean",
}  # fmt: skip
AFTER = ("adjusted", "tau-normalised", "ncm")  # rows that are made after training
NO_PROBABILITIES = ("tau-normalised", "ncm")  # rows whose scores are no logits


def list_rules(counts: Int[Tensor, " c"]) -> dict[str, LabelLoss]:
    """The loss of each row, by the training rows of each class."""
    return {name: long_tail(rule, counts, exponent=tau) for name, (rule, tau) in RULES.items()}


def average_classes(rows: Iterable[tuple[Tensor, Tensor]], counts: Int[Tensor, " c"]) -> Float[Tensor, "c d"]:
    """The mean features of each class, from batches of training rows [b, d] and their labels [b]."""
    total: Tensor | None = None
    for x, labels in rows:
        total = torch.zeros(len(counts), x.shape[1]) if total is None else total
        total.index_add_(0, labels, x)
    if total is None:
        raise ValueError("means of classes are of training rows, got none; give a batch or more")
    return total / counts[:, None]


@torch.no_grad()
def classify(
    heads: Heads, x: Float[Tensor, "m d"], counts: Int[Tensor, " c"], means: Float[Tensor, "c d"]
) -> dict[str, Float[Tensor, "m c"]]:
    """Logits of rows, of each trained head and, where softmax is one, of what is made of it after training.

    `means`: of the classes' training features, `average_classes`.
    """
    cosine = heads.groups.get("cosine", ())
    found = {name: SCALE * logits if name in cosine else logits for name, logits in heads.logits(x).items()}
    if PLAIN not in found:
        return found
    weight = heads.weight["plain"][heads.groups["plain"].index(PLAIN)]
    return found | {
        "adjusted": adjust(found[PLAIN], log_counts(counts)),  # which is PC-softmax, for a uniform test
        "tau-normalised": F.linear(x, F.normalize(weight)),  # Kang et al. 2020, Eq. 3, at tau = 1
        "ncm": F.linear(F.normalize(x), F.normalize(means)),  # cosines, Kang et al. 2020, Sec. 4.1
    }


@torch.no_grad()
def know_priors(
    heads: Heads, test: Float[Tensor, "m d"], truth: Int[Tensor, " m"], counts: Int[Tensor, " c"]
) -> dict[str, dict[str, float]]:
    """Softmax and balanced softmax for whoever knows the prior at test: its log is added to balanced scores."""
    balanced = balance(heads.logits(test), counts)
    return {
        f"{name} @ prior known": {
            prior: accuracy_under(weight, (scores + weight.log()).argmax(1) == truth, truth)
            for prior, weight in priors_of(counts).items()
        }
        for name, scores in balanced.items()
    }


def balance(logits: Mapping[str, Float[Tensor, "m c"]], counts: Int[Tensor, " c"]) -> dict[str, Float[Tensor, "m c"]]:
    """Scores as if all classes were alike, to which the log of any prior may be added: softmax' adjusted, and mine."""
    return {PLAIN: adjust(logits[PLAIN], log_counts(counts)), MINE: logits[MINE]}


class Answers(NamedTuple):
    """What a judge needs of the logits of many rows: a few numbers a row, whatever the number of classes."""

    picked: Int[Tensor, " n"]  # the class with the highest logit
    sure: Float[Tensor, " n"]  # its probability
    cost: Float[Tensor, " n"]  # -log of the true class' probability, nats
    lead: Float[Tensor, " n"]  # logit of the last class over the first's: what ranks rows where there are two

    @classmethod
    def of(cls, logits: Float[Tensor, "n c"], truth: Int[Tensor, " n"]) -> Answers:
        """Those of some rows."""
        p = logits.double().softmax(1)
        return cls(logits.argmax(1), p.amax(1), find_costs(p, truth), (logits[:, -1] - logits[:, 0]).double())

    @classmethod
    def join(cls, parts: Iterable[Answers]) -> Answers:
        """Those of all rows, from batches of them."""
        return cls(*map(torch.cat, zip(*parts, strict=True)))


def judge(
    answers: Answers,
    truth: Int[Tensor, " n"],
    priors: Mapping[str, Float[Tensor, " c"]],
    groups: Mapping[str, Bool[Tensor, " c"]],
    believed: Mapping[str, str],
) -> dict:
    """Percent right under each prior, and the mean over each group of classes; calibration, of probabilities.

    `believed`: prior -> the ending of its `nll`, in nats, and its `ece`, in points; empty where scores are no logits.
    """
    hit = answers.picked == truth
    found: dict = {prior: accuracy_under(weight, hit, truth) for prior, weight in priors.items()}
    found |= average(class_accuracies(hit, truth, len(next(iter(priors.values())))), groups)
    for prior, end in believed.items():
        weight = weigh_rows(priors[prior], truth)
        found[f"nll{end}"] = mean_cost(answers.cost, weight)
        found[f"ece{end}"] = 100 * calibration_gap(answers.sure, hit.double(), weight)
    return found
