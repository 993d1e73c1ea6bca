"""What could have been seen is half the interval's width, beside levels and effects as printed."""

from __future__ import annotations

from dataclasses import replace

from vqabook.report.claims import Side
from vqabook.report.limits import limits


def test_limits_show_levels_effects_and_what_was_visible(claim, runs):
    never = replace(claim, more=Side({"variant": "nobody"}))
    table = limits({"a < b": claim, "never run": never}, {"embedded world": runs([5.0, 5.1, 4.9]), "real data": []})
    row, unrun = table.loc["a &lt; b"], table.loc["never run"]
    assert row.tolist() == ["38.8", "43.0", "+8.3", "±\u00a00.2"], "a room without runs has no column"
    assert unrun["effect", "printed"] == "–" and unrun["visible", "embedded world"] == "–"


def test_what_is_not_in_points_has_two_decimals(claim, runs):
    losses = limits({"loss": replace(claim, unit="loss")}, {"embedded world": runs([5.0, 5.1, 4.9])})
    row = losses.loc["loss"]
    assert (row["baseline", "embedded world"], row["visible", "embedded world"]) == ("43.00", "±\u00a00.25")
