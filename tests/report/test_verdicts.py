"""Verdicts follow the one rule, pairs are of one machine kind, and tables never mix settings."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from vqabook.evidence.record import key_of, write_json
from vqabook.report import verdicts
from vqabook.report.claims import Claim, Side
from vqabook.report.verdicts import (
    BySeed,
    by_seed,
    judge,
    mean_std,
    number,
    of_claim,
    pair,
    seeds_of,
    table,
    verdict_on,
)


@pytest.mark.parametrize(
    ("differences", "kind"),
    [
        ([], "not run"),
        ([5.0], "not run"),
        ([5.0, 5.1], "not run"),
        ([5.0, 5.1, 4.9], "holds"),
        ([-5.0, -5.1, -4.9], "fails"),
        ([5.0, -4.0, 0.5], "undecided"),
        ([0.0, 0.0, 0.0], "smaller"),  # 8.29 is printed
        ([1.0, 1.0, 1.0], "holds"),
        ([8.0, 9.0, -1.0], "undecided"),  # a large mean alone is not enough
    ],
)
def test_the_rule(differences, kind, claim, runs):
    verdict = judge(differences, printed=8.29)
    assert (verdict.kind, verdict.n) == (kind, len(differences))
    assert verdict_on(claim, runs(differences)).kind == kind


@pytest.mark.parametrize(
    ("differences", "printed", "near", "kind"),  # by hand: mean 0, s = 0.4, half = t(0.975; 2) = 4.302653 times s/√3
    [
        ([-0.4, 0.0, 0.4], 0.9938, 1.0, "smaller"),  # half = 0.99366: what is printed is not in it
        ([-0.4, 0.0, 0.4], 0.9936, 1.0, "undecided"),  # it is
        ([-0.4, 0.0, 0.4], -0.9938, 1.0, "smaller"),  # a printed loss, which the data exclude as well
        ([-0.4, 0.0, 0.4], -0.9936, 1.0, "undecided"),
        ([-0.4, 0.0, 0.4], None, 0.9938, "no difference"),
        ([-0.4, 0.0, 0.4], None, 0.9936, "undecided"),
        ([-0.4, 0.0, 0.4], None, None, "undecided"),  # a unit that has no bound
        ([-0.4, 0.0, 0.4], 0.0, 1.0, "no difference"),  # none is printed
        ([0.0, 0.4, 0.8], None, 1.0, "undecided"),  # 0.4 more: it reaches 1.394
        ([0.5936, 0.9936, 1.3936], 1.0, 1.0, "undecided"),  # it begins just below zero
        ([0.5938, 0.9938, 1.3938], 9.0, 1.0, "holds"),  # just above: smaller than printed, but more than nothing
        ([-1.3938, -0.9938, -0.5938], None, 1.0, "fails"),  # less than a point, and yet less than nothing
    ],
)  # fmt: skip
def test_the_rule_by_hand_at_its_bounds(differences, printed, near, kind):
    verdict = judge(differences, printed=printed, near=near)
    assert verdict.kind == kind and verdict.printed == printed
    assert verdict.detectable == pytest.approx(0.99366, abs=1e-4)


def test_a_difference_as_large_as_the_detectable_effect_is_the_smallest_that_holds():
    spread = np.array([-0.4, 0.1, 0.3])
    effect = judge(spread.tolist()).detectable
    assert judge((spread + 1.001 * effect).tolist()).kind == "holds"
    assert judge((spread + 0.999 * effect).tolist()).kind == "undecided"
    assert judge([1.0, 2.0]).detectable is None


def test_every_kind_is_explained():
    assert list(verdicts.KINDS) == [
        "holds", "fails", "smaller", "no difference", "undecided", "conditions not met", "not run",
    ]  # fmt: skip
    assert all(verdicts.KINDS.values()) and set(verdicts.UNTESTED) < verdicts.KINDS.keys()


def test_only_points_have_a_bound_for_no_difference(claim, runs):
    unprinted = replace(claim, less=replace(claim.less, printed=None))
    small = runs([-0.4, 0.0, 0.4])
    assert verdict_on(unprinted, small).kind == "no difference"
    assert verdict_on(replace(unprinted, unit="nats"), small).kind == "undecided"


def test_a_verdict_knows_what_it_read(claim, runs):
    records = runs([5.0, 5.1, 4.9])
    verdict = verdict_on(claim, [*records, records[0] | {"recipe": records[0]["recipe"] | {"variant": "other"}}])
    assert verdict.differences == pytest.approx({0: 5.0, 1: 5.1, 2: 4.9})
    assert set(verdict.records) == {key_of(record["recipe"]) for record in records} and len(verdict.records) == 6
    assert (verdict.dataset, verdict.commits, verdict.printed) == ("shapes", ("abc",), 8.29)
    assert (verdict.why, verdict.converged) == ("", None)


def test_the_interval_is_students():
    differences = [1.0, 2.0, 4.0, 2.5]
    verdict, test = judge(differences), stats.ttest_1samp(differences, 0).confidence_interval(0.95)
    assert (verdict.low, verdict.high) == pytest.approx((test.low, test.high))
    assert verdict.std == pytest.approx(np.std(differences, ddof=1))
    flipped = judge([-d for d in differences])
    assert (flipped.low, flipped.high) == pytest.approx((-verdict.high, -verdict.low))


def test_intervals_allow_for_rows_that_seeds_share(claim, runs):
    """By hand: of ten rows each seed draws four for test, so that 4 / 6 is added to 1 / n (Nadeau and Bengio 2003)."""
    records = runs([1.0, 2.0, 4.0, 2.5])
    split = [r | {"recipe": r["recipe"] | {"data": {"dataset": "digits", "held_out": 0.4}}} for r in records]
    official = [r | {"recipe": r["recipe"] | {"data": {"dataset": "digits", "held_out": None}}} for r in records]
    plain, wide = verdict_on(claim, official), verdict_on(claim, split)
    assert (plain.low, plain.high) == pytest.approx(judge([1.0, 2.0, 4.0, 2.5]).interval)
    assert wide.detectable / plain.detectable == pytest.approx(np.sqrt((1 / 4 + 4 / 6) / (1 / 4)))
    assert (plain.shared, wide.shared) == (0, pytest.approx(4 / 6)) and wide.mean == plain.mean
    side = replace(claim.more, over=claim.less)
    assert verdicts.gain(split, side)[1] == pytest.approx(wide.interval)
    assert verdicts.mean_interval(of_claim(split, claim)) != verdicts.mean_interval(of_claim(official, claim))
    assert verdicts.tell_shared([plain, wide]) == " Intervals of digits allow for rows that seeds share."
    assert verdicts.tell_shared([plain]) == ""


def test_a_corrected_interval_covers_where_seeds_share_rows():
    """Ten divisions of one set of 60 differences, of which each tests 24: its mean is in few of Student's intervals."""
    rng, missed = np.random.default_rng(0), {0.0: 0, 4 / 6: 0}
    for _ in range(400):
        rows = rng.normal(size=60)  # right less wrong, row by row; the truth is 0
        means = [rows[rng.permutation(60)[:24]].mean() for _ in range(10)]
        for shared in missed:
            low, high = judge(means, shared=shared).interval
            missed[shared] += not low <= 0 <= high
    assert missed[4 / 6] / 400 < 0.08 < 0.3 < missed[0.0] / 400


