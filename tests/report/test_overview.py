"""The pictures of all papers at once: which claims they show, what their captions count, where their dots lead."""

from __future__ import annotations

from dataclasses import replace

import pytest

from vqabook.report import overview, strength
from vqabook.report.claims import Claim, Side
from vqabook.report.live import Star
from vqabook.report.verdicts import Verdict, judge


def claim(name: str, paper: str = "A way (Z 1999)", printed: float | None = 2.0, **more) -> Claim:
    less = None if printed is None else 40.0
    sides = Side({"variant": name}, printed=printed and 40 + printed), Side({"variant": "base"}, printed=less)
    return Claim(name, f"{name}: mine beats base", "Table 1", *sides, "page", paper, **{"headline": True} | more)


def test_headlines_are_dealt_among_papers_and_live_ones_come_first():
    one, other = ([claim(f"{paper}{i}", paper) for i in range(9)] for paper in "ab")
    few = [claim("c0", "c"), claim("c1", "c", headline=False), claim("c2", "c", None), claim("c3", "c", unit="loss")]
    chosen = [x.name for x in overview.choose_headlines([one, other, few], ["b8"])]
    assert len(chosen) == overview.MOST and chosen.count("c0") == 1 and not {"c1", "c2", "c3"} & set(chosen)
    assert chosen[:2] == ["a0", "a1"] and chosen[6] == "b8"


def row(name: str, measured: float, half: float, *, verdict: str = "holds", source: str = "real", printed: float = 2.0):
    numbers = {"value": measured, "low": measured - half, "high": measured + half}
    sides = {"real": None, "embedded": None, "verdict": "not run", "verdict_embedded": "not run"}
    sides |= {source: numbers, strength.SIDES[source]: verdict}
    facts = {"paper": "A way", "name": name, "address": f"claim-a-way-{name}", "claim": name, "unit": "points"}
    return facts | {"printed": {"value": printed}} | sides


ROWS = [
    row("a", 1.0, 0.5), row("b", -3.0, 4.0, verdict="undecided"), row("c", 5.0, 1.0, verdict="conditions not met"),
    row("d", 2.5, 1.9, source="embedded", printed=-2.0), row("e", 1.0, 1.0) | {"unit": "loss"},
    row("f", 1.0, 1.0) | {"printed": None},
]  # fmt: skip


def test_dots_are_claims_with_a_printed_difference_in_points():
    (dots,) = strength.list_dots(ROWS).values()
    assert [dot.address for dot in dots] == [f"ledger.html#claim-a-way-{name}" for name in "abcd"]
    assert [dot.met for dot in dots] == [True, True, False, True]
    assert [dot.could_see for dot in dots] == [True, False, True, True]


def test_captions_count_what_meets_its_conditions():
    papers = strength.list_dots(ROWS)
    shown = overview.render_strength(papers)
    assert "On real data 1 of 2 tested claims could" in shown and "In the embedded world 1 of 1 tested" in shown
    shown = overview.render_printed(papers)
    assert "On real data 1 of 2 differences have the printed sign; 1 are smaller than printed." in shown
    assert shown.count("have the printed sign") == 2  # once a source: the alternative text does not say it again
    assert shown.count('xlink:href="ledger.html#claim-a-way-d"><title>d: printed −2.0, measured +2.5</title>') == 2


def test_the_headlines_caption_counts_verdicts_and_seeds():
    stars = [
        Star(claim("a"), None, None, judge([1.0, 2.0, 3.0]), judge([1.0, 2.0, 3.0, 2.0])),
        Star(claim("b"), None, None, judge([]), replace(judge([1.0, 2.0, 3.0]), kind="conditions not met")),
        Star(claim("c"), None, None, judge([]), Verdict("undecided", 0.0, 1.0, -9.0, 9.0, 3)),
    ]
    shown = overview.render_headlines(stars)
    assert "On real data 1 of 2 tested headline claims hold; 1 undecided, 1 conditions not met." in shown
    assert "n = 3 to 4 seeds" in shown and "A way · b: mine beats base: conditions not met" in shown


def record(variant: str, seed: int, score: float) -> dict:
    recipe = {"variant": variant, "seed": seed, "data": {"dataset": "d"}}
    return {"recipe": recipe, "result": {"test": {"overall": score}}, "provenance": {"hardware": "h"}}


def test_a_level_is_a_baseline_that_is_printed_and_measured():
    records = [record("base", seed, 30.0 + seed) for seed in range(3)]
    claims = [claim("a"), claim("b"), claim("c", printed=None), claim("d", unit="loss")]
    (level,) = strength.list_levels(claims, records, [], most=9)
    assert level == strength.Level("A way · a: base", 40.0, 31.0, None, (3,))
    assert strength.list_levels(claims, [], [], most=9) == []
    shown = overview.render_levels([level])
    assert "On real data 0 of 0 baselines" in shown and "means (n = 3 seeds)" in shown


@pytest.mark.parametrize("statement, name", [
    ("x beats y at imbalance 100", "A way · y at imbalance 100"),
    ("LMH, Sigm-BCE: both beats baseline", "A way · LMH, Sigm-BCE: baseline"),
])  # fmt: skip
def test_a_baseline_is_named_by_what_is_beaten(statement, name):
    assert strength.name_baseline(replace(claim("a"), statement=statement)) == name
