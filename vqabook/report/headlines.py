"""What a paper is cited for, and what became of it: its headline claims and their verdicts."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from vqabook.report.claims import Claim
from vqabook.report.verdicts import KINDS, UNTESTED, Verdict, verdict_on


@dataclass(frozen=True)
class PaperVerdict:
    """The headline claims of a paper, each with its verdict; a verdict knows its data set."""

    headlines: tuple[tuple[Claim, Verdict], ...]

    @property
    def counts(self) -> dict[str, int]:
        """How many verdicts of each kind, in the order of KINDS."""
        counted = Counter(verdict.kind for _, verdict in self.headlines)
        return {kind: counted[kind] for kind in KINDS if counted[kind]}

    @property
    def told(self) -> str:
        """In a sentence's part: "2 of 3 headline claims hold; 1 fails, 1 undecided, 1 not run"."""
        counts = self.counts
        tested = sum(n for kind, n in counts.items() if kind not in UNTESTED)
        if not tested:
            return f"none of {len(self.headlines)} headline claims could be tested"
        others = ", ".join(f"{n} {kind}" for kind, n in counts.items() if kind != "holds")
        held = counts.get("holds", 0)
        claims = "headline claim holds" if tested == 1 else "headline claims hold"
        return f"{held} of {tested} tested {claims}{f'; {others}' if others else ''}"


def judge_paper(claims: Sequence[Claim], sources: Sequence[Sequence[Mapping]]) -> PaperVerdict:
    """A paper's verdict from its headline claims, each on the source that best meets its conditions."""
    headlines = [claim for claim in claims if claim.headline]
    return PaperVerdict(tuple((claim, judge_best(claim, sources)) for claim in headlines))


def judge_best(claim: Claim, sources: Sequence[Sequence[Mapping]]) -> Verdict:
    """The verdict on a claim on the source that best meets its conditions.

    `sources`: records of one data set and profile each, the ones that should count first in front. Of equally good
    ones the first is taken: a source that meets all conditions before one that does not, and that before none.
    """
    return min((verdict_on(claim, source) for source in sources), key=_lack)


def _lack(verdict: Verdict) -> int:
    return UNTESTED.index(verdict.kind) + 1 if verdict.kind in UNTESTED else 0
