"""Claims and records -> the rows of the ledger, and a page's verdicts."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from html import escape

import pandas as pd

from vqabook.report.claims import first_of_equals
from vqabook.report.plain import minus, sign, span
from vqabook.report.verdicts import UNTESTED, verdict_on

SIDES = {"embedded": "verdict_embedded", "real": "verdict"}  # of a row: its numbers -> their verdict


def badge(kind: str, text: str | None = None) -> str:
    """A verdict's name, or another text, as a label in the verdict's colour."""
    return f'<span class="verdict-{kind.replace(" ", "-")}">{text or kind}</span>'


def rows(
    claims: Sequence, local: Sequence[Mapping], recorded: Sequence[Mapping], further: Sequence[Sequence[Mapping]] = ()
) -> list[dict]:
    """One row a claim, for ledger.json. `verdict` is the real data's; the embedded world's never stands for it.

    `further` are records of other real data sets or sizes, one sequence each, whose verdicts stand under "further".
    `same_as` names the claim that counts where two compare the same records.
    """
    listed, repeats = [], first_of_equals(claims)
    for claim in claims:
        embedded, real, *others = (_measure(claim, records) for records in (local, recorded, *further))
        printed = {"value": claim.printed, "std": None, "n": 1, "data": claim.data, "commit": None}
        listed.append({
            "paper": claim.paper, "name": claim.name, "address": claim.address, "claim": claim.statement,
            "where": minus(claim.where), "page": claim.page, "unit": claim.unit,
            "printed": None if claim.printed is None else printed,
            "ours": claim.ours, "headline": claim.headline, "needs": list(claim.needs),
            "same_as": repeats.get(claim.name),
            "embedded": embedded[1], "real": real[1], "verdict": real[0], "verdict_embedded": embedded[0],
            "further": [
                numbers | {"verdict": kind, "profile": records[0]["recipe"]["profile"]}
                for records, (kind, numbers) in zip(further, others, strict=True) if numbers
            ],
        })  # fmt: skip
    return listed


def _measure(claim, records: Sequence[Mapping]) -> tuple[str, dict | None]:
    """A claim's verdict, and the numbers behind it if there are any."""
    verdict = verdict_on(claim, records)
    if verdict.mean is None:
        return verdict.kind, None
    numbers = {
        "value": verdict.mean, "std": verdict.std, "low": verdict.low, "high": verdict.high,
        "detectable": verdict.detectable, "shared": verdict.shared,
    }  # fmt: skip
    return verdict.kind, {name: None if x is None else round(x, 4) for name, x in numbers.items()} | {
        "n": verdict.n,
        "differences": {seed: round(x, 4) for seed, x in verdict.differences.items()},
        "why": verdict.why,
        "converged": verdict.converged,
        "data": verdict.dataset,
        "commit": ", ".join(verdict.commits),
        "records": list(verdict.records),
    }


def place_of(row: Mapping) -> str:
    """The table, figure or section that a claim belongs to: the first thing its `where` names."""
    return re.split("[,;:]", row["where"])[0]


def _tell_sides(row: Mapping) -> list[str]:
    return [tell(row[verdict], row[side], row["unit"]) for side, verdict in SIDES.items()]


def tell(kind: str, measured: Mapping | None, unit: str) -> str:
    """A verdict and its numbers, as a cell."""
    if not measured:
        return badge(kind)
    told = f"{sign(measured['value'])}{span(measured['low'], measured['high'])}"
    notes = {"undecided": f"could have seen {measured['detectable'] or 0:.2f}", "conditions not met": measured["why"]}
    note = f"; {escape(notes[kind])}" if kind in notes else ""
    n = f"n\u00a0=\u00a0{measured['n']}"
    return f"{badge(kind)}<br><small>{told} {unit}, {n}{note}</small>"


def count_once(ledger: Sequence[Mapping], *, ours: bool = False) -> list[Mapping]:
    """The rows that are counted, the papers' or ours: of claims that compare the same records, one."""
    return [row for row in ledger if row["ours"] == ours and row["same_as"] is None]


def by_chance(ledger: Sequence[Mapping]) -> str:
    """How many of the papers' claims hold and fail, and how many would if every difference were zero; ours apart."""
    sentences = []
    for where, side in (("On real data", "real"), ("In the embedded world", "embedded")):
        for whose, ours in (("tested claims of the papers", False), ("of ours", True)):
            kinds = Counter(row[SIDES[side]] for row in count_once(ledger, ours=ours))
            if tested := sum(n for kind, n in kinds.items() if kind not in UNTESTED):
                sentences.append(
                    f"{where} {kinds['holds']} of {tested} {whose} hold and {kinds['fails']} fail"
                    + ("" if ours else f" (by chance about {0.025 * tested:.1f} of each)")
                )
    repeated = sum(row["same_as"] is not None for row in ledger)
    once = f"; where two compare the same records, one is counted ({repeated} left out)" if repeated else ""
    return (
        f"{'. '.join(sentences)}. By chance: if every difference were zero, a claim would hold or fail with 2.5 % "
        f"each. Claims are not independent: many share runs{once}."
    )


def verdicts(
    claims: Sequence,
    local: Sequence[Mapping],
    recorded: Sequence[Mapping],
    *,
    dataset: str,
    placed: set[str] | None = None,
) -> pd.DataFrame:
    """A page's claims with their verdicts on this page's runs (`dataset`) and on the recorded real ones.

    Each leads to its row of the ledger, which leads back to where the page shows it first; `placed`: the addresses that
    the page has already.
    """
    cells, placed = [], set() if placed is None else placed
    for row in rows(claims, local, recorded):
        address = row["address"]
        here = "" if address in placed else f' id="{address}"'
        placed.add(address)
        claim = (
            f'<a{here} href="../ledger.html#{address}">{escape(row["claim"])}</a>'
            f"<br><small>{escape(row['where'])}</small>"
        )
        printed = sign(row["printed"]["value"]) if row["printed"] else "–"
        cells.append([claim, printed, *_tell_sides(row)])
    return pd.DataFrame(cells, columns=["claim", "printed", f"here: {dataset}", "recorded, real"])
