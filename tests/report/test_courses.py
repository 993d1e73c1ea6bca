"""Curves of training are read from records as they stand, and what was not run leaves no line."""

from __future__ import annotations

import pytest
from matplotlib.figure import Figure

from vqabook.report import courses


@pytest.fixture
def trained(run) -> list[dict]:
    """Two seeds of each loss over three epochs."""
    records = [run(variant, 40.0, seed) for variant in ("hard", "soft") for seed in (0, 1)]
    for i, record in enumerate(records):
        rows = [{"valid": 10.0 * (epoch + 1) + i, "valid_loss": {"modal": 3.0 - epoch + i}} for epoch in range(3)]
        record["result"]["history"] = rows
    return records


ROWS = {"cross-entropy": ({"variant": "hard"}, "modal"), "soft cross-entropy": ({"variant": "soft"}, "modal")}


def test_a_course_is_what_each_epoch_says(trained):
    assert courses.read_course(trained, {"variant": "hard"}, "valid") == [[10, 20, 30], [11, 21, 31]]
    assert courses.read_course(trained, {"variant": "soft"}, "valid_loss.modal") == [[5, 4, 3], [6, 5, 4]]
    assert courses.read_course(trained, {"variant": "never"}, "valid") == []


@pytest.mark.parametrize(("width", "columns"), [(7.2, 2), (3.6, 1)])
def test_a_phone_gets_its_panels_one_below_the_other(trained, width, columns):
    figure = Figure(figsize=(width, 5))
    courses.draw_courses(figure, {"here": trained, "there": trained[:2]}, ROWS)
    assert len(figure.axes) == 4 and len({round(axes.get_position().x0, 1) for axes in figure.axes}) == columns
    loss, accuracy, loss_there, _ = figure.axes
    assert [list(line.get_ydata()) for line in loss.lines] == [[3.5, 2.5, 1.5], [5.5, 4.5, 3.5]]
    assert [line.get_label() for line in loss.lines] == ["cross-entropy, n = 2", "soft cross-entropy, n = 2"]
    assert len(accuracy.lines) == 2 and len(loss_there.lines) == 1


def test_speed_is_drawn_at_levels_that_all_runs_reach(trained):
    runs = {name: courses.read_course(trained, where, "valid") for name, (where, _) in ROWS.items()}
    axes = Figure().add_subplot()
    courses.draw_speed(axes, runs, lambda run, level: next(i for i, x in enumerate(run, 1) if x >= level))
    assert list(axes.lines[0].get_xdata()) == list(range(14, 31))  # the best first epoch is 13, the worst last one 30
    assert list(axes.lines[0].get_ydata()[[0, -1]]) == [2, 3]
    nothing = Figure().add_subplot()
    courses.draw_speed(nothing, {"cross-entropy": []}, min)
    assert not nothing.lines
