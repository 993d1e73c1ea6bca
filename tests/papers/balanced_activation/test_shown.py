"""What chapter 06's pages show: its studies are found among records, its tables and pictures say what records do."""

from __future__ import annotations

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
import pytest

from vqabook.papers.balanced_activation import PAPER, pictures, tables, theory
from vqabook.papers.balanced_activation.setting import COUNTS_ROWS, DETECTION_ROWS, TABLE
from vqabook.papers.balanced_activation.studies import (
    Study,
    find_full,
    find_learnt,
    find_part,
    find_studies,
    find_whole,
)
from vqabook.report import verdicts
from vqabook.world.mixture import Mixture


@pytest.fixture(scope="module")
def embedded() -> list[Mapping]:
    return verdicts.evidence(PAPER.name, profile="small")


@pytest.fixture(scope="module")
def real() -> list[Mapping]:
    return verdicts.evidence(PAPER.name, dataset=tuple(PAPER.real))


@pytest.fixture(scope="module")
def whole(embedded, real) -> list[Study]:
    return find_whole(embedded, real)


@pytest.fixture
def figure():
    figure = plt.figure(figsize=(7.2, 3.0), layout="constrained")
    yield figure
    plt.close(figure)


def test_studies_are_sets_and_imbalances(whole, embedded):
    assert [(s.name, s.classes, s.imbalance) for s in find_studies(embedded)] == [
        ("digits", 10, 100),
        ("digits", 10, 10),
    ]
    assert [(s.name, s.imbalance) for s in whole] == [("digits", 100), ("CIFAR-10-LT", 100)]
    assert find_whole([r for r in embedded if not r["recipe"]["variant"].startswith("crt")], []) == []
    assert whole[1].printed["softmax"] == 77.4 and whole[1].counts[-1] == 50
    assert len(whole[0].runs("softmax")) == len(whole[0].seeds("softmax")) == 10


def test_tables_have_printed_beside_ours_and_the_best_in_bold(whole):
    shown = tables.tabulate_rivals(whole[1])
    assert shown.columns.name == "CIFAR-10-LT, imbalance 100, %, n = 3" and len(shown) == len(TABLE)
    groups = ["8 classes of 139 to 5,000", "2 classes of 50 to 83"]  # no class is few
    assert list(shown.columns) == ["printed, CIFAR-10-LT", "overall", *groups]
    assert shown.loc["balanced softmax", "printed, CIFAR-10-LT"] == "<b>83.1\u00a0±\u00a00.4</b>"
    assert shown.loc["class-balanced sampling", "overall"].startswith("<b>")
    further = tables.tabulate_further(whole[0])
    printed = further["printed, CIFAR-10-LT"]
    assert (printed["balanced meta-softmax"], printed["cRT"], printed[tables.ADJUSTED]) == ("<b>84.9</b>", "–", "–")
    adjusted = verdicts.mean_std(whole[0].seeds("softmax", "adjusted.few").values())
    assert further.loc[tables.ADJUSTED, whole[0].groups["few"]] == adjusted and "balanced softmax" in further.index
    assert tables.tabulate_learning(whole).shape == (len(TABLE), 4)


def test_tables_of_detectors_are_grouped(embedded, real):
    classifiers, detectors = tables.tabulate_classifiers(real), tables.tabulate_detectors(embedded)
    assert (len(classifiers), len(detectors)) == (len(COUNTS_ROWS), len(DETECTION_ROWS))
    assert classifiers.index.name == "LVIS' counts, %, n = 5"
    assert detectors["masks, printed", "rare"]["balanced sigmoid"] == "<b>18.3</b>"
    assert detectors["printed", "boxes"]["balanced sigmoid"] == "<b>26.7</b>"
    assert detectors["masks", "rare"].str.startswith("<b>").sum() == 1


