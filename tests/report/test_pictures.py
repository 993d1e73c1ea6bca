"""The pictures that chapters share: what the data say is on the axes, every text can be read, names have marks."""

from __future__ import annotations

import itertools
import re
from dataclasses import replace
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.text import Text

from vqabook.report import figures
from vqabook.report.claims import Claim, Side
from vqabook.report.figures.frame import SMALLEST
from vqabook.report.live import Star
from vqabook.report.strength import Dot, Level
from vqabook.report.verdicts import judge

DESIGN = Path(__file__).parents[2] / "book" / "design.md"
SEEDS = {"baseline": [40.0, 42.0], "re-scaling": [43.0, 45.0], "both": [50.0, 51.0]}
STAR = Star(
    Claim("n", "a beats b " * 9, "w", Side({}, printed=9.0), Side({}, printed=2.0), "page", "p"),
    5.5, (0.5, 9.5), judge([4.0, 5.0, 6.0]), judge([1.0, 2.0, 3.0]),
)  # fmt: skip
DOTS = [
    Dot(5.0, 4.0, 1.0, "real", True, "ledger.html#claim-a", "a & b"),
    Dot(-2.0, 1.0, 6.0, "embedded", False, "ledger.html#claim-b", "b"),
]
MATRIX = [[None, 1.0], [2.0, None]]
LEVELS = [Level("a", 40.0, 30.0, None, (3,)), Level("b", 50.0, 1, 2, (3, 5))]
DRAWINGS = {  # name -> a drawing of small data on a whole figure
    "bars": lambda f: figures.bars(f.add_subplot(), SEEDS, label="accuracy (%)"),
    "gains": lambda f: figures.gains(f.add_subplot(), {"UpDn, Sigm-BCE": ([1.0, 2.0], (0.5, 2.5))}, {}),
    "slopes": lambda f: figures.slopes(
        f.add_subplot(), {"method, faces": ([1.0], [3.0]), "control, faces": ([1.0], [1.1])}, ("easy", "hard")
    ),
    "trade": lambda f: figures.trade(f.add_subplot(), {name: (seeds, seeds[::-1]) for name, seeds in SEEDS.items()}),
    "stacked": lambda f: figures.stacked(
        f.add_subplot(), {"cRT": {"shift": 5.0, "rest": -1.0}}, {"shift": figures.OTHERS[0], "rest": figures.OTHERS[1]}
    ),
    "joined": lambda f: figures.joined(
        f.add_subplot(),
        {"IE as long": {"printed": (60, 70), "real": (50, 66)}, "MCL-KD": {"real": (52, 69)}},
        ends=("top-1", "oracle"), marked="IE as long",
    ),
    "accuracy_by_count": lambda f: figures.accuracy_by_count(
        f.add_subplot(), [500, 5, 50], {"softmax": [[90, 10, 50]], "cRT": [[80, 30, 60], [82, 32, 62]]}
    ),
    "families": lambda f: figures.families(
        f.add_subplot(), [[90, 10], [20, 80]], members=["M1", "M2"], names=["count", "colour"], label="member"
    ),
    "strip": lambda f: figures.strip(
        f, [[("image", np.zeros((4, 4, 3), np.uint8)), ("mask", np.eye(4)), ("t", [0, 1])]]
    ),
    "forest": lambda f: figures.forest(f.add_subplot(), [STAR, STAR]),
    "printed_measured": lambda f: figures.printed_measured(f, {"A (1999)": DOTS, "B": DOTS[:1]}),
    "strength": lambda f: figures.strength(f, DOTS),
    "dumbbells": lambda f: figures.dumbbells(f.add_subplot(), LEVELS),
    "matrix": lambda f: figures.matrix(f.add_subplot(), MATRIX, ["two", "three"], title="how many"),
}  # fmt: skip


@pytest.fixture
def figure():
    figure = plt.figure()
    yield figure
    plt.close(figure)


@pytest.mark.parametrize("size", [(7.2, 3.4), (figures.PHONE, 5.0)], ids=["wide", "phone"])
@pytest.mark.parametrize("name", DRAWINGS)
def test_no_letter_is_smaller_than_nine_pixels(name, size):
    sizes: dict[str, float] = {}

    def draw(figure):
        DRAWINGS[name](figure)
        figure.canvas.draw()
        sizes.update({x.get_text(): x.get_fontsize() for x in figure.findobj(Text) if x.get_text()})

    figures.render(draw, caption="c", alt="a", size=size)
    assert sizes and min(sizes.values()) >= SMALLEST, sizes


@pytest.mark.parametrize("name", DRAWINGS)
def test_nothing_lies_outside_its_drawing(name):
    for size in ((7.2, 3.4), (figures.PHONE, 5.0)):
        figure = plt.figure(figsize=size, layout="constrained")
        DRAWINGS[name](figure)
        figure.canvas.draw()
        box = figure.get_tightbbox()
        assert box.x0 > -0.05 and box.x1 < size[0] + 0.05, (size, box)
        assert box.y0 > -0.05 and box.y1 < size[1] + 0.05, (size, box)
        plt.close(figure)


