"""Shares as matrices: which member of an ensemble owns which family of questions."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from vqabook.report.figures.frame import is_narrow

NAMED = 40  # columns up to which each has its name


def families(
    axes: Axes, values: Sequence[Sequence[float]], *, members: Sequence[str], names: Sequence[str], label: str
) -> None:
    """Share of each family that each member owns, with names and numbers: a row a family, a column a member (%)."""
    shares = np.asarray(values, dtype=float)
    axes.imshow(shares, cmap="Purples", vmin=0, vmax=100, aspect="auto")
    for (y, x), share in np.ndenumerate(shares):
        ink = "white" if share > 55 else "#1f2328"  # in both modes
        axes.text(x, y, f"{share:.0f}", ha="center", va="center", fontsize=8, color=ink)
    axes.set_xticks(range(len(members)), members, fontsize=8)
    axes.set_yticks(range(len(names)), names, fontsize=7.5 if is_narrow(axes.figure) else 8.5)
    axes.tick_params(length=0)
    axes.set_xlabel(label)


def shares(axes: Axes, columns: Sequence[str], counts: Sequence[Sequence[int]], *, title: str, named: bool) -> None:
    """Fig. 3 of Mun et al.: of each column's examples, the share of every member (darker is more).

    Many columns are named in groups, by what comes before the last blank of "<group> <number>".
    """
    values = np.array(counts, dtype=float).T
    values /= np.maximum(values.sum(0), 1)
    axes.imshow(values, cmap="Purples", vmin=0, vmax=1, aspect="auto", interpolation="nearest")
    axes.set_yticks(range(len(values)), [f"S{i + 1}" for i in range(len(values))], fontsize=8)
    axes.set_title(title, fontsize=9)
    axes.tick_params(length=0)
    if len(columns) <= NAMED:
        axes.set_xticks(range(len(columns)) if named else [], columns if named else [], rotation=90, fontsize=7)
        return
    groups = [name.rpartition(" ")[0] for name in columns]
    starts = [i for i, group in enumerate(groups) if i == 0 or group != groups[i - 1]]
    ends = [*starts[1:], len(columns)]
    for start in starts[1:]:
        axes.axvline(start - 0.5, color="#888888", linewidth=0.6)
    middles = [(start + end - 1) / 2 for start, end in zip(starts, ends, strict=True)]
    names = [groups[i] for i in starts]
    axes.set_xticks(middles if named else [], names if named else [], rotation=30, ha="right", fontsize=7)
