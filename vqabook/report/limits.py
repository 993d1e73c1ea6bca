"""What a page's data could not have shown: levels far from the printed ones, and effects too small for the seeds."""

from collections.abc import Mapping, Sequence
from html import escape

import numpy as np
import pandas as pd

from vqabook.report.claims import Claim
from vqabook.report.plain import clear, sign
from vqabook.report.verdicts import of_side, verdict_on

Records = Sequence[Mapping]


def limits(claims: Mapping[str, Claim], rooms: Mapping[str, Records]) -> pd.DataFrame:
    """A row a claim, by its label: the level of its smaller side, printed and in each room, its effect, and what shows.

    `rooms`: what the columns call a set of records. What could have been seen is half the interval's width. A column
    without a number is left out.
    """
    cells = {}
    for label, claim in claims.items():
        row = {("baseline", "printed"): _number(claim.less.in_print)}
        row |= {("baseline", room): _level(claim, records) for room, records in rooms.items()}
        row["effect", "printed"] = _number(claim.printed, signed=True)
        row |= {("visible", room): _seen(claim, records) for room, records in rooms.items()}
        cells[escape(label)] = row
    table = pd.DataFrame.from_dict(cells, orient="index")
    return table.loc[:, (table != "–").any()]


def _level(claim: Claim, records: Records) -> str:
    values = list(of_side(records, claim.less).values())
    return clear(float(np.mean(values)), 1 if claim.unit == "points" else 2) if values else "–"


def _number(value: float | None, *, signed: bool = False) -> str:
    return "–" if value is None else (sign if signed else clear)(value, 1)


def _seen(claim: Claim, records: Records) -> str:
    seen = verdict_on(claim, records).detectable
    return "–" if seen is None else f"±\u00a0{seen:.{1 if claim.unit == 'points' else 2}f}"