def test_one_in_forty_holds_by_chance():
    rng = np.random.default_rng(0)
    kinds = [judge(d).kind for d in rng.normal(size=(4000, 3)).tolist()]
    assert kinds.count("holds") / 4000 == pytest.approx(0.025, abs=0.006)


def test_seeds_are_paired(claim, runs):
    one_missing = runs([5.0, 5.1, 4.9, 5.0])[:-1]
    assert verdict_on(claim, one_missing).n == 3
    in_order = runs([5.0, 5.1, 4.9])
    assert verdict_on(claim, in_order[::-1]) == verdict_on(claim, in_order)
    assert verdict_on(claim, in_order).std == pytest.approx(0.1)  # though each side alone varies by 3


def test_numbers_at_dotted_paths(run):
    record = run("both", 40.0)
    assert number(record, "test.overall") == 40 and number(record, "history.-1.valid") == 2.5
    assert number(record, "history.0.valid") == 1
    for absent in ("test.kappa.overall", "history.2.valid", "history.-3.valid", "test.overall.more", "nothing"):
        assert number(record, absent) is None
    assert number(run("both", None), "test.overall") is None


def test_one_column_one_setting(run, runs):
    here = runs([5.0, 5.1])
    where = {"variant": "both", "prior": "changing"}
    assert by_seed(here, where, "test.overall") == {0: 45.0, 1: 48.1}
    with pytest.raises(ValueError, match="one column shows one setting: two records of .* with seed 1 differ in other"):
        by_seed([*here, run("both", 50.0, 1, lr=0.5)], where, "test.overall")
    narrower = by_seed([*here, run("both", 50.0, 1, lr=0.5)], where | {"lr": 0.5}, "test.overall")
    assert narrower == {1: 50.0}


def test_a_pair_of_two_machine_kinds_is_refused(claim, run, runs):
    where = {"variant": "both"}
    records = [*runs([5.0, 5.1, 4.9]), run("both", 99.0, 3, machine="n"), run("baseline", 40.0, 4, machine="n")]
    assert by_seed(records, where, "test.overall").machines == {0: "m", 1: "m", 2: "m", 3: "n"}
    assert verdict_on(claim, records).n == 3  # seeds of one side alone are no pairs
    message = (
        "both sides of a pair come from one machine kind: those of seed 3 were made on n and on m; make both on one"
    )
    with pytest.raises(ValueError, match=f"^{message}$"):
        of_claim([*records, run("baseline", 40.0, 3)], claim)
    assert of_claim([*records, run("baseline", 40.0, 3, machine="n")], claim)[3] == 59


