"""The printed tables are whole and add up; every claim carries the number that its table prints."""

from __future__ import annotations

import pytest

from vqabook.papers.loss_rescaling import claims, printed
from vqabook.papers.loss_rescaling.printed import CP1, CP2, V2, value
from vqabook.papers.loss_rescaling.setting import MODULES

WEIGHTS = {CP2: (0.2915, 0.1526, 0.5560), CP1: (0.4150, 0.1677, 0.4173), V2: (0.3757, 0.1311, 0.4932)}
MISFITS = {(CP2, "VGQE"), (V2, "SAN"), (V2, "LMH + both")}  # quoted; quoted; the authors' own
BY_NAME = {claim.name: claim for claim in claims.CLAIMS}
ROWS = [(data, row) for data in WEIGHTS for row in printed.ACCURACY[data]]


def misfit(data: str, row: str) -> float | None:
    """Printed All minus the weighted mean of the printed types; None where a type is not printed."""
    *types, every = (value(printed.ACCURACY[data][row][kind]) for kind in printed.TYPES)
    if None in types:
        return None
    return every - sum(w * x for w, x in zip(WEIGHTS[data], types, strict=True))


@pytest.mark.parametrize(("data", "row"), ROWS, ids=lambda x: x)
def test_all_is_the_mean_of_the_answer_types(data, row):
    """With the answer types' shares, fitted over all rows; a mistyped number stands out."""
    difference = misfit(data, row)
    if difference is not None:
        assert (abs(difference) <= 0.4) == ((data, row) not in MISFITS), difference


def test_tables_are_whole():
    shape = {data: len(rows) for data, rows in printed.ACCURACY.items()}
    assert shape == {CP2: 26, V2: 26, CP1: 19} and {len(rows) for rows in printed.KAPPA.values()} == {12}
    for table in (printed.ACCURACY, printed.KAPPA):
        for rows in table.values():
            assert all(tuple(cells) == printed.TYPES for cells in rows.values())
            assert claims.ROWS.keys() <= rows.keys()
            values = [value(cell) for cells in rows.values() for cell in cells.values()]
            assert all(x is None or 0 <= x <= 100 for x in values)
    assert value("–") is None and value("07.11") == 7.11 and value("68.42†") == 68.42


def test_daggers_stand_on_ours_alone_in_the_accuracy_tables():
    tables = printed.ACCURACY
    marked = {data: sum("†" in c for cells in rows.values() for c in cells.values()) for data, rows in tables.items()}
    assert marked == {CP2: 20, V2: 22, CP1: 21}
    for rows in tables.values():
        assert all(
            row.endswith((" + both", " + re-scaling"))
            for row, cells in rows.items()
            if any("†" in c for c in cells.values())
        )


@pytest.mark.parametrize("row", claims.ROWS)
def test_table_v_repeats_table_ii(row):
    assert value(printed.ACCURACY[CP2][row]["All"]) == printed.TABLE_V[claims.ROWS[row]["variant"]]


def test_inconsistencies_are_what_the_tables_say():
    v = printed.TABLE_V
    assert v["css_lmh bce both"] == v["css_lmh bce mask (softplus-G)"] == 56.55
    assert v["css_lmh bce re-scaling"] == 50.76 < v["css_lmh bce baseline"] == 55.61
    assert max(v[run] for run in v if run.startswith(("bce", "ce"))) == v["ce both"] == 57.02
    assert "57.02" not in [cells["All"] for cells in printed.ACCURACY[CP2].values()]
    (kappa_updn, kappa_ours), (updn, ours) = (
        [table[CP1][row]["Num."] for row in ("UpDn ‡", "UpDn + both")] for table in (printed.KAPPA, printed.ACCURACY)
    )
    assert (kappa_updn, kappa_ours, updn, ours) == ("4.40", "38.68", "12.49", "18.04†")
    for loss in ("bce", "ce"):
        assert v[f"css {loss} mask (softplus-G)"] < v[f"css {loss} mask (sigmoid)"]
    assert all(where and what.endswith(".") for where, what in printed.CONTRADICTIONS)