def test_the_meanings_are_documented():
    page = DESIGN.read_text("utf-8")
    for name, (mark, meaning) in figures.MEANINGS.items():
        assert re.search(rf"\| {name} \| .*{mark.hue or 'ink'}.* \| {meaning}", page), name


def test_no_two_meanings_share_a_colour_or_a_marker_in_a_picture():
    marks = [mark for mark, _ in figures.MEANINGS.values()]
    assert len({mark.color for mark in (*marks, *figures.OTHERS)}) == len(marks) + len(figures.OTHERS)
    assert len({mark.marker for mark in (*figures.OTHERS, *marks[:4])}) == len(figures.OTHERS) + 4
    assert len({mark.marker for mark in (*figures.OTHERS, *marks[4:])}) == len(figures.OTHERS) + 3


@pytest.mark.parametrize("ground", ["#ffffff", "#14181e"])
def test_colours_read_on_both_grounds(ground):
    """A contrast of at least 2 for dots and lines; parts and frequencies come with a second sign."""
    for mark in (*(mark for mark, _ in figures.MEANINGS.values()), *figures.OTHERS):
        if mark.hue:
            light, dark = sorted((luminance(mark.hue), luminance(ground)), reverse=True)
            assert (light + 0.05) / (dark + 0.05) > 2.4, mark


def luminance(color: str) -> float:
    parts = [x / 12.92 if x <= 0.04045 else ((x + 0.055) / 1.055) ** 2.4 for x in to_rgb(color)]
    return float(np.dot(parts, (0.2126, 0.7152, 0.0722)))


def test_a_name_without_a_mark_is_refused():
    with pytest.raises(ValueError, match="give it one in MARKS"):
        figures.mark_of("nobody")


def test_a_matrix_keeps_the_names_of_its_axes(figure):
    """seaborn's heatmap erases names that were set before."""
    for values in (MATRIX, [[None, None]] * 2):
        axes = figure.add_subplot()
        figures.matrix(axes, values, ["two", "three"], title="how many")
        assert axes.get_xlabel().startswith("predicted") and axes.get_ylabel() == "ground truth"


def test_slopes_lead_from_mean_to_mean_and_name_their_ends(figure):
    axes = figure.add_subplot()
    figures.slopes(axes, {"method, faces": ([1.0, 2.0], [3.0, 4.0])}, ("easy", "hard"))
    assert list(axes.lines[0].get_ydata()) == [1.5, 3.5]
    assert [text.get_text() for text in axes.texts] == ["faces"]


def test_names_at_lines_ends_do_not_lie_on_each_other(figure):
    axes = figure.add_subplot()
    figures.slopes(axes, {f"method, {i}": ([1.0], [3.0 + i / 100]) for i in range(4)}, ("easy", "hard"))
    heights = sorted(text.get_position()[1] for text in axes.texts)
    assert min(np.diff(heights)) >= 0.08


def test_a_trade_shows_means_and_arrows_from_the_baseline(figure):
    axes = figure.add_subplot()
    figures.trade(axes, {"baseline": ([60.0, 62.0], [20.0, 22.0]), "both": ([50.0], [40.0]), "focal": ([], [])})
    means = [
        (float(line.get_xdata()[0]), float(line.get_ydata()[0])) for line in axes.lines if line.get_markersize() > 9
    ]
    assert means == [(61, 21), (50, 40)] and len(axes.texts) == 1
    assert axes.get_xlim() == axes.get_ylim()


def test_parts_of_a_gain_stand_end_to_end_and_the_line_at_their_sum(figure):
    axes = figure.add_subplot()
    parts = {"a": figures.OTHERS[0], "b": figures.OTHERS[1], "c": figures.OTHERS[2]}
    figures.stacked(axes, {"cRT": {"a": 5.0, "b": -1.0, "c": 2.0}}, parts)
    spans = [(bar.get_x(), bar.get_width()) for bars in axes.containers for bar in bars]
    assert spans == [(0, 5), (0, -1), (5, 2)] and list(axes.lines[0].get_xdata()) == [6, 6]


def test_two_scores_are_joined_for_each_source(figure):
    DRAWINGS["joined"](figure)
    joined = [list(line.get_xdata()) for line in figure.axes[0].lines if len(np.atleast_1d(line.get_xdata())) == 2]
    assert joined == [[60, 70], [50, 66], [52, 69]] and len(figure.axes[0].patches) == 1


def test_accuracy_goes_by_count_and_joins_neighbours(figure):
    axes = figure.add_subplot()
    figures.accuracy_by_count(axes, [500, 5, 50, 60], {"softmax": [[90, 10, 50, 70], [90, 20, 50, 70]]}, groups=3)
    dots, line = axes.lines
    assert list(dots.get_xdata()) == [5, 50, 60, 500] and list(dots.get_ydata()) == [15, 50, 70, 90]
    assert list(line.get_xdata()) == [27.5, 60, 500] and line.get_label() == "softmax"


