"""What chapter 01's pages show says what records do: gaps, slopes, confusions, tables."""

from __future__ import annotations

from collections.abc import Mapping
from math import log

import matplotlib.pyplot as plt
import numpy as np
import pytest

from vqabook.papers.loss_rescaling import PAPER, pictures, tables
from vqabook.papers.loss_rescaling.recipes import examples
from vqabook.report import sketches, verdicts

PLAIN = {"variant": "bce baseline", "prior": "changing"}


@pytest.fixture(scope="module")
def embedded() -> list[Mapping]:
    return verdicts.evidence(PAPER.name, profile="small")


@pytest.fixture(scope="module")
def real() -> list[Mapping]:
    return verdicts.evidence(PAPER.name, dataset=tuple(PAPER.real))


@pytest.fixture(scope="module")
def one_vote() -> list[Mapping]:
    return verdicts.evidence(PAPER.name, dataset="vqacp_v1_coco16k")  # both priors


@pytest.fixture
def figure():
    figure = plt.figure(figsize=(7.2, 4.0), layout="constrained")
    yield figure
    plt.close(figure)


@pytest.fixture(scope="module")
def tasks(embedded, real) -> dict:
    return pictures.find_tasks(embedded, real)


def claim(name: str):
    return next(claim for claim in PAPER.claims if claim.name == name)


def test_two_mistakes_cost_minus_the_log_of_the_truths_share(figure):
    sketches.two_mistakes(figure, {"2": 80, "4": 4}, hard=("2", "4"))
    shares, costs = ([bar.get_height() for bar in axes.patches] for axes in figure.axes)
    assert shares == [80, 4] and costs == pytest.approx([-log(0.8), -log(0.04)])


def test_the_last_gap_is_the_claims_difference_turned_round(figure, embedded, real):
    runs = verdicts.matching(real, PLAIN)
    last = np.mean([pictures.read_gaps(run)[-1] for run in runs])
    assert last == pytest.approx(-verdicts.verdict_on(claim("assumption-1-bce"), real).mean)
    pictures.draw_gaps(figure, embedded, real)
    assert [axes.get_title() for axes in figure.axes] == ["Sigm-BCE", "Soft-CE"]
    assert figure.axes[0].lines[0].get_ydata()[-1] == pytest.approx(last)


def test_no_pair_is_no_gap():
    row = {"mistakes": {"n_pairs": 0, "easy_paired": None, "hard_paired": None}}
    assert np.isnan(pictures.read_gaps({"result": {"history": [row]}})).all()


def test_slopes_end_where_the_claims_sides_are(figure, tasks, embedded, real):
    assert list(tasks) == list(pictures.IMAGES.values())
    pictures.draw_slopes(figure, embedded, real, tasks)
    assert [axes.get_title() for axes in figure.axes] == ["questions", *tasks]
    hard, easy = figure.axes[1].lines[0].get_ydata()
    excess = verdicts.of_side(real, claim("vision-cifar10-fig-4-held-out").more)
    assert easy - hard == pytest.approx(np.mean(list(excess.values())))


def test_digits_stand_for_images_where_nothing_else_was_trained(embedded):
    assert list(pictures.find_tasks(embedded, [])) == ["digits"]
    assert pictures.find_tasks([], []) == {}


def test_gradients_have_a_panel_a_loss_and_data_set(figure, embedded, real):
    pictures.draw_gradients(figure, {"embedded world": embedded, "real data: x": real})
    assert [axes.get_title() for axes in figure.axes][1:3] == ["Soft-CE, embedded world", "Sigm-BCE, real data"]
    assert all(len(axes.lines) == 2 for axes in figure.axes)


def test_confusions_are_drawn_with_the_rows_of_their_classes(figure, tasks):
    pictures.draw_confusions(figure, {"CIFAR-10": tasks["CIFAR-10"]})
    assert [bar.get_height() for bar in figure.axes[0].patches][::9] == [5000, 50]
    assert [label.get_text() for label in figure.axes[1].get_xticklabels()][0] == "airplane"


@pytest.mark.parametrize("source", ["embedded", "one_vote"])
def test_answers_and_confusions_of_questions_are_drawn(figure, source, request):
    records = request.getfixturevalue(source)
    pictures.draw_answers(figure, records)
    assert len(figure.axes) == 4
    figure.clear()
    pictures.draw_matrices(figure, verdicts.matching(records, PLAIN)[0])
    assert figure.axes[0].get_title().startswith("how many")


def test_scenes_show_what_is_asked(figure):
    scenes = examples(PAPER.setting_of(profile="smoke"), 2)
    pictures.draw_scenes(figure, scenes)
    assert scenes[0]["asked"][0][0].split()[0] in figure.axes[0].get_title() + figure.axes[0].get_xlabel()


def test_tables_say_what_records_do(tasks, embedded, real, one_vote):
    of_types = tables.tabulate_types({"ten votes": real, "one vote": one_vote})
    asked = {"ten votes": "3,713", "one vote": "14,726"}
    assert {name: of_types.loc[f"{name}, changing priors", "test questions"] for name in asked} == asked
    questions = tables.tabulate_questions(embedded, real)
    hard = verdicts.of_side(real, claim("assumption-1-bce").more)
    assert questions.loc["Sigm-BCE, hard, last epoch", "real data"] == verdicts.mean_std(hard.values())
    held_out = tables.tabulate_tasks(tasks, "held_out")
    assert held_out.loc["CIFAR-10, imbalanced", "n"] == 3 and len(held_out) == 2 * len(tasks)
    assert held_out.loc["CIFAR-10, imbalanced", "easy − hard"].startswith("+1.")


def test_an_answer_that_nobody_confused_has_no_row(figure):
    entry = {"answers": ["a", "b", "c"], "loss": [[None, 3.2, None], [None, None, None], [None, None, None]]}
    pictures.draw_matrices(figure, {"result": {"matrices": {"how many": entry}}})
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["a", "b"]
