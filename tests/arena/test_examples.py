"""Which rows, classes and columns take part, and which data are refused."""

from __future__ import annotations

import numpy as np
import pytest

from vqabook.arena import examples as module
from vqabook.arena.examples import check
from vqabook.arena.readers import Raw

X = np.random.default_rng(0).normal(size=(12, 3))
THREE = np.repeat(["a", "b", "c"], 4)


def test_classes_are_numbered_from_the_most_frequent_on():
    y = np.array([10] * 4 + [9] * 4 + [2] * 3 + [7])
    found = check(Raw("r", X, y))
    assert found.classes == ("9", "10", "2") and found.counts.tolist() == [4, 4, 3]
    assert found.left_out == {"7": 1} and len(found.rows) == len(found.labels) == 11
    assert found.labels.tolist() == [1] * 4 + [0] * 4 + [2] * 3


@pytest.mark.parametrize(
    "y", [THREE, THREE.astype(object), np.repeat([0.0, 1.0, 2.0], 4), np.repeat([True, False, True], 4)], ids=str
)
def test_labels_may_be_texts_integers_bools_or_whole_floats(y):
    assert sum(check(Raw("r", X, y)).counts) == 12


def test_a_constant_column_is_left_out_by_name():
    x = X.copy()
    x[:, 1] = 3
    found = check(Raw("r", x, THREE, ("u", "v", "w")))
    assert found.constant == ("v",) and found.columns.tolist() == [0, 2]
    assert check(Raw("r", x, THREE)).constant == ("column 1",)


def test_the_digest_is_of_all_features_and_labels():
    other = X.copy()
    other[-1, -1] += 1e-9
    digests = {check(Raw("r", x, y)).digest for x, y in ((X, THREE), (other, THREE), (X, THREE[::-1]))}
    assert len(digests) == 3 and check(Raw("s", X, THREE)).digest in digests


def spoil(value: float) -> np.ndarray:
    x = X.copy()
    x[5, 2] = value
    return x


BAD = {
    "nan": (spoil(np.nan), THREE, "features are finite numbers: column 2 has nan in row 5; fill it"),
    "infinite": (spoil(np.inf), THREE, "column 2 has inf in row 5"),
    "length": (X[:-1], THREE, r"every row of features has one label: 11 rows, labels \[12\]"),
    "flat": (X[:, 0], THREE, r"features are numbers \[n, d\], got float64 \[12\]"),
    "texts": (X.astype(str), THREE, r"features are numbers \[n, d\], got <U32"),
    "constant": (np.ones((12, 2)), THREE, "every column is constant"),
    "measured": (X, np.linspace(0, 1, 12), "labels are classes, whole numbers or texts: row 1 has 0.0909"),
    "absent": (X, np.array([1.0] * 11 + [np.nan]), "row 11 has nan"),
    "ids": (X, np.array([f"id {i}" for i in range(12)]), "a class has 3 rows or more: 12 labels in 12 rows.*an id"),
    "one class": (X, np.zeros(12, int), "two classes or more: all 12 rows are '0'"),
    "one large": (X, np.array([0] * 10 + [1] * 2), "only '0' has so many"),
    "complex": (X, THREE == 1j, "two classes or more"),
    "dates": (X, np.array(["2020-01-01"] * 12, "M8[D]"), "labels are integers, texts or bools, got datetime64"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_data_is_one_sentence(name):
    x, y, sentence = BAD[name]
    with pytest.raises(ValueError, match=sentence) as told:
        check(Raw("r", x, y))
    assert "\n" not in str(told.value)


def test_a_million_classes_are_too_many(monkeypatch):
    monkeypatch.setattr(module, "LEAST", 1)
    y = np.arange(10**6)
    with pytest.raises(ValueError, match="on 2 to 2,000 classes, got 1,000,000; join classes"):
        check(Raw("r", np.zeros((10**6, 1), np.float32), y))
