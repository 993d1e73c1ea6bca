"""One number over another: epochs, masks tried, training rows of a class."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes

from vqabook.report.figures.marks import Mark, mark_of


def lines(axes: Axes, x: Sequence[float], seeds: Sequence[Sequence[float]], *, mark: Mark, label: str) -> None:
    """Mean over seeds, with a band of one standard deviation."""
    values = np.asarray(seeds, dtype=float)
    mean, std = values.mean(0), values.std(0, ddof=1) if len(values) > 1 else np.zeros(values.shape[1])
    axes.plot(x, mean, label=label, **mark.line | {"markersize": 4 if len(x) < 30 else 0})
    axes.fill_between(x, mean - std, mean + std, color=mark.color, alpha=0.2, linewidth=0)


def accuracy_by_count(
    axes: Axes, counts: Sequence[int], methods: Mapping[str, Sequence[Sequence[float]]], *, groups: int = 8
) -> None:
    """Accuracy of a class against its training rows, a line a method: a faint dot a class, and the mean over seeds.

    `methods`: name -> a row of classes' accuracies for each seed. More classes than `groups` are joined by as many
    groups of neighbours in count, each at its mean. The legend is the figure's (`name_lines`).
    """
    order = np.argsort(counts)
    rows = np.asarray(counts, dtype=float)[order]
    joined = np.array_split(np.arange(len(rows)), min(groups, len(rows)))
    for name, seeds in methods.items():
        mark, mean = mark_of(name), np.asarray(seeds, dtype=float).mean(0)[order]
        axes.plot(rows, mean, **mark.dots | {"markersize": 3.5, "alpha": 0.35})
        x, y = ([values[group].mean() for group in joined] for values in (rows, mean))
        axes.plot(x, y, **mark.line, label=name)
    axes.set(xscale="log", xlabel="training rows of the class", ylabel="accuracy on the class (%)")
