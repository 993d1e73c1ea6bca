"""Text gets its numbers from records, and a sentence that they no longer support is found."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from vqabook.report import told
from vqabook.report.claims import Side
from vqabook.report.told import MEASURED, Need, Teller, fill_notebook, fill_text

NAME = "both-over-baseline"
BADGE = '<span class="verdict-holds">holds</span>'


@pytest.fixture
def teller(claim, runs) -> Teller:
    """Five points more on real data, ten less in the embedded world, one seed of another data set."""
    rooms = {"real": runs([5.0, 5.5, 4.5]), "embedded": runs([-10.0, -10.1, -9.9]), "small_set": runs([2.0])}

    def read(_, room: str) -> list[dict]:
        if room not in rooms:
            raise ValueError(f"no room {room}")
        return rooms[room]

    loss = replace(claim, name="loss", unit="loss", more=replace(claim.more, printed=None))
    never = replace(claim, name="never", less=Side({"variant": "nobody"}))
    return Teller({c.name: c for c in (claim, loss, never)}, read)


@pytest.mark.parametrize(
    ("asked", "text"),
    [
        ("", f"+5.0 points [3.8, 6.2], n = 3, {BADGE}"),
        ("whole", f"+5.0 points [3.8, 6.2], n = 3, {BADGE}"),
        ("effect", "+5.0 points [3.8, 6.2]"),
        ("number", "+5.0 points"),
        ("size", "5.0 points"),
        ("interval", "[3.8, 6.2]"),
        ("seeds", "n = 3"),
        ("verdict", BADGE),
        ("seen", "1.2 points"),
        ("more", "48.0 ± 2.8 (n = 3)"),
        ("less", "43.0 ± 3.0 (n = 3)"),
        ("why", "all conditions are met"),
        ("printed", "+8.3 points"),
        ("printed more", "47.1"),
        ("printed less", "38.8"),
        ("embedded number", "−10.0 points"),
        ("embedded interval", "[−10.2, −9.8]"),
        ("small_set", '+2.0 points, n = 1, <span class="verdict-not-run">not run</span>'),
        ("small_set interval", '<span class="verdict-not-run">not run</span>'),
    ],
)
def test_a_name_becomes_what_records_say(teller, asked, text):
    filled, unmet = fill_text(f"By {{told}}`{NAME} {asked}`.", teller, "page")
    assert (filled.replace("\u00a0", " "), unmet) == (f"By {text}.", [])


def test_every_form_is_told(teller):
    assert all(teller.tell(f"{NAME} {form}") for form in told.FORMS)


def test_what_is_near_zero_is_not_shown_as_zero(claim, runs):
    """An interval that ends at 0.0 would say "undecided" beside a badge that says "holds"."""
    few = Teller({NAME: claim}, lambda *_: runs([0.05, 0.06, 0.058]))
    assert few.tell(f"{NAME} effect").replace("\u00a0", " ") == "+0.06 points [0.04, 0.07]"
    same = Teller({NAME: claim}, lambda *_: runs([0.0, 0.0, 0.0]))
    assert same.tell(f"{NAME} effect").replace("\u00a0", " ") == "0.0 points [0.0, 0.0]"


def test_what_rounds_to_zero_has_no_sign(claim, runs):
    """Neither a mean nor an end of an interval is "−0.0": the sign would say what the digits do not."""
    few = Teller({NAME: claim}, lambda *_: runs([-0.6, 0.6, -0.06]))
    assert few.tell(f"{NAME} effect").replace("\u00a0", " ") == "0.0 points [−1.5, 1.5]"
    tiny = Teller({NAME: claim}, lambda *_: runs([-0.0001, -0.0002, -0.0001]))
    assert tiny.tell(f"{NAME} effect").replace("\u00a0", " ") == "0.000 points [0.000, 0.000]"


def test_a_claim_without_runs_is_told_as_not_run(teller):
    badge = '<span class="verdict-not-run">not run</span>'
    assert {teller.tell(f"never {form}") for form in ("whole", "number", "seen")} == {badge}
    assert teller.tell("never less") == badge


def test_a_unit_reads_as_a_sentence(teller):
    assert teller.tell("loss number") == "+5.00" and teller.tell(f"{NAME} number") == "+5.0\u00a0points"


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("{told}`both-over-basline`", "'both-over-basline' is neither a claim nor .*; near it are both-over-baseline"),
        ("{told}`unknown`", "'unknown' is neither a claim nor a value that the page measured$"),
        ("{told}`both-over-baseline elsewhere`", "no room elsewhere"),
        ("{told}`both-over-baseline real embedded`", "one of each at most; got real embedded"),
        ("{told}`both-over-baseline number seeds`", "one of each at most; got number seeds"),
        ("{told}`loss printed`", "the paper prints no number for it"),
        ("{needs}`both-over-baseline`", "a need is `claim .*verdicts are holds, fails"),
        ("{needs}`both-over-baseline: wins`", "a need is `claim"),
        ("{needs}`both-over-baseline number: holds`", "a need is `claim"),
        ("{needs}`unknown: holds`", "'unknown' is neither"),
    ],
)
def test_what_cannot_be_told_fails_with_its_place(teller, text, error):
    with pytest.raises(ValueError, match=rf"^03_page, cell 2: \{text[:6]}.*{error}"):
        fill_text(f"so {text}", teller, "03_page, cell 2")


def test_a_need_is_seen_only_when_unmet(teller):
    text = f"It holds. {{needs}}`{NAME}: holds` It fails {{needs}}`{NAME} embedded: holds or fails`here."
    assert fill_text(text, teller, "page") == ("It holds.  It fails here.", [])
    others = f"{{needs}}`{NAME}: not fails` {{needs}}`never: not run` {{needs}}`{NAME}: not not run or fails`"
    assert fill_text(others, teller, "page")[1] == []
    assert fill_text(f"{{needs}}`{NAME}: not holds`", teller, "page")[1][0].needed == "not holds"
    filled, unmet = fill_text(f"{{needs}}`{NAME} embedded: holds`", teller, "03_page, cell 2")
    assert (filled, unmet) == ("", [Need(NAME, "embedded", "holds", "fails", "03_page, cell 2")])
    assert str(unmet[0]) == (
        "03_page, cell 2: a sentence needs both-over-baseline (embedded) to be 'holds', records say 'fails'; write the "
        "sentence anew and name the verdict that it needs now"
    )


def test_code_stays_as_it_is(teller):
    text = f"```\n{{told}}`{NAME}`\n```\n``{{told}}`unknown` `` and `{{needs}}`"
    assert fill_text(text, teller, "page") == (text, [])


def cell(kind: str, source: str, **more) -> dict:
    return {"cell_type": kind, "source": source.splitlines(keepends=True), "metadata": {}, **more}


def test_a_notebook_tells_what_its_cells_measured(teller, monkeypatch):
    shown: list[dict] = []
    monkeypatch.setattr("IPython.display.display", lambda data, raw: shown.append({"data": data}))
    told.leave("left-out", "20 %")
    text = {"data": {"text/plain": "1"}}
    notebook = {"cells": [
        cell("markdown", f"# Title\n\n{{told}}`left-out` of them, {{told}}`{NAME} number`."),
        cell("code", "page.measure('left-out', '20 %')", outputs=[*shown, text]),
        cell("markdown", f"{{needs}}`{NAME}: fails`\n"),
        cell("code", "f'{told}`x`'", outputs=[]),
    ]}  # fmt: skip
    content = json.dumps(notebook)
    assert told.says_something(content) and MEASURED in content
    filled, (need,) = fill_notebook(content, teller, "03_page")
    cells = json.loads(filled)["cells"]
    assert "".join(cells[0]["source"]) == "# Title\n\n20 % of them, +5.0\u00a0points."
    assert cells[1]["outputs"] == [text]
    assert [c["source"] for c in cells[2:]] == [["f'{told}`x`'"]]  # a cell of needs alone is gone, code is untouched
    assert need.where == f"03_page, cell 3 ({{needs}}`{NAME}: fails`)"


def test_a_text_that_tells_nothing_needs_no_records():
    assert not told.says_something("a told page needs no numbers")
