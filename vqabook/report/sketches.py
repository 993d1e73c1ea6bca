"""Drawings that say how a method works: made of a few numbers that a reader can check, not of records."""

from collections.abc import Mapping, Sequence
from math import log
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vqabook.report.figures import is_narrow, mark_of, panels

PERSON: dict[str, Any] = {"marker": "o", "linestyle": "none", "markersize": 7, "color": "#7a8594"}


def two_mistakes(figure: Figure, shares: Mapping[str, float], hard: tuple[str, str]) -> None:
    """Table I drawn: answers' shares (percent), then what both mistakes cost a model that knows the shares alone.

    `hard`: the true answer of the hard mistake and the one that is given instead; the easy one is the reverse.
    """
    answers, costs = panels(figure, 2)
    answers.bar(list(shares), list(shares.values()), color=mark_of("train").color, width=0.6)
    answers.set(ylabel="% of training", title="answers to how many …")
    pairs = {"hard": hard, "easy": hard[::-1]}
    names = [f"{kind}: {truth}\ntaken for {given}" for kind, (truth, given) in pairs.items()]
    values = [-log(shares[truth] / 100) for truth, _ in pairs.values()]
    costs.bar(names, values, color=mark_of("baseline").color, width=0.6)
    for x, value in enumerate(values):
        costs.text(x, value + 0.06, f"{value:.1f}", ha="center", fontsize=8)
    costs.set(ylabel="loss", ylim=(0, 1.15 * max(values)), title="what each mistake costs")


def votes_to_targets(figure: Figure, votes: Mapping[str, int], targets: Mapping[str, Sequence[float]]) -> None:
    """A row an answer: a dot an annotator who gave it, then a bar a loss that says what it trains towards.

    `targets`: the loss' name -> its weight of each answer, in the order of `votes`.
    """
    people, *bars = panels(figure, 1 + len(targets), sharey=True)
    for y, n in enumerate(votes.values()):
        people.plot(range(1, n + 1), [y] * n, **PERSON)
    people.set_yticks(range(len(votes)), list(votes))
    people.set_ylim(len(votes) - 0.5, -0.5)
    people.set_title("annotators")
    people.set(xticks=[], xlim=(0.3, max(votes.values()) + 0.7))
    for axes, (name, weights) in zip(bars, targets.items(), strict=True):
        _bars(axes, name, weights, mark_of(name).color)


def members_to_targets(
    figure: Figure, now: Sequence[float], targets: Mapping[str, Sequence[float | None]], *, decimals: int = 2
) -> None:
    """A row a member of an ensemble: its probability of the right answer now, then what each rule trains it towards.

    `targets`: the rule's name -> that probability of each member; None where the rule leaves a member alone.
    """
    first, *others = figure.subplots(1, 1 + len(targets), sharey=True)
    _bars(first, "now", now, PERSON["color"], decimals)
    first.set_yticks(range(len(now)), [f"S{i + 1}" for i in range(len(now))])
    first.set_ylim(len(now) - 0.5, -0.5)
    for axes, (name, target) in zip(others, targets.items(), strict=True):
        _bars(axes, name, target, mark_of(name).color, decimals)


def settled_answers(figure: Figure, answers: Sequence[str], shares: Mapping[str, Sequence[float]], start: str) -> None:
    """A panel a loss: how probable each answer is to the model that it makes, most frequent answer first.

    `shares`: the loss' name -> probabilities of `answers`. The loss `start`, drawn as the baseline, stands in every
    panel as ticks.
    """
    grid = panels(figure, len(shares), columns=len(shares), sharex=True)
    for i, (axes, (name, values)) in enumerate(zip(grid, shares.items(), strict=True)):
        mark = mark_of("baseline" if name == start else "method")
        rows = range(len(answers))
        axes.barh(rows, values, color=mark.color, height=0.6)
        axes.plot(shares[start], rows, "|", color=mark_of("printed").color, markersize=14, markeredgewidth=1.5)
        for y, value in enumerate(values):
            axes.text(max(value, shares[start][y]) + 0.04, y, f"{value:.2f}", va="center", fontsize=8)
        named = list(answers) if is_narrow(figure) or i == 0 else []
        axes.set_yticks(rows if named else [], named)
        axes.set_ylim(len(answers) - 0.5, -0.5)
        axes.set_title(name, fontsize=8.5)
        axes.set(xticks=[0, 1], xlim=(0, 1.15))
        axes.tick_params(axis="y", length=0)


def _bars(axes: Axes, title: str, values: Sequence[float | None], color: str, decimals: int = 1) -> None:
    """A bar a row with its number, from 0 to 1; a dash where there is none."""
    axes.barh(range(len(values)), [value or 0 for value in values], color=color, height=0.6)
    for y, value in enumerate(values):
        text = "–" if value is None else f"{value:.{decimals}f}"
        axes.text((value or 0) + 0.04, y, text, va="center", fontsize=8)
    axes.set_title(title)
    axes.set(xticks=[0, 1], xlim=(0, 1.4))
    axes.tick_params(axis="y", length=0)
