"""The feature store: every storage gives the same numbers, damage is told in one sentence, user data stay untouched."""

from __future__ import annotations

import time
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from vqabook.features.file import check_numbers
from vqabook.features.store import open_features
from vqabook.files import DiskFull

IDS = [40, 10, 30, 20]


@pytest.fixture
def pixels() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(4, 3, 5)).astype(np.float32)


@pytest.fixture
def codes() -> dict:
    """uint8 codes with their scale and offset."""
    rng = np.random.default_rng(1)
    values = rng.integers(0, 256, (4, 3, 5), dtype=np.uint8)
    return {"features": values, "scale": rng.random(5).astype(np.float32), "offset": -rng.random(5).astype(np.float32)}


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def decoded(codes: dict) -> torch.Tensor:
    return torch.from_numpy(codes["features"] * codes["scale"] + codes["offset"])


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_floats(dtype, chunked, pixels, write_features, tmp_path):
    store = open_features(write_features(tmp_path / "f.h5", pixels.astype(dtype), IDS, chunked=chunked))
    assert (store.n_regions, store.width) == (3, 5)
    rows = torch.tensor([2, 0, 2])
    expected = torch.from_numpy(pixels.astype(dtype)).float()[rows]
    torch.testing.assert_close(store.gather(rows), expected, rtol=0, atol=0)
    torch.testing.assert_close(store.to("cpu").gather(rows), expected, rtol=0, atol=0)


@pytest.mark.parametrize("chunked", [False, True])
def test_codes_are_decoded(chunked, codes, write_features, tmp_path):
    store = open_features(write_features(tmp_path / "f.h5", image_ids=IDS, chunked=chunked, **codes))
    rows = torch.tensor([3, 1])
    torch.testing.assert_close(store.gather(rows), decoded(codes)[rows])
    whole = store.to("cpu")
    assert whole.codes.dtype == torch.float32 and whole.scale is None
    torch.testing.assert_close(whole.gather(rows), decoded(codes)[rows])


def test_what_does_not_fit_stays_mapped(codes, write_features, tmp_path):
    store = open_features(write_features(tmp_path / "f.h5", image_ids=IDS, **codes))
    assert store.to("cpu", budget_bytes=4 * 3 * 5 * 4 - 1) is store
    assert store.to("cpu", budget_bytes=4 * 3 * 5 * 4) is not store


@pytest.mark.parametrize("shape", [None, (3, 3, 5), (4, 3, 5, 1), (4, 3, 5)])
def test_a_damaged_unpacked_copy_is_set_aside_and_made_again(damage, shape, pixels, write_features, tmp_path):
    """So is one of another shape, or of other numbers' kind."""
    chunked = write_features(tmp_path / "f.h5", pixels, IDS, chunked=True)
    want = open_features(chunked).gather(torch.arange(4))
    (unpacked,) = (tmp_path / "cache" / "vqabook").iterdir()
    damage(unpacked) if shape is None else np.save(unpacked, np.zeros(shape, np.float64))
    with pytest.warns(UserWarning, match=rf"{unpacked.name} cannot .* is now {unpacked.name}.damaged"):
        torch.testing.assert_close(open_features(chunked).gather(torch.arange(4)), want)


def test_one_piece_is_mapped_in_place_and_chunks_are_unpacked_once(pixels, write_features, tmp_path):
    cache = tmp_path / "cache" / "vqabook"
    open_features(write_features(tmp_path / "whole.h5", pixels, IDS))
    assert not cache.exists()
    chunked = write_features(tmp_path / "chunked.h5", pixels, IDS, chunked=True)
    open_features(chunked)
    (unpacked,) = cache.iterdir()
    written = unpacked.stat().st_mtime_ns
    open_features(chunked)
    assert [path.stat().st_mtime_ns for path in cache.iterdir()] == [written]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cache", "chunked.h5", "whole.h5"]
    write_features(chunked, 2 * pixels, IDS, chunked=True)
    torch.testing.assert_close(open_features(chunked).gather(torch.arange(4)), torch.from_numpy(2 * pixels))


def test_the_file_is_never_written(pixels, write_features, tmp_path):
    path = write_features(tmp_path / "f.h5", pixels, IDS)
    before = path.read_bytes()
    open_features(path).codes[0] = 7.0  # copy on write
    assert path.read_bytes() == before