def test_table_2_is_shown_whole():
    shown = tables.tabulate_detectors_in_print()
    assert len(shown) == 11 and list(shown.columns) == ["masks", "frequent", "common", "rare", "boxes"]
    assert shown.loc["balanced sigmoid, ResNet-101, test-dev"].tolist() == ["26.1", "30.4", "25.0", "19.5", "–"]
    assert shown.loc["LWS, ResNet-101", "common"] == "23.1"


def test_gaps_are_from_training_to_test():
    result = {"train": {"many": 99.0, "medium": 90.0}, "test": {"many": 80.0, "medium": 30.0}}
    data = {"dataset": "cifar10", "imbalance": 100.0, "counts": [500, 60, 50]}
    asked = {"classes": 3, "many": 100, "few": 20, "data": data}
    asked |= {"variant": "softmax at 100"}
    records = [
        {"recipe": asked | {"seed": seed}, "result": result, "provenance": {"machine": "m"}} for seed in range(3)
    ]
    gaps = tables.tabulate_gaps(Study(records, 3, 100)).loc["softmax"]
    assert gaps.to_dict() == {
        "1 class of 500": "19.00\u00a0±\u00a00.00",
        "2 classes of 50 to 60": "60.00\u00a0±\u00a00.00",
    }
    (claim,) = [claim for claim in PAPER.claims if claim.name == "balanced-gap-medium"]
    differences = verdicts.of_claim([r | {"recipe": r["recipe"] | {"classes": 10}} for r in records], claim)
    assert differences == {0: 41.0, 1: 41.0, 2: 41.0}


def test_claims_on_networks_ask_what_both_sides_and_softmax_have_learnt():
    learners = {claim.name: [row["variant"] for row in claim.learners] for claim in PAPER.claims}
    assert learners["balanced-full-over-cbs"] == [f"full {x} at 100" for x in ("balanced softmax", "cbs", "softmax")]
    assert learners["balanced-10-gain-200-100"] == ["balanced softmax at 200", "balanced softmax at 100",
                                                    "softmax at 200", "softmax at 100"]  # fmt: skip
    assert learners["balanced-gap-few"] == ["softmax at 100"]
    assert not learners["balanced-counts-rare"] and not learners["balanced-heads-10-over-adjusted"]


def test_a_rival_is_compared_with_softmax_as_print_has_it():
    claims = {claim.name: claim for claim in PAPER.claims}
    for row, better in (("cbw", "class-balanced weighting"), ("focal", "softmax"), ("ldam", "softmax")):
        claim = claims[f"balanced-full-{row}"]
        assert claim.printed > 0 and claim.statement.startswith(f"at full size, {better} beats ")
    shown = {"full softmax at 100", "full focal at 100"}
    assert {side.where["variant"] for side in claims["balanced-full-focal"].sides()} == shown


def test_pictures_draw_a_panel_a_study(whole, embedded, real, figure):
    for draw in (pictures.draw_by_count, pictures.draw_expectations):
        figure.clear()
        draw(figure, find_learnt(embedded, real))
        assert figure.axes[1].get_title() == "CIFAR-10-LT, full size, imbalance 100" and figure.axes[1].lines
    for draw in (pictures.draw_by_count, pictures.draw_exponents, pictures.draw_expectations):
        figure.clear()
        draw(figure, whole)
        assert [axes.get_title() for axes in figure.axes] == ["digits, imbalance 100", "CIFAR-10-LT, imbalance 100"]
        assert all(axes.lines for axes in figure.axes)


def test_networks_of_full_size_stand_beside_short_ones(embedded, real, figure):
    (short,), (full,) = find_whole(real), find_full(embedded, real)
    assert (short.name, full.name, full.imbalance) == ("CIFAR-10-LT", "CIFAR-10-LT, full size", 100)
    told = full.tell_learnt("softmax")
    assert told.keys() == {"learnt", "level", "moves"} and float(told["level"].removesuffix("\u00a0%")) >= 68
    assert short.tell_learnt("softmax")["moves"] == "an unknown amount"
    shown = tables.tabulate_full(full)
    assert shown.loc["softmax", "printed, CIFAR-10-LT"] == "77.4\u00a0±\u00a00.8"
    assert {"softmax", "balanced softmax", tables.ADJUSTED} <= set(shown.index)
    assert "class-balanced focal loss" not in shown.index
    assert "<b>" not in "".join(shown["training images"])
    pictures.draw_full(figure, short, full)
    (axes,) = figure.axes
    gains = full.gains("balanced softmax")
    assert any(line.get_ydata()[-1] == pytest.approx(np.mean(list(gains.values()))) for line in axes.lines)


