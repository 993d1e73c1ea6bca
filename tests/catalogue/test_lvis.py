"""LVIS as the book shows it: the tail of its categories."""

from __future__ import annotations

import json

import pytest

from vqabook.catalogue.lvis import describe

CATEGORIES = [
    {"id": 7, "name": "zebra", "frequency": "f", "image_count": 120, "instance_count": 300},
    {"id": 2, "name": "acorn", "frequency": "r", "image_count": 2, "instance_count": 5},
    {"id": 5, "name": "bolt", "frequency": "c", "image_count": 11, "instance_count": 11},
]


def test_description(real_data, tmp_path):
    (tmp_path / "lvis_v1_train_cat_info.json").write_text(json.dumps(CATEGORIES))
    for description in (describe(real_data("lvis")), describe(tmp_path)):
        json.dumps([dict(description.classes), dict(description.facts), dict(description.picture.data)])
        series = description.picture.data["series"]
        assert {len(s) for s in series.values()} == {description.n_classes} == {len(description.picture.data["x"])}
        assert all(list(s) == sorted(s, reverse=True) and s[-1] > 0 for s in series.values())
    assert description.rows == {"train": 316} and description.classes == {"zebra": 300, "bolt": 11, "acorn": 5}
    real = describe(real_data("lvis"))
    assert real.rows == {"train": 1_270_141, "val_100": 977} and len(real.classes) == 50


def test_no_counts(tmp_path):
    with pytest.raises(FileNotFoundError, match="LVIS is described by .* and .* has neither; check data_root"):
        describe(tmp_path)
