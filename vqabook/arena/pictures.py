"""The two pictures of a report: how many rows each class has, and what each rule gains over softmax."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from vqabook.arena.ranking import START, Ranking
from vqabook.report.figures import Mark, gain, is_narrow, mark_of, name_rows

NAMED = 24  # classes up to which each has a bar with its name
REST = Mark("#6f7f96", "o")  # rules that are neither the start, nor chosen, nor one's own


def draw_counts(figure: Figure, names: Sequence[str], counts: Sequence[int], groups: Mapping[str, Sequence]) -> None:
    """Rows of each class, most frequent first, in the colours of many, medium and few; the axis is logarithmic."""
    axes, rows, places = figure.subplots(), np.asarray(counts), np.arange(len(counts))
    for group, members in groups.items():
        at = places[np.asarray(members, bool)]
        if len(at):
            n = f"{len(at):,} class{'es'[: 2 * (len(at) > 1)]}"
            label, color = f"{group}: {n}, {rows[at].sum():,} rows", mark_of(group).color
            if len(counts) <= NAMED:
                axes.barh(at, rows[at], color=color, label=label, height=0.7)
            else:
                axes.bar(at, rows[at], color=color, label=label, width=1.0)
    if len(counts) <= NAMED:
        axes.set(xscale="log", xlabel="rows")
        axes.set_yticks(places, [name if len(name) < 22 else f"{name[:20]}…" for name in names], fontsize=8)
        axes.set_ylim(len(counts) - 0.4, -0.6)
        axes.set_xlim(left=0.8)
        axes.xaxis.set_major_formatter("{x:,.0f}")
    else:
        axes.set(yscale="log", ylabel="rows", xlabel="classes, most frequent first")
        axes.set_ylim(bottom=0.8)
        axes.yaxis.set_major_formatter("{x:,.0f}")
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=1 if is_narrow(figure) else 3)


def draw_forest(figure: Figure, ranking: Ranking, titles: Mapping[str, str], own: Sequence[str]) -> None:
    """A row a rule, best first: a dot a division, the mean, and the 95 % interval of its gain over softmax."""
    axes = figure.subplots()
    start = ranking.row(START)
    chosen = ranking.chosen.name if ranking.chosen else ""
    marks = {START: mark_of("baseline"), **{name: mark_of("control") for name in own}, chosen: mark_of("method")}
    for y, row in enumerate(ranking.rows):
        mark = marks.get(row.name, REST)
        gains = [row.scores[seed] - start.scores[seed] for seed in sorted(row.scores.keys() & start.scores.keys())]
        gain(axes, y, gains, None if row.name == START else row.gain.interval, mark, size=3.5)
    name_rows(axes, [titles[row.name] for row in ranking.rows])
    axes.set_xlabel("gain over softmax (points)")