def test_rows_of(pixels, write_features, tmp_path):
    store = open_features(write_features(tmp_path / "f.h5", pixels, IDS))
    assert store.rows_of(np.array([20, 40, 20, 10])).tolist() == [3, 0, 3, 1]
    for unknown in (5, 25, 99):
        with pytest.raises(ValueError, match=rf"1 images of the questions \(first: {unknown}\) are not among the 4"):
            store.rows_of(np.array([10, unknown]))


def test_boxes(pixels, write_features, tmp_path):
    boxes = np.ones((4, 3, 4), np.float32)
    assert open_features(write_features(tmp_path / "f.h5", pixels, IDS, boxes=boxes)).boxes.shape == (4, 3, 4)
    assert open_features(write_features(tmp_path / "f.h5", pixels, IDS)).boxes is None


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_numbers_that_are_not_finite(value, pixels, codes, write_features, tmp_path):
    pixels[2, 1, 0] = value
    with pytest.raises(ValueError, match="features are finite numbers: .*f.h5 holds NaN or infinity; extract"):
        open_features(write_features(tmp_path / "f.h5", pixels, IDS))
    codes["scale"][0] = value
    with pytest.raises(ValueError, match="features are finite numbers"):
        open_features(write_features(tmp_path / "g.h5", image_ids=IDS, **codes))


def test_another_width(pixels, write_features, tmp_path):
    path = write_features(tmp_path / "f.h5", pixels, IDS)
    assert open_features(path, width=5).width == 5
    with pytest.raises(
        ValueError, match="reads features 2048 wide, .*f.h5 holds 5; set the model's feature width to 5"
    ):
        open_features(path, width=2048)


@pytest.mark.parametrize(
    "bad", [np.zeros((4, 3, 5), np.float64), np.zeros((4, 5), np.float32), np.zeros((4, 3, 5), int)]
)
def test_another_type_or_shape(bad, write_features, tmp_path):
    with pytest.raises(ValueError, match=r"is \[n, o, d\] in uint8, float16 or float32, got .*; convert it"):
        open_features(write_features(tmp_path / "f.h5", bad, IDS))


@pytest.mark.parametrize("ids", [[1, 2, 3], [1, 2, 2, 3]])
def test_rows_and_images_that_do_not_match(ids, pixels, write_features, tmp_path):
    with pytest.raises(ValueError, match="each image has one feature row: .* has 4 rows for 3 distinct ids"):
        open_features(write_features(tmp_path / "f.h5", pixels, ids))


def test_parts_that_are_missing(pixels, codes, write_features, tmp_path):
    with pytest.raises(FileNotFoundError, match="does not exist; check data_root"):
        open_features(tmp_path / "none.h5")
    with pytest.raises(ValueError, match="HDF5 with `features` and `image_ids`: .*f.h5 is not"):
        open_features(write_features(tmp_path / "f.h5", pixels, None))
    with pytest.raises(ValueError, match="uint8 features need `scale` and `offset`: .* lacks them"):
        open_features(write_features(tmp_path / "g.h5", image_ids=IDS, **codes | {"scale": None}))
    with h5py.File(tmp_path / "h.h5", "w") as file:
        file["image_ids"] = IDS
    with pytest.raises(ValueError, match="HDF5 with `features`"):
        open_features(tmp_path / "h.h5")


@pytest.mark.parametrize("share", [0.0, 0.1, 0.6])
def test_a_cut_off_file(share, pixels, write_features, tmp_path):
    path = write_features(tmp_path / "f.h5", pixels, IDS)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(ValueError, match="a feature file is HDF5 .*; fetch or extract it again"):
        open_features(path)


def test_a_full_disk_while_unpacking(pixels, write_features, tmp_path, monkeypatch):
    path = write_features(tmp_path / "f.h5", pixels, IDS, chunked=True)
    open_features(path)
    (unpacked,) = (tmp_path / "cache" / "vqabook").iterdir()
    unpacked.unlink()
    monkeypatch.setattr("vqabook.files.whole.partial_of", lambda path: path.with_name(f".{path.name}.0.partial"))
    unpacked.with_name(f".{unpacked.name}.0.partial").symlink_to("/dev/full")
    with pytest.raises(DiskFull, match="is full; free space and try again, or set XDG_CACHE_HOME"):
        open_features(path)
    assert list((tmp_path / "cache" / "vqabook").iterdir()) == []


