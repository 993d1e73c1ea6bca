"""What is answered: shares of answers in training and test, their weights, and what each confusion costs."""

from collections.abc import Mapping, Sequence

import numpy as np
import seaborn as sns
from matplotlib.axes import Axes

from vqabook.report.figures.marks import mark_of


def matrix(axes: Axes, mean: Sequence[Sequence[float | None]], answers: Sequence[str], *, title: str) -> None:
    """Fig. 2 of Guo et al.: mean loss of each confusion, frequent answers first; hard mistakes above the diagonal."""
    values = np.array([[np.nan if x is None else x for x in row] for row in mean], dtype=float)
    if np.isnan(values).all():
        axes.text(0.5, 0.5, "no such mistakes", ha="center", va="center", transform=axes.transAxes)
    else:
        sns.heatmap(
            values, ax=axes, cmap="flare", annot=True, fmt=".1f", annot_kws={"fontsize": 7}, mask=np.isnan(values),
            xticklabels=answers, yticklabels=answers, cbar_kws={"label": "mean loss", "shrink": 0.8},
        )  # fmt: skip
        axes.plot([0, len(answers)], [0, len(answers)], color="gray", linewidth=0.8, linestyle=":")
        axes.tick_params(labelsize=8)
        axes.tick_params(axis="y", rotation=0)
    axes.set(title=title, xlabel="predicted, frequent to sparse", ylabel="ground truth")


def distribution(axes: Axes, entry: Mapping, *, title: str) -> None:
    """A question type's most frequent training answers and then its most frequent test answers: shares in both.

    `entry` is a type of a statistics record. Train points up, test down.
    """
    train, test = dict(zip(entry["answers"], entry["train"], strict=True)), dict(entry["test_top"])
    test |= {answer: n for answer, n in zip(entry["answers"], entry["test"], strict=True) if n}
    answers = [answer for answer, n in list(train.items())[:8] if n]
    answers += [answer for answer, _ in entry["test_top"] if answer not in answers]
    x = np.arange(len(answers))
    for counts, total, sign, name in ((train, entry["n_train"], 1, "train"), (test, entry["n_test"], -1, "test")):
        shares = [sign * 100 * counts.get(answer, 0) / max(total, 1) for answer in answers]
        axes.bar(x, shares, color=mark_of(name).color, label=name, width=0.8)
    axes.axhline(0, color="gray", linewidth=0.8)
    axes.set_xticks(x, answers, rotation=60, ha="right", fontsize=8)
    axes.yaxis.set_major_formatter(lambda value, _: f"{abs(value):.0f}")
    axes.set(title=title, ylabel="% of questions")


def weights(axes: Axes, types: Mapping[str, Mapping]) -> None:
    """The weight of each answer against its share of its question type's votes, one line a type (Eqs. 7-8)."""
    palette = sns.color_palette("crest", len(types)).as_hex()
    for color, (name, entry) in zip(palette, types.items(), strict=True):
        votes = np.array(entry["votes"], dtype=float)
        shares, weight = 100 * votes / max(votes.sum(), 1), np.array(entry["weight"])
        used = votes > 0
        axes.plot(shares[used], weight[used], "o", color=color, label=name, markersize=5, alpha=0.85)
    axes.axhline(1, color="gray", linewidth=0.8, linestyle=":")
    axes.text(0.98, 1.06, "out of type: 1", transform=axes.get_yaxis_transform(), ha="right", fontsize=8, color="gray")
    axes.set(xscale="log", yscale="log", xlabel="share of the type's votes (%)", ylabel="weight µ")
