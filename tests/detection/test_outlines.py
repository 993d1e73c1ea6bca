"""Outlines of an annotation file: what is none goes, of masks and of the truth alike."""

from __future__ import annotations

import json
import warnings

import numpy as np
import pytest
from PIL import Image

from vqabook.detection.outlines import read_annotations

TRIANGLE, LINE = [1, 2, 30, 4, 5, 60], [1, 2, 30, 4]
RUNS = {"size": [80, 100], "counts": [0, 20, 7980]}


@pytest.fixture
def write(tmp_path):
    """Writer of an LVIS file of one image, whose objects have these outlines."""
    (tmp_path / "train2017").mkdir()
    Image.new("RGB", (100, 80)).save(tmp_path / "train2017" / "1.jpg")

    def make(*outlines: object):
        about = {"frequency": "r", "image_count": 1, "instance_count": 1}
        objects = [
            {"id": i, "image_id": 1, "category_id": 2, "bbox": [1, 2, 30, 60], "area": 9.0, "segmentation": outline}
            for i, outline in enumerate(outlines, start=1)
        ]
        image = {"id": 1, "width": 100, "height": 80, "coco_url": "http://x/train2017/1.jpg"}
        image |= {"neg_category_ids": [], "not_exhaustive_category_ids": []}
        categories = [{"id": i, "name": str(i), **about} for i in (1, 2)]
        content = {"images": [image], "categories": categories, "annotations": objects}
        (tmp_path / "l.json").write_text(json.dumps(content), "utf-8-sig")
        return tmp_path / "l.json"

    return make


@pytest.mark.parametrize(
    ("outline", "kept"),
    [
        ([TRIANGLE], [TRIANGLE]), ([LINE, TRIANGLE, [], [5, 5]], [TRIANGLE]), (RUNS, RUNS),
        ([[0.5, 1, 2, 3.5, 4, 5, 6, 7]], [[0.5, 1, 2, 3.5, 4, 5, 6, 7]]),
        ({"size": [80, 100], "counts": "0d0\\i7"}, {"size": [80, 100], "counts": "0d0\\i7"}),
    ],
)  # fmt: skip
def test_what_encloses_an_area_is_kept(outline, kept, write):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        (entry,) = read_annotations(str(write(outline)))["annotations"]
    assert entry["segmentation"] == kept and entry["bbox"] == [1, 2, 30, 60]


@pytest.mark.parametrize("outline", [[], None, [LINE], [[], [1, 2]]])
def test_an_object_without_an_outline_is_left_out_and_said(outline, write):
    with pytest.warns(UserWarning, match="1 of 2 objects in .*l.json have no outline with an area; they are left out"):
        (entry,) = read_annotations(write(outline, [TRIANGLE]))["annotations"]
    assert entry["id"] == 2
    with pytest.raises(ValueError, match="three points or run lengths: 1 of 1 objects in .* have neither; fetch"):
        read_annotations(write(outline))


@pytest.mark.parametrize(
    ("outline", "came"),
    [
        ([[1, 2, 3, 4, 5, 6, 7]], "one of 7 numbers"), (TRIANGLE, "Expected `array`"),
        ([["a"] * 6], "Expected `float`"),
        ("polygon", "got `str`"), ({"size": [80, 100]}, "required field `counts`"),
        ({"size": [100, 80], "counts": [0, 20, 7980]}, r"8000 pixels of \(100, 80\), not \(80, 100\)"),
        ({"size": [80, 100], "counts": [0, 20]}, "20 pixels of"), ({"size": [80, 100], "counts": [-1, 8001]}, "8000"),
        ({"size": [80, 100], "counts": []}, "0 pixels of"),
    ],
)  # fmt: skip
def test_what_is_no_outline_is_refused(outline, came, write):
    with pytest.raises(ValueError, match=f"an outline is a list of polygons .*annotation 1 in .*({came}).*fetch"):
        read_annotations(write(outline))


def test_masks_and_truth_have_the_same_outlines(write, tmp_path):
    pytest.importorskip("faster_coco_eval", reason="the detector has an environment of its own: make test-detection")
    torch = pytest.importorskip("torch")
    table = pytest.importorskip("vqabook.detection.table", reason="make test-detection")

    def masks(*outlines):
        return table.load_annotated(str(write(*outlines)), str(tmp_path)).table.batch(torch.tensor([0])).inputs[1][0]

    (whole,) = masks([TRIANGLE])["masks"]
    assert whole.sum() == pytest.approx(837, abs=60)  # the shoelace formula, and its border
    assert torch.equal(masks([LINE, TRIANGLE])["masks"][0], whole)
    runs = np.zeros(8000, np.uint8)
    runs[:20] = 1
    for outline in (RUNS, {"size": [80, 100], "counts": "0d0\\i7"}):
        assert torch.equal(masks(outline)["masks"][0], torch.from_numpy(runs.reshape(100, 80).T.copy()))
    path = write([LINE, TRIANGLE], RUNS)
    annotated = table.load_annotated(path, tmp_path)
    outlines = annotated.table.lookup.objects[0].outlines
    right = [
        {"image_id": 1, "category_id": 2, "bbox": [1, 2, 30, 60], "score": 0.9, "segmentation": outline}
        for outline in outlines
    ]
    assert table.average_precision(path, right)["mask"]["overall"] == pytest.approx(100)
