"""Where the papers contradict themselves, and which of their sentences no claim tests: the lists of all papers."""

from collections.abc import Mapping, Sequence
from html import escape

from vqabook.report.plain import fold, minus

Row = Sequence[str]


def render_html(contradictions: Mapping[str, Sequence[Row]], untested: Mapping[str, Sequence[Row]]) -> str:
    """Two lists, a table a paper, which unfolds: (where, what is printed there), (where, the text, why untested)."""
    parts = [
        "<h2>What they print</h2>",
        *_tables(contradictions, ("where", "what is printed there")),
        "<h2>What no claim tests</h2>",
        *_tables(untested, ("where", "what the text says", "why no claim tests it")),
    ]
    return "\n".join(parts) + "\n"


def _tables(rows: Mapping[str, Sequence[Row]], columns: Row) -> list[str]:
    head = "".join(f"<th>{column}</th>" for column in columns)
    tables = []
    for title, listed in rows.items():
        body = "".join(f"<tr>{''.join(f'<td>{minus(escape(cell))}</td>' for cell in row)}</tr>" for row in listed)
        table = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
        words = f"{escape(title)}: {len(listed)}"
        tables.append(fold(words, f'<div class="table-scroll">{table}</div>', kind="reference"))
    return tables
