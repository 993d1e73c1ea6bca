"""The pictures of chapter 06, drawn from records; and the sketch of its mechanism, drawn from two bells."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vqabook.papers.balanced_activation.claims import region_side
from vqabook.papers.balanced_activation.setting import AS_LONG, DETECTION_ROWS, ROWS
from vqabook.papers.balanced_activation.studies import Records, Study, name_of
from vqabook.report import figures
from vqabook.report.verdicts import gain

BY_COUNT = ("softmax", "balanced softmax", "cbs")
SPLIT = ("balanced softmax", "crt", "lws", "ldam @ drw")
TURNED = ("balanced softmax", "cbs", "equalisation", "crt", "lws", "ldam @ drw")
EXPECTING = ("softmax", "equalisation", "balanced softmax")
EXPONENTS = {0.0: "softmax", 1.0: "balanced softmax"} | {
    x: f"balanced softmax @ exponent {x:g}" for x in (0.25, 0.5, 1.5, 2.0)
}
SHIFTED = "adjusted.overall"  # accuracy of scores that are shifted after training
SHIFT, REST = "shift after training", "training with it adds"
DETECTORS = ("crt", "lws", "equalisation", "balanced sigmoid", "repeat factor @ as long")
FREQUENCIES = {"rare": "r", "common": "c", "frequent": "f"}
CARS, APART = 20, 3.0  # of the sketch: cars for each unicycle, and the distance of their means


def draw_sketch(figure: Figure) -> None:
    """Cars and unicycles along one feature: in training, where cars outnumber them, and at a test with as many."""
    x = np.linspace(-4.5, 4.5, 400)
    cars, unicycles = (np.exp(-((x - mean) ** 2) / 2) for mean in (-APART / 2, APART / 2))
    learnt = math.log(CARS) / APART  # where CARS * cars == unicycles
    for axes, share, title in zip(figures.panels(figure, 2), (CARS, 1), ("training", "test"), strict=True):
        for name, bell, mark in (
            ("cars", share * cars, figures.OTHERS[0]),
            ("unicycles", unicycles, figures.OTHERS[1]),
        ):
            axes.plot(x, bell, color=mark.color, label=name)
            axes.fill_between(x, bell, color=mark.color, alpha=0.2, linewidth=0)
        for row, place in (("softmax", learnt), ("balanced softmax", 0.0)):
            mark = figures.mark_of(row)
            axes.axvline(place, color=mark.color, linestyle=mark.dash, linewidth=1.8, label=f"border: {row}")
        axes.set(title=title, xlabel="a feature of the image", yticks=[], ylim=(0, None))
    missed = (x > 0) & (x < learnt)
    look: dict[str, Any] = {"facecolor": "none", "hatch": "////", "linewidth": 0}
    look["edgecolor"] = figures.mark_of("softmax").color
    axes.fill_between(x[missed], unicycles[missed], label="unicycles called cars", **look)
    figure.axes[0].set_ylabel("how many")
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=2)


def draw_by_count(figure: Figure, studies: Sequence[Study], rows: Sequence[str] = BY_COUNT) -> None:
    """A panel a study: accuracy of a class against its training rows, a line a method."""
    for axes, study in _panels(figure, studies):
        runs = {name_of(row): [r["result"]["test"]["per_class"] for r in study.runs(row)] for row in rows}
        figures.accuracy_by_count(axes, study.counts, {name: seeds for name, seeds in runs.items() if seeds})
    figures.name_lines(figure)


def draw_split(figure: Figure, studies: Sequence[Study], rows: Sequence[str] = SPLIT) -> None:
    """A row a study and method: its gain over softmax, as a shift of softmax' scores gains, and the rest.

    A method in two stages is compared with softmax that trains as long, where there is one.
    """
    (axes,), longer = figures.panels(figure, 1), f"softmax{AS_LONG}"
    parts: dict[str, dict[str, float]] = {}
    for study in studies:
        for row in rows:
            base = longer if ROWS[row].second and study.runs(longer) else "softmax"
            if whole := list(study.gains(row, base=base).values()):
                shift = float(np.mean(list(study.gains(base, SHIFTED, base=base).values())))
                parts[f"{study.name}: {name_of(row)}"] = {SHIFT: shift, REST: float(np.mean(whole)) - shift}
    figures.stacked(axes, parts, {SHIFT: figures.mark_of("control"), REST: figures.mark_of("method")})
    axes.set_xlabel("gain over softmax (points)")


def draw_full(figure: Figure, short: Study, full: Study) -> None:
    """Each rule's gain over softmax by a small network, trained shortly, and by one of full size."""
    (axes,) = figures.panels(figure, 1)
    names = {name_of(row): (row,) for row in TURNED if full.runs(row)} | {f"control, {SHIFT}": ("softmax", SHIFTED)}
    lines = {name: (list(short.gains(*at).values()), list(full.gains(*at).values())) for name, at in names.items()}
    figures.slopes(axes, lines, ("small network, short", "full size"))
    axes.set(title=f"{short.name}, imbalance {short.imbalance}", ylabel="gain over softmax (points)")


def draw_exponents(figure: Figure, studies: Sequence[Study]) -> None:
    """A panel a study: accuracy against the power to which the counts are taken."""
    rows = dict(sorted(EXPONENTS.items()))
    for axes, study in _panels(figure, studies):
        for group, name in {"overall": "all classes", **study.groups}.items():
            numbers = [study.seeds(row, f"test.{group}") for row in rows.values()]
            seeds = [[row[seed] for row in numbers] for seed in numbers[0]]
            if seeds:
                figures.lines(axes, list(rows), seeds, mark=figures.mark_of(group), label=name)
        axes.set_xlabel("power of the counts (0: softmax)")
        axes.legend(fontsize=7)
    figure.axes[0].set_ylabel("test accuracy (%)")


def draw_expectations(figure: Figure, studies: Sequence[Study]) -> None:
    """Fig. 1, a panel a study: the mean probability of each class over a test set that has all alike."""
    for axes, study in _panels(figure, studies):
        classes = range(1, study.classes + 1)
        for row in EXPECTING:
            if seeds := [run["result"]["marginal"]["p"] for run in study.runs(row)]:
                figures.lines(axes, classes, seeds, mark=figures.mark_of(name_of(row)), label=name_of(row))
        axes.axhline(1 / study.classes, color="gray", linewidth=0.8, linestyle=":")
        axes.set_xlabel("class, most training rows first")
    figure.axes[0].set_ylabel("mean p(y) over the test set")
    figure.axes[0].legend()


def draw_detectors(figure: Figure, records: Records, rows: Sequence[str] = DETECTORS) -> None:
    """Each rule's gain over repeat-factor sampling on rare, common and frequent categories; diamonds as printed."""
    (axes,), found, printed = figures.panels(figure, 1), {}, {}
    for row in rows:
        for name, key in FREQUENCIES.items():
            side = region_side("detector", row, f"test.{key}", over=next(iter(DETECTION_ROWS)))
            label = f"{name}, {name_of(row)}"
            found[label] = gain(records, side)
            if side.in_print is not None:
                printed[label] = side.in_print
    figures.gains(axes, found, printed)
    axes.set_xlabel("gain in precision of masks (points)")


def _panels(figure: Figure, studies: Sequence[Study]) -> list[tuple[Axes, Study]]:
    """Titled axes of each study."""
    panels = list(zip(figures.panels(figure, len(studies)), studies, strict=True))
    for axes, study in panels:
        axes.set_title(f"{study.name}, imbalance {study.imbalance}")
    return panels
