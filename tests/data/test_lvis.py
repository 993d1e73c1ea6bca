"""LVIS: both versions' layouts, the rule of rare, common and frequent, and refused files."""

from __future__ import annotations

import copy
import gzip
import json

import numpy as np
import pytest
import torch

from vqabook.data.instances import load_lvis
from vqabook.data.lvis import FREQUENCIES, category_counts

CATEGORIES = [
    {"id": 7, "name": "zebra", "synset": "zebra.n.01", "frequency": "f", "image_count": 120, "instance_count": 300},
    {"id": 2, "name": "acorn", "synset": "acorn.n.01", "frequency": "r", "image_count": 2, "instance_count": 5},
    {"id": 5, "name": "bolt", "synset": "bolt.n.01", "frequency": "c", "image_count": 11, "instance_count": 11},
]
POLYGON = [[1.0, 1.0, 3.0, 1.0, 3.0, 3.0]]
WHOLE = {
    "info": {"version": "1.0"},
    "annotations": [
        {"id": 1, "image_id": 90, "category_id": 7, "bbox": [1, 2, 30.5, 40], "area": 900.5, "segmentation": POLYGON},
        {"id": 2, "image_id": 10, "category_id": 2, "bbox": [0, 0, 64.4, 48], "area": 12, "segmentation": POLYGON},
        {"id": 3, "image_id": 90, "category_id": 7, "bbox": [60, 40, 4, 8], "area": 3.5, "segmentation": POLYGON},
    ],
    "images": [{"id": 10, "width": 64, "height": 48}, {"id": 90, "width": 64, "height": 48, "coco_url": "http://x"}],
    "licenses": [],
    "categories": CATEGORIES,
}


@pytest.fixture
def whole() -> dict:
    return copy.deepcopy(WHOLE)


def write(path, content):
    path.write_text(json.dumps(content))
    return path


def test_instances(tmp_path, whole):
    data = load_lvis(write(tmp_path / "lvis_v1_val.json", whole))
    table = data.table
    assert table.inputs[0].tolist() == [1, 0, 1] and data.image_ids.tolist() == [10, 90]
    assert table.target.tolist() == [2, 0, 2] and data.categories.name == ("acorn", "bolt", "zebra")
    assert table.n_classes == 3 and table.side["frequency"].tolist() == [2, 0, 2]
    assert table.side["image_id"].tolist() == [90, 10, 90] and table.side["area"].tolist() == [900.5, 12, 3.5]
    torch.testing.assert_close(table.side["box"][0], torch.tensor([1, 2, 30.5, 40]))


def test_the_order_of_the_lists_does_not_matter(tmp_path, whole):
    first = load_lvis(write(tmp_path / "a.json", whole)).table
    turned = load_lvis(write(tmp_path / "b.json", dict(reversed(whole.items())))).table
    assert torch.equal(first.target, turned.target) and torch.equal(first.side["box"], turned.side["box"])


def test_images_may_come_in_any_order(tmp_path, whole):
    whole["images"].insert(0, {"id": 300, "width": 9, "height": 9})
    data = load_lvis(write(tmp_path / "a.json", whole))
    assert data.image_ids.tolist() == [300, 10, 90] and data.table.inputs[0].tolist() == [2, 1, 2]


