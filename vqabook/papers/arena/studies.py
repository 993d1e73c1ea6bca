"""What the arena's records say of a rule: its numbers, its gain over softmax, its ranks, and which rule to take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from scipy import stats

from vqabook.arena.heads import AFTER, EVEN, PLAIN, TITLES
from vqabook.arena.ranks import Ranks
from vqabook.papers.arena.claims import SETS
from vqabook.report.claims import LONGER
from vqabook.report.verdicts import NEAR, BySeed, Verdict, by_seed, judge, pair

Records = Sequence[Mapping]
UNIFORM, TRAINING, REVERSED = "uniform", "training", "reversed"
RARE = 10  # training rows of the rarest class, below which a tail is called extreme
WITHIN = ("balanced softmax, told the prior", "softmax, told the prior", "adjusted, told the prior")
PRICES = {  # of a rule that is no plain loss -> what it asks for besides
    EVEN: "another order of rows",
    "balanced softmax @ drw": "weights in the last fifth",
    "ldam @ drw": "cosines; weights in the last fifth",
    "ldam": "cosines",
    "adjusted": "no training",
    "tau-normalised": "no training",
    "ncm": "no training",
}


class Choice(NamedTuple):
    """A rule with its mean gain over softmax over sets, what it gains elsewhere, and on how many tails for sure."""

    row: str
    gain: Verdict
    elsewhere: Verdict  # the gain of the same tries where classes at test are as in training
    better: int  # on how many tails it is ahead of softmax for sure,
    worse: int  # behind it,
    tails: int  # of how many

    @property
    def price(self) -> str:
        """What it asks for besides."""
        return PRICES.get(self.row.partition(",")[0], "counts of the classes")


@dataclass(frozen=True)
class Study:
    """Records of contests. A task is a set with its imbalance, "digits at 100"."""

    records: Records

    @classmethod
    def of(cls, here: Records, recorded: Records) -> Study:
        """The records of a page, and of recorded tasks that it has none of."""
        mine = {r["recipe"]["variant"].partition(" @ ")[0] for r in here}
        return cls([*here, *(r for r in recorded if r["recipe"]["variant"].partition(" @ ")[0] not in mine)])

    @property
    def tasks(self) -> list[str]:
        """All that have records, in their order."""
        return list(dict.fromkeys(name for r in self.records if " @ " not in (name := r["recipe"]["variant"])))

    @property
    def main(self) -> list[str]:
        """One task a set: the one that claims are about, or of a set of one's own its only one."""
        own = [task for task in self.tasks if task.split(" ")[0] not in {name.split(" ")[0] for name in SETS}]
        return [*(task for task in SETS if task in self.tasks), *own]

    @property
    def rows(self) -> list[str]:
        """All rules, softmax first; losses of one's own last; none that is told the prior."""
        own = dict.fromkeys(name for r in self.records for name in r["result"]["rows"][UNIFORM])
        return [*(row for row in TITLES if row in own), *(row for row in own if row not in TITLES)]

    def numbers(
        self, task: str, row: str, metric: str = "wanted", prior: str = UNIFORM, longer: bool = False
    ) -> BySeed:
        """A number for each seed; of a loss of one's own from the record that it has for itself."""
        variant = task + LONGER * longer + ("" if row in TITLES or row in WITHIN else f" @ {row}")
        return by_seed(
            self.records, {"variant": variant}, lambda result: result["rows"][prior].get(row, {}).get(metric)
        )

    def gain(self, task: str, row: str, metric: str = "wanted", prior: str = UNIFORM) -> Verdict:
        """What a rule gains over softmax, paired by seed."""
        gains = pair(self.numbers(task, row, metric, prior), self.numbers(task, PLAIN, metric, prior))
        return judge(list(gains.values()), near=NEAR, shared=gains.shared)

    def sets(self, tasks: Sequence[str]) -> dict[str, list[str]]:
        """These tasks by their set."""
        found: dict[str, list[str]] = {}
        for task in tasks:
            found.setdefault(task.split(" ")[0], []).append(task)
        return found

    def least(self, task: str) -> int:
        """Training rows of the rarest class."""
        return min(r["result"]["least"] for r in self.records if r["recipe"]["variant"] == task)

    def across(self, row: str, prior: str, tasks: Sequence[str], metric: str = "wanted") -> Verdict:
        """The mean gain over sets, with an interval of what another set would show: each set counts once."""
        means = []
        for mine in self.sets(tasks).values():
            gains = [verdict.mean for task in mine if (verdict := self.gain(task, row, metric, prior)).mean is not None]
            means += [float(np.mean(gains))] if gains else []
        return judge(means, near=NEAR)

    def sure(self, row: str, prior: str, tasks: Sequence[str]) -> tuple[int, int]:
        """On how many tails a rule is ahead of softmax for sure, and on how many behind it."""
        kinds = [self.gain(task, row, prior=prior).kind for task in tasks]
        return kinds.count("holds"), kinds.count("fails")

    def choose(self, prior: str, *, rare: bool | None = None, after: bool = False, most: int = 2) -> list[Choice]:
        """The rules that rank highest over sets, those above softmax alone. `rare`: only tails whose rarest class has
        fewer than `RARE` rows, or only others; `after`: only what is made of a trained softmax.
        """
        tasks = [task for task in self.tasks if rare is None or (self.least(task) < RARE) == rare]
        rows = [row for row in self.rows if row in TITLES and (not after or row in (PLAIN, *AFTER))]
        order = list(self.rank(prior, tasks, rows).mean) if tasks else [PLAIN]
        return [
            Choice(
                row,
                self.across(row, prior, tasks),
                self.across(row, UNIFORM, tasks, TRAINING),
                *self.sure(row, prior, tasks),
                len(tasks),
            )
            for row in order[: order.index(PLAIN)][:most]
        ]

    def rank(
        self, prior: str = UNIFORM, tasks: Sequence[str] | None = None, rows: Sequence[str] | None = None
    ) -> Ranks:
        """The mean rank of rules over sets, 1 the best; within a set ranks are the mean over its tails."""
        rows = [row for row in self.rows if row in TITLES] if rows is None else rows
        tables = []
        for mine in self.sets(self.tasks if tasks is None else tasks).values():
            scores = [[np.mean(list(self.numbers(task, row, prior=prior).values())) for row in rows] for task in mine]
            tables.append(np.mean([stats.rankdata(-np.array(line)) for line in scores], axis=0))
        return Ranks.of(rows, np.array(tables))

    def counts(self, task: str) -> tuple[int, int, int]:
        """Classes, and training rows of the most frequent and of the rarest one."""
        result = next(r["result"] for r in self.records if r["recipe"]["variant"] == task)
        return result["sizes"]["classes"], result["most"], result["least"]

    def move(self, row: str) -> dict[str, float]:
        """How far training twice as long moves a rule, by task (points)."""
        moves = {task: pair(self.numbers(task, row, longer=True), self.numbers(task, row)) for task in self.tasks}
        return {task: float(np.mean(list(gains.values()))) for task, gains in moves.items() if gains}


