"""What the project was put through, and how often it came out with the same numbers: a campaign's outcome, shown."""

import json
from collections.abc import Mapping
from html import escape

from vqabook.evidence.record import EVIDENCE

OUTCOME = EVIDENCE / "survived.json"
HEAD = ("What was done", "How often", "Ended as it should", "Runs compared", "Runs that differ", "Slowest end")


def read_survived() -> dict | None:
    """The outcome of the latest campaign that was recorded."""
    return json.loads(OUTCOME.read_text("utf-8")) if OUTCOME.exists() else None


def as_table(outcome: Mapping) -> list[tuple[str, ...]]:
    """Head and rows in words."""
    rows = [
        (
            row["what"],
            *(str(row[name]) for name in ("tried", "survived", "compared", "different")),
            "" if row["slowest"] is None else f"{row['slowest']:.1f} s",
        )
        for row in outcome["rows"]
    ]
    return [HEAD, *rows]


def render_html(outcome: Mapping | None) -> str:
    """The outcome for the protocol page."""
    if outcome is None:
        return "<p>No campaign has been recorded.</p>\n"
    head, *body = ("".join(f"<td>{escape(text)}</td>" for text in row) for row in as_table(outcome))
    rows = "".join(f"<tr>{row}</tr>" for row in body)
    faults = "".join(f"<li>{escape(fault)}</li>" for row in outcome["rows"] for fault in row["faults"])
    listed = f"<details><summary>What went wrong</summary><ul>{faults}</ul></details>\n" if faults else ""
    made = outcome["made"]
    where = (
        f"On {made['machine']}, {made['started'][:10]}, commit {made['commit']}, {made['seconds'] / 60:.0f} minutes."
    )
    table = f"<table><thead><tr>{head.replace('td>', 'th>')}</tr></thead><tbody>{rows}</tbody></table>"
    return f'<div style="overflow-x: auto">{table}</div>\n{listed}<p><small>{escape(where)}</small></p>\n'
