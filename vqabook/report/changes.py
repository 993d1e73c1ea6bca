"""Two ledgers compared: which claims are new, whose verdict changed, whose measured difference moved."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

from vqabook.report.ledger import badge
from vqabook.report.plain import fold, sign, span

ROOMS = {"embedded": "verdict_embedded", "real": "verdict"}  # of a ledger's row: where it was measured -> its verdict
TITLES = {"embedded": "embedded world", "real": "real data"}
MOVED = 0.5  # of the old interval's width
# The first edition's words -> the words of today that may stand for the same.
SAME = {
    "unclear": ("undecided", "smaller", "no difference"),
    "not run": ("not run", "conditions not met"),
}

Small = Mapping[str, Mapping[str, Sequence]]


@dataclass(frozen=True)
class Change:
    """What became of a claim in one room: `kind` is new, gone, flipped or moved; sides are (verdict, value, low, high).

    A side is None where the ledger lacks the claim.
    """

    claim: str
    room: str
    kind: str
    old: Sequence | None
    new: Sequence | None


def shrink(ledger: Sequence[Mapping]) -> dict[str, dict[str, list]]:
    """A ledger's rows in the form that a release keeps: claim -> room -> [verdict, value, low, high]."""
    kept = {}
    for row in ledger:
        kept[row["name"]] = {
            room: [row[verdict], *(_rounded(row[room], name) for name in ("value", "low", "high"))]
            for room, verdict in ROOMS.items()
        }
    return kept


def _rounded(measured: Mapping | None, name: str) -> float | None:
    value = (measured or {}).get(name)
    return None if value is None else round(value, 3)


def compare(old: Small, new: Small) -> list[Change]:
    """What changed between two ledgers, in their order: claims, in each room."""
    changes = []
    for claim in [*new, *(claim for claim in old if claim not in new)]:
        for room in ROOMS:
            before, after = (ledger.get(claim, {}).get(room) for ledger in (old, new))
            if kind := _kind(before, after):
                changes.append(Change(claim, room, kind, before, after))
    return changes


def _kind(old: Sequence | None, new: Sequence | None) -> str | None:
    if old is None or new is None:
        return "new" if old is None else "gone"
    if new[0] not in (old[0], *SAME.get(old[0], ())):
        return "flipped"
    if None in (*old, *new):
        return None
    return "moved" if abs(new[1] - old[1]) > MOVED * (old[3] - old[2]) else None


def count(changes: Sequence[Change]) -> str:
    """How many changes of each kind, in a sentence."""
    n = Counter(change.kind for change in changes)
    return (
        "Of the verdicts in the embedded world and on real data, since then "
        f"{n['flipped']} changed their word, {n['moved']} moved by more than half their interval, {n['new']} are new, "
        f"and {n['gone']} are gone."
    )


def tell(change: Change) -> str:
    """A change in a line."""
    sides = (_tell(side) for side in (change.old, change.new))
    return f"{change.kind}: {change.claim}, {TITLES[change.room]}: {' -> '.join(sides)}"


def _tell(side: Sequence | None) -> str:
    if side is None:
        return "none"
    verdict, value, low, high = side
    return verdict if value is None else f"{verdict} {sign(value)}{span(low, high)}"


def render_html(changes: Sequence[Change], version: str) -> str:
    """The changes page's table: a row a verdict that flipped or moved, folded; what is new or gone is counted."""
    head = "".join(f"<th>{escape(title)}</th>" for title in ("claim", "measured", version, "now"))
    body = "".join(_row(change) for change in changes if change.kind in ("flipped", "moved"))
    table = f'<div class="table-scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
    folded = fold("What changed its word or moved", table, kind="reference")
    return f"<p>{count(changes)}</p>\n{folded if body else ''}\n"


def _row(change: Change) -> str:
    cells = [f"<code>{escape(change.claim)}</code><br><small>{change.kind}</small>", TITLES[change.room]]
    for verdict, *numbers in filter(None, (change.old, change.new)):
        measured = _tell(["", *numbers]).strip()
        cells.append(f"{badge(verdict)}<br><small>{escape(measured)}</small>")
    return f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"
