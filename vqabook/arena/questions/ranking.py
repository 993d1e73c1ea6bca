"""Records of a contest on questions -> what each rule gains where priors change, costs where not, and gains unseen.

A rule that moves the prior raises the score under changed priors with the eyes shut. So the same rule trains a model
that sees no image, and what counts as sight is the gain beyond that one's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from vqabook.arena.questions.sample import Asked
from vqabook.arena.ranking import compare
from vqabook.report.verdicts import BySeed, Verdict, by_seed, pair

SCORE, VALID = "test.overall", "valid"  # official accuracy; the soft score of validation questions, in percent
START = "bce baseline"  # UpDn's own loss, without a rule
PLAIN = "ce baseline"  # the same by the other loss
BLIND = "blind "  # before the variant of a model that sees no image
NOT_LEARNT = "conditions not met"


@dataclass(frozen=True)
class Standing:
    """A rule: its scores where priors change, and what becomes of them, in points."""

    name: str
    scores: BySeed
    gain: Verdict  # over no rule, where priors change
    cost: Verdict  # the same where they stay
    blind: Verdict  # what a model without images gains by it where they change
    beyond: Verdict  # the gain less that one
    sight: Verdict  # validation score less that of the model without images, by the same rule
    behind: Verdict  # the leader over it
    has_learnt: bool  # whether UpDn without a rule is better on validation than without images: the protocol

    @property
    def mean(self) -> float:
        """Of the score, in percent."""
        return float(np.mean(list(self.scores.values())))

    @property
    def sees(self) -> bool:
        """Whether UpDn is better on validation than the model without images by the same rule."""
        return (self.sight.mean or 0.0) > 0

    @property
    def kind(self) -> str:
        """The verdict on its gain; of a model that has not learnt to look there is none."""
        return self.gain.kind if self.has_learnt else NOT_LEARNT


@dataclass(frozen=True)
class Ranking:
    """All rules, best first. `chosen`: the first that gains for sure; None if none does."""

    rows: tuple[Standing, ...]
    chosen: Standing | None

    def row(self, name: str) -> Standing:
        """The one of that name."""
        return next(row for row in self.rows if row.name == name)

    @property
    def leader(self) -> Standing:
        """What others are compared with: the rule that is chosen, or none."""
        return self.chosen or self.row(START)


def read(
    records: Sequence[Mapping], asked: Asked, variant: str, prior: str = "changing", metric: str = SCORE
) -> BySeed:
    """A number of a variant by seed; what rows of test seeds share comes with it."""
    numbers = by_seed(records, {"variant": variant, "prior": prior}, metric)
    numbers.shared = asked.shared[prior]
    return numbers


def list_rules(records: Sequence[Mapping]) -> list[str]:
    """Variants of models that see, in the order in which they were asked."""
    names = dict.fromkeys(record["recipe"]["variant"] for record in records if record["recipe"]["kind"] == "train")
    return [name for name in names if not name.startswith(BLIND)]


def rank(records: Sequence[Mapping], asked: Asked) -> Ranking:
    """Rules by their mean score where priors change."""
    scores = {name: read(records, asked, name) for name in list_rules(records)}
    order = sorted(scores, key=lambda name: -float(np.mean(list(scores[name].values()))))
    rows = {name: _stand(records, asked, name, scores[START]) for name in order}
    ahead = [name for name in order if name != START and rows[name].kind == "holds"]
    if ahead:
        rows = {name: _stand(records, asked, name, scores[ahead[0]]) for name in order}
    return Ranking(tuple(rows.values()), rows[ahead[0]] if ahead else None)


def _stand(records: Sequence[Mapping], asked: Asked, name: str, leader: BySeed) -> Standing:
    """A rule's standing; `leader`: the scores that it is behind."""

    def gain(of: str, prior: str = "changing") -> BySeed:
        return pair(read(records, asked, f"{of}{name}", prior), read(records, asked, f"{of}{START}", prior))

    own, unseeing = gain(""), gain(BLIND)
    plain = {START, PLAIN if "ce" in name.split() else START}
    scores, nothing = read(records, asked, name), BySeed(dict.fromkeys(own, 0.0))
    return Standing(
        name,
        scores,
        compare(own, nothing),
        compare(gain("", "same"), nothing),
        compare(unseeing, nothing),
        compare(own, unseeing),
        _see(records, asked, name),
        compare(leader, scores),
        all((_see(records, asked, run).mean or 0.0) > 0 for run in plain),
    )


def _see(records: Sequence[Mapping], asked: Asked, name: str) -> Verdict:
    """What UpDn has on validation beyond the model without images, by one rule."""
    return compare(*(read(records, asked, f"{of}{name}", metric=VALID) for of in ("", BLIND)))
