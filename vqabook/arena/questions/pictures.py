"""The pictures of a report on questions: how skewed answers are, how priors move, what rules gain seen and unseen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from vqabook.arena.questions.ranking import BLIND, START, Ranking
from vqabook.report import figures
from vqabook.report.figures import Mark, is_narrow, mark_of, name_rows
from vqabook.report.verdicts import BySeed

SHOWN = 10  # question types, the largest ones
PANELS = 4  # of them, whose train and test are shown
SHADES = {"frequent": "#1b1f24", "common": "#ffffff", "rare": "#ffffff"}  # of the first three answers; their letters
PLACES = ("most frequent answer", "second", "third")
REST = Mark("#6f7f96", "o")  # rules that are neither the start nor chosen
LETTER = 4.6  # points


def pick_types(types: Mapping[str, Mapping], n: int) -> dict[str, Mapping]:
    """The `n` types with the most training questions that have an answer of the vocabulary, largest first."""
    asked = {name: entry for name, entry in types.items() if entry["n_train"]}
    return {name: asked[name] for name in sorted(asked, key=lambda name: -asked[name]["n_train"])[:n]}


def share_first(entry: Mapping) -> float:
    """How many of a type's training questions have its most frequent answer, in percent."""
    return 100 * entry["train"][0] / entry["n_train"]


def draw_types(figure: Figure, types: Mapping[str, Mapping]) -> None:
    """A row a question type: shares of its three most frequent answers, with their names where there is room."""
    axes = figure.subplots()
    room = 72 * figure.get_figwidth() * (0.94 if is_narrow(figure) else 0.7) / 100  # points of a percent
    # A phone has the row's name above its bar.
    below, height = (0.14, 0.4) if is_narrow(figure) else (0.0, 0.62)
    for y, entry in enumerate(types.values()):
        left = 0.0
        for i, (shade, ink) in enumerate(SHADES.items()):
            share = 100 * entry["train"][i] / entry["n_train"] if i < len(entry["train"]) else 0.0
            label = PLACES[i] if y == 0 else ""
            axes.barh(y + below, share, left=left, height=height, color=mark_of(shade).color, label=label)
            answer = entry["answers"][i] if share else ""
            if LETTER * (len(answer) + 1) < share * room:
                at = (left + share / 2, y + below)
                axes.text(*at, answer, color=ink, fontsize=7.5, ha="center", va="center", clip_on=True)
            left += share
    name_rows(axes, [f"{name} … ({entry['n_train']:,})" for name, entry in types.items()], zero=False)
    axes.set(xlim=(0, 100), xlabel="% of a type's training questions")
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2 if is_narrow(figure) else 3)


def draw_shift(figure: Figure, types: Mapping[str, Mapping]) -> None:
    """A panel a question type: shares of its answers in training, upwards, and at test, where priors change."""
    for axes, (name, entry) in zip(figures.panels(figure, len(types), columns=2), types.items(), strict=True):
        figures.distribution(axes, entry, title=f"{name} …")
    figures.name_lines(figure)


def draw_gains(
    figure: Figure, ranking: Ranking, gains: Mapping[str, Mapping[str, BySeed]], titles: Sequence[str]
) -> None:
    """A row a rule: what it gains where priors change, with sight and without, and beside it where they stay.

    `gains`: panel -> variant -> gain of each seed.
    """
    above, beside = figures.panels(figure, 2, columns=2, sharey=not is_narrow(figure))
    chosen = ranking.chosen.name if ranking.chosen else ""
    marks = {START: mark_of("baseline"), chosen: mark_of("method")}
    changed, same = ({name: list(of.values()) for name, of in gains[prior].items()} for prior in ("changing", "same"))
    seen, unseen = (0.0, 0.3) if is_narrow(figure) else (-0.14, 0.2)  # a phone has the row's name above it
    for y, row in enumerate(ranking.rows):
        mark = marks.get(row.name, REST)
        figures.gain(above, y + seen, changed[row.name], row.gain.interval, mark, size=3)
        figures.gain(above, y + unseen, changed[f"{BLIND}{row.name}"], row.blind.interval, mark_of("no image"), size=3)
        figures.gain(beside, y, same[row.name], row.cost.interval, mark, size=3)
    for axes, title in ((above, "where priors change"), (beside, "where they stay")):
        name_rows(axes, titles)
        axes.set(title=title, xlabel="gain over Sigm-BCE (points)")
    beside.tick_params(axis="y", labelleft=is_narrow(figure))
