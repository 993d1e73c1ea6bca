"""Records of a contest -> which rule leads, by how much, what it costs, and what would tell the others apart.

Verdicts are the project's: 95 % intervals of differences paired by division. Divisions share rows, which intervals
allow for (Nadeau and Bengio 2003): the variance of a mean over n of them is s² (1 / n + test rows / training rows).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from vqabook.report.verdicts import NEAR, BySeed, Verdict, by_seed, judge, pair

SCORE = "wanted"
START = "softmax"
ENOUGH = 200  # divisions, beyond which nobody goes


@dataclass(frozen=True)
class Standing:
    """A row of the ranking: its score of each division, and what it gains over softmax and over the leader."""

    name: str
    scores: BySeed
    gain: Verdict  # over softmax
    behind: Verdict  # the leader over it

    @property
    def mean(self) -> float:
        """Of the score, in percent."""
        return float(np.mean(list(self.scores.values())))


@dataclass(frozen=True)
class Ranking:
    """All rows, best first. `chosen`: the first of those whose interval over softmax lies above zero; None if none."""

    rows: tuple[Standing, ...]
    chosen: Standing | None

    def row(self, name: str) -> Standing:
        """The one of that name."""
        return next(row for row in self.rows if row.name == name)


def read(records: Sequence[Mapping], name: str, metric: str) -> BySeed:
    """A number of a row for each division; what rows of test divisions share comes with it."""
    those = [record for record in records if name in record["result"].get("rows", {})]
    numbers = by_seed(those, {}, lambda result: result["rows"][name].get(metric))
    train, _, test = records[-1]["recipe"]["shares"]
    numbers.shared = test / train
    return numbers


def list_rows(records: Sequence[Mapping]) -> list[str]:
    """All names, in the order in which they were made."""
    return list(dict.fromkeys(name for record in records for name in record["result"].get("rows", {})))


def compare(more: BySeed, less: BySeed) -> Verdict:
    """The verdict on a difference in percent."""
    differences = pair(more, less)
    return judge(list(differences.values()), near=NEAR, shared=differences.shared)


def rank(records: Sequence[Mapping], metric: str = SCORE) -> Ranking:
    """Rows by their mean score. The records of one contest."""
    scores = {name: read(records, name, metric) for name in list_rows(records)}
    means = {name: float(np.mean(list(numbers.values()))) for name, numbers in scores.items()}
    order = sorted(scores, key=lambda name: -means[name])
    gains = {name: compare(scores[name], scores[START]) for name in order}
    ahead = [name for name in order if name != START and gains[name].kind == "holds"]
    leader = ahead[0] if ahead else START
    rows = tuple(Standing(name, scores[name], gains[name], compare(scores[leader], scores[name])) for name in order)
    return Ranking(rows, next((row for row in rows if row.name == leader), None) if ahead else None)


def count_divisions(verdict: Verdict) -> int | None:
    """How many divisions would take an interval as wide as this one off zero; None where no number of them would.

    Of the same rows: a variance s² (1 / n + shared) never falls below s² shared.
    """
    if verdict.mean is None or not verdict.std:
        return None
    for n in range(max(verdict.n, 3), ENOUGH + 1):
        half = stats.t.ppf(0.975, n - 1) * verdict.std * np.sqrt(1 / n + verdict.shared)
        if half < abs(verdict.mean):
            return n
    return None


def count_rows(verdict: Verdict) -> float | None:
    """How many times as many rows would, in as many divisions: variances fall as rows rise. None without interval."""
    if not verdict.mean or verdict.detectable is None:
        return None
    return (verdict.detectable / abs(verdict.mean)) ** 2
