"""Live runs: headline comparisons trained while the book is built, beside the recorded interval.

A live run has a seed that no record has. If today's code on this machine does what the recorded one did, its difference
falls inside the recorded seeds' 95 % prediction interval, 19 times in 20.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from vqabook.report.claims import Claim
from vqabook.report.verdicts import MIN_SEEDS, Verdict, of_claim, verdict_on

SEED = 77


@dataclass(frozen=True)
class Star:
    """A claim's live difference, and where a new seed's was expected."""

    claim: Claim
    value: float | None  # None: not trained yet
    expected: tuple[float, float] | None  # 95 % prediction interval; None: fewer than three recorded seeds
    embedded: Verdict
    real: Verdict

    @property
    def inside(self) -> bool | None:
        """Whether the difference is where it was expected; None where nothing was."""
        if self.value is None or self.expected is None:
            return None
        return self.expected[0] <= self.value <= self.expected[1]


def predict_interval(differences: Sequence[float]) -> tuple[float, float] | None:
    """Where another seed's difference lies with 95 % (Student's t); None with fewer than three seeds."""
    n = len(differences)
    if n < MIN_SEEDS:
        return None
    half = stats.t.ppf(0.975, n - 1) * np.std(differences, ddof=1) * np.sqrt(1 + 1 / n)
    return float(np.mean(differences) - half), float(np.mean(differences) + half)


def find_stars(
    claims: Sequence[Claim], live: Sequence[Mapping], embedded: Sequence[Mapping], real: Sequence[Mapping]
) -> list[Star]:
    """A star a claim, from live runs and from the recorded ones of the embedded world and of real data."""
    stars = []
    for claim in claims:
        recorded = list(of_claim(embedded, claim).values())
        value, expected = of_claim(live, claim).get(SEED), predict_interval(recorded)
        stars.append(Star(claim, value, expected, verdict_on(claim, embedded), verdict_on(claim, real)))
    return stars


def as_row(star: Star) -> dict:
    """A star for machines."""
    measured = {"value": star.value, "expected": star.expected, "inside": star.inside}
    return {"claim": star.claim.name, "page": star.claim.page, "unit": star.claim.unit, "seed": SEED, **measured}


def count_inside(stars: Sequence[Star]) -> str:
    """The sentence that the front page says of them."""
    judged = [star.inside for star in stars if star.inside is not None]
    if not judged:
        return "No live run has a recorded interval to fall into here."
    return (
        f"{sum(judged)} of {len(judged)} comparisons trained with this build (stars) fell inside their 95 % prediction "
        f"interval (pale bars); by chance about {0.05 * len(judged):.1f} would not."
    )
