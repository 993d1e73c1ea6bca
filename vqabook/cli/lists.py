"""Commands of the book's generated lists: what changed since a release, what the papers contradict."""

import json
from pathlib import Path
from typing import Annotated

import typer

from vqabook.evidence import record
from vqabook.papers import PAPERS, paper_of

Ledger = typer.Argument(dir_okay=False, help="ledger.json, or a release of book/releases/")
Html = Annotated[Path | None, typer.Option(help="HTML file for the book; default: lines of text on stdout")]


def changes(old: Annotated[Path, Ledger], new: Annotated[Path, Ledger], out: Html = None):
    """Compare two ledgers: which claims are new, whose verdict flipped, whose difference moved by half an interval.

    OLD and NEW are a ledger.json, or a release's small form of it (book/releases/).
    """
    from vqabook.report import changes

    releases = [_read_release(path) for path in (old, new)]
    found = changes.compare(*(release["claims"] for release in releases))
    if out:
        out.write_text(changes.render_html(found, releases[0]["version"]), "utf-8")
    else:
        print("\n".join([*map(changes.tell, found), changes.count(found)]))


def keep(
    ledger: Annotated[Path, Ledger],
    out: Annotated[Path, typer.Argument(help="file of the release, book/releases/VERSION.json")],
    date: Annotated[str, typer.Option(help="of the release, as in CHANGELOG.md")],
):
    """Keep a ledger as a release's small form, for later comparisons."""
    from vqabook.report.changes import shrink

    claims = shrink(json.loads(ledger.read_bytes()))
    record.write_json(out, {"version": out.stem, "date": date, "claims": claims})


def contradictions(out: Annotated[Path, typer.Option(help="HTML file for the book")]):
    """Write where the papers contradict themselves, and which of their sentences no claim tests."""
    from vqabook.report.contradictions import render_html

    papers = [paper_of(name) for name in PAPERS]
    lists = ({p.title: getattr(p, name) for p in papers if getattr(p, name)} for name in ("contradictions", "untested"))
    out.write_text(render_html(*lists), "utf-8")


def _read_release(path: Path) -> dict:
    """A ledger in the small form, whichever of the two forms the file has."""
    from vqabook.report.changes import shrink

    content = json.loads(path.read_bytes())
    return {"version": path.stem, "claims": shrink(content)} if isinstance(content, list) else content
