"""The drawings: what the data say is what is on the axes."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pytest

from vqabook.data.seen import grid
from vqabook.report import figures
from vqabook.report.claims import Claim, Side
from vqabook.report.live import Star
from vqabook.report.verdicts import judge


@pytest.fixture
def figure():
    figure = plt.figure()
    yield figure
    plt.close(figure)


def test_an_interval_shows_seeds_limits_and_mean(figure):
    axes = figure.add_subplot()
    figures.interval(axes, 2.0, [1.0, 4.0], (0.5, 4.5), "AVG, n = 2", "AVG")
    drawn = [(np.atleast_1d(x.get_xdata()).tolist(), np.atleast_1d(x.get_ydata()).tolist()) for x in axes.lines]
    assert drawn == [([2, 2], [1, 4]), ([2, 2], [0.5, 4.5]), ([2], [2.5])]
    assert axes.get_legend_handles_labels()[1] == ["AVG, n = 2"]


def test_gains_show_seeds_mean_interval_and_what_is_printed(figure):
    axes = figure.add_subplot()
    rows = {
        "UpDn, Sigm-BCE": ([1.0, 3.0], None),
        "LM, Sigm-BCE": ([1.0, 2.0, 3.0], (0.5, 3.5)),
        "CSS, Soft-CE": ([], None),
    }
    figures.gains(axes, rows, {"UpDn, Sigm-BCE": 8.29})
    drawn = [(line.get_xdata(), line.get_ydata()) for line in axes.lines]
    xs = [np.atleast_1d(x).tolist() for x, _ in drawn]
    assert xs == [[1, 3], [2], [8.29], [1, 2, 3], [2], [0.5, 3.5], [0, 0]]  # the last: no gain
    assert [text.get_text() for text in axes.get_yticklabels()] == list(rows)
    low, high = axes.get_ylim()
    assert low > 2 and high < 0  # the first row is the highest


def test_a_forest_shows_what_is_printed_recorded_expected_and_live(figure):
    axes, sides = figure.add_subplot(), (Side({"variant": "a"}, printed=9.0), Side({"variant": "b"}, printed=2.0))
    claim = Claim("n", "a beats b", "w", *sides, "page", "p")
    bare = Claim("m", "b beats c", "w", sides[1], Side({"variant": "c"}), "page", "p", unit="loss")
    real, embedded = judge([1.0, 2.0, 3.0]), judge([4.0, 5.0, 6.0])
    figures.forest(axes, [Star(claim, 5.5, (0.5, 9.5), embedded, real), Star(bare, None, None, judge([]), judge([]))])
    drawn = [np.atleast_1d(line.get_xdata()).tolist() for line in axes.lines if len(line.get_xdata())]
    assert drawn == [[0.5, 9.5], [real.low, real.high], [2], [embedded.low, embedded.high], [5], [7], [5.5], [0, 0]]
    assert [text.get_text() for text in axes.get_yticklabels()] == ["a beats b", "b beats c"]
    assert axes.get_xlabel() == "difference (points or loss)"


def test_attention_lies_in_its_box_and_the_most_looked_at_wins():
    boxes = np.array([[0, 0, 0.5, 0.5], [0.25, 0, 1, 0.25]])
    pixels = figures.attention_map(boxes, [0.7, 0.3], side=4)
    assert pixels.tolist() == [[0.7, 0.7, 0.3, 0.3], [0.7, 0.7, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]]


def test_attention_over_a_grid_is_the_grid():
    attention = np.random.default_rng(0).dirichlet(np.ones(49))
    pixels = figures.attention_map(grid(49), attention.tolist(), side=14)
    assert np.array_equal(pixels[::2, ::2], attention.reshape(7, 7)) and pixels.sum() == pytest.approx(4)


@pytest.mark.parametrize("image", [None, np.full((8, 8, 3), 200, np.uint8)], ids=["no image", "image"])
def test_looks_shade_the_image_of_each_question_by_each_methods_attention(figure, image):
    methods = {"baseline": ([0.5, 0.25, 0.25, 0.0], "red"), "ours": ([0.0, 0.0, 0.0, 1.0], "blue")}
    row = {"question": "What color?", "truth": "red", "image": image, "boxes": grid(4), "methods": methods}
    figures.looks(figure, [row, row])
    first = figure.subfigs[0]
    assert len(figure.subfigs) == 2 and first.get_suptitle() == "What color? — red"
    captions = [axes.get_xlabel() for axes in first.axes]
    assert captions[-2:] == ["baseline: red ✓", "ours: blue ✗"] and len(captions) == 2 + (image is not None)
    base, most = np.asarray(first.axes[-2].images[0].get_array()), 255 if image is None else 200
    assert base[0, 0, 0] == most and base[0, -1, 0] == int(0.6 * most) and base[-1, -1, 0] == int(0.2 * most)


def line(figure):
    figure.add_subplot().plot([0, 1])


def test_a_page_gets_the_drawing_once_a_theme_with_caption_and_alt_text(monkeypatch):
    shown = []
    monkeypatch.setattr("IPython.display.display", shown.append)
    figures.show(line, caption="A < B, n = 3", alt='a "line"')
    (page,) = shown
    assert page.data.count('alt="a &quot;line&quot;"') == 2 and "only-light" in page.data and "only-dark" in page.data
    assert "<figcaption>A &lt; B, n = 3</figcaption></figure>" in page.data and "<source" not in page.data


def test_a_phone_gets_a_drawing_of_its_own_width():
    widths = []
    figures.render(lambda f: widths.append(f.get_figwidth()), caption="c", alt="a", size=(7.2, 3), phone=4)
    assert sorted(set(widths)) == [figures.PHONE, 7.2]
    assert figures.render(line, caption="c", alt="a", size=(7.2, 3), phone=4).count("<source") == 2


@pytest.mark.parametrize("words", [{"caption": " ", "alt": "a"}, {"caption": "c", "alt": ""}])
def test_a_figure_without_words_is_refused(words):
    with pytest.raises(ValueError, match="write it"):
        figures.render(line, size=(7.2, 3), **words)
