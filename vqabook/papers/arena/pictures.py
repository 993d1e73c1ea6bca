"""The arena's pictures: gains by rule and set, ranks with their critical difference, rare classes against frequent."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from vqabook.arena.heads import AFTER, EVEN, PLAIN, TITLES
from vqabook.arena.ranks import Ranks
from vqabook.papers.arena.studies import RULES, UNIFORM, Records, Study, gain_of
from vqabook.report import figures
from vqabook.report.plain import clear, sign

WIDEST = 15.0  # points, where colours end
KINDS = ("a loss", "another order of rows", "made after training", "your own loss")


def kind_of(row: str) -> str:
    """How a rule works: what its mark says."""
    if row not in TITLES:
        return KINDS[3]
    return KINDS[1] if row == EVEN else KINDS[2] if row in AFTER else KINDS[0]


def name(row: str) -> str:
    """A rule's name in a picture."""
    return TITLES.get(row, row)


def draw_gains(figure: Figure, study: Study, tasks: Sequence[str], prior: str = UNIFORM) -> None:
    """A line a rule, a column a task: the gain over softmax as a number and a colour, pale where it may be none."""
    axes, narrow = figure.add_subplot(), figures.is_narrow(figure)
    rows = sorted((row for row in study.rows if row != PLAIN), key=lambda row: -_mean(study, row, tasks, prior))
    for y, row in enumerate(rows):
        for x, task in enumerate(tasks):
            verdict = study.gain(task, row, prior=prior)
            if verdict.mean is None:
                continue
            sure = verdict.kind in ("holds", "fails")
            shade = colormaps["BrBG"](0.5 + 0.42 * np.clip(verdict.mean / WIDEST, -1, 1))
            axes.add_patch(_box(x, y, (*shade[:3], 1.0 if sure else 0.25)))
            dark = sure and abs(verdict.mean) > 0.6 * WIDEST
            ink = "white" if dark else "black" if sure else figures.mark_of("printed").color
            told = clear(verdict.mean, 0) if narrow else sign(verdict.mean, 1)
            axes.text(x, y, told, ha="center", va="center", fontsize=7 if narrow else 8, color=ink)
    axes.set(xlim=(-0.5, len(tasks) - 0.5), ylim=(len(rows) - 0.5, -0.5))
    titles = [name(row).replace(", ", ",\n") if narrow else name(row) for row in rows]
    axes.set_yticks(range(len(rows)), titles, fontsize=7 if narrow else 8)
    columns = [task if narrow else task.replace(" ", "\n", 1) for task in tasks]
    axes.set_xticks(range(len(tasks)), columns, fontsize=8, rotation=90 if narrow else 0)
    axes.tick_params(length=0, top=False, labeltop=True, bottom=False, labelbottom=False)
    axes.grid(False)
    for spine in axes.spines.values():
        spine.set_visible(False)


def _box(x: int, y: int, color: tuple[float, ...]) -> Rectangle:
    return Rectangle((x - 0.48, y - 0.46), 0.96, 0.92, facecolor=color, linewidth=0)


def _mean(study: Study, row: str, tasks: Sequence[str], prior: str) -> float:
    gains = [verdict.mean for task in tasks if (verdict := study.gain(task, row, prior=prior)).mean is not None]
    return float(np.mean(gains)) if gains else -np.inf


def draw_ranks(figure: Figure, ranks: Ranks) -> None:
    """A line a rule at its mean rank; bars join rules that cannot be told apart (Demšar 2006, Fig. 1, on its side)."""
    axes = figure.add_subplot()
    for y, (row, rank) in enumerate(ranks.mean.items()):
        axes.plot(rank, y, **figures.mark_of(kind_of(row) if row != PLAIN else "baseline").dots)
    order = list(ranks.mean.values())
    for i, (first, last) in enumerate(groups := ranks.groups()):
        top, bottom = order.index(first), len(order) - 1 - order[::-1].index(last)
        at = max(order) + 0.6 + 0.5 * i
        axes.plot((at, at), (top - 0.2, bottom + 0.2), color=figures.mark_of("printed").color, linewidth=3)
    figures.name_rows(axes, [name(row) for row in ranks.mean], zero=False)
    axes.set_xlim(0.5, max(order) + 1.2 + 0.5 * len(groups))
    axes.set_xlabel("mean rank, 1 is best; bars join what cannot be told apart")


