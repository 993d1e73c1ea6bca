"""The ledger's table, its drawers, its CSV and its links are the rows; what comes from papers is escaped."""

from __future__ import annotations

import csv
import io
import json
import re
import shlex
from dataclasses import replace

import pytest

from vqabook.report import drawer, ledger, ledger_page


@pytest.fixture
def rows(claim, runs) -> list[dict]:
    """A claim with all that a row may have, one without a printed number, one that is not run."""
    whole = replace(claim, needs=("ten votes",), headline=True)
    plain = replace(claim, name="plain", where="Ours", less=replace(claim.less, printed=None, metric="history.0.valid"))
    idle = replace(claim, name="idle", more=replace(claim.more, where={"variant": "nobody"}))
    holds, fails = runs([5.0, 5.1, 4.9]), runs([-5.0, -5.1, -4.9])
    return ledger_page.find_places(ledger.rows([whole, plain, idle], holds, fails, [holds]), None)


def test_what_comes_from_papers_is_escaped(rows):
    page = ledger_page.render_html(rows)
    assert "both &lt;beats&gt; baseline" in page and "Table V &amp; more" in page and "<beats>" not in page
    assert 'data-paper="A &quot;paper&quot; &lt;2021&gt;"' in page


def test_a_row_is_addressed_and_filtered_by_what_it_is(rows):
    first, plain, idle = re.findall("<tr id.*?</tr>", ledger_page.render_html(rows), re.DOTALL)
    for fact in ('id="claim-a-paper-2021-both-over-baseline"', 'data-embedded="holds"', 'data-real="fails"',
                 'data-whose="the papers"', 'data-headline="headline claims"', 'data-needs="ten votes"'):  # fmt: skip
        assert fact in first, fact
    assert first.count('class="verdict-holds"') == 2  # embedded, and the further data set
    assert 'data-order="0 8.29"' in first and 'data-whose="ours"' in plain and 'data-order=""' in plain
    assert 'data-real="not run"' in idle and "<pre>" not in idle


def test_a_drawer_has_seeds_records_conditions_and_commands(rows):
    text = drawer.render_drawer(rows[0])
    assert text.count("<svg") == 3 and "seed 1: +5.10" in text and "seed 1: −5.10" in text
    assert "It needs ten votes: ten annotators" in text and "Printed: +8.29 points" in text
    for records in (rows[0]["embedded"]["records"], rows[0]["real"]["records"]):
        stems = {name.rsplit("-", 2)[0] for name in records}
        assert all(f"<code>{stem}-</code>" in text for stem in stems)
        assert all("-".join(name.rsplit("-", 2)[1:]) in text for name in records)


def test_what_was_run_by_the_paper_s_sizes_says_so(claim, run):
    sides = {"both": [45.0, 45.2], "baseline": [40.0, 40.1]}
    published = [run(side, x, i, profile="paper") for side, of in sides.items() for i, x in enumerate(of)]
    (row,) = ledger_page.find_places(ledger.rows([claim], [], [], [published]), None)
    assert row["real"] is None and ", profile paper</small>" in ledger_page.render_html([row])
    assert "-p profile paper -p seeds &#x27;[0, 1]&#x27; -p runs again" in drawer.render_drawer(row)


def test_seeds_are_drawn_where_they_are():
    numbers = {"low": 1.0, "high": 3.0}
    picture = drawer.draw_seeds({0: 0.0, 1: 4.0}, numbers, {"value": 2.0}, (0.0, 4.0), "real")
    left, right, middle = drawer.MARGIN, drawer.WIDTH - drawer.MARGIN, drawer.WIDTH / 2
    assert f'class="dots" d="M{left:.1f} 11h0M{right:.1f} 11h0"' in picture
    quarter = (right - left) / 4
    assert f'class="interval" d="M{left + quarter:.1f} 11H{right - quarter:.1f}"' in picture
    assert f'class="printed" d="M{middle:.1f} 6l' in picture and f'class="zero" d="M{left:.1f} 0V' in picture


def test_commands_are_words_that_a_shell_takes_apart():
    papermill, run = drawer.tell_commands("02_loss_rescaling", "real -p dataset vqa_v2_60k", ["0", "1"]).splitlines()
    assert shlex.split(papermill) == [
        "papermill", "notebooks/02_loss_rescaling.ipynb", "out.ipynb", "-p", "profile", "real",
        "-p", "dataset", "vqa_v2_60k", "-p", "seeds", "[0, 1]", "-p", "runs", "again",
    ]  # fmt: skip
    assert shlex.split(run) == [
        "vqabook", "run", "loss_rescaling", "--profile", "real", "-s", "dataset=vqa_v2_60k", "-s", "seeds=[0, 1]",
        "--runs", "again",
    ]  # fmt: skip


def test_the_csv_is_the_json(rows):
    table = list(csv.DictReader(io.StringIO(ledger_page.render_csv(rows))))
    assert len(table) == len(rows)
    for flat, row in zip(table, json.loads(json.dumps(rows)), strict=True):
        whole = {name: value for name, value in flat.items() if value}
        for side in ("printed", "embedded", "real"):
            for name, value in (row[side] or {}).items():
                if isinstance(value, str | int | float) and value != "":
                    assert whole.pop(f"{side}_{name}") == str(value)
        for name in ("embedded", "real"):
            seeds = {
                k.rpartition("_")[2]: float(whole.pop(k))
                for k in list(whole)
                if f"{name}_differences" in k and "further" not in k
            }
            assert seeds == (row[name] or {}).get("differences", {})
    assert table[0]["further_1_data"] == "shapes" and table[0]["needs"] == "ten votes" and table[2]["real_value"] == ""


def test_a_row_leads_to_the_notebook_that_shows_it(rows, tmp_path):
    shown = '{"text/html": ["<a id=\\"ADDRESS\\" href=\\"x\\">"]}'
    for name, row in (
        ("02_1_loss_rescaling_tables", rows[0]),
        ("02_loss_rescaling", rows[0]),
        ("02_1_tables", rows[1]),
    ):
        path = tmp_path / f"{name}.ipynb"
        path.write_text(shown.replace("ADDRESS", row["address"]), "utf-8")
    first, plain, idle = ledger_page.find_places(rows, tmp_path)
    assert (first["shown_on"], plain["shown_on"], idle["shown_on"]) == ("02_loss_rescaling", "02_1_tables", None)
    page = ledger_page.render_html([first, plain, idle])
    for row, name in ((first, "02_loss_rescaling"), (plain, "02_1_tables")):
        assert f'href="pages/{name}.html#{row["address"]}"' in page
    assert 'href="pages/02_loss_rescaling.html"' in page
