"""The same number of tries for every rule: what its paper sets, and values around it; validation rows pick one.

A rule's first try has its own name and is what it is without tries; softmax and what else has no such value has one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from vqabook.arena.heads import GROUPS, PLAIN, RULES, Answers, list_rules
from vqabook.losses.longtail import adjust, log_counts
from vqabook.metrics.priors import accuracy_under
from vqabook.models.side_by_side import Heads
from vqabook.objectives.longtail import LabelLoss, long_tail

KNOBS: dict[str, tuple[str, float, float, float]] = {  # row -> option of `long_tail`, the paper's, least and most tried
    "focal": ("gamma", 2.0, 0.5, 5.0),
    "class balance": ("beta", 0.9999, 0.9, 0.99999),
    "ldam": ("largest", 0.5, 0.1, 1.0),
    "equalisation": ("gamma", 0.9, 0.5, 0.99),
    "balanced softmax": ("exponent", 1.0, 0.25, 2.0),
    "ldam @ drw": ("largest", 0.5, 0.1, 1.0),
    "balanced softmax @ drw": ("exponent", 1.0, 0.25, 2.0),
    "vector scaling": ("gamma", 0.15, 0.05, 0.5),
    "adjusted": ("tau", 1.0, 0.25, 2.0),
    "tau-normalised": ("tau", 1.0, 0.25, 2.0),
}
TRY = " #"


def list_values(row: str, n: int) -> list[float]:
    """What is tried of a row: the paper's value, and `n` - 1 others, evenly by their ratio; of β by that of 1 - β."""
    if row not in KNOBS or n < 2:
        return [KNOBS[row][1]] if row in KNOBS else []
    option, first, low, high = KNOBS[row]
    values = 1 - np.geomspace(1 - low, 1 - high, n - 1) if option == "beta" else np.geomspace(low, high, n - 1)
    return [first, *(float(f"{value:.6g}") for value in values)]


def name_try(row: str, i: int) -> str:
    """Of a row's tries the first is called as the row."""
    return f"{row}{TRY}{i}" if i else row


def group_tries(n: int) -> dict[str, list[str]]:
    """`GROUPS` with all tries of each row, the first ones first: they start as they would alone."""
    return {
        group: [*rows, *(name_try(row, i) for row in rows for i in range(1, len(list_values(row, n))))]
        for group, rows in GROUPS.items()
    }


def list_tries(counts: Int[Tensor, " c"], n: int) -> dict[str, LabelLoss]:
    """The loss of each try."""
    found = list_rules(counts)
    for row, (rule, tau) in RULES.items():
        for i, value in list(enumerate(list_values(row, n)))[1:]:
            options: dict[str, Any] = {"exponent": tau, KNOBS[row][0]: value}
            found[name_try(row, i)] = long_tail(rule, counts, **options)
    return found


@torch.no_grad()
def try_after(
    heads: Heads, x: Float[Tensor, "m d"], plain: Float[Tensor, "m c"], counts: Int[Tensor, " c"], n: int
) -> dict[str, Float[Tensor, "m c"]]:
    """Further tries of what is made of softmax' classifier after training: `plain` are its logits."""
    weight = heads.weight["plain"][heads.groups["plain"].index(PLAIN)]
    length, log_n = weight.norm(dim=1, keepdim=True), log_counts(counts)
    found = {}
    for i, tau in list(enumerate(list_values("adjusted", n)))[1:]:
        found[name_try("adjusted", i)] = adjust(plain, log_n, tau=tau)
        found[name_try("tau-normalised", i)] = F.linear(x, weight / length**tau)  # Kang et al. 2020, Eq. 3
    return found


def pick(
    answers: Mapping[str, Answers], truth: Int[Tensor, " n"], wanted: Float[Tensor, " c"], n: int
) -> dict[str, tuple[str, float | None]]:
    """Row -> its try that is right most often on validation rows by the wanted prior, first of equals; its value."""
    picked: dict[str, tuple[str, float | None]] = {}
    for row in (name for name in answers if TRY not in name):
        values: Sequence[float | None] = list_values(row, n) or [None]
        right = [accuracy_under(wanted, answers[name_try(row, i)].picked == truth, truth) for i in range(len(values))]
        best = int(np.argmax(right))
        picked[row] = name_try(row, best), values[best]
    return picked
