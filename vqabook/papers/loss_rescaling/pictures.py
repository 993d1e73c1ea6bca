"""Guo et al. 2022, "Loss re-scaling VQA", arXiv:2010.16010, Sec. III in pictures: what hard and easy mistakes cost.

A mistake is hard where the true answer is more frequent than the predicted one (Table I), else easy. On questions only
answers that were confused both ways are compared; on images, where few are, all confusions weigh alike (Fig. 4).
"""

from collections.abc import Iterator, Mapping, Sequence
from textwrap import fill

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

from vqabook.papers.loss_rescaling.setting import UNIFORM
from vqabook.report import figures
from vqabook.report import verdicts as report

Records = Sequence[Mapping]
Tasks = Mapping[str, Mapping[str, Records]]  # title of an image set -> division -> its runs
LOSSES = {"bce": "Sigm-BCE", "ce": "Soft-CE"}
IMAGES = {"cifar10": "CIFAR-10", "faces": "LFW, seven people", "digits": "digits"}
KINDS = ("hard", "easy")


def draw_gaps(figure: Figure, embedded: Records, real: Records) -> None:
    """A panel a loss: what easy mistakes cost beyond hard ones after each epoch; control: uniform answers."""
    for axes, (loss, title) in zip(figures.panels(figure, len(LOSSES), sharey=True), LOSSES.items(), strict=True):
        plain = f"{loss} baseline"
        rows = {
            "real": (real, plain, "changing"),
            "embedded": (embedded, plain, "changing"),
            "control": (embedded, f"{plain} @ {UNIFORM}", "same"),
        }
        for name, (records, variant, prior) in rows.items():
            seeds = [read_gaps(run) for run in report.matching(records, {"variant": variant, "prior": prior})]
            _draw_course(axes, seeds, name)
        axes.axhline(0, color="gray", linewidth=0.8, linestyle=":")
        axes.set(xlabel="epoch", ylabel="loss, easy − hard", title=title)
    figure.axes[0].legend()


def read_gaps(run: Mapping) -> list[float]:
    """Easy less hard loss after each epoch, over answers confused both ways; NaN while there are none."""
    after = [row["mistakes"] for row in run["result"]["history"]]
    return [np.nan if x["n_pairs"] == 0 else x["easy_paired"] - x["hard_paired"] for x in after]


def draw_gradients(figure: Figure, sources: Mapping[str, Records]) -> None:
    """A panel a loss and data set: norms of the question encoder's and the classifier's gradient over the epochs."""
    cells = [(loss, source) for source in sources for loss in LOSSES]
    for axes, (loss, source) in zip(figures.panels(figure, len(cells), columns=2), cells, strict=True):
        runs = report.matching(sources[source], {"variant": f"{loss} baseline", "prior": "changing"})
        for part, name in (("question", "question encoder"), ("classifier", "classifier")):
            _draw_course(axes, [[row[f"grad_{part}"] for row in run["result"]["history"]] for run in runs], name)
        axes.set(xlabel="epoch", ylabel="gradient norm")
        _press(axes)
        axes.set_title(f"{LOSSES[loss]}, {source.partition(':')[0]}")
    figure.axes[0].legend()


def _draw_course(axes: Axes, seeds: Sequence[Sequence[float]], name: str) -> None:
    if seeds:
        figures.lines(axes, range(1, len(seeds[0]) + 1), seeds, mark=figures.mark_of(name), label=name)
    figures.count_in_ones(axes)


def _press(axes: Axes) -> None:
    """The upright axis is logarithmic, with plain numbers at 1, 2, 5 and their tenfolds."""
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter("")


def find_tasks(here: Records, recorded: Records) -> dict[str, dict[str, Records]]:
    """The image sets of Sec. III-B that were trained, recorded ones first: title -> division -> its runs."""
    tasks: dict[str, dict[str, Records]] = {}
    for name, title in IMAGES.items():
        divisions: dict[str, Records] = {}
        for division in ("imbalanced", "balanced"):
            where = {"part": "vision", "variant": f"{name} {division}"}
            divisions[division] = report.matching(recorded, where) or report.matching(here, where)
        if all(divisions.values()):
            tasks[title] = divisions
    return tasks


def draw_slopes(figure: Figure, embedded: Records, real: Records, tasks: Tasks) -> None:
    """A panel a task: mean loss of hard and of easy mistakes at the end of training, and of the balanced control."""
    panels = {"questions": dict(_list_question_slopes(embedded, real))}
    for title, divisions in tasks.items():
        names = {"imbalanced": "embedded" if title == IMAGES["digits"] else "real", "balanced": "control"}
        ends = {names[division]: read_ends(runs, "held_out.mistakes.{}") for division, runs in divisions.items()}
        panels[title] = {name: both for name, both in ends.items() if all(both)}
    for axes, (title, lines) in zip(figures.panels(figure, len(panels), columns=2), panels.items(), strict=True):
        figures.slopes(axes, lines, KINDS)
        axes.set(title=title, ylabel="mean loss")


