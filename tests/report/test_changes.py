"""Two ledgers compared: what flipped, what moved, what is new; the last release's ledger lies in the repository."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest

from vqabook.papers import OURS, PAPERS, paper_of
from vqabook.report import changes, ledger
from vqabook.report.contradictions import render_html

ROOT = Path(__file__).parents[2]
RELEASE = sorted((ROOT / "book" / "releases").glob("*.json"))[-1]
NONE = ["not run", None, None, None]


def both(*side: object) -> dict[str, list]:
    """A claim measured on real data, and not run in the embedded world."""
    return {"embedded": NONE, "real": list(side)}


@pytest.mark.parametrize(
    ("old", "new", "kind"),
    [
        (("holds", 2.0, 1.0, 3.0), ("holds", 2.9, 1.0, 4.0), None),  # by less than half of 2
        (("holds", 2.0, 1.0, 3.0), ("holds", 3.1, 1.0, 4.0), "moved"),
        (("holds", 2.0, 1.0, 3.0), ("undecided", 2.0, -1.0, 3.0), "flipped"),
        (("unclear", 0.5, -1.0, 2.0), ("smaller", 0.5, -1.0, 2.0), None),  # the first edition's word for it
        (("unclear", 0.5, -1.0, 2.0), ("fails", -1.5, -2.0, -1.0), "flipped"),
        (("not run", None, None, None), ("conditions not met", 1.0, 0.5, 1.5), None),
        (("fails", -2.0, -3.0, -1.0), ("conditions not met", -2.0, -3.0, -1.0), "flipped"),
    ],
)
def test_a_claim_changed_or_did_not(old, new, kind):
    found = changes.compare({"a": both(*old)}, {"a": both(*new)})
    assert [(change.claim, change.room, change.kind) for change in found] == ([("a", "real", kind)] if kind else [])


def test_claims_that_came_or_went_are_counted():
    found = changes.compare({"a": both(*NONE)}, {"b": both("holds", 2.0, 1.0, 3.0)})
    assert [change.kind for change in found] == ["new", "new", "gone", "gone"]
    assert "0 moved by more than half their interval, 2 are new, and 2 are gone" in changes.count(found)
    assert "<table>" not in changes.render_html(found, "0.2.0")


def test_the_page_shows_what_flipped_with_both_sides():
    old, new = both("holds", 2.0, 1.0, 3.0), both("fails", -2.0, -3.0, -1.0)
    found = changes.compare({"<a>": old}, {"<a>": new})
    html = changes.render_html(found, "0.2.0")
    assert "&lt;a&gt;" in html and html.index("verdict-holds") < html.index("verdict-fails")
    assert changes.tell(found[0]) == "flipped: <a>, real data: holds +2.00 [+1.00, +3.00] -> fails −2.00 [−3.00, −1.00]"


def test_a_ledger_is_kept_in_small_form(claim, runs):
    rows = ledger.rows([claim], runs([5.0, 5.1, 4.9]), [])
    kept = changes.shrink(json.loads(json.dumps(rows)))[claim.name]
    verdict, value, low, high = kept["embedded"]
    assert verdict == "holds" and low < value < high and kept["real"][0] == rows[0]["verdict"]
    assert changes.compare({claim.name: kept}, changes.shrink(rows)) == []


def test_the_last_release_lies_in_the_repository():
    release = json.loads(RELEASE.read_bytes())
    log = (ROOT / "CHANGELOG.md").read_text("utf-8")
    assert f"## {release['version']} - {release['date']}\n" in log and release["version"] == RELEASE.stem
    version = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    assert version == release["version"], "a release keeps its ledger: vqabook keep LEDGER book/releases/VERSION.json"
    claims = {claim.name for name in (*PAPERS, *OURS) for claim in paper_of(name).claims}
    assert len(claims & release["claims"].keys()) > 400
    for rooms in release["claims"].values():
        assert rooms.keys() == changes.ROOMS.keys() and all(len(side) == 4 for side in rooms.values())


def test_every_paper_says_where_it_contradicts_itself():
    papers = [paper_of(name) for name in PAPERS]
    for paper in papers:
        assert paper.contradictions and all(where and what.endswith(".") for where, what in paper.contradictions)
    html = render_html({p.title: p.contradictions for p in papers}, {"<b>": (("Sec. 1", "x < y", "why"),)})
    assert html.count("<table>") == html.count("<details") == len(papers) + 1 and "<summary>&lt;b&gt;: 1<" in html
    assert "x &lt; y" in html and "&lt;b&gt;" in html
