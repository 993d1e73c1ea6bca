"""Bottom-up TSVs: what is written is what was in the lines, whatever interrupts; bad lines are named."""

from __future__ import annotations

import base64
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
from vqabook.features import convert_tsv as bottom_up
from vqabook.features.convert_tsv import convert_tsv, prepare_36, prepare_adaptive
from vqabook.features.store import open_features
from vqabook.features.writer import FeatureWriter
from vqabook.files import DiskFull

WIDTH = 512


def b64(values: np.ndarray) -> str:
    return base64.b64encode(np.ascontiguousarray(values)).decode()


@pytest.fixture
def images() -> dict[int, tuple[np.ndarray, np.ndarray]]:
    """Image id -> boxes, features: six regions each."""
    rng = np.random.default_rng(0)
    return {i: (rng.random((6, 4), np.float32), rng.random((6, WIDTH), np.float32)) for i in (42, 7, 100, 9)}


def line(image_id: int, boxes: np.ndarray, features: np.ndarray, /, **other) -> bytes:
    """One row as the release's csv writer wrote it; `other` replaces columns."""
    columns = {"id": image_id, "w": 640, "h": 480, "n": len(boxes), "boxes": b64(boxes), "features": b64(features)}
    return ("\t".join(str(value) for value in (columns | other).values()) + "\r\n").encode()


def tsv(path: Path, images: dict) -> Path:
    path.write_bytes(b"".join(line(i, *parts) for i, parts in images.items()))
    return path


def same(path: Path, images: dict) -> bool:
    store = open_features(path)
    expected = np.stack([features for _, features in images.values()]).astype(np.float16).astype(np.float32)
    return (
        store.image_ids.tolist() == list(images)
        and np.array_equal(store.gather(torch.arange(len(images))).numpy(), expected)
        and np.array_equal(store.boxes, np.stack([boxes for boxes, _ in images.values()]))
        and store.sizes.tolist() == [[640, 480]] * len(images)
    )


def test_what_was_in_the_lines(images, tmp_path):
    assert convert_tsv([tsv(tmp_path / "a.tsv", images)], tmp_path / "a.h5") == 4
    assert same(tmp_path / "a.h5", images)
    with h5py.File(tmp_path / "a.h5") as file:
        assert file["features"].dtype == np.float16 and file["features"].id.get_offset() == 4096  # mapped in place
        assert file.attrs["source"] == "a.tsv"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.h5", "a.tsv"]


def test_features_of_less_than_a_page(tmp_path):
    small = {i: (np.ones((1, 4), np.float32), np.full((1, 2), i, np.float32)) for i in (3, 1)}
    convert_tsv([tsv(tmp_path / "a.tsv", small)], tmp_path / "a.h5")
    assert same(tmp_path / "a.h5", small)


