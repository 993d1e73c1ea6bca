"""The ledger has what the front page reads; what comes from papers is escaped; a strip says how to run again."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from vqabook.report import ledger
from vqabook.report.claims import Claim, Side
from vqabook.report.verdicts import verdict_on

ROW = {
    "paper", "name", "claim", "where", "page", "unit", "printed", "embedded", "real", "verdict", "verdict_embedded",
    "further", "ours", "headline", "needs", "same_as",
}  # fmt: skip
MEASURED = {
    "value", "std", "low", "high", "n", "data", "commit", "detectable", "differences", "why", "converged", "records",
}  # fmt: skip


def test_ledger_rows(claim, runs):
    (row,) = ledger.rows([claim], runs([5.0, 5.1, 4.9]), [])
    assert row.keys() == ROW and row["embedded"].keys() == MEASURED
    assert row["printed"] == {"value": 8.29, "std": None, "n": 1, "data": "VQA-CP v2 test", "commit": None}
    assert (row["verdict"], row["verdict_embedded"]) == ("not run", "holds")  # embedded never stands in for real
    assert row["real"] is None and row["embedded"]["value"] == pytest.approx(5.0) and row["embedded"]["n"] == 3


def test_further_data_sets_get_verdicts_of_their_own(claim, runs):
    (row,) = ledger.rows([claim], [], runs([-5.0, -5.1, -4.9]), [runs([5.0, 5.1, 4.9]), []])
    assert row["verdict"] == "fails" and [other["verdict"] for other in row["further"]] == ["holds"]
    assert ledger.html([row]).count("verdict-holds") == 1


def test_the_papers_claims_are_counted_apart_from_ours_and_each_comparison_once(claim, runs):
    reworded = replace(claim, name="reworded", where="Table II", more=replace(claim.more, printed=1.0))
    other_page = replace(claim, name="elsewhere", page="05_another")
    control = replace(claim, name="control", where="Ours, control", less=Side({"variant": "nobody"}))
    ours = replace(claim, name="ours", where="Our conjecture")
    rows = ledger.rows([ours, claim, reworded, other_page, control], runs([5.0, 5.1, 4.9]), [])
    assert {row["name"]: row["same_as"] for row in rows if row["same_as"]} == {
        "ours": claim.name, "reworded": claim.name,
    }  # fmt: skip
    assert [row["name"] for row in ledger.count_once(rows)] == [claim.name, "elsewhere"]
    assert [row["name"] for row in ledger.count_once(rows, ours=True)] == ["control"]
    text = ledger.by_chance(rows)
    assert "In the embedded world 2 of 2 tested claims of the papers hold and 0 fail (by chance about 0.1" in text
    assert "On real data" not in text and "where two compare the same records, one is counted (2 left out)" in text
    assert "not independent" in text
    headline = replace(reworded, headline=True)
    assert {row["name"]: row["same_as"] for row in ledger.rows([claim, headline], [], [])} == {
        claim.name: "reworded", "reworded": None,
    }  # fmt: skip


def test_what_misses_a_condition_is_shown_with_numbers_and_never_counted(claim, runs):
    needy = replace(claim, needs=("ten votes",))
    records = runs([5.0, 5.1, 4.9])
    one_vote = [r | {"recipe": r["recipe"] | {"data": {"dataset": "vqacp_v1_coco16k"}}} for r in records]
    (row,) = rows = ledger.rows([needy], records, one_vote)
    assert (row["verdict"], row["verdict_embedded"]) == ("conditions not met", "holds")
    assert row["real"]["value"] == pytest.approx(5.0) and row["real"]["why"] == "vqacp_v1_coco16k has no ten votes"
    assert "vqacp_v1_coco16k has no ten votes</small>" in ledger.html(rows)
    undecided = ledger.html(ledger.rows([claim], [], runs([8.0, 9.0, -1.0])))
    assert f"could have seen {verdict_on(claim, runs([8.0, 9.0, -1.0])).detectable:.2f}</small>" in undecided
    assert "On real data" not in ledger.by_chance(rows) and 'class="verdict-conditions-not-met"' in ledger.html(rows)


def test_html_is_escaped(claim, runs):
    page = ledger.html(ledger.rows([claim], runs([5.0, 5.1, 4.9]), runs([-5.0, -5.1, -4.9])))
    assert "both &lt;beats&gt; baseline" in page and "Table V &amp; more" in page and "<beats>" not in page
    assert 'data-paper="A &quot;paper&quot; &lt;2021&gt;"' in page and 'href="pages/02_loss_rescaling.html"' in page
    assert 'data-verdict="fails"' in page and 'class="verdict-holds"' in page
    assert "On real data 0 of 1 tested claims of the papers hold and 1 fail (by chance about 0.0 of each)" in page
    assert "In the embedded world 1 of 1 tested claims of the papers hold and 0 fail" in page


def test_the_ledger_is_ordered_by_table(claim, runs):
    others = [
        replace(claim, name=f"{i}", where=where) for i, where in enumerate(("Fig. 8; x", "Table V, b", "Ours: y"))
    ]
    rows = ledger.rows([claim, *others], runs([5.0, 5.1, 4.9]), runs([-5.0, -5.1, -4.9]))
    page = ledger.html([row | {"where": row["where"].replace("V &", "V,")} for row in rows])
    assert re.findall('class="place" data-paper="[^"]*" data-place="([^"]*)"', page) == ["Table V", "Fig. 8", "Ours"]
    assert page.count('data-place="Table V"') == 3 and "<td>2 claims</td>" in page and "<td>1 claim</td>" in page
    assert '<span class="verdict-fails">2 fails</span>' in page
    shown = ledger.summary([claim, *others], runs([5.0, 5.1, 4.9]), [], dataset="shapes")
    assert list(shown.index) == ["Table V &amp; more", "Fig. 8", "Table V", "Ours"]
    assert shown.loc["Table V", "here: shapes"] == '<span class="verdict-holds">1 holds</span>'
    assert shown.loc["Fig. 8", "claims"] == 1 and "1 not run" in shown.loc["Fig. 8", "recorded, real"]


def test_a_pages_verdicts(claim, runs):
    shown = ledger.verdicts([claim], runs([5.0, 5.1, 4.9]), [], dataset="shapes")
    assert list(shown.columns) == ["claim", "printed", "here: shapes", "recorded, real"]
    assert shown["printed"][0] == "+8.29" and "n = 3" in shown["here: shapes"][0]
    assert "not run" in shown["recorded, real"][0] and "&lt;beats&gt;" in shown["claim"][0]


def test_a_claim_without_printed_numbers():
    claim = Claim("n", "s", "w", Side({"variant": "both"}), Side({"variant": "baseline"}, printed=1.0), "page", "p")
    (row,) = ledger.rows([claim], [], [])
    assert row["printed"] is None and row["embedded"] is None
