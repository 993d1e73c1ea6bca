"""Pictures of data sets, drawn from the small data that a `catalogue.description.Description` keeps."""

import base64
import io
from collections.abc import Mapping, Sequence
from textwrap import fill

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from vqabook.report.figures import OTHERS, is_narrow, picture


def draw(figure: Figure, kind: str, data: Mapping) -> None:
    """The picture of a data set's description."""
    {"bars": _bars, "curve": _curve, "images": _images, "points": _points}[kind](figure, data)


def _bars(figure: Figure, data: Mapping) -> None:
    axes, labels, n = figure.add_subplot(), data["labels"], len(data["series"])
    x, width = np.arange(len(labels)), 0.8 / n
    for i, (name, values) in enumerate(data["series"].items()):
        axes.bar(x + width * (i - (n - 1) / 2), values, width=width, color=OTHERS[i].color, label=name)
    long = max(map(len, labels)) * len(labels) > (45 if is_narrow(figure) else 90)
    axes.set_xticks(x, labels, rotation=45 if long else 0, ha="right" if long else "center", fontsize=8)
    axes.set_ylabel(data["y_label"])
    if n > 1:
        axes.legend(fontsize=8)


def _curve(figure: Figure, data: Mapping) -> None:
    axes = figure.add_subplot()
    for i, (name, values) in enumerate(data["series"].items()):
        if min(values) == max(values):
            axes.axhline(values[0], color="gray", linewidth=0.9, linestyle=":")
            axes.annotate(
                name, (0.01, values[0]), xycoords=("axes fraction", "data"), xytext=(0, 3), textcoords="offset points",
                fontsize=8, color="gray",
            )  # fmt: skip
        else:
            axes.plot(data["x"], values, color=OTHERS[i].color, label=name, linewidth=2)
    axes.set(**{f"{axis}scale": "log" for axis in data["log"]})
    axes.set(xlabel=data["x_label"], ylabel=data["y_label"])
    if len(data["series"]) > 1:
        axes.legend(fontsize=8)


def _images(figure: Figure, data: Mapping) -> None:
    columns = min(len(data["png"]), 4 if is_narrow(figure) else 10)
    rows = -(-len(data["png"]) // columns)
    for i, (label, png) in enumerate(zip(data["labels"], data["png"], strict=True)):
        image = plt.imread(io.BytesIO(base64.b64decode(png)))
        picture(figure.add_subplot(rows, columns, i + 1), image, fill(label, 12))


def _points(figure: Figure, data: Mapping) -> None:
    axes = figure.add_subplot()
    axes.plot(data["x"], data["y"], "o", color=OTHERS[0].color, markersize=4)
    points = list(zip(data["x"], data["y"], strict=True))
    width, height = (72 * float(inches) for inches in figure.get_size_inches())
    spots = place_labels(points, data["labels"], (width, height))
    for point, label, (x, y) in zip(points, data["labels"], spots, strict=True):
        axes.annotate(
            label, point, xytext=(x, y), textcoords="offset points", fontsize=8, ha=_SIDES[np.sign(x)],
            va="center" if abs(y) < 1 else "bottom" if y > 0 else "top",
        )  # fmt: skip
    axes.set(xticks=[], yticks=[])


_SIDES = {-1: "right", 0: "center", 1: "left"}
_SPOTS = [(x, y) for y in (3.0, -3.0, 0.0, 11.0, -11.0) for x in (3.0, -3.0)]
_SPOTS += [(0.0, 5.0), (0.0, -5.0), (9.0, 19.0), (-9.0, 19.0), (9.0, -19.0)]


def place_labels(
    points: Sequence[tuple[float, float]], labels: Sequence[str], size: tuple[float, float], letter: float = 8
) -> list[tuple[float, float]]:
    """Where each label starts from its point, so that it covers no dot and no label before it, if there is such a spot.

    `size`: of the drawing; it and the spots are in printers' points, as the height of a `letter` is.
    """
    at = np.asarray(points, dtype=float)
    at = (at - at.min(0)) / np.maximum(np.ptp(at, axis=0), 1e-9) * np.multiply(size, 0.9)
    taken = [(x - 2, y - 2, x + 2, y + 2) for x, y in at]
    spots: list[tuple[float, float]] = []
    for i, label in enumerate(labels):
        others = taken[:i] + taken[i + 1 :]
        boxes = {spot: _box(at[i], spot, 0.6 * letter * len(label), letter) for spot in _SPOTS}
        spots.append(min(_SPOTS, key=lambda spot: sum(_overlap(boxes[spot], other) for other in others)))
        taken.append(boxes[spots[-1]])
    return spots


def _box(at: np.ndarray, spot: tuple[float, float], width: float, height: float) -> tuple[float, float, float, float]:
    """Left, bottom, right and top of a label that starts `spot` from its point."""
    x, y = at[0] + spot[0] + width * (np.sign(spot[0]) - 1) / 2, at[1] + spot[1] + height * (np.sign(spot[1]) - 1) / 2
    return x, y, x + width, y + height


def _overlap(a: tuple[float, ...], b: tuple[float, ...]) -> float:
    """The area that two boxes share."""
    return max(min(a[2], b[2]) - max(a[0], b[0]), 0) * max(min(a[3], b[3]) - max(a[1], b[1]), 0)