def test_kappa_exceeds_the_accuracy_that_bounds_it_in_the_cells_that_the_page_names():
    """No number is typed here: what is impossible, or next to it, is read off the printed tables."""
    both = {
        (data, row, kind): (printed.number(cell), printed.number(printed.ACCURACY[data][row][kind]))
        for data, rows in printed.KAPPA.items()
        for row, cells in rows.items()
        for kind, cell in cells.items()
    }
    audit, told = printed.audit_kappa(), dict(printed.CONTRADICTIONS)
    assert {cell: (kappa, accuracy) for cell, (kappa, accuracy, _) in audit.items()} == both and len(both) == 144
    beyond = {cell for cell, (kappa, accuracy) in both.items() if kappa > accuracy}
    assert beyond == {cell for cell, (*_, chance) in audit.items() if chance < 0}
    text = told["Tables II to IV, κ above accuracy"]
    assert f"in {len(beyond)} cells" in text and text.count(" over ") == len(beyond) == 5
    for data, row, kind in beyond:
        kappa, accuracy = both[data, row, kind]
        assert f"{kappa:.2f} over {accuracy:.2f} ({row}, {kind}, {data.rsplit(' ', 1)[0]})" in text
    assert {data for data, *_ in beyond} == {CP2, CP1, V2}
    others = [(kappa, accuracy, chance) for (*_, kind), (kappa, accuracy, chance) in audit.items() if kind == "Other"]
    assert all(kappa < 1 and 0 < accuracy - chance < 1 for kappa, accuracy, chance in others)  # chance makes nearly all
    least, most = (f(kappa for kappa, *_ in others) for f in (min, max))
    assert f"{least:.2f} to {most:.2f} for Other" in told["Table IV, Other and All"]


PRINTED_DIFFERENCES = {
    "table-v-bce-both-over-baseline": 8.29,  # Sec. VI-A: "with a 8.29% absolute gain"
    "table-v-css-bce-re-scaling-over-baseline": 8.60,  # Sec. VI-B: "8.6%"
    "table-v-lxmert-bce-re-scaling-over-baseline": 14.62,  # Sec. VI-B
    "table-v-ce-both-over-baseline": 16.53,  # Sec. VI-B
    "table-v-css-lmh-bce-re-scaling-over-baseline": -4.85,
    "table-v-css-bce-mask-softplus-G-over-mask-sigmoid": -0.04,
    "table-iii-lm-other": 1.45,
    "table-iii-lxmert-yes-no": 32.74,
    "table-iv-kappa-css": 4.87,
    "table-ii-cost-css-lmh": -9.88,
    "order-same-lmh": 3.0,
    "frozen-gate-lm": 2.9,
    "frozen-gate-lm-number": 26.83,
    "fig-8-both": None,
}


@pytest.mark.parametrize("name", PRINTED_DIFFERENCES)
def test_a_claim_carries_the_printed_difference(name):
    assert BY_NAME[name].printed == PRINTED_DIFFERENCES[name]


UNCLAIMED = {("lm", "number"), ("lmh", "other"), ("css", "other"), ("lxmert", "other")}  # printed as losses


def test_every_backbone_has_its_claims():
    for backbone in claims.OTHERS:
        short = backbone.replace("_", "-")
        for kind in ("yes-no", "number", "other"):
            assert (f"table-iii-{short}-{kind}" in BY_NAME) == ((short, kind) not in UNCLAIMED)
        over = f"table-v-{short}-bce-{claims.full_of(backbone)}-over-baseline"
        assert {f"table-ii-cost-{short}", over} <= BY_NAME.keys()
        assert (f"table-iv-kappa-{short}" in BY_NAME) == (short != "lm")  # printed 11.34 twice
        assert "Table II" in BY_NAME[over].where and "Table III" in BY_NAME[over].where
    assert not any("mask" in name for name in BY_NAME if "lxmert" in name)
    assert not any("-lm-ce-" in name or "-lmh-ce-" in name for name in BY_NAME)


def test_no_comparison_is_judged_twice_but_for_updn():
    """Table V's last row and Table III's All are the same runs with other printed numbers; UpDn keeps both claims."""
    sides = {}
    for claim in claims.CLAIMS:
        runs = (str((side.where, side.metric)) for side in (claim.more, claim.less))
        sides.setdefault(frozenset(runs), []).append(claim.name)
    assert [names for names in sides.values() if len(names) > 1] == [
        ["table-iii-overall", "table-v-bce-both-over-baseline"]
    ]


def test_table_v_is_whole():
    backbones, losses = claims.BACKBONES, claims.LOSSES
    runs = {claims.run_of(of, loss, module) for of in backbones for loss in losses for module in MODULES}
    assert printed.TABLE_V.keys() <= runs and len(printed.TABLE_V) == 39


def test_a_gain_that_nobody_claims_is_no_claim():
    for name in ("table-v-ce", "table-v-css-bce", "table-v-css-ce"):
        assert f"{name}-mask-softplus-G-over-baseline" not in BY_NAME
        assert f"{name}-mask-softplus-G-over-mask-sigmoid" in BY_NAME


def test_dropout_claims_follow_the_setting():
    assert claims.dropout(()) == ()
    sides = {c.name: [side.where["variant"] for side in (c.more, c.less)] for c in claims.dropout((0.4, 0.8))}
    assert list(sides) == ["fig-7-updn", "fig-7-lm", "fig-7-css", "fig-7-lmh"]
    assert sides["fig-7-updn"] == ["bce both", "bce both @ mask dropout 0.8"]
    assert sides["fig-7-lm"] == ["lm bce both @ mask dropout 0.8", "lm bce both"]
    assert not sides.keys() & BY_NAME.keys()
