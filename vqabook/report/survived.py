"""What the project was put through, and how often it came out with the same numbers: a campaign's outcome, shown."""

import json
from collections.abc import Iterator, Mapping, Sequence
from html import escape

from vqabook.evidence.record import EVIDENCE
from vqabook.report.plain import fold

OUTCOME = EVIDENCE / "survived.json"
QUESTIONS_READ = EVIDENCE / "questions.json"  # what benchmarks/questions.py measured
HEAD = ("What was done", "How often", "Ended as it should", "Runs compared", "Runs that differ", "Slowest end")


def read_survived() -> dict | None:
    """The outcome of the latest campaign that was recorded."""
    return json.loads(OUTCOME.read_text("utf-8")) if OUTCOME.exists() else None


def read_questions() -> dict | None:
    """Seconds and memory of the latest reading of very many questions that was recorded."""
    return json.loads(QUESTIONS_READ.read_text("utf-8")) if QUESTIONS_READ.exists() else None


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


def render_html(outcome: Mapping | None, questions: Mapping | None = None) -> str:
    """The outcome for the protocol page, and what it took to read many questions."""
    if outcome is None:
        return "<p>No campaign has been recorded.</p>\n"
    head, *body = ("".join(f"<td>{escape(text)}</td>" for text in row) for row in as_table(outcome))
    rows = "".join(f"<tr>{row}</tr>" for row in body)
    faults = "".join(f"<li>{escape(fault)}</li>" for row in outcome["rows"] for fault in row["faults"])
    listed = fold("What went wrong", f"<ul>{faults}</ul>") + "\n" if faults else ""
    where = " ".join(_list_calls(outcome["rows"]))
    table = f"<table><thead><tr>{head.replace('td>', 'th>')}</tr></thead><tbody>{rows}</tbody></table>"
    shown = f'<div style="overflow-x: auto">{table}</div>\n{listed}<p><small>{escape(where)}</small></p>\n'
    return shown + (f"<p>{escape(_tell_questions(questions))}</p>\n" if questions else "")


def _list_calls(rows: Sequence[Mapping]) -> Iterator[str]:
    """Where, when and by which commit rows were made, how long they took; which, but for the largest call."""
    calls: dict[str, list[Mapping]] = {}
    for row in rows:
        calls.setdefault(_tell_where(row["made"]), []).append(row)
    largest = max(calls.values(), key=len)
    for where, own in calls.items():
        minutes = sum(row["made"]["seconds"] for row in own) / 60
        which = "" if own is largest else f" (rows {', '.join(str(rows.index(row) + 1) for row in own)})"
        yield f"{where}, {minutes:.0f} minutes{which}."


def _tell_where(made: Mapping) -> str:
    return f"On {made['machine']}, {made['started'][:10]}, commit {made['commit']}"


def _tell_questions(figures: Mapping) -> str:
    """What reading took, from the official files' layout to a table."""
    return (
        f"Also read: {figures['rows']:,} questions with ten answers each, {figures['mb'] / 1000:.1f} GB of JSON, in "
        f"{figures['cpu_s']:.0f} s of one core, with {figures['grown_gb']:.1f} GB of memory beyond the imports. "
        f"{_tell_where(figures['made'])}."
    )