def _list_question_slopes(embedded: Records, real: Records) -> Iterator[tuple[str, tuple[list[float], list[float]]]]:
    """Of the runs with Sigm-BCE, the paper's loss: where they are from, and both ends of their line."""
    plain = "bce baseline"
    rows = (
        ("real", real, plain, "changing"),
        ("embedded", embedded, plain, "changing"),
        ("control", embedded, f"{plain} @ {UNIFORM}", "same"),
    )
    for name, records, variant, prior in rows:
        runs = report.matching(records, {"variant": variant, "prior": prior})
        ends = read_ends(runs, "history.-1.mistakes.{}_paired")
        if all(ends):
            yield name, ends


def read_ends(runs: Records, metric: str) -> tuple[list[float], list[float]]:
    """The loss of hard and of easy mistakes, one number a seed; `metric`: where it stands, `{}` for the kind."""
    hard, easy = (list(report.by_seed(runs, {}, metric.format(kind)).values()) for kind in KINDS)
    return hard, easy


def draw_confusions(figure: Figure, tasks: Tasks) -> None:
    """A column a task: training rows of each class, and the mean loss of each confusion on held-out rows (Fig. 4)."""
    narrow = figures.is_narrow(figure)
    columns = figure.subfigures(len(tasks) if narrow else 1, 1 if narrow else len(tasks), squeeze=False).ravel()
    for column, (title, divisions) in zip(columns, tasks.items(), strict=True):
        above, below = column.subplots(2, 1, height_ratios=(1, 2.6))
        entry = divisions["imbalanced"][0]["result"]["held_out"]["matrix"]
        classes = [name.split()[-1] for name in entry["classes"]]  # of people their surnames
        above.bar(range(len(classes)), entry["frequency"], color=figures.mark_of("train").color)
        above.set(title=title, ylabel="training rows", xticks=[])
        _press(above)
        figures.matrix(below, entry["loss"], classes, title="")
        _slant(below)


def draw_matrices(figure: Figure, run: Mapping) -> None:
    """The mean loss of each confusion among a question type's frequent answers, a panel a type (Fig. 2)."""
    pictured = run["result"]["matrices"]
    for axes, (name, entry) in zip(figures.panels(figure, len(pictured)), pictured.items(), strict=True):
        figures.matrix(axes, *_keep_confused(entry["loss"], entry["answers"]), title=f"{name} …")
        _slant(axes)


def _keep_confused(
    loss: Sequence[Sequence[float | None]], answers: Sequence[str]
) -> tuple[list[list[float | None]], list[str]]:
    """The matrix and its answers without those that are in no confusion."""
    kept = [i for i, row in enumerate(loss) if any(x is not None for x in (*row, *(other[i] for other in loss)))]
    return [[loss[i][j] for j in kept] for i in kept], [answers[i] for i in kept]


def _slant(axes: Axes) -> None:
    """Names below the axes stand clear of each other."""
    for label in axes.get_xticklabels():
        label.set(rotation=60, ha="right", rotation_mode="anchor")


def draw_answers(figure: Figure, records: Records) -> None:
    """Shares of answers in training and test, a row a division of the questions, a panel a pictured type (Fig. 5)."""
    panels = []
    for prior in ("changing", "same"):
        where = {"prior": prior}
        counted = report.matching(records, {"kind": "statistics", **where})
        trained = report.matching(records, {"variant": "bce baseline", **where})
        if counted and trained:
            types = counted[0]["result"]["types"]
            panels += [(types[name], f"{name} … ({prior} priors)") for name in trained[0]["result"]["matrices"]]
    for axes, (entry, title) in zip(figures.panels(figure, len(panels), columns=2), panels, strict=True):
        figures.distribution(axes, entry, title=title)
    figure.axes[0].legend()


def draw_scenes(figure: Figure, scenes: Sequence[Mapping]) -> None:
    """The first images of the embedded world (`recipes.examples`), each with two questions and what annotators say."""
    for axes, scene in zip(figures.panels(figure, len(scenes)), scenes, strict=True):
        asked = [
            f"{question} " + ", ".join(f"{answer} {n}" for answer, n in votes.items())
            for question, votes in scene["asked"][:2]
        ]
        figures.picture(axes, scene["image"], "\n\n".join(fill(line, 30) for line in asked))
