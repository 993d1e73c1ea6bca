"""Linear classifiers on frozen features under a long tail, all rules at once, and how each is judged.

The loss is all that differs: Table 1 of Ren et al. 2020 without the learning of features. Classifiers share a matrix
product and random draws, and nothing else. What is made after training (Menon et al. 2021,
Eq. 9; Kang et al. 2020, Secs. 4.1-4.2) is made of softmax' classifier.
"""

from __future__ import annotations

import math
from pathlib import Path

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from vqabook import files
from vqabook.core import Table, pick_device
from vqabook.data.frozen import cut_tail
from vqabook.data.sampling import DrawEvenly
from vqabook.losses.longtail import adjust, log_counts
from vqabook.metrics.calibration import calibration_error, negative_log_likelihood
from vqabook.metrics.classes import accuracies
from vqabook.metrics.priors import accuracy_under, priors_of, weigh_rows
from vqabook.models.side_by_side import Heads
from vqabook.objectives.longtail import SCALE, LabelLoss, Rule, long_tail
from vqabook.objectives.side_by_side import AllRules
from vqabook.papers.balanced_activation.head_recipes import HeadsRun, frozen_of
from vqabook.training.fit import NO_CLIP, FitConfig, Schedule, fit
from vqabook.training.stages import Scratch

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


def train(recipe: HeadsRun, scratch: Scratch, *, data_root: Path | None, device: str = "auto") -> dict:
    """One tail: heads of all rules, judged on the same test rows."""
    frozen = frozen_of(recipe, files.data_root(data_root))
    rows, sizes = cut_tail(frozen, recipe.data.imbalance, recipe.seed)
    counts, labels = torch.tensor(sizes), torch.from_numpy(frozen.labels[rows])
    shown = torch.from_numpy(frozen.train[rows]).float()
    mean, std = shown.mean(0), shown.std(0).clamp(min=1e-3)
    x, test = (shown - mean) / std, (torch.from_numpy(frozen.test).float() - mean) / std
    picked, truth = pick_device(device), torch.from_numpy(frozen.truth)
    with torch.random.fork_rng():
        torch.manual_seed(recipe.seed)
        heads = Heads(x.shape[1], recipe.classes, GROUPS).to(picked)
    history = fit_heads(heads, recipe, x.to(picked), labels.to(picked), counts, scratch.checkpoint)
    heads = heads.cpu()
    judged = {
        name: judge(logits, truth, counts, (recipe.many, recipe.few), probable=name not in ("tau-normalised", "ncm"))
        for name, logits in classify(heads, x, labels, test, counts).items()
    }
    judged |= know_priors(heads, test, truth, counts)
    with torch.no_grad():
        learnt = {name: _percent(logits.argmax(1) == labels) for name, logits in heads.logits(x).items()}
    return {"rows": judged, "learnt": learnt, "parameters": x.shape[1] * recipe.classes, "history": history}


def prepare(recipe: HeadsRun, *, data_root: Path | None, device: str = "auto") -> None:
    """Read what a run reads: whatever cannot be raises now."""
    frozen_of(recipe, files.data_root(data_root))


def list_rules(counts: Int[Tensor, " c"]) -> dict[str, LabelLoss]:
    """The loss of each row, by the training rows of each class."""
    return {name: long_tail(rule, counts, exponent=tau) for name, (rule, tau) in RULES.items()}


def fit_heads(
    heads: Heads,
    recipe: HeadsRun,
    x: Float[Tensor, "n d"],
    labels: Int[Tensor, " n"],
    counts: Int[Tensor, " c"],
    checkpoint: Path,
) -> list[dict]:
    """Train all heads; their history."""
    rows = torch.arange(len(x), device=x.device)
    lookup = DrawEvenly(x, labels.argsort(stable=True), counts.to(x.device))
    table = Table((rows,), labels, recipe.classes, lookup=lookup)
    epochs = max(1, round(recipe.steps / math.ceil(len(x) / recipe.batch_size)))
    config = FitConfig.of(recipe, epochs=epochs, optimizer="adam", schedule=Schedule(cosine=True), clip=NO_CLIP)
    objective = AllRules(list_rules(counts), recipe.decay, even=EVEN)
    return fit(heads, objective, table, config, checkpoint=checkpoint, keep=True, label=recipe.label)


@torch.no_grad()
def classify(
    heads: Heads,
    x: Float[Tensor, "n d"],
    labels: Int[Tensor, " n"],
    test: Float[Tensor, "m d"],
    counts: Int[Tensor, " c"],
) -> dict[str, Float[Tensor, "m c"]]:
    """Logits of the test rows, of each trained head and of what is made of softmax' after training."""
    cosine = GROUPS["cosine"]
    found = {name: SCALE * logits if name in cosine else logits for name, logits in heads.logits(test).items()}
    weight = heads.weight["plain"][GROUPS["plain"].index(PLAIN)]
    means = torch.zeros(len(counts), x.shape[1]).index_add_(0, labels, x) / counts[:, None]
    return found | {
        "adjusted": adjust(found[PLAIN], log_counts(counts)),  # which is PC-softmax, for a uniform test
        "tau-normalised": F.linear(test, F.normalize(weight)),  # Kang et al. 2020, Eq. 3, at tau = 1
        "ncm": F.linear(F.normalize(test), F.normalize(means)),  # cosines, Kang et al. 2020, Sec. 4.1
    }


@torch.no_grad()
def know_priors(
    heads: Heads, test: Float[Tensor, "m d"], truth: Int[Tensor, " m"], counts: Int[Tensor, " c"]
) -> dict[str, dict[str, float]]:
    """Softmax and balanced softmax for whoever knows the prior at test: its log is added to balanced scores."""
    logits = heads.logits(test)
    balanced = {PLAIN: adjust(logits[PLAIN], log_counts(counts)), MINE: logits[MINE]}
    return {
        f"{name} @ prior known": {
            prior: accuracy_under(weight, (scores + weight.log()).argmax(1) == truth, truth)
            for prior, weight in priors_of(counts).items()
        }
        for name, scores in balanced.items()
    }


def judge(
    logits: Float[Tensor, "m c"],
    truth: Int[Tensor, " m"],
    counts: Int[Tensor, " c"],
    bounds: tuple[int, int],
    probable: bool = True,
) -> dict:
    """Percent right under each prior and by training rows of a class (`accuracies`); calibration, of probabilities.

    `nll` in nats and `ece` in points, where all classes are alike and, `_training`, where they are as in training.
    """
    hit, priors = logits.argmax(1) == truth, priors_of(counts)
    groups = accuracies(logits, truth, counts, *bounds)
    found: dict = {prior: accuracy_under(weight, hit, truth) for prior, weight in priors.items()}
    found |= {name: groups[name] for name in ("many", "medium", "few")}
    if probable:
        p = logits.double().softmax(1)
        for prior, end in (("uniform", ""), ("training", "_training")):
            weight = weigh_rows(priors[prior], truth)
            found[f"nll{end}"] = negative_log_likelihood(p, truth, weight)
            found[f"ece{end}"] = 100 * calibration_error(p, truth, weight)
    return found


def _percent(hit: Tensor) -> float:
    return 100 * float(hit.double().mean())
