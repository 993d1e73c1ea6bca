"""The ledger for readers: its table as HTML with a drawer a claim, the library that sorts and pages it, and its CSV."""

import csv
import io
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from importlib.metadata import distribution
from pathlib import Path

from vqabook.report.drawer import render_drawer
from vqabook.report.ledger import by_chance, tell
from vqabook.report.plain import name_set, sign
from vqabook.report.verdicts import KINDS

HEADINGS = ("claim", "printed", "embedded world", "real data", "details")


def render_html(ledger: Sequence[Mapping]) -> str:
    """The whole table: a row a claim, four cells and a drawer each. `ledger.js` finds, sorts and pages what is here."""
    heads = "".join(f"<th>{name}</th>" for name in HEADINGS)
    units = [unit for unit, _ in Counter(row["unit"] for row in ledger).most_common()]
    body = "\n".join(_render_row(row, units.index(row["unit"])) for row in ledger)
    return (
        f"<p>{by_chance(ledger)}</p>\n"
        f'<table class="ledger" data-kinds="{"; ".join(KINDS)}"><thead><tr>{heads}</tr></thead>\n'
        f"<tbody>{body}</tbody></table>\n"
        '<script src="datatables.js"></script>\n'
    )


def render_csv(ledger: Sequence[Mapping]) -> str:
    """The same rows as CSV: the column `real_low` is the JSON's `row["real"]["low"]`; what is absent is empty."""
    rows = [dict(_flatten(row)) for row in ledger]
    names = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def find_places(ledger: Sequence[Mapping], pages: Path | None) -> list[dict]:
    """The rows with `shown_on`, the executed notebook of the folder `pages` that shows a claim; its story comes first.

    None where no notebook does, or there is no folder.
    """
    shown: dict[str, list[str]] = {}
    for path in sorted(pages.glob("*.ipynb")) if pages else ():
        for address in re.findall(r'id=\\"(claim-[a-z0-9-]+)\\"', path.read_text("utf-8")):
            shown.setdefault(address, []).append(path.stem)
    placed = []
    for row in ledger:
        names = shown.get(row["address"], [])
        placed.append(dict(row) | {"shown_on": row["page"] if row["page"] in names else next(iter(names), None)})
    return placed


def load_library() -> str:
    """DataTables as itables ships it, as a script that defines `window.DataTables`, a promise of the class.

    It is a module, and a browser refuses to import one from a page opened as a file: so its text travels as a string.
    """
    module = Path(str(distribution("itables").locate_file("itables/html/dt_bundle.js"))).read_text("utf-8")
    source = f'URL.createObjectURL(new Blob([{json.dumps(module)}], {{ type: "text/javascript" }}))'
    return f"window.DataTables = import({source}).then((library) => library.default);\n"


def _flatten(value: object, name: str = "") -> Iterator[tuple[str, object]]:
    """A row's values with their names: nested ones joined by "_", lists of rows numbered, other lists as text."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _flatten(inner, f"{name}_{key}" if name else str(key))
    elif isinstance(value, list | tuple) and value and isinstance(value[0], Mapping):
        for i, inner in enumerate(value, start=1):
            yield from _flatten(inner, f"{name}_{i}")
    else:
        yield name, "; ".join(map(str, value)) if isinstance(value, list | tuple) else value


def _render_row(row: Mapping, unit: int) -> str:
    """A row; `unit`: the place of its unit among all, since effects are sorted within a unit."""
    real = [tell(row["verdict"], row["real"], row["unit"])]
    for other in row["further"]:
        where = name_set(other["data"]) + (", profile paper" if other["profile"] == "paper" else "")
        real.append(f"{tell(other['verdict'], other, row['unit'])}<br><small>{escape(where)}</small>")
    cells = {
        "printed": (row["printed"], _render_printed(row)),
        "embedded world": (row["embedded"], tell(row["verdict_embedded"], row["embedded"], row["unit"])),
        "real data": (row["real"], "<br>".join(real)),
    }
    sides = ""
    for label, (numbers, cell) in cells.items():
        order = f"{unit} {numbers['value']}" if numbers else ""
        sides += f'<td data-label="{label}" data-order="{order}"><div>{cell}</div></td>'
    return f"<tr {_list_facts(row)}><td>{_render_claim(row)}</td>{sides}<td>{render_drawer(row)}</td></tr>"


def _list_facts(row: Mapping) -> str:
    """What a row is addressed, filtered and counted by, as attributes."""
    facts = {
        "id": row["address"],
        "data-paper": row["paper"],
        "data-embedded": row["verdict_embedded"],
        "data-real": row["verdict"],
        "data-whose": "ours" if row["ours"] else "the papers",
        "data-headline": "headline claims" if row["headline"] else "",
        "data-needs": "; ".join(row["needs"]),
    }
    return " ".join(f'{name}="{escape(value)}"' for name, value in facts.items())


def _place_of(row: Mapping) -> str:
    """Where a page shows the claim; else the top of its story."""
    return f"{row['shown_on']}.html#{row['address']}" if row["shown_on"] else f"{row['page']}.html"


def _render_claim(row: Mapping) -> str:
    """The statement, which leads to its place on its page; where it stands in the paper; its name, for the search."""
    paper = row["paper"].partition(" (")[0]
    small = f"{paper} · {row['where']}{' · headline claim' if row['headline'] else ''}"
    return (
        f'<a href="pages/{_place_of(row)}">{escape(row["claim"])}</a>'
        f"<br><small>{escape(small)}</small><span hidden>{escape(row['name'])}</span>"
    )


def _render_printed(row: Mapping) -> str:
    printed = row["printed"]
    return f"{sign(printed['value'])}<br><small>{escape(printed['data'])}</small>" if printed else "–"