RAGGED = {"first": np.array([0, 2, 3, 6, 7]), "boxes": np.arange(28, dtype=np.float32).reshape(7, 4)}


@pytest.mark.parametrize("chunked", [False, True])
def test_unequal_numbers_of_regions_are_padded_with_zeros(chunked, write_features, tmp_path):
    regions = np.random.default_rng(2).normal(size=(7, 5)).astype(np.float16)
    store = open_features(write_features(tmp_path / "f.h5", regions, IDS, chunked=chunked, **RAGGED))
    assert (store.n_regions, store.width, store.boxes.shape) == (3, 5, (7, 4))
    got = store.gather(torch.tensor([2, 1, 3, 0]))
    whole = torch.from_numpy(regions).float()
    expected = torch.zeros(4, 3, 5)
    expected[0], expected[1, :1], expected[2, :1], expected[3, :2] = whole[3:6], whole[2:3], whole[6:], whole[:2]
    torch.testing.assert_close(got, expected, rtol=0, atol=0)
    torch.testing.assert_close(store.to("cpu").gather(torch.tensor([2, 1, 3, 0])), expected, rtol=0, atol=0)


def test_padding_of_codes_is_zero_whatever_the_offset(codes, write_features, tmp_path):
    flat = codes | {"features": codes["features"].reshape(-1, 5)[:7]}
    for place in ("mapped", "cpu"):
        store = open_features(write_features(tmp_path / "f.h5", image_ids=IDS, **RAGGED, **flat))
        got = (store if place == "mapped" else store.to("cpu")).gather(torch.tensor([1, 2]))
        assert not got[0, 1:].any()
        torch.testing.assert_close(got[1], decoded(flat)[3:6])


@pytest.mark.parametrize("first", [[0, 2, 2, 6, 7], [0, 2, 3, 6, 8], [1, 2, 3, 6, 7], [0, 3, 2, 6, 7]])
def test_offsets_that_do_not_fit(first, write_features, tmp_path):
    with pytest.raises(ValueError, match="`first` rises from 0 to the number of regions, 7 here"):
        open_features(write_features(tmp_path / "f.h5", np.ones((7, 5), np.float16), IDS, first=np.array(first)))


def test_ragged_ids_and_boxes_are_checked_too(write_features, tmp_path):
    values = np.ones((7, 5), np.float16)
    with pytest.raises(ValueError, match="each image has one feature row: .* 4 rows for 3 distinct ids"):
        open_features(write_features(tmp_path / "f.h5", values, [1, 2, 2, 3], **RAGGED))
    with pytest.raises(ValueError, match="`boxes` has four numbers a region"):
        open_features(write_features(tmp_path / "g.h5", values, IDS, **RAGGED | {"boxes": np.ones((6, 4), np.float32)}))


def sparse_file(path: Path, n: int, o: int, d: int) -> None:
    """A file of n x o x d float16 that takes no room: its features are a hole."""
    with h5py.File(path, "w") as file:
        hole = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        hole.set_layout(h5py.h5d.CONTIGUOUS)
        hole.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
        hole.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
        space, kind = h5py.h5s.create_simple((n, o, d)), h5py.h5t.py_create(np.dtype(np.float16))
        h5py.h5d.create(file.id, b"features", kind, space, hole)
        file["image_ids"] = np.arange(n)


def test_eighteen_gigabytes_open_in_a_second(tmp_path):
    sparse_file(tmp_path / "f.h5", 123_287, 36, 2048)
    assert (tmp_path / "f.h5").stat().st_size > 18e9
    seconds = []
    for _ in range(3):  # the first opening also pays for the pages of a hole, which some kernels are slow at
        start = time.process_time()
        store = open_features(tmp_path / "f.h5")
        seconds.append(time.process_time() - start)
    assert min(seconds) < 1
    assert store.gather(torch.tensor([0, 123_286])).shape == (2, 36, 2048)


def test_every_number_is_looked_at_on_demand(tmp_path):
    path = tmp_path / "f.h5"
    sparse_file(path, 1000, 36, 2048)  # 147 MB: more than opening looks at
    with h5py.File(path, "r+") as file:
        file["features"][50] = np.nan
    open_features(path)
    with pytest.raises(ValueError, match="features are finite numbers"):
        check_numbers(path)
    with h5py.File(path, "r+") as file:
        file["features"][50] = 1.0
    check_numbers(path)