def test_what_has_learnt_is_of_full_size_where_there_is_one(embedded, real):
    digits, photographs = find_learnt(embedded, real)
    assert (digits.name, photographs.name) == ("digits", "CIFAR-10-LT, full size")
    short = [record for record in real if record["recipe"].get("part") != "full"]
    assert [study.name for study in find_learnt(short, [])] == ["CIFAR-10-LT"]


@pytest.mark.parametrize(("row", "of_digits", "of_photographs"), [
    ("balanced softmax", "softmax", "softmax"),
    ("crt", "softmax @ as long", "softmax"),  # of full size there is none that trains as long
])  # fmt: skip
def test_a_split_gain_adds_up(row, of_digits, of_photographs, embedded, real, figure):
    for study, base in zip(find_learnt(embedded, real), (of_digits, of_photographs), strict=True):
        figure.clear()
        pictures.draw_split(figure, [study], rows=(row,))
        shift, rest = (bar.get_width() for bar in figure.axes[0].patches)
        gains = verdicts.pair(study.seeds(row), study.seeds(base))
        assert shift + rest == pytest.approx(sum(gains.values()) / len(gains))


def test_detectors_gains_stand_beside_the_printed_ones(figure, embedded, real):
    pictures.draw_detectors(figure, embedded, rows=("balanced sigmoid",))
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == [
        f"{name}, balanced sigmoid" for name in ("rare", "common", "frequent")
    ]
    assert find_part(embedded, "detection") and not find_part(real, "detection")


def test_the_sketchs_border_is_where_both_classes_are_as_many(figure):
    pictures.draw_sketch(figure)
    cars, unicycles, learnt, balanced = figure.axes[0].lines
    border = learnt.get_xdata()[0]
    at = [line.get_ydata()[abs(line.get_xdata() - border).argmin()] for line in (cars, unicycles)]
    assert at[0] == pytest.approx(at[1], rel=0.1) and balanced.get_xdata()[0] == 0


def test_theorem_1_is_compared_with_its_control():
    distances = theory.compare_losses(Mixture((2_000, 600, 200)))
    nearest = min(distances, key=lambda name: distances[name]["balanced"])
    assert nearest == "balanced softmax" and distances["softmax"]["training"] < distances["softmax"]["balanced"]
    assert distances["counts of other classes"]["balanced"] > distances["softmax"]["balanced"]


def test_the_bounds_of_theorem_2_rank_losses_as_their_errors_do():
    """And promise nothing: what the page says of its table."""
    bounds = theory.compare_bounds(Mixture((20_000, 6_000, 2_000, 600, 200)))
    equal = bounds.pop("balanced softmax, equal margins")
    assert sorted(bounds, key=lambda name: bounds[name].error) == sorted(bounds, key=lambda name: bounds[name].total)
    assert 1 < min(bound.total for bound in bounds.values()) == bounds["balanced softmax"].total < equal.total


def test_an_offset_that_is_right_at_every_row_has_an_error_of_zero():
    errors = {"two": np.full((3, 2), 1e-8), "three": np.array([[0.0, -1.0, 2.0], [0.0, -2.0, 3.0]])}
    shown = tables.tabulate_offsets(errors)
    assert list(shown.loc["two"]) == ["0", "0", ""]
    assert list(shown.loc["three"]) == ["0", "−1.50\u00a0±\u00a00.71", "+2.50\u00a0±\u00a00.71"]
