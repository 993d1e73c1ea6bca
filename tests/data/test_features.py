"""The feature store: every storage gives the same numbers, damage is told in one sentence, user data stay untouched."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
import torch

from vqabook.data.features import open_features

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


def test_a_failed_unpacking_leaves_nothing(pixels, write_features, tmp_path, monkeypatch):
    def full_disk(self) -> None:
        raise OSError(28, "No space left on device")

    path = write_features(tmp_path / "f.h5", pixels, IDS, chunked=True)
    monkeypatch.setattr(np.memmap, "flush", full_disk)
    with pytest.raises((OSError, ValueError), match="No space left on device"):
        open_features(path)
    assert list((tmp_path / "cache" / "vqabook").iterdir()) == []
