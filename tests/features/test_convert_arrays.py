"""Folders of one file an image: what was in them is in the feature file, row by row; bad files are named."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
import typer
from typer.testing import CliRunner

from vqabook.cli.features import convert
from vqabook.features import convert_arrays as image_arrays
from vqabook.features.convert_arrays import convert_arrays
from vqabook.features.image_files import find_images
from vqabook.features.store import open_features
from vqabook.files import DiskFull

N_REGIONS, D = 6, 32
IDS = (9, 25, 30, 34)


@pytest.fixture
def regions() -> dict[int, np.ndarray]:
    """Image id -> regions, numbers that float16 holds exactly."""
    rng = np.random.default_rng(0)
    return {i: rng.integers(-99, 99, (N_REGIONS, D)).astype(np.float32) for i in IDS}


@pytest.fixture
def folder(tmp_path) -> Path:
    (tmp_path / "in" / "train2014").mkdir(parents=True)
    return tmp_path / "in"


def npz(folder: Path, image_id: int, x: np.ndarray | None, **other) -> Path:
    """A file as MILVLG/bottom-up-attention.pytorch writes it, its pickled `info` too."""
    o = N_REGIONS if other.get("bbox") is None else len(other["bbox"])
    bbox = np.arange(4 * o, dtype=np.float32).reshape(o, 4) + image_id
    parts = {"x": x, "bbox": bbox, "num_bbox": o, "image_h": 480, "image_w": 640, "info": {"image_id": "a"}} | other
    path = folder / "train2014" / f"COCO_train2014_{image_id:012d}.npz"
    np.savez_compressed(path, **{key: value for key, value in parts.items() if value is not None})
    return path


def stored(path: Path) -> dict[int, np.ndarray]:
    store = open_features(path)
    rows = store.gather(torch.arange(len(store.image_ids))).numpy()
    return dict(zip(store.image_ids.tolist(), rows, strict=True))


def same(path: Path, expected: dict[int, np.ndarray]) -> bool:
    got = stored(path)
    return list(got) == list(expected) and all(np.array_equal(got[i], expected[i]) for i in expected)


@pytest.mark.parametrize("columns", [False, True])
def test_npz_with_boxes(columns, regions, folder, tmp_path):
    for i, x in regions.items():
        npz(folder, i, x.T if columns else x)  # openvqa has [d, o]
    assert convert_arrays(folder, tmp_path / "a.h5", n_images=4) == 4
    store = open_features(tmp_path / "a.h5")
    assert same(tmp_path / "a.h5", regions) and store.sizes.tolist() == [[640, 480]] * 4
    assert store.boxes.shape == (4, N_REGIONS, 4) and store.boxes[:, 0, 0].tolist() == list(IDS)
    with h5py.File(tmp_path / "a.h5") as file:
        assert file["features"].dtype == np.float16 and file.attrs["source"] == "in"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.h5", "in"]


@pytest.mark.parametrize("name", ["9.pth", "9.pt", "9.npy", "9.npz"])
@pytest.mark.parametrize("batch", [False, True])
def test_a_map_is_read_row_by_row(batch, name, folder, tmp_path):
    x = np.arange(7 * 2 * 3, dtype=np.float32).reshape(7, 2, 3)
    x = x[None] if batch else x
    if name.endswith(".npy"):
        np.save(folder / name, x)
    elif name.endswith(".npz"):
        np.savez(folder / name, features=x)
    else:
        torch.save(torch.from_numpy(x), folder / name)
    convert_arrays(folder, tmp_path / "a.h5")
    got = stored(tmp_path / "a.h5")[9]
    assert got.shape == (6, 7)
    for row in range(2):
        for column in range(3):  # channel c of cell (row, column) is number 6 c + 3 row + column
            assert got[row * 3 + column].tolist() == [6 * c + 3 * row + column for c in range(7)]
    with h5py.File(tmp_path / "a.h5") as file:
        assert "boxes" not in file and "sizes" not in file  # none is known, so none is claimed


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions(kind, folder, tmp_path):
    torch.save(torch.full((1, 4, 2, 2), 1.5, dtype=kind, requires_grad=True), folder / "9.pth")
    convert_arrays(folder, tmp_path / "a.h5")
    assert (stored(tmp_path / "a.h5")[9] == 1.5).all()


def test_the_format_of_old_pytorch(folder, tmp_path):
    x = torch.arange(12.0).reshape(1, 3, 2, 2)
    torch.save(x, folder / "9.pth", _use_new_zipfile_serialization=False)
    convert_arrays(folder, tmp_path / "a.h5")
    assert np.array_equal(stored(tmp_path / "a.h5")[9], x.reshape(3, 4).T.numpy())


def test_grids_of_unequal_size_need_adaptive(folder, tmp_path):
    rng = np.random.default_rng(1)
    maps = {i: rng.integers(0, 9, (1, 5, h, w)).astype(np.float32) for i, (h, w) in ((1, (2, 3)), (2, (3, 1)))}
    for i, x in maps.items():
        torch.save(torch.from_numpy(x), folder / f"{i}.pth")
    with pytest.raises(ValueError, match="6 regions like .*1.pth: .*2.pth has 3; convert as adaptive"):
        convert_arrays(folder, tmp_path / "a.h5")
    assert convert_arrays(folder, tmp_path / "b.h5", adaptive=True) == 2
    store = open_features(tmp_path / "b.h5")
    assert store.first.tolist() == [0, 6, 9]
    np.testing.assert_array_equal(store.gather(torch.tensor([1]))[0, :3].numpy(), maps[2].reshape(5, 3).T)


def test_adaptive_boxes(folder, tmp_path):
    for i, o in ((1, 3), (2, 5)):
        npz(folder, i, np.full((D, o), i, np.float32), bbox=np.full((o, 4), i, np.float32), num_bbox=o)
    convert_arrays(folder, tmp_path / "a.h5", adaptive=True)
    assert open_features(tmp_path / "a.h5").boxes[:, 0].tolist() == [1] * 3 + [2] * 5


@pytest.mark.parametrize(
    "shapes, regions_of, told",
    [
        ([(8, 4), (8, 5)], [4, 5], False),  # what differs is regions
        ([(40, 8), (50, 8)], [40, 50], False),  # though they are more than the features
        ([(8, 4), (8, 4)], [4, 4], True),  # all alike: the longer side is the features
        ([(4, 8), (4, 8)], [4, 4], True),
    ],
)
def test_matrices_without_boxes(shapes, regions_of, told, folder, tmp_path, capsys):
    for i, shape in enumerate(shapes):
        np.save(folder / f"{i}.npy", np.ones(shape, np.float32))
    convert_arrays(folder, tmp_path / "a.h5", adaptive=True)
    assert open_features(tmp_path / "a.h5").first.diff().tolist() == regions_of
    assert ("0.npy says no number of boxes: read as 4 regions, 8 wide" in capsys.readouterr().err) == told


def test_uint8_is_within_half_a_step(regions, folder, tmp_path):
    for i, x in regions.items():
        npz(folder, i, x)
    convert_arrays(folder, tmp_path / "a.h5", dtype="uint8")
    assert open_features(tmp_path / "a.h5").codes.dtype == torch.uint8
    got = stored(tmp_path / "a.h5")
    assert np.quantile([np.abs(got[i] - x) for i, x in regions.items()], 0.9) <= 0.5 * 198 / 255 + 1e-3


@pytest.mark.parametrize("stop", range(4))
def test_an_interrupted_conversion_goes_on(stop, regions, folder, tmp_path, monkeypatch, capsys):
    for i, x in regions.items():
        npz(folder, i, x)
    append, written = image_arrays.FeatureWriter.append, []

    def interrupted(self, rows, *args, **options):
        if len(written) == stop:
            raise KeyboardInterrupt
        written.append(int(rows[0, 0]))
        append(self, rows, *args, **options)

    monkeypatch.setattr(image_arrays.FeatureWriter, "append", interrupted)
    with pytest.raises(KeyboardInterrupt):
        convert_arrays(folder, tmp_path / "a.h5")
    assert not (tmp_path / "a.h5").exists()
    stop = 99
    assert convert_arrays(folder, tmp_path / "a.h5") == 4
    assert written == list(IDS) and same(tmp_path / "a.h5", regions)  # each once
    assert ("continues an interrupted run at image" in capsys.readouterr().err) == (written != [] and stop > 0)


def test_other_files_start_anew(regions, folder, tmp_path, capsys):
    for i, x in regions.items():
        npz(folder, i, x)
    npz(folder, 30, regions[30][:, :5])
    with pytest.raises(ValueError, match="equally wide: .*000030.npz has 5, .*COCO_train2014_000000000009.npz 32"):
        convert_arrays(folder, tmp_path / "a.h5")
    npz(folder, 30, regions[30])
    convert_arrays(folder, tmp_path / "a.h5")
    assert "starts anew" in capsys.readouterr().err and same(tmp_path / "a.h5", regions)


class Evil:
    """Unpickled, it would make a file."""

    def __init__(self, mark: Path):
        self.mark = mark

    def __reduce__(self) -> tuple:
        return Path.touch, (self.mark,)


@pytest.mark.parametrize("name", ["25.npz", "25.npy", "25.pth", "25.pt"])
def test_objects_are_refused_and_never_loaded(name, folder, tmp_path):
    evil = Evil(tmp_path / "mark")
    if name.endswith("npz"):
        np.savez(folder / name, x=np.array([evil], object))
    elif name.endswith("npy"):
        np.save(folder / name, np.array([evil], object))
    else:
        torch.save({"x": evil}, folder / name)
    with pytest.raises(ValueError, match=f"{name} is none .*objects, which are never loaded") as told:
        convert_arrays(folder, tmp_path / "a.h5")
    assert not (tmp_path / "mark").exists() and "\n" not in str(told.value) and "=" not in str(told.value)


@pytest.mark.parametrize("kind", ["npz", "npy", "pth", "old.pth"])
@pytest.mark.parametrize("keep", [0, 5, 100, 700, -1])
def test_truncated_files(keep, kind, folder, tmp_path):
    x, path = np.ones((1, 30, 4, 4), np.float32), folder / f"25.{kind}"
    if kind == "npz":
        np.savez(path, x=x)
    elif kind == "npy":
        np.save(path, x)
    else:
        torch.save(torch.from_numpy(x), path, _use_new_zipfile_serialization=kind == "pth")
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(
        ValueError, match=f"whole .npz, .npy, .pth or .pt files of numbers: .*25.{kind} is none"
    ) as told:
        convert_arrays(folder, tmp_path / "a.h5")
    assert "\n" not in str(told.value)
    assert not (tmp_path / "a.h5").exists()


def bad_npz(**other) -> Callable:
    return lambda folder: npz(folder, 25, **({"x": np.ones((N_REGIONS, D), np.float32)} | other))


def bad_array(x: np.ndarray) -> Callable:
    return lambda folder: np.save(folder / "25.npy", x)


BAD = {
    "no features": (bad_npz(x=None), "features as x or features: .*000025.npz has bbox, num_bbox, image_h"),
    "integers": (bad_npz(x=np.ones((N_REGIONS, D), int)), "floating-point numbers: those of .*000025.npz are int64"),
    "NaN": (
        bad_npz(x=np.full((N_REGIONS, D), np.nan)),
        "finite numbers: .*000025.npz has NaN or infinity in its features",
    ),
    "a NaN box": (bad_npz(bbox=np.full((N_REGIONS, 4), np.nan)), "000025.npz has NaN or infinity in its boxes"),
    "beyond float16": (bad_npz(x=np.full((N_REGIONS, D), 1e6)), "float16 ends at 65504: .*000025.npz is beyond"),
    "another count": (bad_npz(num_bbox=5), "every region has a box: .*000025.npz has 6 and says 5"),
    "no region for it": (bad_npz(x=np.ones((7, D))), r"000025.npz says 6 regions and has 7 \(\[7, 32\]\)"),
    "half a count": (bad_npz(num_bbox=5.5), "`num_bbox` is one whole number from 0: in .*000025.npz"),
    "many sizes": (bad_npz(image_w=[1, 2]), "`image_w` is one whole number"),
    "five numbers": (
        bad_npz(bbox=np.ones((N_REGIONS, 5))),
        r"a box is four numbers, \[o, 4\]: .*000025.npz has boxes \[6, 5\]",
    ),
    "pickled boxes": (bad_npz(bbox=np.array([{}] * N_REGIONS)), "000025.npz is none .*objects, which are never loaded"),
    "no boxes": (bad_npz(bbox=None), "boxes or none has: .*COCO_train2014_000000000009.npz has them, .*25.npz lacks"),
    "no sizes": (
        bad_npz(image_w=None),
        "sizes or none has: .*COCO_train2014_000000000009.npz has them, .*25.npz lacks",
    ),
    "a vector": (bad_array(np.ones(D)), r"at least one region, as .* got \[32\] in .*25.npy"),
    "two images": (bad_array(np.ones((2, D, 2, 3))), r"got \[2, 32, 2, 3\] in .*25.npy"),
    "no regions": (bad_array(np.ones((0, D))), r"at least one region, as .* got \[0, 32\]"),
    "channels last": (bad_array(np.ones((2, 3, D))), r"channels first, \[d, h, w\], got \[2, 3, 32\] in .*25.npy"),
    "another program's": (lambda f: (f / "25.npz").write_bytes(b"PK" + bytes(90)), "25.npz is none"),
    "an array in an archive's name": (
        lambda f: np.save(open(f / "25.npz", "wb"), np.ones((N_REGIONS, D))),  # noqa: SIM115
        "25.npz is none .*it is one array; name it .npy",
    ),
    "weights": (
        lambda f: torch.save({"w": torch.ones(2)}, f / "25.pth"),
        "one dense tensor: .*25.pth holds a dict; save",
    ),
    "whole numbers": (
        lambda f: torch.save(torch.ones(N_REGIONS, D).long(), f / "25.pth"),
        "those of .*25.pth are torch.int64",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_files(case, regions, folder, tmp_path):
    make, sentence = BAD[case]
    npz(folder, 9, regions[9])
    make(folder)
    (folder / "train2014" / "COCO_train2014_000000000025.npz").exists() or npz(folder, 30, regions[30])
    with pytest.raises(ValueError, match=sentence):
        convert_arrays(folder, tmp_path / "a.h5", adaptive=case == "no region for it")
    assert not (tmp_path / "a.h5").exists()


def test_a_damaged_archive(folder, tmp_path):
    path = folder / "9.npz"
    np.savez_compressed(path, x=np.random.default_rng(0).random((N_REGIONS, D)))
    with zipfile.ZipFile(path) as archive:
        at = archive.getinfo("x.npy").header_offset + 300
    data = bytearray(path.read_bytes())
    data[at : at + 50] = bytes(50)
    path.write_bytes(data)
    with pytest.raises(ValueError, match="9.npz is none"):
        convert_arrays(folder, tmp_path / "a.h5")


def test_folders_that_cannot_be(regions, folder, tmp_path):
    with pytest.raises(FileNotFoundError, match="from a folder of arrays: .*none is not a folder"):
        convert_arrays(tmp_path / "none", tmp_path / "a.h5")
    with pytest.raises(ValueError, match=r"from a folder of arrays: .*in has none \(.npy, .npz, .pt, .pth\)"):
        convert_arrays(folder, tmp_path / "a.h5")
    npz(folder, 9, regions[9])
    with pytest.raises(ValueError, match="float16 or uint8, got 'int8'"):
        convert_arrays(folder, tmp_path / "a.h5", dtype="int8")
    with pytest.raises(ValueError, match="5 images are expected, .*in has 1; download the others"):
        convert_arrays(folder, tmp_path / "a.h5", n_images=5)
    np.save(folder / "9.npy", regions[9])
    with pytest.raises(ValueError, match="one image: 9.npy and train2014/COCO_.*9.npz both have 9; give ids as a JSON"):
        convert_arrays(folder, tmp_path / "a.h5")
    (folder / "9.npy").rename(folder / "cat.npy")
    with pytest.raises(ValueError, match="the last number in its file name: cat.npy has none"):
        convert_arrays(folder, tmp_path / "a.h5")
    (tmp_path / "ids.json").write_text('{"cat.npy": 1000}')
    assert convert_arrays(folder, tmp_path / "a.h5", ids=str(tmp_path / "ids.json")) == 1
    assert same(tmp_path / "a.h5", {1000: regions[9]})
    with pytest.raises(FileExistsError, match="never overwritten: .*a.h5 exists"):
        convert_arrays(folder, tmp_path / "a.h5", ids=str(tmp_path / "ids.json"))


def test_ids_of_released_names(folder):
    names = {
        "train2014/COCO_train2014_000000000009.jpg.npz": 9,
        "train2014/25.pth": 25,
        "train2014/n161313.npy": 161313,
    }
    for name in (*names, "train2014/readme7.txt", "train2014/._8.npz"):
        (folder / name).touch()
    assert find_images(folder, suffixes={".npz", ".pth", ".npy"}) == dict(sorted(names.items()))


def test_a_full_disk(regions, folder, tmp_path, monkeypatch):
    for i, x in regions.items():
        npz(folder, i, x)
    real, freed = image_arrays.FeatureWriter.append, []

    def on_a_full_disk(self, *args, **options):
        if self.images == 2 and not freed:
            self._files["boxes"].close()
            self._files["boxes"] = open("/dev/full", "r+b", buffering=0)  # noqa: SIM115
        return real(self, *args, **options)

    monkeypatch.setattr(image_arrays.FeatureWriter, "append", on_a_full_disk)
    with pytest.raises(DiskFull, match="a.h5 .*is full; free space and run the same"):
        convert_arrays(folder, tmp_path / "a.h5")
    freed.append(True)
    convert_arrays(folder, tmp_path / "a.h5")
    assert same(tmp_path / "a.h5", regions)


def test_too_little_room_is_told_at_once(folder, tmp_path, monkeypatch):
    npz(folder, 9, np.ones((N_REGIONS, 2048), np.float32))
    monkeypatch.setattr(shutil, "disk_usage", lambda path: type("", (), {"free": 10_000}))
    with pytest.raises(OSError, match="a.h5 needs 0.0 GB more, the disk of .* has 0.0 GB free; free some"):
        convert_arrays(folder, tmp_path / "a.h5")


def test_the_command(regions, folder, tmp_path):
    app = typer.Typer()
    app.command()(convert)
    for i, x in regions.items():
        npz(folder, i, x)

    def run(*args: object):
        return CliRunner().invoke(app, [str(arg) for arg in args])

    done = run(folder, tmp_path / "a.h5", "--n-images", 4, "--ids", r"(\d+)$")
    assert done.exit_code == 0 and "a.h5: 4 images" in done.output and same(tmp_path / "a.h5", regions)
    for args in ((folder, folder), (folder, "--skip-broken")):
        assert "a folder is converted by itself and whole" in str(run(*args, tmp_path / "b.h5").exception)
    assert "--ids is for a folder of arrays" in str(run("a.tsv", tmp_path / "b.h5", "--ids", "x").exception)
    assert "or one folder with a file an image" in " ".join(run("--help").output.replace("│", " ").split())