def draw_counts(figure: Figure, study: Study, tasks: Sequence[str]) -> None:
    """A line a task: training rows of the most frequent class and of the rarest one, by the number of classes."""
    axes = figure.add_subplot()
    for y, task in enumerate(tasks):
        classes, most, least = study.counts(task)
        axes.plot((least, most), (y, y), color=figures.mark_of("baseline").color, linewidth=1.8)
        axes.plot(least, y, **figures.mark_of("few").dots)
        axes.plot(most, y, **figures.mark_of("many").dots)
        axes.annotate(f"{classes:,} classes", (most, y), (8, 0), textcoords="offset points", va="center", fontsize=8)
    figures.name_rows(axes, list(tasks), zero=False)
    axes.set(xscale="log", xlabel="training rows of a class", xlim=(0.7, 3e5))
    axes.xaxis.set_major_formatter("{x:,.0f}")


def draw_trade(figure: Figure, study: Study, tasks: Sequence[str]) -> None:
    """What each rule gains on rare classes against what it costs on frequent ones: means over sets (points).

    The line joins rules that no other beats on both (Pareto); these are named.
    """
    axes, shown = figure.add_subplot(), set()
    points = {row: [study.across(row, UNIFORM, tasks, group).mean for group in ("many", "few")] for row in study.rows}
    kept = {row: (many, few) for row, (many, few) in points.items() if many is not None and few is not None}
    front = sorted(at for at in kept.values() if not any(beats(other, at) for other in kept.values()))
    axes.plot(*zip(*front, strict=True), color=figures.mark_of("baseline").color, linewidth=1, linestyle="--")
    for row, at in sorted(kept.items(), key=lambda item: item[1]):
        kind = "baseline" if row == PLAIN else kind_of(row)
        axes.plot(*at, **figures.mark_of(kind).dots, label=None if kind in shown else kind)
        shown.add(kind)
        if row != PLAIN and (at in front or row not in TITLES):
            right = at in front and front.index(at) % 2 == 0  # names take turns, so that neighbours stay apart
            how = ((6, 5), "left") if right else ((-6, -10), "right")
            axes.annotate(name(row), at, how[0], ha=how[1], textcoords="offset points", fontsize=7.5)
    axes.axhline(0, color="gray", linewidth=0.8, linestyle=":")
    axes.axvline(0, color="gray", linewidth=0.8, linestyle=":")
    axes.set(xlabel="change on frequent classes (points)", ylabel="change on rare classes (points)")
    axes.margins(x=0.25, y=0.12)
    columns = 2 if figures.is_narrow(figure) else 4
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=columns, fontsize=8)


def beats(one: tuple[float, float], other: tuple[float, float]) -> bool:
    """Whether one is no worse in either number and better in one."""
    return one != other and all(x >= y for x, y in zip(one, other, strict=True))


def draw_blind(figure: Figure, records: Records) -> None:
    """A row a rule against changed priors: what UpDn gains by it, and a model without an image; a dot a seed."""
    axes, names = figure.add_subplot(), list[str]()
    below = {"UpDn": 0.0, "no image": 0.27} if figures.is_narrow(figure) else {"UpDn": -0.15, "no image": 0.17}
    for rule in RULES:
        found = {model: gain_of(records, *side) for model, side in rule.sides.items()}
        if found["UpDn"].differences:
            for model, gain in found.items():
                at, seeds = len(names) + below[model], list((gain.differences or {}).values())
                figures.gain(axes, at, seeds, gain.interval, figures.mark_of(model), size=3)
            names.append(rule.name)
    figures.name_rows(axes, names)
    for model in below:
        axes.plot([], [], **figures.mark_of(model).dots, label=model)
    figure.legend(loc="outside upper center", ncols=2)
    axes.set_xlabel("gain over the plain loss, priors changed (points)")
