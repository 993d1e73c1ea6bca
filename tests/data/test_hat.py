"""VQA-HAT in the official layout, written here: cells by hand, blank maps, the cache, refused files."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from vqabook.data import hat
from vqabook.data.hat import GRID, load_hat, read_maps


def save(folder, name: str, pixels: np.ndarray) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(folder / name)


def test_the_maps(hat_folder):
    people = read_maps(hat_folder)
    assert people.question_id.tolist() == [4870250, 4870251, 3506232, 3506232, 3506232]
    assert people.annotator.tolist() == [1, 1, 1, 2, 3] and people.split.tolist() == [0, 0, 1, 1, 1]
    assert people.maps.shape == (5, 196) and people.maps.dtype == np.float32
    np.testing.assert_allclose(people.maps.sum(1), 1, rtol=1e-6)


def test_the_table_of_the_maps(hat_folder):
    table, people = load_hat(str(hat_folder)), read_maps(hat_folder)
    batch = table.batch(torch.tensor([4, 0]))
    assert batch.inputs[0].tolist() == [3506232, 4870250] and batch.side["annotator"].tolist() == [3, 1]
    assert batch.side["split"].tolist() == [1, 0] and table.n_classes == GRID * GRID
    np.testing.assert_array_equal(batch.target.numpy(), people.maps[[4, 0]])
    assert len(load_hat(hat_folder, question_ids=[3506232], grid=2)) == 3


def test_cells_by_hand(tmp_path, cache):
    pixels = np.zeros((4, 6), dtype=np.uint8)
    pixels[0, 0], pixels[3, 3:] = 60, 20  # means of the four 2 x 3 cells: 10, 0, 0, 10
    save(tmp_path / "vqahat_val", "12_1.png", pixels)
    assert read_maps(tmp_path, grid=2).maps.tolist() == [[0.5, 0, 0, 0.5]]
    assert read_maps(tmp_path, grid=1).maps.tolist() == [[1]]


@pytest.mark.parametrize("size", [(14, 14), (28, 42), (480, 640), (427, 333), (5, 9)])
def test_a_flat_map_is_flat(tmp_path, cache, size):
    save(tmp_path / "vqahat_val", "12_1.png", np.full(size, 3, dtype=np.uint8))
    np.testing.assert_allclose(read_maps(tmp_path).maps, np.full((1, 196), 1 / 196), rtol=1e-5)


def test_means_are_those_of_an_enlarged_map(tmp_path, cache):
    pixels = np.random.default_rng(1).integers(0, 256, (45, 61), dtype=np.uint8)
    save(tmp_path / "vqahat_val", "12_1.png", pixels)
    whole = pixels.repeat(GRID, 0).repeat(GRID, 1).astype(np.float64)  # every cell is now a block of pixels
    cells = whole.reshape(GRID, 45, GRID, 61).mean((1, 3))
    got = read_maps(tmp_path).maps[0].reshape(GRID, GRID)
    np.testing.assert_allclose(got, cells / cells.sum(), rtol=1e-5)


def test_a_thin_stroke_is_not_missed(tmp_path, cache):
    pixels = np.zeros((480, 640), dtype=np.uint8)
    pixels[:, 5] = 255
    save(tmp_path / "vqahat_val", "12_1.png", pixels)
    cells = read_maps(tmp_path).maps[0].reshape(GRID, GRID)
    assert cells[:, 0].sum() == pytest.approx(1)


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P", "I;16"])
def test_modes_of_png(tmp_path, cache, mode):
    grey = np.zeros((28, 28), dtype=np.uint8)
    grey[:14] = 200
    image = Image.fromarray(grey.astype(np.uint16) * 256) if mode == "I;16" else Image.fromarray(grey).convert(mode)
    (tmp_path / "vqahat_val").mkdir()
    image.save(tmp_path / "vqahat_val" / "12_1.png")
    assert read_maps(tmp_path, grid=2).maps.tolist() == [[0.5, 0.5, 0, 0]]


def test_blank_maps_are_dropped_and_counted(hat_folder):
    save(hat_folder / "vqahat_train", "11_1.png", np.zeros((8, 8), dtype=np.uint8))
    found = read_maps(hat_folder)
    assert found.n_blank == 1 and 11 not in found.question_id and len(found.maps) == 5
    with pytest.raises(ValueError, match="has attention somewhere, all 1 in .* are blank; bring a whole"):
        read_maps(hat_folder, question_ids=[11])


def test_some_questions(hat_folder):
    assert read_maps(hat_folder, question_ids=np.array([3506232, 99])).question_id.tolist() == [3506232] * 3
    with pytest.raises(ValueError, match="none of the 1 question_ids has a map in .*; VQA-HAT has VQA v1's ids"):
        read_maps(hat_folder, question_ids=[487025000])


def test_a_damaged_cache_is_set_aside_and_made_again(damage, hat_folder, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "own"))
    first = read_maps(hat_folder)
    (kept,) = (tmp_path / "own" / "vqabook").iterdir()
    damage(kept)
    with pytest.warns(UserWarning, match=rf"{kept.name} cannot .* is now {kept.name}.damaged"):
        assert np.array_equal(read_maps(hat_folder).maps, first.maps)


def test_the_cache_follows_the_files(hat_folder, monkeypatch):
    first = read_maps(hat_folder)

    def fail(*_):
        raise AssertionError("reduced again")

    with monkeypatch.context() as patch:
        patch.setattr(hat, "_reduce", fail)
        assert np.array_equal(read_maps(hat_folder).maps, first.maps)
    save(hat_folder / "vqahat_val", "3506232_2.png", np.full((9, 9), 7, dtype=np.uint8))
    changed = read_maps(hat_folder)
    np.testing.assert_allclose(changed.maps[3], 1 / 196, rtol=1e-5)
    assert np.array_equal(changed.maps[4], first.maps[4])


def test_bad_files(hat_folder, tmp_path):
    with pytest.raises(FileNotFoundError, match="a folder vqahat_train or vqahat_val of PNG maps, and .* has neither"):
        read_maps(tmp_path / "none")
    (hat_folder / "vqahat_val" / "._3506232_1.png").write_bytes(b"what a Mac leaves in archives")
    (hat_folder / "vqahat_val" / "readme.txt").touch()
    assert len(read_maps(hat_folder).maps) == 5
    (hat_folder / "vqahat_val" / "COCO_12.png").touch()
    with pytest.raises(ValueError, match="named <question id>_<annotator>.png, got .*COCO_12.png"):
        read_maps(hat_folder)


@pytest.mark.parametrize("content", [b"", b"<html></html>", None])
def test_a_map_that_does_not_decode(hat_folder, content):
    path = hat_folder / "vqahat_val" / "3506232_2.png"
    path.write_bytes(path.read_bytes()[:200] if content is None else content)
    with pytest.raises(ValueError, match=r"a whole PNG image: .*3506232_2.png is not \(.*\); bring a whole"):
        read_maps(hat_folder)


def test_without_pillow(hat_folder, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "PIL.Image", None)
    with pytest.raises(
        RuntimeError, match=r"needs the package pillow, which is not installed: pip install 'vqabook\[data\]'"
    ):
        read_maps(hat_folder, grid=5)
