"""The tables' layouts: printed beside ours, daggers where a paired t-test says so, what selecting the epoch adds."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from vqabook.report import tables
from vqabook.report.tables import significance
from vqabook.report.verdicts import BySeed, judge, mean_std

ROWS = {"UpDn": {"variant": "baseline"}, "UpDn+Ours": {"variant": "both"}}
AGAINST = {"UpDn+Ours": "UpDn"}
PRINTED = {"printed": {"UpDn+Ours": {"Y/N": "68.42†", "Num.": "21.71†", "Other": "42.88†", "All": "47.09†"}}}
CLEAR, WIDE = (5.0, 5.1, 4.9, 5.0), (5.0, -4.0, 0.5, 9.0)  # differences by seed: p < 0.01, p > 0.01


def run(variant: str, seed: int, value: float, *, prior: str = "changing", **result: object) -> dict:
    """A record with this accuracy on yes/no and overall and none on the other types."""
    test = {"overall": value, "yes/no": value + 1, "kappa": {"overall": value / 10}}
    recipe = {"variant": variant, "prior": prior, "seed": seed}
    return {"recipe": recipe, "result": {"test": test, **result}, "provenance": {"machine": "m"}}


def both(differences: tuple[float, ...], prior: str = "changing") -> list[dict]:
    """Both rows, a pair a seed."""
    base = [run("baseline", i, 40.0 + 3 * i, prior=prior) for i in range(len(differences))]
    return base + [run("both", i, 40.0 + 3 * i + d, prior=prior) for i, d in enumerate(differences)]


@pytest.mark.parametrize(("differences", "marked"), [(CLEAR, True), (WIDE, False), (CLEAR[:2], False)])
def test_a_dagger_stands_where_p_is_below_one_percent(differences, marked):
    sources = {"here": (both(differences), {"prior": "changing"})}
    shown = tables.by_answer_type(ROWS, sources, PRINTED, against=AGAINST)
    title = f"here (n = {len(differences)})"
    assert list(shown.columns.get_level_values(0).unique()) == ["printed", title]
    expected = mean_std([40 + 3 * i + d for i, d in enumerate(differences)]) + ("†" if marked else "")
    assert shown.loc["UpDn+Ours", (title, "All")] == expected
    assert "†" not in shown.loc["UpDn", (title, "All")]
    assert shown.loc["UpDn+Ours", ("printed", "Y/N")] == "68.42†" and shown.loc["UpDn", ("printed", "Y/N")] == "–"
    assert shown.loc["UpDn+Ours", (title, "Num.")] == "–"
    tested = tables.p_values(ROWS, sources, AGAINST)
    assert len(tested) == (2 if len(differences) > 2 else 0)  # yes/no and overall
    assert all((p < 0.01) == marked for p in tested)


def test_tables_by_answer_type_without_daggers_and_without_runs():
    source = (both(CLEAR), {"prior": "changing"})
    shown = tables.by_answer_type(ROWS, {"here": source, "never": ([], {})}, metric="test.kappa.")
    assert list(shown.columns.get_level_values(0).unique()) == ["here (n = 4)"]
    assert shown.loc["UpDn", ("here (n = 4)", "All")] == mean_std([4.0, 4.3, 4.6, 4.9])
    assert tables.by_answer_type(ROWS, {"never": ([], {})}).empty


def test_an_answer_type_of_the_file_is_a_column_of_its_own():
    """Also one that is named as what a record keeps besides, or that has a dot."""
    records = both(CLEAR)
    for record in records:
        record["result"]["test"]["further_types"] = {"overall": 7.0, "no. of": record["result"]["test"]["overall"]}
    source = (records, {"prior": "changing"})
    shown = tables.by_answer_type(ROWS, {"own": source, "never": ([], {})}, PRINTED, against=AGAINST)
    kinds = ["Y/N", "Num.", "Other", "All"]
    assert [kind for _, kind in shown.columns] == [*kinds, *kinds, "no. of", "overall"]
    own = shown.loc["UpDn+Ours", "own (n = 4)"]
    assert own["overall"] == mean_std([7.0] * 4) and own["no. of"] == own["All"]
    assert len(tables.p_values(ROWS, {"own": source}, AGAINST)) == 4  # yes/no, all, and the file's two


def test_by_chance():
    said = tables.by_chance([0.001, 0.02] + [0.5] * 48)
    assert said.startswith("1 of 50 tested cells carry †") and "about 0.5 of 50" in said


def chosen(last: float, valid: float, test: float) -> dict:
    """A record's `selection`: the test score of each choice."""
    named = zip(("last", "best_by_valid", "best_by_test"), (last, valid, test), strict=True)
    return {name: {"epoch": i + 1, "valid": 60.0, "test": score} for i, (name, score) in enumerate(named)}


