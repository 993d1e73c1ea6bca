"""The ledger has what its page reads; what comes from papers is escaped; a strip says how to run again."""

from __future__ import annotations

from dataclasses import replace

import pytest

from vqabook.papers import OURS, PAPERS, paper_of
from vqabook.report import ledger
from vqabook.report.claims import Claim, Side
from vqabook.report.verdicts import verdict_on

ROW = {
    "paper", "name", "claim", "where", "page", "unit", "printed", "embedded", "real", "verdict", "verdict_embedded",
    "further", "ours", "headline", "needs", "same_as", "address",
}  # fmt: skip
MEASURED = {
    "value", "std", "low", "high", "n", "data", "commit", "detectable", "differences", "why", "converged", "records",
    "shared",
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
    assert row["real"]["value"] == pytest.approx(5.0) and row["real"]["why"] == "VQA-CP v1 has no ten votes"
    assert "VQA-CP v1 has no ten votes</small>" in ledger.tell(row["verdict"], row["real"], row["unit"])
    (undecided,) = ledger.rows([claim], [], runs([8.0, 9.0, -1.0]))
    shown = ledger.tell(undecided["verdict"], undecided["real"], "points")
    assert f"could have seen {verdict_on(claim, runs([8.0, 9.0, -1.0])).detectable:.2f}</small>" in shown
    assert "On real data" not in ledger.by_chance(rows)


def test_what_is_tested_is_told_with_how_much_of_it_would_be_chance(claim, runs):
    text = ledger.by_chance(ledger.rows([claim], runs([5.0, 5.1, 4.9]), runs([-5.0, -5.1, -4.9])))
    assert "On real data 0 of 1 tested claims of the papers hold and 1 fail (by chance about 0.0 of each)" in text
    assert "In the embedded world 1 of 1 tested claims of the papers hold and 0 fail" in text


def test_a_pages_verdicts(claim, runs):
    shown = ledger.verdicts([claim], runs([5.0, 5.1, 4.9]), [], dataset="shapes")
    assert list(shown.columns) == ["claim", "printed", "here: shapes", "recorded, real"]
    assert shown["printed"][0] == "+8.29" and "n\u00a0=\u00a03" in shown["here: shapes"][0]
    assert "not run" in shown["recorded, real"][0] and "&lt;beats&gt;" in shown["claim"][0]


def test_a_pages_claims_lead_to_the_ledger_and_are_found_on_the_page_once(claim, runs):
    address, placed = claim.address, set()
    assert address == "claim-a-paper-2021-both-over-baseline"  # a title that has a year in brackets goes without it
    first, again = (ledger.verdicts([claim], [], [], dataset="shapes", placed=placed)["claim"][0] for _ in range(2))
    assert f'<a id="{address}" href="../ledger.html#{address}">' in first
    assert f'<a href="../ledger.html#{address}">' in again


def test_no_two_claims_have_one_address():
    addresses = [claim.address for name in (*PAPERS, *OURS) for claim in paper_of(name).claims]
    assert len(set(addresses)) == len(addresses)
    assert "claim-loss-re-scaling-table-v-bce-both-over-baseline" in addresses


def test_a_claim_without_printed_numbers():
    claim = Claim("n", "s", "w", Side({"variant": "both"}), Side({"variant": "baseline"}, printed=1.0), "page", "p")
    (row,) = ledger.rows([claim], [], [])
    assert row["printed"] is None and row["embedded"] is None