def test_several_files_and_members_of_an_archive(images, tmp_path):
    halves = dict(list(images.items())[:2]), dict(list(images.items())[2:])
    parts = [tsv(tmp_path / f"{i}.tsv", half) for i, half in enumerate(halves)]
    convert_tsv(parts, tmp_path / "files.h5")
    with zipfile.ZipFile(tmp_path / "z.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for i, part in enumerate(parts):
            archive.write(part, f"trainval/x.tsv.{i}")
        archive.writestr("__MACOSX/trainval/._x.tsv", "not features")
    convert_tsv([tmp_path / "z.zip"], tmp_path / "zip.h5")
    assert same(tmp_path / "files.h5", images) and same(tmp_path / "zip.h5", images)


def test_adaptive(tmp_path):
    rng = np.random.default_rng(1)
    images = {
        i: (rng.random((n, 4), np.float32), rng.random((n, WIDTH), np.float32)) for i, n in ((5, 3), (6, 1), (2, 7))
    }
    convert_tsv([tsv(tmp_path / "a.tsv", images)], tmp_path / "a.h5", adaptive=True)
    store = open_features(tmp_path / "a.h5")
    assert store.first.tolist() == [0, 3, 4, 11] and store.n_regions == 7
    got = store.gather(torch.arange(3))
    for row, (boxes, features) in zip(got, images.values(), strict=True):
        np.testing.assert_array_equal(row[: len(boxes)].numpy(), features.astype(np.float16).astype(np.float32))
        assert not row[len(boxes) :].any()
    np.testing.assert_array_equal(store.boxes, np.concatenate([boxes for boxes, _ in images.values()]))


@pytest.mark.parametrize("packed", [False, True])
def test_uint8_is_within_half_a_step(packed, images, tmp_path):
    source = tsv(tmp_path / "a.tsv", images)
    if packed:
        with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
            archive.write(source, "a.tsv")
        source = tmp_path / "a.zip"
    convert_tsv([source], tmp_path / "a.h5", dtype="uint8")
    store = open_features(tmp_path / "a.h5")
    assert store.codes.dtype == torch.uint8
    error = store.gather(torch.arange(4)) - torch.from_numpy(np.stack([f for _, f in images.values()]))
    # half a step of 1/255, what float16 rounds, and what the ends of the range cut off
    assert error.abs().quantile(0.9) < 0.0025 and error.abs().max() < 0.3


def test_what_is_beyond_float16_becomes_codes(images, tmp_path):
    large = {i: (boxes, features * 1e5) for i, (boxes, features) in images.items()}
    source = tsv(tmp_path / "a.tsv", large)
    with pytest.raises(ValueError, match="float16 ends at 65504: row 1 of a.tsv .* convert it to uint8"):
        convert_tsv([source], tmp_path / "a.h5")
    convert_tsv([source], tmp_path / "b.h5", dtype="uint8")
    found = open_features(tmp_path / "b.h5").gather(torch.arange(4)).numpy()
    assert np.isfinite(found).all()
    assert np.median(np.abs(found - np.clip([f for _, f in large.values()], 0, 65504))) < 65504 / 255


@pytest.mark.parametrize("stop", range(4))
@pytest.mark.parametrize("packed", [False, True])
def test_an_interrupted_conversion_goes_on(packed, stop, images, tmp_path, monkeypatch, capsys):
    source = tsv(tmp_path / "a.tsv", images)
    if packed:
        with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            archive.write(source, "a.tsv")
        source = tmp_path / "a.zip"
    parse, parsed = bottom_up.parse_row, []

    def interrupted(text: bytes, where: str):
        if len(parsed) == stop:
            raise KeyboardInterrupt
        parsed.append(where)
        return parse(text, where)

    monkeypatch.setattr(bottom_up, "parse_row", interrupted)
    with pytest.raises(KeyboardInterrupt):
        convert_tsv([source], tmp_path / "a.h5")
    assert not (tmp_path / "a.h5").exists()
    stop = 99
    assert convert_tsv([source], tmp_path / "a.h5") == 4
    assert len(parsed) == 4 and same(tmp_path / "a.h5", images)  # no line was read twice
    assert ("continues an interrupted run at image" in capsys.readouterr().err) == bool(parsed)


def test_a_repeat_across_an_interrupt_is_found(images, tmp_path, monkeypatch):
    source = tsv(tmp_path / "a.tsv", images)
    source.write_bytes(source.read_bytes() + line(42, *images[42]))
    parse, parsed = bottom_up.parse_row, []

    def interrupted(text: bytes, where: str):
        if len(parsed) == 2:
            raise KeyboardInterrupt
        parsed.append(where)
        return parse(text, where)

    with monkeypatch.context() as patch:
        patch.setattr(bottom_up, "parse_row", interrupted)
        with pytest.raises(KeyboardInterrupt):
            convert_tsv([source], tmp_path / "a.h5")
    with pytest.raises(ValueError, match=r"an image has one row: row 5 of a.tsv \(image 42\) repeats one"):
        convert_tsv([source], tmp_path / "a.h5")


def test_half_a_row_after_the_last_checkpoint_is_dropped(images, tmp_path):
    source = tsv(tmp_path / "a.tsv", images)
    bad = source.read_bytes().replace(line(9, *images[9]), b"9\tx")
    source.write_bytes(bad)
    with pytest.raises(ValueError, match="row 4 of a.tsv begins"):
        convert_tsv([source], tmp_path / "a.h5")
    with open(tmp_path / "a.h5.partial" / "features.raw", "ab") as file:
        file.write(b"half a row")  # as a kill in the middle of a write leaves it
    stat = source.stat()
    recipe = {"sources": [["a.tsv", stat.st_size, stat.st_mtime_ns]], "options": [False, "float16", False]}
    with FeatureWriter(tmp_path / "a.h5", recipe, "float16") as writer:
        assert writer.images == 3
        rows = np.array([[9, 640, 480, 6]])
        writer.append(rows, images[9][1][None].astype(np.float16), images[9][0], position={})
        writer.finish({})
    assert same(tmp_path / "a.h5", images)


def test_other_sources_start_anew(images, tmp_path, capsys):
    source = tmp_path / "a.tsv"
    source.write_bytes(line(1, *images[7]) + b"bad\n")
    with pytest.raises(ValueError, match="row 2 of a.tsv"):
        convert_tsv([source], tmp_path / "a.h5")
    convert_tsv([tsv(source, images)], tmp_path / "a.h5")
    assert "starts anew" in capsys.readouterr().err and same(tmp_path / "a.h5", images)


def broken(images: dict, **other) -> bytes:
    return line(42, *images[42]) + line(7, *images[7], **other) + line(9, *images[9])


BAD = {
    "too few boxes": (dict(n=5), "a box is four numbers: row 2 of a.tsv .image 7. says 5 boxes and has 24 numbers"),
    "no boxes": (dict(n=0, boxes="", features=""), "at least one box, row 2 of a.tsv .image 7. says 0"),
    "broken base64": (dict(features="AAA!"), "`features` is base64: in row 2 of a.tsv .image 7. it is broken"),
    "letters between": (
        dict(features=b64(np.ones((6, WIDTH), np.float32))[:400] + "!!!!" + b64(np.ones((6, WIDTH), np.float32))[400:]),
        "`features` is base64: in row 2 of a.tsv .image 7. it is broken",
    ),
    "python's bytes": (dict(boxes="b'AAAA'"), "`boxes` is base64: in row 2 of a.tsv .image 7."),
    "a byte too few": (dict(features=b64(np.zeros(7, np.uint8))), "four bytes a number: row 2 of a.tsv .* has 7 bytes"),
    "features missing": (
        dict(features=b64(np.zeros(7, np.float32))),
        "as many features: row 2 of a.tsv .* has 7 for 6",
    ),
    "another width": (
        dict(features=b64(np.zeros((6, 4), np.float32))),
        "equally wide: row 2 of a.tsv .* has 4, row 1 of a.tsv",
    ),
    "NaN": (dict(features=b64(np.full((6, WIDTH), np.nan, np.float32))), "finite numbers: row 2 of a.tsv .image 7."),
    "an infinite box": (dict(boxes=b64(np.full((6, 4), np.inf, np.float32))), "finite numbers: row 2 of a.tsv .image"),
    "too large": (dict(features=b64(np.full((6, WIDTH), 1e6, np.float32))), "ends at 65504: row 2 of a.tsv .image 7."),
    "a repeated image": (dict(id=42), "an image has one row: row 2 of a.tsv .image 42. repeats one; skip broken"),
    "no id": (dict(id="image_id"), "begins with four integers .*: row 2 of a.tsv begins"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_rows(case, images, tmp_path):
    other, sentence = BAD[case]
    (tmp_path / "a.tsv").write_bytes(broken(images, **other))
    with pytest.raises(ValueError, match=sentence):
        convert_tsv([tmp_path / "a.tsv"], tmp_path / "a.h5")
    assert not (tmp_path / "a.h5").exists()


def test_another_number_of_boxes_needs_adaptive(images, tmp_path):
    images[7] = tuple(part[:5] for part in images[7])
    with pytest.raises(
        ValueError, match=r"6 regions like row 1 of a.tsv .*: row 2 of a.tsv \(image 7\) has 5; convert as adap"
    ):
        convert_tsv([tsv(tmp_path / "a.tsv", images)], tmp_path / "a.h5")
    assert convert_tsv([tmp_path / "a.tsv"], tmp_path / "b.h5", adaptive=True) == 4


@pytest.mark.parametrize("keep", [3, 20, 500, -3])
def test_a_cut_off_last_row(keep, images, tmp_path):
    last = line(9, *images[9]).rstrip()
    (tmp_path / "a.tsv").write_bytes(line(42, *images[42]) + last[:keep])
    with pytest.raises(ValueError, match="row 2 of a.tsv"):
        convert_tsv([tmp_path / "a.tsv"], tmp_path / "a.h5")


def test_rows_written_twice_as_in_the_released_test2014(images, tmp_path):
    cut = line(7, *images[7])[:700] + b"\r\n"
    (tmp_path / "a.tsv").write_bytes(cut + b"".join(line(i, *p) for i, p in images.items()) + line(42, *images[42]))
    with pytest.raises(ValueError, match="row 1 of a.tsv"):
        convert_tsv([tmp_path / "a.tsv"], tmp_path / "a.h5")
    assert convert_tsv([tmp_path / "a.tsv"], tmp_path / "a.h5", skip_broken=True) == 4
    assert same(tmp_path / "a.h5", images)
    with h5py.File(tmp_path / "a.h5") as file:
        assert file.attrs["left_out"].tolist() == [7, 42]
    (tmp_path / "b.tsv").write_bytes(cut + line(42, *images[42]))
    with pytest.raises(ValueError, match="every image has one whole row: 1 have none"):
        convert_tsv([tmp_path / "b.tsv"], tmp_path / "b.h5", skip_broken=True)


def test_a_full_disk(images, tmp_path, monkeypatch):
    source = tsv(tmp_path / "a.tsv", images)
    (tmp_path / "a.h5.partial").mkdir()
    real = bottom_up.FeatureWriter.append

    def on_a_full_disk(self, *args, **options):
        if self.images == 2 and not full.is_file():
            self._files["boxes"].close()
            self._files["boxes"] = open("/dev/full", "r+b", buffering=0)  # noqa: SIM115
        return real(self, *args, **options)

    full = tmp_path / "freed"
    monkeypatch.setattr(bottom_up.FeatureWriter, "append", on_a_full_disk)
    with pytest.raises(DiskFull, match="a.h5 .*is full; free space and run the same"):
        convert_tsv([source], tmp_path / "a.h5")
    full.touch()
    convert_tsv([source], tmp_path / "a.h5")
    assert same(tmp_path / "a.h5", images)


def test_too_little_room_is_told_at_once(images, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: type("", (), {"free": 10_000}))
    with pytest.raises(OSError, match="a.h5 needs 0.0 GB more, the disk of .* has 0.0 GB free; free some"):
        convert_tsv([tsv(tmp_path / "a.tsv", images)], tmp_path / "a.h5")


def test_files_that_cannot_be(images, tmp_path):
    source = tsv(tmp_path / "a.tsv", images)
    with pytest.raises(FileNotFoundError, match="none.tsv is not a file"):
        convert_tsv([tmp_path / "none.tsv"], tmp_path / "a.h5")
    with pytest.raises(ValueError, match="at least one TSV file, got none"):
        convert_tsv([], tmp_path / "a.h5")
    with pytest.raises(ValueError, match="float16 or uint8, got 'int8'"):
        convert_tsv([source], tmp_path / "a.h5", dtype="int8")
    with pytest.raises(ValueError, match="5 images are expected, the TSVs end after 4"):
        convert_tsv([source], tmp_path / "a.h5", n_images=5)
    (tmp_path / "empty.tsv").write_bytes(b"")
    with pytest.raises(ValueError, match="at least one image"):
        convert_tsv([tmp_path / "empty.tsv"], tmp_path / "e.h5")
    with zipfile.ZipFile(tmp_path / "z.zip", "w") as archive:
        archive.writestr("readme.txt", "")
    with pytest.raises(ValueError, match="an archive of features holds .tsv files"):
        convert_tsv([tmp_path / "z.zip"], tmp_path / "z.h5")
    convert_tsv([source], tmp_path / "done.h5")
    with pytest.raises(FileExistsError, match="never overwritten: .*done.h5 exists; move it away"):
        convert_tsv([source], tmp_path / "done.h5")


def test_a_damaged_archive(images, tmp_path):
    with zipfile.ZipFile(tmp_path / "z.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(tsv(tmp_path / "a.tsv", images), "a.tsv")
    data = bytearray((tmp_path / "z.zip").read_bytes())
    data[5000:5400] = bytes(400)
    (tmp_path / "z.zip").write_bytes(data)
    with pytest.raises(ValueError, match="an archive is a whole zip file|row .* of a.tsv"):
        convert_tsv([tmp_path / "z.zip"], tmp_path / "z.h5")


def test_one_process_writes(images, tmp_path):
    with (
        FeatureWriter(tmp_path / "a.h5", {}, "float16"),
        pytest.raises(RuntimeError, match="one process writes a feature file: another writes .*a.h5"),
    ):
        convert_tsv([tsv(tmp_path / "a.tsv", images)], tmp_path / "a.h5")


@pytest.mark.parametrize("prepare, out", [(prepare_36, "trainval36.h5"), (prepare_adaptive, "trainval_adaptive.h5")])
def test_prepare(prepare: Callable, out: str, images, tmp_path, monkeypatch):
    (tmp_path / "source" / "trainval").mkdir(parents=True)
    (tmp_path / "target").mkdir()
    with pytest.raises(FileNotFoundError, match="come as .tsv files"):
        prepare(tmp_path / "source", tmp_path / "target")
    tsv(tmp_path / "source" / "trainval" / "x.tsv.0", images)
    with pytest.raises(ValueError, match="123287 images are expected, the TSVs end after 4"):
        prepare(tmp_path / "source", tmp_path / "target")
    monkeypatch.setattr(bottom_up, "TRAINVAL_IMAGES", 4)
    prepare(tmp_path / "source", tmp_path / "target")
    assert [path.name for path in (tmp_path / "target").iterdir()] == [out]


@pytest.mark.parametrize(
    ("prepare", "out"), [(prepare_36, "trainval36.h5"), (prepare_adaptive, "trainval_adaptive.h5")]
)
def test_prepare_called_again_keeps_what_is_whole(prepare: Callable, out: str, images, tmp_path, monkeypatch):
    monkeypatch.setattr(bottom_up, "TRAINVAL_IMAGES", 4)
    source, target = tmp_path / "source", tmp_path / "target"
    for folder in (source, target):
        folder.mkdir()
    tsv(source / "a.tsv", images)
    prepare(source, target)
    written = (target / out).read_bytes()
    (target / f"{out}.partial").mkdir()  # a kill between the last two steps
    prepare(source, target)
    assert [path.name for path in target.iterdir()] == [out] and (target / out).read_bytes() == written


def test_the_command(images, tmp_path):
    app = typer.Typer()
    app.command()(convert)
    source = tsv(tmp_path / "a.tsv", images)
    done = CliRunner().invoke(app, [str(source), str(tmp_path / "a.h5"), "--n-images", "4"])
    assert done.exit_code == 0 and "a.h5: 4 images" in done.output and same(tmp_path / "a.h5", images)
    assert "goes on where it stopped" in " ".join(CliRunner().invoke(app, ["--help"]).output.split())
