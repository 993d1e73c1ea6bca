"""How training goes: losses and accuracies over epochs, and how soon a level is reached."""

from collections.abc import Callable, Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vqabook.report.figures import count_in_ones, lines, mark_of, name_lines, panels
from vqabook.report.verdicts import matching, value_at

Records = Sequence[Mapping]
Rows = Mapping[str, tuple[Mapping, str]]  # loss -> the runs trained with it, and what their history calls their loss


def read_course(records: Records, where: Mapping, key: str) -> list[list[float]]:
    """What stands at a dotted path of each epoch's row, one list a run."""
    runs = matching(records, where)
    return [[value_at(run, f"history.{i}.{key}") for i in range(len(run["result"]["history"]))] for run in runs]


def draw_courses(figure: Figure, sources: Mapping[str, Records], rows: Rows, *, key: str = "valid") -> None:
    """A row a data set: left the loss that each run trains, on validation, right its accuracy (`key`)."""
    places = iter(panels(figure, 2 * len(sources), columns=2))
    for source, records in sources.items():
        for title, of_loss in (("validation loss", True), ("validation accuracy (%)", False)):
            axes = next(places)
            for name, (where, loss) in rows.items():
                seeds = read_course(records, where, f"valid_loss.{loss}" if of_loss else key)
                draw_course(axes, seeds, name)
            axes.set(xlabel="epoch", ylabel=title)
            axes.set_title(source)
    name_lines(figure)


def draw_course(axes: Axes, seeds: Sequence[Sequence[float]], loss: str) -> None:
    """A loss' runs over epochs, mean and standard deviation; nothing without runs."""
    if seeds:
        lines(axes, range(1, len(seeds[0]) + 1), seeds, mark=mark_of(loss), label=f"{loss}, n = {len(seeds)}")
    count_in_ones(axes)


def draw_speed(axes: Axes, runs: Mapping[str, Sequence[Sequence[float]]], reach: Callable) -> None:
    """Epochs until a validation accuracy is reached, for every level that all runs reach.

    `runs`: loss -> accuracies over epochs, one list a seed; `reach`: (accuracies, level) -> epochs.
    """
    every = [run for seeds in runs.values() for run in seeds]
    levels = list(range(int(max(run[0] for run in every)) + 1, int(min(map(max, every))) + 1)) if every else []
    for loss, seeds in runs.items():
        if seeds and levels:
            epochs = [[reach(run, level) for level in levels] for run in seeds]
            lines(axes, levels, epochs, mark=mark_of(loss), label=f"{loss}, n = {len(seeds)}")
    axes.set(xlabel="validation accuracy (%)", ylabel="epochs to reach it")
