"""Drawings that say how a method works: made of a few numbers that a reader can check, not of records."""

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from vqabook.report.figures import mark_of, panels

PERSON = {"marker": "o", "linestyle": "none", "markersize": 7, "color": "#7a8594"}


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
        axes.barh(range(len(weights)), weights, color=mark_of(name).color, height=0.6)
        for y, weight in enumerate(weights):
            axes.text(weight + 0.04, y, f"{weight:.1f}", va="center", fontsize=8)
        axes.set_title(name)
        axes.set(xticks=[0, 1], xlim=(0, 1.3))
        axes.tick_params(axis="y", length=0)
