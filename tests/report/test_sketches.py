"""Drawings of how a method works show the numbers that they are given."""

from __future__ import annotations

from matplotlib.figure import Figure

from vqabook.report.sketches import members_to_targets, settled_answers, votes_to_targets


def test_a_dot_an_annotator_and_a_bar_a_weight():
    figure = Figure()
    votes_to_targets(figure, {"red": 5, "pink": 1}, {"cross-entropy": [1.0, 0.0], "soft cross-entropy": [0.5, 0.1]})
    people, *bars = figure.axes
    assert [len(line.get_xdata()) for line in people.lines] == [5, 1]
    assert [[bar.get_width() for bar in axes.patches] for axes in bars] == [[1.0, 0.0], [0.5, 0.1]]
    assert [axes.get_title() for axes in figure.axes] == ["annotators", "cross-entropy", "soft cross-entropy"]


def test_a_panel_a_loss_with_the_first_ones_answers_as_ticks():
    figure = Figure()
    settled_answers(figure, ["2", "4"], {"plain": [0.8, 0.2], "weighted": [0.4, 0.6]}, "plain")
    plain, weighted = figure.axes
    assert [[bar.get_width() for bar in axes.patches] for axes in (plain, weighted)] == [[0.8, 0.2], [0.4, 0.6]]
    assert [list(axes.lines[0].get_xdata()) for axes in (plain, weighted)] == [[0.8, 0.2]] * 2
    assert [axes.get_title() for axes in figure.axes] == ["plain", "weighted"]
    assert plain.patches[0].get_facecolor() != weighted.patches[0].get_facecolor()


def test_members_left_alone_have_a_dash_in_place_of_a_target():
    figure = Figure()
    members_to_targets(figure, [0.6, 0.1], {"MCL": [1.0, None], "MCL-KD": [1.0, 0.2]})
    assert [axes.get_title() for axes in figure.axes] == ["now", "MCL", "MCL-KD"]
    assert [[bar.get_width() for bar in axes.patches] for axes in figure.axes] == [[0.6, 0.1], [1.0, 0], [1.0, 0.2]]
    assert [text.get_text() for text in figure.axes[1].texts] == ["1.00", "–"]
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["S1", "S2"]
