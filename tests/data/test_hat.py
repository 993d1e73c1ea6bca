"""VQA-HAT in the official layout, written here: cells by hand, blank maps, the cache, refused files."""

from __future__ import annotations

import base64
import io
import json

import numpy as np
import pytest
import scipy.stats
import torch
from PIL import Image

from vqabook.catalogue.hat import describe, human_agreement
from vqabook.data import hat
from vqabook.data.hat import GRID, HumanMaps, load_hat, read_maps


def save(folder, name: str, pixels: np.ndarray) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(folder / name)


@pytest.fixture
def folder(tmp_path, cache):
    rng = np.random.default_rng(0)
    data = tmp_path / "vqa_hat"
    for question in (4870250, 4870251):
        save(data / "vqahat_train", f"{question}_1.png", rng.integers(0, 256, (48, 64), dtype=np.uint8))
    for annotator in (1, 2, 3):
        save(data / "vqahat_val", f"3506232_{annotator}.png", rng.integers(0, 256, (70, 42), dtype=np.uint8))
    return data


def test_the_table(folder):
    table = load_hat(folder)
    assert table.inputs[0].tolist() == [4870250, 4870251, 3506232, 3506232, 3506232]
    assert table.side["annotator"].tolist() == [1, 1, 1, 2, 3] and table.side["split"].tolist() == [0, 0, 1, 1, 1]
    assert table.target.shape == (5, 196) and table.n_classes == 196 and table.target.dtype == torch.float32
    torch.testing.assert_close(table.target.sum(1), torch.ones(5))


def test_cells_by_hand(tmp_path, cache):
    pixels = np.zeros((4, 6), dtype=np.uint8)
    pixels[0, 0], pixels[3, 3:] = 60, 20  # means of the four 2 x 3 cells: 10, 0, 0, 10
    save(tmp_path / "vqahat_val", "12_1.png", pixels)
    assert load_hat(tmp_path, grid=2).target.tolist() == [[0.5, 0, 0, 0.5]]
    assert load_hat(tmp_path, grid=1).target.tolist() == [[1]]


@pytest.mark.parametrize("size", [(14, 14), (28, 42), (480, 640), (427, 333), (5, 9)])
def test_a_flat_map_is_flat(tmp_path, cache, size):
    save(tmp_path / "vqahat_val", "12_1.png", np.full(size, 3, dtype=np.uint8))
    torch.testing.assert_close(load_hat(tmp_path).target, torch.full((1, 196), 1 / 196))


def test_means_are_those_of_an_enlarged_map(tmp_path, cache):
    pixels = np.random.default_rng(1).integers(0, 256, (45, 61), dtype=np.uint8)
    save(tmp_path / "vqahat_val", "12_1.png", pixels)
    whole = pixels.repeat(GRID, 0).repeat(GRID, 1).astype(np.float64)  # every cell is now a block of pixels
    cells = whole.reshape(GRID, 45, GRID, 61).mean((1, 3))
    got = load_hat(tmp_path).target[0].reshape(GRID, GRID).numpy()
    np.testing.assert_allclose(got, cells / cells.sum(), rtol=1e-5)


def test_a_thin_stroke_is_not_missed(tmp_path, cache):
    pixels = np.zeros((480, 640), dtype=np.uint8)
    pixels[:, 5] = 255
    save(tmp_path / "vqahat_val", "12_1.png", pixels)
    cells = load_hat(tmp_path).target[0].reshape(GRID, GRID)
    assert cells[:, 0].sum() == pytest.approx(1)


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P", "I;16"])
def test_modes_of_png(tmp_path, cache, mode):
    grey = np.zeros((28, 28), dtype=np.uint8)
    grey[:14] = 200
    image = Image.fromarray(grey.astype(np.uint16) * 256) if mode == "I;16" else Image.fromarray(grey).convert(mode)
    (tmp_path / "vqahat_val").mkdir()
    image.save(tmp_path / "vqahat_val" / "12_1.png")
    assert load_hat(tmp_path, grid=2).target.tolist() == [[0.5, 0.5, 0, 0]]


def test_blank_maps_are_dropped_and_counted(folder):
    save(folder / "vqahat_train", "11_1.png", np.zeros((8, 8), dtype=np.uint8))
    found = read_maps(folder)
    assert found.n_blank == 1 and 11 not in found.question_id and len(found.maps) == 5
    with pytest.raises(ValueError, match="has attention somewhere, all 1 in .* are blank; fetch it again"):
        load_hat(folder, question_ids=[11])


