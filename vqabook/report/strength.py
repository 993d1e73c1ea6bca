"""How strong the evidence on a claim is, and how close its baseline comes to print: numbers for two pictures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from vqabook.report.claims import Claim
from vqabook.report.plain import sign
from vqabook.report.verdicts import of_side

SIDES = {"real": "verdict", "embedded": "verdict_embedded"}  # of a ledger's row: its numbers -> their verdict


@dataclass(frozen=True)
class Dot:
    """A claim as it stands in one source: what is printed, what was measured, half its 95 % interval (points)."""

    printed: float
    measured: float
    half: float | None
    source: str  # real, embedded
    met: bool  # whether the data meet the claim's conditions
    address: str
    title: str

    @property
    def effect(self) -> float:
        """The size of the printed difference."""
        return abs(self.printed)

    @property
    def could_see(self) -> bool:
        """Whether an effect as large as the printed one would have been seen."""
        return self.half is not None and self.half < self.effect


@dataclass(frozen=True)
class Level:
    """A baseline's level: printed, and ours as the mean over seeds, of which each source has `n`."""

    name: str
    printed: float
    embedded: float | None
    real: float | None
    n: tuple[int, ...]


def list_dots(rows: Sequence[Mapping]) -> dict[str, list[Dot]]:
    """Paper -> its dots, from the ledger's rows: claims with a printed difference in points that were measured."""
    papers: dict[str, list[Dot]] = {}
    for row in rows:
        if row["printed"] is None or row["unit"] != "points":
            continue
        for source, verdict in SIDES.items():
            if (numbers := row[source]) is None or numbers["low"] is None:
                continue
            met = row[verdict] != "conditions not met"
            half = (numbers["high"] - numbers["low"]) / 2
            printed, measured = (sign(value, 1) for value in (row["printed"]["value"], numbers["value"]))
            title = f"{row['claim']}: printed {printed}, measured {measured}"
            dot = Dot(
                row["printed"]["value"], numbers["value"], half, source, met, f"ledger.html#{row['address']}", title
            )
            papers.setdefault(row["paper"], []).append(dot)
    return papers


def list_levels(
    claims: Sequence[Claim], embedded: Sequence[Mapping], real: Sequence[Mapping], *, most: int
) -> list[Level]:
    """The levels of up to `most` baselines that claims compare with: those that are printed and that we have."""
    levels: dict[tuple, Level] = {}
    for claim in claims:
        side = claim.less
        if side.printed is None or side.over is not None or claim.unit != "points":
            continue
        seeds = [list(of_side(records, side).values()) for records in (embedded, real)]
        key = (side.printed, repr(sorted(side.where.items(), key=str)), side.metric)
        if any(seeds) and key not in levels:
            n = tuple(len(values) for values in seeds if values)
            levels[key] = Level(name_baseline(claim), side.printed, _mean(seeds[0]), _mean(seeds[1]), n)
    return list(levels.values())[:most]


def name_baseline(claim: Claim) -> str:
    """What a claim compares with, behind its paper's short title: "a: b beats c" compares with "a: c"."""
    among, colon, compared = claim.statement.rpartition(": ")
    against = compared.rpartition(" beats ")[2].removesuffix(" in the precision of masks")
    return f"{claim.paper.partition(' (')[0]} · {among}{colon}{against}"


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if values else None
