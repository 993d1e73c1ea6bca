"""What is said of feature files is counted, and is JSON."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from vqabook.catalogue.features import describe


def test_fixed_regions(write_features, tmp_path):
    values = np.zeros((10, 2, 4), np.float16)
    values[::2, :, 0], values[::2, :, 2] = 2, 4  # variances 1, 0, 4, 0
    write_features(tmp_path / "a.h5", values, range(10))
    told = describe(tmp_path)
    assert told.rows == {"a": 10} and told.facts["a: regions an image"] == "2" and told.facts["a: width"] == 4
    assert told.picture.kind == "curve" and told.picture.data["x"] == [1, 2, 3, 4]
    assert told.picture.data["series"]["a"] == [0.8, 1.0, 1.0, 1.0]
    assert "1 of 4 channels hold half" in told.picture.alt
    json.dumps(dataclasses.asdict(told))


def test_unequal_regions(write_features, tmp_path):
    write_features(tmp_path / "b.h5", np.ones((39, 4), np.float16), [1, 2, 3], first=np.array([0, 5, 17, 39]))
    told = describe(tmp_path)
    assert told.facts["b: regions an image"] == "5 to 22" and told.picture.kind == "bars"
    assert told.picture.data["labels"] == ["0-9", "10-19", "20-29"]
    assert told.picture.data["series"] == {"b": [1, 1, 1]}
    json.dumps(dataclasses.asdict(told))


def test_no_files(tmp_path):
    with pytest.raises(FileNotFoundError, match="feature files end in .h5: .* has none"):
        describe(tmp_path)