def test_some_questions(folder):
    assert load_hat(folder, question_ids=np.array([3506232, 99])).inputs[0].tolist() == [3506232] * 3
    with pytest.raises(ValueError, match="none of the 1 question_ids has a map in .*; VQA-HAT has VQA v1's ids"):
        load_hat(folder, question_ids=[487025000])


def test_the_cache_follows_the_files(folder, monkeypatch):
    first = load_hat(folder)

    def fail(*_):
        raise AssertionError("reduced again")

    with monkeypatch.context() as patch:
        patch.setattr(hat, "_reduce", fail)
        assert torch.equal(load_hat(folder).target, first.target)
    save(folder / "vqahat_val", "3506232_2.png", np.full((9, 9), 7, dtype=np.uint8))
    changed = load_hat(folder)
    torch.testing.assert_close(changed.target[3], torch.full((196,), 1 / 196))
    assert torch.equal(changed.target[4], first.target[4])


def test_bad_files(folder, tmp_path):
    with pytest.raises(FileNotFoundError, match="a folder vqahat_train or vqahat_val of PNG maps, and .* has neither"):
        load_hat(tmp_path / "none")
    with pytest.raises(ValueError, match="grid at least 1, got 0; the paper's is 14"):
        load_hat(folder, grid=0)
    (folder / "vqahat_val" / "._3506232_1.png").write_bytes(b"what a Mac leaves in archives")
    (folder / "vqahat_val" / "readme.txt").touch()
    assert len(load_hat(folder)) == 5
    (folder / "vqahat_val" / "COCO_12.png").touch()
    with pytest.raises(ValueError, match="named <question id>_<annotator>.png, got .*COCO_12.png"):
        load_hat(folder)


@pytest.mark.parametrize("content", [b"", b"<html></html>", None])
def test_a_map_that_does_not_decode(folder, content):
    path = folder / "vqahat_val" / "3506232_2.png"
    path.write_bytes(path.read_bytes()[:200] if content is None else content)
    with pytest.raises(ValueError, match=r"a whole PNG image: .*3506232_2.png does not decode \(.*\); fetch it again"):
        load_hat(folder)


def test_without_pillow(folder, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "PIL", None)
    with pytest.raises(RuntimeError, match=r"read with Pillow, which is missing; pip install vqabook\[data\]"):
        load_hat(folder, grid=5)


def test_agreement_is_spearmans(folder):
    found = read_maps(folder, grid=4)
    maps = np.round(found.maps * 1000) // 2 + 1.0  # with ties, of more than two values
    assert all(2 < len(np.unique(values)) < 16 for values in maps[2:])
    tied = HumanMaps(found.question_id, found.annotator, found.split, maps.astype(np.float32), 0)
    val = maps[2:]
    expected = np.mean([scipy.stats.spearmanr(val[a], val[b])[0] for a, b in ((1, 0), (2, 0), (2, 1))])
    assert human_agreement(tied) == pytest.approx(expected)
    assert human_agreement(read_maps(folder, question_ids=[4870250])) is None


def test_description(folder):
    centre = np.zeros((140, 140), dtype=np.uint8)
    centre[65:75, 65:75] = 255
    for annotator in (1, 2):
        save(folder / "vqahat_val", f"99_{annotator}.png", centre)
    description = describe(folder)
    json.dumps([dict(description.classes), dict(description.facts), dict(description.picture.data)])
    assert description.rows == {"train": 2, "val": 5} and description.n_classes == 196
    assert sum(description.classes.values()) == 7 and max(description.classes.values()) >= 2
    assert description.facts["questions"] == 4 and 0 < description.facts["rank correlation between two people"] < 1
    share = description.facts["attention in the middle 8 x 8 of 14 x 14 cells, % (32.7 if even)"]
    assert share == pytest.approx((5 * 32.7 + 2 * 100) / 7, abs=3)
    (png,) = description.picture.data["png"]
    mean = np.asarray(Image.open(io.BytesIO(base64.b64decode(png))))
    assert mean.shape == (140, 140) and mean[70, 70] > 240 and mean.max() == 255
