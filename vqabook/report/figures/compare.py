"""Runs beside each other: bars, intervals, gains, slopes, and one score against another."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from vqabook.report.figures.frame import is_narrow, name_rows
from vqabook.report.figures.marks import Mark, mark_of

Limits = tuple[float, float] | None
Gains = Mapping[str, tuple[Sequence[float], Limits]]  # label -> of each seed, 95 % interval


def bars(axes: Axes, values: Mapping[str, Sequence[float]], *, label: str) -> None:
    """One bar a method: mean over seeds, one dot a seed."""
    for x, (name, seeds) in enumerate(values.items()):
        if not len(seeds):
            continue
        mark = mark_of(name)
        axes.bar(x, np.mean(seeds), color=mark.color, width=0.7, alpha=0.75)
        edge = {"markeredgecolor": "white", "markeredgewidth": 0.6, "markersize": 5}
        axes.plot(np.full(len(seeds), x), seeds, **mark.dots | edge)
    crowded = is_narrow(axes.figure) and sum(map(len, values)) > 32  # letters that a phone has room for in a line
    slant: dict[str, Any] = {"rotation": 30, "ha": "right", "rotation_mode": "anchor"} if crowded else {}
    axes.set_xticks(range(len(values)), [name.replace(" (", "\n(") for name in values], fontsize=8, **slant)
    axes.set_ylabel(label)


def interval(axes: Axes, x: float, seeds: Sequence[float], limits: tuple[float, float], label: str, model: str) -> None:
    """At `x` a dot a seed, the mean, and a bar between `limits`, by the mark of `model`."""
    mark = mark_of(model)
    axes.plot(np.full(len(seeds), x), seeds, **mark.dots | {"markersize": 3.5, "alpha": 0.5})
    axes.plot((x, x), limits, color=mark.color, linewidth=2, label=label)
    axes.plot(x, np.mean(seeds), "_", color=mark.color, markersize=12, markeredgewidth=2.5)


def gains(axes: Axes, rows: Gains, printed: Mapping) -> None:
    """A row a label, by the mark of what is before ", ": a dot a seed, mean, 95 % interval; diamonds as printed."""
    for y, (label, (seeds, limits)) in enumerate(rows.items()):
        gain(axes, y, seeds, limits, mark_of(label.split(", ")[0]))
        if label in printed:
            axes.plot(printed[label], y, **mark_of("printed").dots)
    name_rows(axes, list(rows))


def gain(axes: Axes, y: float, seeds: Sequence[float], limits: Limits, mark: Mark, *, size: float = 4.5) -> None:
    """At height `y` a dot a seed, `size` points wide, their mean and its 95 % interval."""
    if len(seeds):
        axes.plot(seeds, np.full(len(seeds), y), **mark.dots | {"markersize": size, "alpha": 0.6})
        height = size * (2 if is_narrow(axes.figure) else 3.5)  # a phone has the row's name above it
        axes.plot(np.mean(seeds), y, "|", color=mark.color, markersize=height, markeredgewidth=2.5)
    if limits:
        axes.plot(limits, (y, y), color=mark.color, linewidth=2)


def slopes(axes: Axes, lines: Mapping[str, tuple[Sequence[float], Sequence[float]]], ends: tuple[str, str]) -> None:
    """A line a name from its left number to its right one (means over seeds, one dot a seed), named at its end.

    A name that a comma parts has the mark of what is before it: "method, faces" and "control, faces".
    """
    last = []
    for name, sides in lines.items():
        mark = mark_of(name.split(", ")[0])
        axes.plot((0, 1), [np.mean(seeds) for seeds in sides], **mark.line)
        for x, seeds in enumerate(sides):
            axes.plot(np.full(len(seeds), x), seeds, **mark.dots | {"markersize": 3.5, "alpha": 0.4})
        last.append((float(np.mean(sides[1])), name.split(", ")[-1], mark.color))
    _name_ends(axes, last)
    axes.set_xticks((0, 1), ends)
    axes.set_xlim(-0.15, 1.15)


def _name_ends(axes: Axes, ends: Sequence[tuple[float, str, str]]) -> None:
    """Names right of the axes, at the heights of lines' ends, pushed apart where they would lie on each other."""
    low, high = axes.get_ylim()
    step, at = 0.085, -np.inf
    for y, name, color in sorted(ends):
        at = max((y - low) / (high - low), at + step)
        axes.annotate(
            name, (1, (y - low) / (high - low)), (1.03, at), "axes fraction", fontsize=8, color=color, va="center",
            annotation_clip=False,
        )  # fmt: skip