def test_families_carry_names_and_numbers(figure):
    DRAWINGS["families"](figure)
    (axes,) = figure.axes
    assert [text.get_text() for text in axes.texts] == ["90", "10", "20", "80"]
    assert [text.get_text() for text in axes.get_yticklabels()] == ["count", "colour"]


def test_a_strip_has_a_label_a_picture_and_an_arrow_between(figure):
    DRAWINGS["strip"](figure)
    assert [axes.get_title() for axes in figure.axes] == ["image", "mask", "t"]
    assert sum(len(axes.texts) for axes in figure.axes) == 2


def test_levels_are_joined_from_the_lowest_to_the_highest(figure):
    DRAWINGS["dumbbells"](figure)
    lines = [list(line.get_xdata()) for line in figure.axes[0].lines if len(np.atleast_1d(line.get_xdata())) == 2]
    assert lines == [[30, 40], [1, 50]]


def test_a_dot_leads_to_its_row_and_says_which():
    html = figures.render_links(
        DRAWINGS["printed_measured"], {dot.address: dot.title for dot in DOTS},
        caption="c", alt="a", size=(7.2, 4), phone=6,
    )  # fmt: skip
    assert html.count('<a xlink:href="ledger.html#claim-a"><title>a &amp; b</title>') == 2 * 2
    assert html.count("currentColor") > 10 and "#24292f" not in html
    ids = re.findall(r'\bid="([^"]+)"', html)
    assert len(set(ids)) == len(ids)


def test_panels_stand_below_each_other_on_a_phone():
    for width, wanted in ((7.2, (1, 3)), (figures.PHONE, (3, 1))):
        figure = plt.figure(figsize=(width, 3))
        grid = figures.panels(figure, 3)[0].get_gridspec()
        assert (grid.nrows, grid.ncols) == wanted
        plt.close(figure)


# What a reader sees who lacks the receptor for green, or for red: Machado et al. 2009, on linear RGB
BLINDNESS = {
    "deuteranopia": ((0.367, 0.861, -0.228), (0.280, 0.673, 0.047), (-0.012, 0.043, 0.969)),
    "protanopia": ((0.152, 1.053, -0.205), (0.115, 0.786, 0.099), (-0.004, -0.048, 1.052)),
}


@pytest.mark.parametrize("kind", BLINDNESS)
def test_a_colour_blind_reader_tells_the_meanings_apart(kind):
    def seen(color):
        linear = np.asarray(BLINDNESS[kind]) @ (np.asarray(to_rgb(color)) ** 2.2)
        return linear.clip(0, 1) ** (1 / 2.2)

    hues = {name: mark.hue for name, (mark, _) in figures.MEANINGS.items() if mark.hue}
    for one, other in itertools.combinations(hues, 2):
        distance = float(np.linalg.norm(seen(hues[one]) - seen(hues[other])))
        assert distance > 0.15, (one, other, distance)


def test_what_a_question_is_about_is_framed_and_a_mask_hides_the_rest():
    boxes = np.array([[0.0, 0.0, 0.5, 0.5], [0.5, 0.5, 1.0, 1.0]])
    image = np.full((100, 100, 3), 255, np.uint8)
    one = {"words": ["what", "now"], "truth": "yes", "image": image, "boxes": boxes, "plain": 0.1, "score": 0.9}
    one |= {"own": [0.5, 0.5], "best": [0.0, 1.0], "relevant": np.array([1.0, 0.0])}
    labels, (framed, own, left, target) = zip(*figures.mask_to_target(one), strict=True)
    assert labels[0] == "what now? yes" and "10% sure" in labels[1] and "90% sure" in labels[2]
    assert (framed[0, 10] != 255).any() and (framed[25, 25] == 255).all() and (framed[75, 50:] == 255).all()
    assert own[25, 25, 0] == own[75, 75, 0] == 255 and left[25, 25, 0] == target[25, 25, 0] == 51
    assert (figures.frame_regions(image, boxes, None) == image).all()


def test_one_legend_names_every_line_of_the_panels_once(figure):
    left, right = figure.subplots(1, 2)
    for axes, names in ((left, ["a"]), (right, ["a", "b"])):
        for name in names:
            axes.plot([0, 1], [0, 1], label=name)
    figures.name_lines(figure)
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["a", "b"] and left.get_legend() is None


def test_a_forest_without_printed_differences_has_no_diamond_in_its_legend(figure):
    silent = replace(STAR, claim=replace(STAR.claim, more=Side({}), less=Side({})))
    for stars, marks in (([STAR, silent], 4), ([silent], 3)):
        figures.forest(axes := figure.add_subplot(), stars)
        names = [text.get_text() for text in axes.get_legend().get_texts()]
        assert len(names) == marks and ("printed" in names) == (marks == 4)


def test_zero_has_no_sign_at_a_pressed_axis(figure):
    figures.forest(axes := figure.add_subplot(), [STAR, replace(STAR, value=60.0)])
    formatter = axes.xaxis.get_major_formatter()
    assert [formatter(x, 0) for x in (-5, 0, 20)] == ["−5", "0", "+20"]
