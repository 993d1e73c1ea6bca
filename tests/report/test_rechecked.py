"""A recheck fails for a digit on the machine kind that recorded a run, elsewhere for what seeds do not explain."""

from __future__ import annotations

import json

import numpy as np
import pytest

from vqabook.evidence.record import key_of, write_json
from vqabook.report import rechecked, verdicts
from vqabook.report.claims import Claim, Side
from vqabook.report.rechecked import compare, render_html, tell

SEEDS = 5
CLAIM = Claim("loss-0-over-1", "s", "w", Side({"variant": "loss 0"}), Side({"variant": "loss 1"}), "02_p", "p")


def run(variant: str, seed: int, score: float, machine: str) -> dict:
    recipe = {"paper": "p", "profile": "small", "kind": "train", "variant": variant, "prior": "same", "seed": seed}
    stamp = {"commit": "abc", "dirty": False, "started": "2026-01-02T03:04:05+00:00", "machine": machine}
    return {
        "recipe": recipe | {"data": {"dataset": "shapes"}},
        "result": {"test": {"overall": score}, "seconds": 1.0},
        "provenance": stamp | {"code": "c", "hardware": "h", "seconds": 7.0, "versions": {"torch": "2"}},
    }


@pytest.fixture
def evidence(tmp_path, monkeypatch) -> list[dict]:
    """Four methods, five seeds each, with a standard deviation of about one point."""
    rng = np.random.default_rng(0)
    records = [run(f"loss {i}", s, float(rng.normal(50 - i)), "old <box>") for i in range(4) for s in range(SEEDS)]
    for record in records:
        write_json(tmp_path / "p" / f"{key_of(record['recipe'])}.json", record)
    for module in (rechecked, verdicts):
        monkeypatch.setattr(module, "EVIDENCE", tmp_path)
    return records


def again(records: list[dict], moved: list[float], machine: str) -> list[tuple[dict, dict]]:
    """The records, each with itself made again and moved by so much."""
    asked = [(r, r["recipe"]["variant"], r["recipe"]["seed"], r["result"]["test"]["overall"]) for r in records]
    return [(r, run(name, s, x + d, machine)) for (r, name, s, x), d in zip(asked, moved, strict=True)]


def check(pairs: list) -> dict:
    """The outcome, through JSON as it is kept."""
    return json.loads(json.dumps(compare(pairs, {"p": [CLAIM]})))


def test_on_the_same_machine_kind_every_digit_counts(evidence):
    outcome = check(again(evidence, [0.0] * 20, "old <box>"))
    assert outcome["passed"] and tell(outcome) == [
        "Made again on the machine kind that recorded them: 20 of 20 equal.", "Verdicts that change: 0 of 1.",
    ]  # fmt: skip
    outcome = check(again(evidence, [0.0] * 19 + [1e-12], "old <box>"))
    assert not outcome["passed"]
    assert tell(outcome)[0] == "Made again on the machine kind that recorded them: 19 of 20 equal."
    assert [row["key"] for row in outcome["runs"] if row["differs"]] == [key_of(evidence[-1]["recipe"])]


def test_a_recorded_outlier_that_comes_out_again_is_no_fault(evidence, tmp_path):
    outliers = [run(f"loss {i}", 9, 90.0, "old <box>") for i in range(4)]
    assert check(again(outliers, [0.0] * 4, "old <box>"))["passed"]


def test_on_another_kind_differences_of_the_size_of_seeds_pass(evidence):
    moved = np.random.default_rng(1).normal(0, 0.5, 20)
    outcome = check(again(evidence, moved.tolist(), "new box"))
    assert outcome["passed"] and outcome["chance"] >= 0.01
    first, second, third, _ = tell(outcome)
    assert first == "Made again on another machine kind: 0 of 20 equal."
    mean, std, outside = f"{moved.mean():+.2f}", f"{moved.std(ddof=1):.2f}", outcome["outside"]
    told = f"The differences of 20 test scores have mean {mean} and standard deviation {std} points; that of seeds is "
    assert second.startswith(told)
    told = f"{outside} of 20 scores lie outside the other seeds' 95 % prediction interval, where chance puts 1.0."
    assert third == told


def test_on_another_kind_a_shift_of_all_runs_fails(evidence):
    outcome = check(again(evidence, [6.0] * 20, "new box"))
    assert not outcome["passed"] and outcome["outside"] > 10 and outcome["chance"] < 1e-6
    assert not any(row["same_machine"] for row in outcome["runs"])


def test_one_run_made_again_is_told_without_a_spread(evidence):
    assert tell(check(again(evidence[-1:], [0.1], "new box"))) == [
        "Made again on another machine kind: 0 of 1 equal.",
        "0 of 1 scores lie outside the other seeds' 95 % prediction interval, where chance puts 0.1.",
    ]


def test_a_verdict_that_changes_is_named(evidence):
    moved = [-9.0 if r["recipe"]["variant"] == "loss 0" else 0.0 for r in evidence]
    before = verdicts.verdict_on(CLAIM, evidence).kind
    outcome = check(again(evidence, moved, "new box"))
    assert outcome["verdicts"] == {
        "compared": 1, "changed": [{"claim": CLAIM.name, "recorded": before, "again": "fails"}],
    }  # fmt: skip
    assert tell(outcome)[-1] == "Verdicts that change: 1 of 1."
    assert f"<li>{CLAIM.name}: {before} → fails</li>" in render_html(outcome)


def test_a_verdict_of_an_older_edition_is_explained(evidence):
    outcome = check(again(evidence, [0.0] * 20, "new box"))
    outcome["verdicts"]["changed"] = [{"claim": "a", "recorded": "unclear", "again": "holds"}]
    html = render_html(outcome)
    assert "<p>unclear: then a word for undecided or smaller or no difference.</p>" in html


def test_a_pair_of_which_one_side_was_made_again_stays_as_recorded(evidence):
    only_more = [r for r in evidence if r["recipe"]["variant"] == "loss 0"]
    assert check(again(only_more, [-9.0] * SEEDS, "new box"))["verdicts"] == {"compared": 0, "changed": []}


def test_the_protocol_page_says_where_and_when(evidence):
    html = render_html(check(again(evidence, [0.0] * 20, "new box")))
    assert (
        "Recorded on old &lt;box&gt;; made again on new box, 2026-01-02, commit abc." in html
        and "<details>" not in html
    )
    assert render_html(None) == "<p>No recheck has been recorded.</p>\n"


def test_nothing_made_again_is_refused():
    with pytest.raises(ValueError, match="^a recheck compares runs that were made again, got none; give the folder"):
        compare([], {})
