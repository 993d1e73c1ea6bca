"""Pictures of data sets, drawn from the small data that a `catalogue.description.Description` keeps."""

import base64
import io
from collections.abc import Mapping
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
    for x, y, label in zip(data["x"], data["y"], data["labels"], strict=True):
        axes.annotate(label, (x, y), xytext=(3, 3), textcoords="offset points", fontsize=8)
    axes.set(xticks=[], yticks=[])