def test_counts_of_a_whole_file_and_of_a_list(tmp_path, whole):
    (tmp_path / "b.json.gz").write_bytes(gzip.compress(json.dumps(CATEGORIES).encode()))
    for path in (write(tmp_path / "a.json", whole), tmp_path / "b.json", tmp_path / "b.json.gz"):
        counts = category_counts(path)
        assert counts.id.tolist() == [2, 5, 7] and counts.image_count.tolist() == [2, 11, 120] and len(counts) == 3
        assert counts.instance_count.tolist() == [5, 11, 300] and counts.frequency.tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda w: w["annotations"][0].update(bbox=[40, 2, 30.5, 40]),
            r"\[40.0, 2.0, 30.5, 40.0\] in image 90 of 64 x 48",
        ),
        (lambda w: w["annotations"][0].update(bbox=[-5, 2, 3, 4]), "a box .* lies in its image: .* nor do 0 more in"),
        (lambda w: w["annotations"][0].update(bbox=[5, 2, -3, 4]), "a box .* lies in its image"),
        (lambda w: w["annotations"][0].update(bbox=[5, float("nan"), 3, 4]), "must be whole, valid JSON"),
        (
            lambda w: w["annotations"][0].update(bbox=[5, 2, 3]),
            "does not fit .*length 4.*bbox.*right file",
        ),
        (lambda w: w["annotations"][0].update(bbox="text"), "LVIS lists .* does not fit .*annotations.*bbox"),
        (lambda w: w["annotations"][0].pop("area"), "LVIS lists images .* does not fit .*`area`.*annotations"),
        (lambda w: w["annotations"].append(3), "does not fit .*annotations"),
        (lambda w: w["images"][1].pop("width"), "does not fit .*`width`.*images"),
        (lambda w: w["annotations"][1].update(category_id=3), r"category 3 is not among the 3 in .* \(1 annotations\)"),
        (
            lambda w: w["annotations"][1].update(image_id=11),
            "image 11 is not among the 2 in .*; use one whole official",
        ),
        (lambda w: w["images"].clear(), "image 90 is not among the 0 in"),
        (
            lambda w: w["images"].append({"id": 10, "width": 1, "height": 1}),
            "each image is listed once: 10 comes 2 times among 3 in .*; bring a whole",
        ),
        (lambda w: w["categories"].append(CATEGORIES[0]), "each category is listed once: 7 comes 2 times among 4 in"),
        (lambda w: w["categories"][0].update(frequency="x"), "frequency one of r, c, f, .* does not fit .*'x'"),
        (lambda w: w["categories"][0].pop("image_count"), "categories .id, name, .*does not fit .*`image_count`"),
        (lambda w: w["categories"].clear(), "category 7 is not among the 0 in"),
        (lambda w: w.pop("categories"), "does not fit .*`categories`.*: is it the right file"),
        (lambda w: w["annotations"].clear(), 'hold a list under "annotations"; .* has none'),
    ],
)
def test_bad_files(tmp_path, whole, change, message):
    change(whole)
    with pytest.raises(ValueError, match=message):
        load_lvis(write(tmp_path / "a.json", whole))


def test_half_a_file_and_none(tmp_path, whole):
    path = write(tmp_path / "a.json", whole)
    path.write_text(path.read_text()[: path.stat().st_size // 2])
    for read in (load_lvis, category_counts):
        with pytest.raises(ValueError, match="a.json must be whole, valid JSON: .*; it is probably cut off: bring"):
            read(path)
    with pytest.raises(FileNotFoundError, match="does not exist; check data_root"):
        load_lvis(tmp_path / "none.json")


def test_real_counts(real_data):
    counts = category_counts(real_data("lvis/lvis_v1_train_cat_info.json.gz"))
    assert len(counts) == 1203 and counts.id.tolist() == list(range(1, 1204))
    assert np.bincount(counts.frequency).tolist() == [337, 461, 405]  # r, c, f
    assert counts.instance_count.sum() == 1_270_141
    assert (np.digitize(counts.image_count, [11, 101]) == counts.frequency).all()  # the rule, on every category
    assert counts.image_count.min() == 1 and (counts.instance_count >= counts.image_count).all()


def test_real_boxes_of_version_half(real_data):
    data = load_lvis(real_data("lvis/lvis_val_100.json.gz"))
    assert len(data.table) == 977 and len(data.image_ids) == 100 and data.table.n_classes == 1230
    assert (data.table.side["area"] <= data.table.side["box"][:, 2:].prod(1) + 1).all()  # a mask lies in its box
    assert {FREQUENCIES[i] for i in data.table.side["frequency"].unique()} <= {"r", "c", "f"}
