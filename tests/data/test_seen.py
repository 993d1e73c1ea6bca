"""What a model had before it: scenes drawn again, photographs where they lie, boxes of what attention is over."""

from __future__ import annotations

from dataclasses import asdict

import h5py
import numpy as np
import pytest

from vqabook.data.layout import SOURCES, DataSpec, source_files
from vqabook.data.seen import COCO_FILES, find_views, grid
from vqabook.world.scenes import CANVAS
from vqabook.world.write import World

WORLD = World(n_train=100, regions=4, objects=(2, 4))
PHOTOGRAPHS = {"dataset": "vqacp_v1_coco16k", "world": None}


def test_a_scene_is_drawn_again_with_the_boxes_of_its_features(cache):
    data = {"dataset": "shapes", "world": {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(WORLD).items()}}
    first, second = find_views(data, [2, 1], 4, side=64)
    assert first.image.shape == (64, 64, 3) and first.image.dtype == np.uint8
    assert not np.array_equal(first.image, second.image)
    folder = source_files(DataSpec("shapes", world=WORLD), None)[1]
    with h5py.File(folder / "features.h5") as file:
        assert np.array_equal(first.boxes * CANVAS, file["boxes"][1])
        assert file["image_ids"][1] == 2
    assert first.boxes.min() >= 0 and first.boxes.max() <= 1


def test_grid_cells_tile_the_image_row_by_row():
    assert grid(4).tolist() == [[0, 0, 0.5, 0.5], [0.5, 0, 1, 0.5], [0, 0.5, 0.5, 1], [0.5, 0.5, 1, 1]]
    left, top, right, bottom = grid(49).T
    assert ((right - left) * (bottom - top)).sum() == pytest.approx(1)


@pytest.mark.parametrize("split", [0, 1])
def test_a_photograph_is_shown_where_it_lies_and_missed_where_not(tmp_path, split):
    image = pytest.importorskip("PIL.Image")
    path = tmp_path / COCO_FILES[split].format(9)
    path.parent.mkdir(parents=True)
    image.new("RGB", (40, 20), (200, 10, 10)).save(path)
    there, missing = find_views(PHOTOGRAPHS, [9, 10], 49, data_root=tmp_path, side=32)
    assert find_views({"dataset": "easy_vqa"}, [9], 49, data_root=tmp_path)[0].image is None  # its ids are not COCO's
    assert there.image.shape == (32, 32, 3) and there.image[..., 0].min() > 150
    assert missing.image is None and np.array_equal(there.boxes, missing.boxes) and len(missing.boxes) == 49


def write_features(path, **columns):
    path.parent.mkdir(parents=True)
    with h5py.File(path, "w") as file:
        for name, values in columns.items():
            file[name] = np.array(values)


@pytest.mark.parametrize("unequal", [False, True])
def test_boxes_of_the_feature_file_come_before_a_grid(tmp_path, unequal):
    boxes = [[[0, 0, 40, 20]] * 4, [[10, 5, 20, 10]] * 4]
    columns = {"boxes": np.reshape(boxes, (8, 4)), "first": [0, 4, 8]} if unequal else {"boxes": boxes}
    path = tmp_path / SOURCES["vqacp_v2"].features
    write_features(path, image_ids=[3, 5], sizes=[[40, 20], [40, 20]], **columns)
    (one,) = find_views({"dataset": "vqacp_v2"}, [5], 4, data_root=tmp_path)
    assert one.boxes.tolist() == [[0.25, 0.25, 0.5, 0.5]] * 4


def test_a_feature_file_without_boxes_is_a_grid(tmp_path):
    write_features(tmp_path / SOURCES["vqacp_v2"].features, image_ids=[3])
    (one,) = find_views({"dataset": "vqacp_v2"}, [3], 4, data_root=tmp_path)
    assert np.array_equal(one.boxes, grid(4))


def test_boxes_in_pixels_of_images_of_unknown_size_are_a_grid(tmp_path):
    boxes = [[[0, 0, 40, 20]] * 4]
    write_features(tmp_path / SOURCES["vqacp_v2"].features, image_ids=[3], boxes=boxes)
    (one,) = find_views({"dataset": "vqacp_v2"}, [3], 4, data_root=tmp_path)
    assert np.array_equal(one.boxes, grid(4))


def test_regions_without_boxes_are_a_square_grid(tmp_path):
    with pytest.raises(ValueError, match="cells of a square grid, got 35; give the feature file boxes"):
        find_views(PHOTOGRAPHS, [9], 35, data_root=tmp_path)
