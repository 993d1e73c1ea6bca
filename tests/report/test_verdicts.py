"""Verdicts follow the one rule; tables never mix settings; the ledger has what the front page reads."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

import numpy as np
import pytest
from scipy import stats

from vqabook.evidence import record
from vqabook.report import ledger
from vqabook.report import verdicts as report
from vqabook.report.claims import Claim, Side
from vqabook.report.verdicts import by_seed, judge, mean_std, number, seeds_of, significance, table, verdict_on

CLAIM = Claim(
    name="both-over-baseline",
    statement="both <beats> baseline",
    where="Table V & more",
    more=Side({"variant": "both", "prior": "changing"}, printed=47.09),
    less=Side({"variant": "baseline", "prior": "changing"}, printed=38.80),
    page="02_loss_rescaling",
    paper='A "paper" <2021>',
    data="VQA-CP v2 test",
)
ROW = {
    "paper", "name", "claim", "where", "page", "unit", "printed", "embedded", "real", "verdict", "verdict_embedded",
    "further",
}  # fmt: skip
MEASURED = {"value", "std", "low", "high", "n", "data", "commit", "stale"}


def run(variant: str, overall: float | None, seed: int = 0, *, code: str = "now", profile="small", **recipe) -> dict:
    """A record as `produce_or_load` gives it."""
    asked = {"paper": "p", "profile": profile, "kind": "train", "variant": variant, "prior": "changing", "seed": seed}
    stamp = {"code": code, "commit": "abc", "dirty": False, "started": "2026-01-02T03:04:05+00:00", "seconds": 7.0}
    more = {"hardware": "a <CPU>", "versions": {"python": "3.11", "torch": "2.13"}}
    result = {"test": {"overall": overall}, "history": [{"valid": 1.0}, {"valid": 2.5}]}
    return {
        "recipe": asked | {"data": {"dataset": "shapes"}} | recipe,
        "result": result,
        "provenance": stamp | more,
    }


def runs(differences: list[float]) -> list[dict]:
    """Both sides of CLAIM, one pair a seed."""
    pairs = [(run("both", 40 + 3 * i + d, i), run("baseline", 40 + 3 * i, i)) for i, d in enumerate(differences)]
    return [r for pair in pairs for r in pair]


@pytest.fixture(autouse=True)
def current_code(monkeypatch):
    monkeypatch.setattr(ledger, "is_current", lambda record: record["provenance"]["code"] == "now")


@pytest.mark.parametrize(
    ("differences", "kind"),
    [
        ([], "not run"),
        ([5.0], "not run"),
        ([5.0, 5.1], "not run"),
        ([5.0, 5.1, 4.9], "holds"),
        ([-5.0, -5.1, -4.9], "fails"),
        ([5.0, -4.0, 0.5], "unclear"),
        ([0.0, 0.0, 0.0], "unclear"),
        ([1.0, 1.0, 1.0], "holds"),
        ([8.0, 9.0, -1.0], "unclear"),  # a large mean alone is not enough
    ],
)
def test_the_rule(differences, kind):
    verdict = judge(differences)
    assert (verdict.kind, verdict.n) == (kind, len(differences))
    assert verdict_on(CLAIM, runs(differences)).kind == kind


def test_the_interval_is_students():
    differences = [1.0, 2.0, 4.0, 2.5]
    verdict, test = judge(differences), stats.ttest_1samp(differences, 0).confidence_interval(0.95)
    assert (verdict.low, verdict.high) == pytest.approx((test.low, test.high))
    assert verdict.std == pytest.approx(np.std(differences, ddof=1))
    flipped = judge([-d for d in differences])
    assert (flipped.low, flipped.high) == pytest.approx((-verdict.high, -verdict.low))


def test_one_in_forty_holds_by_chance():
    rng = np.random.default_rng(0)
    kinds = [judge(d).kind for d in rng.normal(size=(4000, 3)).tolist()]
    assert kinds.count("holds") / 4000 == pytest.approx(0.025, abs=0.006)


def test_the_t_test_is_paired_and_two_sided():
    more, less = {0: 45.0, 1: 47.0, 2: 49.5, 3: 50.0, 9: 99.0}, {0: 44.0, 1: 45.5, 2: 46.0, 3: 49.0, 8: 1.0}
    p = significance(more, less)
    # by hand: differences 1, 1.5, 3.5, 1: mean 1.75, std sqrt(4.25 / 3) = 1.190, t = 1.75 / 0.595 = 2.940, 3 degrees
    assert p == pytest.approx(0.0605, abs=1e-4)
    shared = [0, 1, 2, 3]
    assert p == pytest.approx(stats.ttest_rel([more[i] for i in shared], [less[i] for i in shared]).pvalue)
    assert p == significance(less, more)
    assert (p < 0.05) == (judge([more[i] - less[i] for i in shared]).kind != "unclear")


def test_a_t_test_without_seeds_or_without_variance():
    assert significance({0: 1.0, 1: 2.0}, {0: 0.0, 1: 0.0}) is None
    assert significance({0: 1.0, 1: 2.0, 2: 3.0}, {0: 0.0, 1: 0.0, 5: 0.0}) is None
    three = {0: 1.0, 1: 2.0, 2: 4.0}
    assert significance(three, three) == 1
    assert significance(three, {seed: x - 0.5 for seed, x in three.items()}) == 0


def test_one_t_test_in_a_hundred_is_significant_by_chance():
    rng = np.random.default_rng(0)
    p = [significance(dict(enumerate(d)), {0: 0.0, 1: 0.0, 2: 0.0}) for d in rng.normal(size=(4000, 3)).tolist()]
    assert sum(x < report.SIGNIFICANT for x in p) / 4000 == pytest.approx(0.01, abs=0.004)


def test_seeds_are_paired():
    one_missing = runs([5.0, 5.1, 4.9, 5.0])[:-1]
    assert verdict_on(CLAIM, one_missing).n == 3
    in_order = runs([5.0, 5.1, 4.9])
    assert verdict_on(CLAIM, in_order[::-1]) == verdict_on(CLAIM, in_order)
    assert verdict_on(CLAIM, in_order).std == pytest.approx(0.1)  # though each side alone varies by 3


def test_numbers_at_dotted_paths():
    one = run("both", 40.0)
    assert number(one, "test.overall") == 40 and number(one, "history.-1.valid") == 2.5
    assert number(one, "history.0.valid") == 1
    for absent in ("test.kappa.overall", "history.2.valid", "history.-3.valid", "test.overall.more", "nothing"):
        assert number(one, absent) is None
    assert number(run("both", None), "test.overall") is None


def test_one_column_one_setting():
    here = runs([5.0, 5.1])
    where = {"variant": "both", "prior": "changing"}
    assert by_seed(here, where, "test.overall") == {0: 45.0, 1: 48.1}
    with pytest.raises(ValueError, match="one column shows one setting: two records of .* with seed 1 differ in other"):
        by_seed([*here, run("both", 50.0, 1, lr=0.5)], where, "test.overall")
    narrower = by_seed([*here, run("both", 50.0, 1, lr=0.5)], where | {"lr": 0.5}, "test.overall")
    assert narrower == {1: 50.0}


def test_tables_carry_n():
    rows = {"both": {"variant": "both"}, "baseline": {"variant": "baseline"}, "never": {"variant": "never"}}
    ours = (runs([5.0, 5.5, 6.0]), {"prior": "changing"}, "test.overall")
    shown = table(rows, {"ours": ours}, {"paper": {"both": 47.09}})
    assert list(shown.columns) == ["paper", "ours (n = 3)"]
    assert shown.loc["both"].tolist() == ["47.09", mean_std([45.0, 48.5, 52.0])] == ["47.09", "48.50\u00a0±\u00a03.50"]
    assert shown.loc["never"].tolist() == ["–", "–"]
    assert mean_std([]) == "–" and mean_std([2.0]) == "2.00"
    assert mean_std([2.0], signed=True) == "+2.00" and mean_std([-2.0], signed=True) == "-2.00"
    assert seeds_of([{0: 1.0}, {}, {0: 1.0, 1: 2.0}]) == "n = 1 to 2" and seeds_of([{}]) == ""


def test_evidence_is_the_newest_of_one_setting(tmp_path, monkeypatch):
    monkeypatch.setattr(report, "EVIDENCE", tmp_path)
    real = {"profile": "real", "data": {"dataset": "vqacp_v1"}}
    old, new = run("both", 40.0, **real), run("both", 50.0, lr=0.5, **real)
    new["provenance"]["started"] = "2026-02-02T03:04:05+00:00"
    others = run("both", 60.0, profile="paper"), run("both", 70.0, profile="real")
    for i, one in enumerate((new, old, *others)):
        record.write_json(tmp_path / "p" / f"{i}.json", one)
    assert report.evidence("p", profile="real", dataset="vqacp_v1") == [new]
    assert report.evidence("p", profile="paper") == [others[0]]
    both = report.evidence("p", dataset=("shapes", "vqacp_v1"))
    assert sorted(r["result"]["test"]["overall"] for r in both) == [50, 70]
    assert report.evidence("q") == []


def test_parts_that_need_another_environment_are_shown_as_recorded(tmp_path, monkeypatch):
    monkeypatch.setattr(report, "EVIDENCE", tmp_path)
    here, apart = run("both", 40.0), run("detector", 50.0, part="detection")
    others = run("detector", 60.0, part="detection", profile="real"), run("counts", 70.0, part="counts")
    for i, one in enumerate((apart, *others)):
        record.write_json(tmp_path / "p" / f"{i}.json", one)
    assert report.with_parts([here], "p", ("detection",), profile="small") == [here, apart]
    mine = run("detector", 30.0, part="detection")
    assert report.with_parts([here, mine], "p", ("detection",), profile="small") == [here, mine]  # never both
    assert report.with_parts([here], "p", (), profile="small") == [here]


def test_text_tells_what_records_say():
    other = replace(CLAIM, name="other", less=Side({"variant": "nobody"}))
    told = report.told([CLAIM, other], runs([5.0, 5.1, 4.9]), about="")
    assert told == {"both-over-baseline": "+5.0 [4.8, 5.2]", "other": "not run"}
    assert report.told([CLAIM, other], runs([5.0, 5.1, 4.9]), about="both-") == {"over-baseline": "+5.0 [4.8, 5.2]"}
    assert report.told([CLAIM], runs([5.0, 5.1]), about="both-")["over-baseline"] == "not run"  # two are no verdict


def test_ledger_rows():
    (row,) = ledger.rows([CLAIM], runs([5.0, 5.1, 4.9]), [])
    assert row.keys() == ROW and row["embedded"].keys() == MEASURED
    assert row["printed"] == {"value": 8.29, "std": None, "n": 1, "data": "VQA-CP v2 test", "commit": None}
    assert (row["verdict"], row["verdict_embedded"]) == ("not run", "holds")  # embedded never stands in for real
    assert row["real"] is None and row["embedded"]["value"] == pytest.approx(5.0) and row["embedded"]["n"] == 3
    assert not row["embedded"]["stale"]


def test_further_data_sets_get_verdicts_of_their_own():
    (row,) = ledger.rows([CLAIM], [], runs([-5.0, -5.1, -4.9]), [runs([5.0, 5.1, 4.9]), []])
    assert row["verdict"] == "fails" and [other["verdict"] for other in row["further"]] == ["holds"]
    assert ledger.html([row]).count("verdict-holds") == 1


def test_records_of_other_code_are_stale():
    records = runs([5.0, 5.1, 4.9])
    records[3]["provenance"]["code"] = "then"
    (row,) = ledger.rows([CLAIM], [], records)
    assert row["real"]["stale"] and row["verdict"] == "holds"
    assert "older code" in ledger.html([row]) and "older code" not in ledger.html(ledger.rows([CLAIM], [], []))


def test_html_is_escaped():
    page = ledger.html(ledger.rows([CLAIM], runs([5.0, 5.1, 4.9]), runs([-5.0, -5.1, -4.9])))
    assert "both &lt;beats&gt; baseline" in page and "Table V &amp; more" in page and "<beats>" not in page
    assert 'data-paper="A &quot;paper&quot; &lt;2021&gt;"' in page and 'href="pages/02_loss_rescaling.html"' in page
    assert 'data-verdict="fails"' in page and 'class="verdict-holds"' in page
    assert "On real data 0 of 1 tested claims hold and 1 fail (by chance about 0.0 of each)" in page
    assert "in the embedded world 1 of 1 tested claims hold and 0 fail" in page


def test_the_ledger_is_ordered_by_table():
    others = [
        replace(CLAIM, name=f"{i}", where=where) for i, where in enumerate(("Fig. 8; x", "Table V, b", "Ours: y"))
    ]
    rows = ledger.rows([CLAIM, *others], runs([5.0, 5.1, 4.9]), runs([-5.0, -5.1, -4.9]))
    page = ledger.html([row | {"where": row["where"].replace("V &", "V,")} for row in rows])
    assert re.findall('class="place" data-paper="[^"]*" data-place="([^"]*)"', page) == ["Table V", "Fig. 8", "Ours"]
    assert page.count('data-place="Table V"') == 3 and "<td>2 claims</td>" in page and "<td>1 claim</td>" in page
    assert '<span class="verdict-fails">2 fails</span>' in page
    shown = ledger.summary([CLAIM, *others], runs([5.0, 5.1, 4.9]), [], dataset="shapes")
    assert list(shown.index) == ["Table V &amp; more", "Fig. 8", "Table V", "Ours"]
    assert shown.loc["Table V", "here: shapes"] == '<span class="verdict-holds">1 holds</span>'
    assert shown.loc["Fig. 8", "claims"] == 1 and "1 not run" in shown.loc["Fig. 8", "recorded, real"]


def test_a_pages_verdicts():
    shown = ledger.verdicts([CLAIM], runs([5.0, 5.1, 4.9]), [], dataset="shapes")
    assert list(shown.columns) == ["claim", "printed", "here: shapes", "recorded, real"]
    assert shown["printed"][0] == "+8.29" and "n = 3" in shown["here: shapes"][0]
    assert "not run" in shown["recorded, real"][0] and "&lt;beats&gt;" in shown["claim"][0]


def test_a_claim_without_printed_numbers():
    claim = Claim("n", "s", "w", Side({"variant": "both"}), Side({"variant": "baseline"}, printed=1.0), "page", "p")
    (row,) = ledger.rows([claim], [], [])
    assert row["printed"] is None and row["embedded"] is None


def test_a_side_may_be_a_gain():
    """Gains are taken seed by seed before they are compared; one that lacks a seed counts for the others."""
    numbers = {"a": [9.0, 9.5, 10.0], "b": [3.0, 3.0, 3.0], "c": [8.0, 8.0, 8.0], "d": [7.0, 6.0, 7.0, 1.0]}
    records = [run(name, x, seed) for name, some in numbers.items() for seed, x in enumerate(some)]
    sides = [
        Side({"variant": more}, printed=p, over=Side({"variant": less}, printed=1.0))
        for more, less, p in (("a", "b", 5.0), ("c", "d", 2.5))
    ]
    claim = Claim("n", "s", "w", *sides, "page", "p")
    assert report.of_side(records, sides[0]) == {0: 6.0, 1: 6.5, 2: 7.0}
    assert sides[0].in_print == 4.0 and sides[0].over.in_print == 1.0
    seeds, interval = report.gain(records, sides[0])
    assert seeds == [6.0, 6.5, 7.0] and interval == pytest.approx(stats.t.interval(0.95, 2, 6.5, 0.5 / 3**0.5))
    assert report.gain(records[:2], sides[0])[1] is None
    verdict = verdict_on(claim, records)
    assert (verdict.kind, verdict.n, claim.printed) == ("holds", 3, 2.5)
    assert verdict.mean == pytest.approx(np.mean([5.0, 4.5, 6.0]))
    assert Claim("n", "s", "w", sides[0], replace(sides[1], over=Side({"variant": "d"})), "page", "p").printed is None
    old = [r if r["recipe"]["variant"] != "d" else run("d", 7.0, r["recipe"]["seed"], code="old") for r in records]
    assert ledger.rows([claim], records, [])[0]["embedded"]["stale"] is False
    assert ledger.rows([claim], old, [])[0]["embedded"]["stale"] is True


@dataclass(frozen=True)
class Page:
    profile: str = "small"
    dataset: str = "shapes"
    seeds: tuple[int, ...] = (0, 1)
    data_root: str = "/home/me/data"


def test_provenance_tells_how_to_run_again():
    strip = ledger.provenance(runs([5.0, 5.1]), Page(), notebook="02_loss_rescaling")
    for part in ("28 s", "0, 1", "abc", "now", "a &lt;CPU&gt;", "torch 2.13", "2026-01-02"):
        assert part in strip, part
    assert "papermill notebooks/02_loss_rescaling.ipynb out.ipynb" in strip
    assert "-p seeds &#x27;[0, 1]&#x27;" in strip and "/home/me" not in strip
