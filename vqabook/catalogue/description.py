"""What `vqabook data info` and the book's Data page say of a set: plain numbers, and one picture made from them.

A description holds statistics, not examples, unless the set's licence lets anyone pass examples on.
"""

import base64
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Int, UInt8
from torch import Tensor

from vqabook.core import Table
from vqabook.extras import import_extra

SHOWN_CLASSES = 50


@dataclass(frozen=True)
class Picture:
    """Data of one figure, JSON alone. `kind` says how it is drawn and which keys `data` has.

    bars: {"labels": [k], "series": {name: [k numbers]}, "y_label"} - a bar of each series a label;
    curve: {"x": [k], "series": {name: [k]}, "x_label", "y_label", "log": "", "y" or "xy"} - log: logarithmic axes; a
    series of one value is a dotted line to compare with;
    images: {"labels": [k], "png": [k base64 PNG files]} - small images in a row;
    points: {"x": [k], "y": [k], "labels": [k]} - named points in a plane.
    `alt` says in a sentence what is seen.
    """

    kind: str
    data: Mapping
    alt: str


@dataclass(frozen=True)
class Description:
    """A set in numbers. `rows`: examples a split; `classes`: train examples a class, most frequent first, may be cut
    to the first 50 (`n_classes` is the whole number); `facts`: everything else worth a line, name -> value.
    """

    rows: Mapping[str, int]
    classes: Mapping[str, int]
    n_classes: int
    picture: Picture
    facts: Mapping[str, str | int | float] = field(default_factory=dict)

    @classmethod
    def of(cls, tables: Mapping[str, Table], names: Sequence[str], picture: Picture, facts: Mapping) -> "Description":
        """Of splits as Tables; `names` of the classes, which are counted in the first split."""
        counts = torch.bincount(next(iter(tables.values())).labels, minlength=len(names))
        rows = {name: len(table) for name, table in tables.items()}
        return cls(rows, rank(names, counts), len(names), picture, facts)


def encode_png(pixels: UInt8[np.ndarray, "h w *c"]) -> str:
    """A PNG file of a grey or RGB image, in base64."""
    file = io.BytesIO()
    import_extra("PIL.Image").fromarray(pixels).save(file, "PNG", optimize=True)
    return base64.b64encode(file.getvalue()).decode("ascii")


def rank(names: Iterable[str], counts: Iterable) -> dict[str, int]:
    """The classes that have examples, the most frequent 50 first; ties keep their order."""
    ordered = sorted(zip(names, map(int, counts), strict=True), key=lambda pair: -pair[1])
    return {name: n for name, n in ordered[:SHOWN_CLASSES] if n}


def score_majority(train: Table, test: Table, key: Callable[[Table], Int[Tensor, " n"]]) -> float:
    """Percent of test that train's most frequent class of the same `key` gets right, to two places.

    Where train lacks a key, its most frequent class of all is the guess.
    """
    keys, asked = key(train).long(), key(test).long()
    counts = torch.zeros(1 + int(max(keys.max(), asked.max())), train.n_classes, dtype=torch.long)
    counts.index_put_((keys, train.labels.long()), torch.tensor(1), accumulate=True)
    guess = torch.where(counts.sum(1) > 0, counts.argmax(1), counts.sum(0).argmax())[asked]
    return round(100 * (guess == test.labels).double().mean().item(), 2)