def trade(axes: Axes, runs: Mapping[str, tuple[Sequence[float], Sequence[float]]], *, start: str = "baseline") -> None:
    """Test score under changed priors against validation score: a dot a seed, a large one their mean.

    `runs`: name -> (validation, test). Arrows lead from the mean of `start` to the others. On the dotted line both
    scores are the same: a model far to its right of it has learnt the training prior.
    """
    means = {name: (np.mean(valid), np.mean(test)) for name, (valid, test) in runs.items() if len(valid)}
    for name, mean in means.items():
        mark = mark_of(name)
        axes.plot(*runs[name], **mark.dots | {"markersize": 4, "alpha": 0.45})
        axes.plot(*mean, **mark.dots | {"markersize": 10}, label=name)
        if name != start and start in means:
            way = {"arrowstyle": "->", "color": mark.color, "shrinkA": 6, "shrinkB": 6}
            axes.annotate("", mean, means[start], arrowprops=way)
    low = min(axes.get_xlim()[0], axes.get_ylim()[0])
    high = max(axes.get_xlim()[1], axes.get_ylim()[1])
    axes.axline((low, low), (high, high), color="gray", linewidth=0.8, linestyle=":")
    room = 0.05 * (high - low)  # for the large marks
    axes.set(xlim=(low - room, high + room), ylim=(low - room, high + room), aspect="equal")
    axes.set(xlabel="validation score (%), priors of training", ylabel="test score (%), priors changed")
    axes.legend()


def stacked(axes: Axes, rows: Mapping[str, Mapping[str, float]], marks: Mapping[str, Mark]) -> None:
    """What a gain consists of: a row a label, its parts end to end (negative ones leftwards), a line at the sum."""
    # A phone has the row's name above its bar.
    below, height = (0.14, 0.4) if is_narrow(axes.figure) else (0.0, 0.55)
    for y, parts in enumerate(rows.values()):
        left = {1: 0.0, -1: 0.0}
        for i, (part, value) in enumerate(parts.items()):
            side = 1 if value >= 0 else -1
            look: dict[str, Any] = {"color": marks[part].color, "hatch": "///" if i % 2 else ""}
            look |= {"edgecolor": "white", "linewidth": 0}
            axes.barh(y + below, value, left=left[side], height=height, label=part if y == 0 else "", **look)
            left[side] += value
        ends = (y + below - 0.65 * height, y + below + 0.65 * height)
        axes.plot((sum(parts.values()),) * 2, ends, color=mark_of("printed").color, linewidth=2)
    name_rows(axes, list(rows))
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)


def joined(
    axes: Axes, rows: Mapping[str, Mapping[str, tuple[float, float]]], *, ends: tuple[str, str], marked: str = ""
) -> None:
    """Two scores of a row joined by a line, for each source that it has: `ends` at a small and a large mark.

    `rows`: label -> {"printed" or "real" or ...: (first, second)}, top-1 and oracle accuracy for example. The row
    `marked` stands on a band: what others are to be compared with.
    """
    sources = list(dict.fromkeys(source for row in rows.values() for source in row))
    step, below = (0.2, 0.12) if is_narrow(axes.figure) else (0.26, 0.0)  # a phone has the row's name above its lines
    for y, (label, row) in enumerate(rows.items()):
        if label == marked:
            axes.axhspan(y - 0.45, y + 0.45, color="gray", alpha=0.15, linewidth=0)
        for i, source in enumerate(sources):
            if source in row:
                mark, at = mark_of(source), y + below + step * (i - (len(sources) - 1) / 2)
                axes.plot(row[source], (at, at), color=mark.color, linewidth=1.5)
                axes.plot(row[source][0], at, **mark.dots | {"markersize": 4})
                axes.plot(row[source][1], at, **mark.dots | {"markersize": 8})
    for source in sources:
        axes.plot([], [], **mark_of(source).dots, label=source)
    name_rows(axes, list(rows), zero=False)
    axes.set_xlabel(f"accuracy (%): {ends[0]} (small) to {ends[1]} (large)")
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=len(sources))