class Debiasing(NamedTuple):
    """A rule against changed priors (chapter 02): its runs, and those of the same model by the plain loss."""

    name: str
    rule: str
    start: str = "bce baseline"
    blind: str | None = None  # the rule's runs of a model without an image; "": none, it needs images

    @property
    def sides(self) -> dict[str, tuple[str, str]]:
        """The two runs of each model that has them."""
        blind = f"blind {self.rule}" if self.blind is None else self.blind
        unseeing = {"no image": (blind, f"question_only {self.start}")} if blind else {}
        return {"UpDn": (self.rule, self.start)} | unseeing


RULES = (
    Debiasing("re-scaling, cross-entropy", "ce re-scaling", "ce baseline", "question_only ce re-scaling"),
    Debiasing("re-scaling, binary", "bce re-scaling"),
    Debiasing("mask", "bce mask (softplus-G)"),
    Debiasing("mask and re-scaling", "bce both"),
    Debiasing("positive term alone", "bce both @ positive term only"),
    Debiasing("LM", "lm bce baseline"),
    Debiasing("LMH", "lmh bce baseline"),
    Debiasing("RUBi", "rubi ce baseline", "ce baseline"),
    Debiasing("bias product", "bias_product bce baseline"),
    Debiasing("re-weighting", "reweight bce baseline"),
    Debiasing("focal loss", "focal bce baseline"),
    Debiasing("CSS", "css bce baseline", blind=""),
)


def gain_of(records: Records, rule: str, start: str, metric: str = "test.overall", prior: str = "changing") -> Verdict:
    """What a rule's runs gain over the plain loss' on questions, paired by seed."""
    more, less = (by_seed(records, {"variant": variant, "prior": prior}, metric) for variant in (rule, start))
    gains = pair(more, less)
    return replace(judge(list(gains.values()), near=NEAR, shared=gains.shared), differences=dict(gains))