def test_a_gain_keeps_its_machine_kind():
    more, less = BySeed({0: 3.0, 1: 4.0}, {0: "m", 1: "n"}), BySeed({0: 1.0, 1: 1.0}, {0: "m", 1: "n"})
    gains = pair(more, less)
    assert gains == {0: 2.0, 1: 3.0} and gains.machines == {0: "m", 1: "n"}
    with pytest.raises(ValueError, match="those of seed 1 were made on n and on m; make both on one"):
        pair(gains, BySeed({1: 1.0}, {1: "m"}))
    assert pair(gains, BySeed({1: 1.0})) == {1: 2.0}  # numbers of no record


def test_older_records_name_their_processor(run):
    record = run("both", 1.0)
    del record["provenance"]["machine"]
    record["provenance"]["hardware"] = "AMD EPYC, 2 cores, 1 thread a run"
    assert by_seed([record], {"variant": "both"}, "test.overall").machines == {0: "AMD EPYC"}


def test_tables_carry_n(runs):
    rows = {"both": {"variant": "both"}, "baseline": {"variant": "baseline"}, "never": {"variant": "never"}}
    ours = (runs([5.0, 5.5, 6.0]), {"prior": "changing"}, "test.overall")
    shown = table(rows, {"ours": ours}, {"paper": {"both": 47.09}})
    assert list(shown.columns) == ["paper", "ours (n = 3)"]
    assert shown.loc["both"].tolist() == ["47.09", mean_std([45.0, 48.5, 52.0])] == ["47.09", "48.50\u00a0±\u00a03.50"]
    assert shown.loc["never"].tolist() == ["–", "–"]
    assert mean_std([]) == "–" and mean_std([2.0]) == "2.00"
    assert mean_std([2.0], signed=True) == "+2.00" and mean_std([-2.0], signed=True) == "−2.00"
    assert seeds_of([{0: 1.0}, {}, {0: 1.0, 1: 2.0}]) == "n = 1 to 2" and seeds_of([{}]) == ""


def test_evidence_is_the_newest_of_one_setting(tmp_path, monkeypatch, run):
    monkeypatch.setattr(verdicts, "EVIDENCE", tmp_path)
    real = {"profile": "real", "data": {"dataset": "vqacp_v1"}}
    old, new = run("both", 40.0, **real), run("both", 50.0, lr=0.5, **real)
    new["provenance"]["started"] = "2026-02-02T03:04:05+00:00"
    others = run("both", 60.0, profile="paper"), run("both", 70.0, profile="real")
    for record in (new, old, *others):
        write_json(tmp_path / "p" / f"{key_of(record['recipe'])}.json", record)
    assert verdicts.evidence("p", profile="real", dataset="vqacp_v1") == [new]
    assert verdicts.evidence("p", profile="paper") == [others[0]]
    both = verdicts.evidence("p", dataset=("shapes", "vqacp_v1"))
    assert sorted(r["result"]["test"]["overall"] for r in both) == [50, 70]
    assert verdicts.evidence("q") == []


def test_parts_that_need_another_environment_are_shown_as_recorded(tmp_path, monkeypatch, run):
    monkeypatch.setattr(verdicts, "EVIDENCE", tmp_path)
    here, apart = run("both", 40.0), run("detector", 50.0, part="detection")
    others = run("detector", 60.0, part="detection", profile="real"), run("counts", 70.0, part="counts")
    for record in (apart, *others):
        write_json(tmp_path / "p" / f"{key_of(record['recipe'])}.json", record)
    assert verdicts.with_parts([here], "p", ("detection",), profile="small") == [here, apart]
    mine = run("detector", 30.0, part="detection")
    assert verdicts.with_parts([here, mine], "p", ("detection",), profile="small") == [here, mine]  # never both
    assert verdicts.with_parts([here], "p", (), profile="small") == [here]


def test_a_side_may_be_a_gain(run):
    """Gains are taken seed by seed before they are compared; one that lacks a seed counts for the others."""
    numbers = {"a": [9.0, 9.5, 10.0], "b": [3.0, 3.0, 3.0], "c": [8.0, 8.0, 8.0], "d": [7.0, 6.0, 7.0, 1.0]}
    records = [run(name, x, seed) for name, scores in numbers.items() for seed, x in enumerate(scores)]
    sides = [
        Side({"variant": more}, printed=p, over=Side({"variant": less}, printed=1.0))
        for more, less, p in (("a", "b", 5.0), ("c", "d", 2.5))
    ]
    claim = Claim("n", "s", "w", *sides, "page", "p")
    assert verdicts.of_side(records, sides[0]) == {0: 6.0, 1: 6.5, 2: 7.0}
    assert sides[0].in_print == 4.0 and sides[0].over.in_print == 1.0
    seeds, interval = verdicts.gain(records, sides[0])
    assert seeds == [6.0, 6.5, 7.0] and interval == pytest.approx(stats.t.interval(0.95, 2, 6.5, 0.5 / 3**0.5))
    assert verdicts.gain(records[:2], sides[0])[1] is None
    verdict = verdict_on(claim, records)
    assert (verdict.kind, verdict.n, claim.printed) == ("holds", 3, 2.5)
    assert verdict.mean == pytest.approx(np.mean([5.0, 4.5, 6.0]))
    assert Claim("n", "s", "w", sides[0], replace(sides[1], over=Side({"variant": "d"})), "page", "p").printed is None