def test_selection_says_what_choosing_on_test_adds():
    records = [
        run("baseline", 0, 1.0, selection=chosen(40, 41, 43)),
        run("baseline", 1, 1.0, selection=chosen(42, 41, 44)),
        run("both", 0, 1.0),  # recorded before there were selections
    ]
    shown = tables.selection(ROWS, (records, {"prior": "changing"}))
    assert list(shown.index) == ["UpDn"]
    assert list(shown.columns[:3]) == [f"{title} (n = 2)" for title in tables.SELECTIONS]
    scores, epochs, added = shown.iloc[0, :3], shown.iloc[0, 3:6], shown.iloc[0, 6]
    assert scores.tolist() == [mean_std([40, 42]), "41.00\u00a0±\u00a00.00", mean_std([43, 44])]
    assert epochs.tolist() == [f"{epoch}.00\u00a0±\u00a00.00" for epoch in (1, 2, 3)]
    assert added == "+2.50\u00a0±\u00a00.71"
    assert tables.selection(ROWS, ([], {})).empty
    shown = tables.selection(ROWS, (records, {"prior": "changing"}), reported="best on validation")
    assert shown["best on test − best on validation"].tolist() == [mean_std([2, 3], signed=True)]


def test_the_gap_between_priors_is_paired():
    records = both(CLEAR, "same") + both(WIDE)
    shown = tables.prior_gap(ROWS, records)
    assert list(shown.columns) == ["same priors (n = 4)", "changed priors (n = 4)", "gap"]
    assert shown.loc["UpDn", "gap"] == "0.00\u00a0±\u00a00.00"
    assert shown.loc["UpDn+Ours", "gap"] == mean_std([a - b for a, b in zip(CLEAR, WIDE, strict=True)], signed=True)
    assert tables.prior_gap(ROWS, both(CLEAR)).empty


def test_swapping_the_rows_marks_the_other_one():
    sources = {"here": (both(CLEAR), {"prior": "changing"})}
    there, back = (tables.p_values(ROWS, sources, a) for a in (AGAINST, {"UpDn": "UpDn+Ours"}))
    assert there == back
    assert there[-1] == significance(
        *(BySeed({i: 40.0 + 3 * i + d for i, d in enumerate(x)}) for x in (CLEAR, (0,) * 4))
    )


def test_the_highest_mean_of_a_column_is_in_bold():
    cells = {"printed": ["9.00", "10.00", "–"], "ours": ["+1.50\u00a0±\u00a09.99", "−", "+1.50"], "none": ["–"] * 3}
    shown = tables.embolden(pd.DataFrame(cells, index=["a", "b", "c"]))
    assert shown["printed"].tolist() == ["9.00", "<b>10.00</b>", "–"]
    assert shown["ours"].tolist() == ["<b>+1.50\u00a0±\u00a09.99</b>", "−", "<b>+1.50</b>"]
    assert shown["none"].tolist() == ["–"] * 3
    assert tables.embolden(pd.DataFrame(cells), but=["ours"])["ours"].tolist() == cells["ours"]


def test_a_title_says_the_seeds_that_all_headings_do():
    shown = tables.title(pd.DataFrame(columns=["printed", "all (n = 3)", "rare (n = 3)"]), "masks, %")
    assert (list(shown.columns), shown.columns.name) == (["printed", "all", "rare"], "masks, %, n = 3")
    shown = tables.title(pd.DataFrame(columns=["all (n = 3)", "rare (n = 1 to 3)"]), "masks, %")
    assert (list(shown.columns), shown.columns.name) == (["all (n = 3)", "rare (n = 1 to 3)"], "masks, %")


def test_the_t_test_is_paired_and_two_sided():
    more = BySeed({0: 45.0, 1: 47.0, 2: 49.5, 3: 50.0, 9: 99.0})
    less = BySeed({0: 44.0, 1: 45.5, 2: 46.0, 3: 49.0, 8: 1.0})
    p = significance(more, less)
    # by hand: differences 1, 1.5, 3.5, 1: mean 1.75, std sqrt(4.25 / 3) = 1.190, t = 1.75 / 0.595 = 2.940, 3 degrees
    assert p == pytest.approx(0.0605, abs=1e-4)
    shared = [0, 1, 2, 3]
    assert p == pytest.approx(stats.ttest_rel([more[i] for i in shared], [less[i] for i in shared]).pvalue)
    assert p == significance(less, more)
    assert (p < 0.05) == (judge([more[i] - less[i] for i in shared]).kind != "undecided")


def test_a_t_test_without_seeds_or_without_variance():
    three = BySeed({0: 1.0, 1: 2.0, 2: 4.0})
    assert significance(BySeed({0: 1.0, 1: 2.0}), three) is None
    assert significance(three, BySeed({0: 0.0, 1: 0.0, 5: 0.0})) is None
    assert significance(three, three) == 1
    assert significance(three, BySeed({seed: x - 0.5 for seed, x in three.items()})) == 0


def test_one_t_test_in_a_hundred_is_significant_by_chance():
    rng = np.random.default_rng(0)
    zero = BySeed({0: 0.0, 1: 0.0, 2: 0.0})
    p = [significance(BySeed(dict(enumerate(d))), zero) for d in rng.normal(size=(4000, 3)).tolist()]
    assert sum(x < tables.SIGNIFICANT for x in p) / 4000 == pytest.approx(0.01, abs=0.004)
