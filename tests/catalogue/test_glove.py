"""GloVe as the book shows it: a plane of words."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from vqabook.catalogue import drawings
from vqabook.catalogue.glove import _NAMED as NAMED
from vqabook.catalogue.glove import describe
from vqabook.data.glove import write_store


def test_it_is_described_by_a_plane_of_words(tmp_path):
    words = [word for some in NAMED.values() for word in some.split()] + ["rare", "2"]
    vectors = np.random.default_rng(0).normal(size=(len(words), 100)).astype(np.float32)
    write_store(tmp_path / "glove.6B.100d.h5", words, vectors, origin=Path("here"))
    found = describe(tmp_path)
    assert found.rows == {"words": len(words)} and found.n_classes == 0
    assert found.facts["digits 0 to 9 that have a vector"] == 1
    assert len(found.facts["nearest to 'red'"].split(", ")) == 5
    assert found.picture.data["labels"] == words[:-2]
    centred = vectors[:-2].astype(float)
    centred -= centred.mean(0)
    variance = np.linalg.eigvalsh(centred.T @ centred)[::-1]
    for axis, component in zip(("x", "y"), variance, strict=False):
        assert np.square(found.picture.data[axis]).sum() == pytest.approx(component, rel=1e-3)
    json.dumps(asdict(found), allow_nan=False)


def test_colours_are_near_each_other(real_data):
    colours = describe(real_data("glove")).facts["nearest to 'red'"].split(", ")
    assert {"yellow", "blue", "green"} <= set(colours)


def test_a_label_covers_neither_dot_nor_label_while_there_is_room():
    points, size = [(0.0, 0.0), (0.2, 0.0), (0.21, 0.01), (1.0, 1.0)], (400.0, 300.0)
    spots = drawings.place_labels(points, ["one", "two", "three", "four"], size)
    assert spots[0] == (3.0, 3.0) and len({spots[1], spots[2]}) == 2
