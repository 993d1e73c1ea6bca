"""CIFAR in its official binary layout, full size: made up here, made of sheets, and the real sets where they are."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import pickle
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from vqabook.catalogue.images import channel_statistics, describe_cifar10, describe_cifar100
from vqabook.data.cifar import CIFAR100_CLASSES, TRAIN_BATCHES, prepare_sheets
from vqabook.data.image_tables import CIFAR10_LOOKUP, CIFAR100_LOOKUP, Normalise, load_cifar10, load_cifar100

N = 10_000
BATCHES = (*TRAIN_BATCHES, "test_batch")
MADE = dict(zip(BATCHES, (0, 0, 0, 1, 0, 2), strict=True))  # file -> seed; three contents, to save time


def records(seed: int, n: int, n_labels: tuple[int, ...]) -> np.ndarray:
    """Made-up records: balanced labels in a mixed order, smooth random pixels that compress quickly."""
    rng = np.random.default_rng(seed)
    made = np.repeat(rng.integers(0, 256, (n, 96), dtype=np.uint8), 32, axis=1)
    made = np.concatenate([np.empty((n, len(n_labels)), np.uint8), made], axis=1)
    fine = rng.permutation(n) % n_labels[-1]
    made[:, 0] = fine % n_labels[0]
    made[:, len(n_labels) - 1] = fine
    return made


@pytest.fixture(scope="module")
def made10(tmp_path_factory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("cifar10")
    for name, seed in MADE.items():
        records(seed, N, (10,)).tofile(folder / f"{name}.bin")
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def made100(tmp_path_factory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("cifar100")
    for seed, (name, times) in enumerate((("train", 5), ("test", 1))):
        np.tile(records(seed, N, (20, 100)), (times, 1)).tofile(folder / f"{name}.bin")
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def sheets(made10, tmp_path_factory) -> Iterator[Path]:
    """The files of the npm package, with the images of `made10`."""
    folder = tmp_path_factory.mktemp("npm")
    labels, drawn = {}, {}
    for name, seed in MADE.items():
        made = np.fromfile(made10 / f"{name}.bin", np.uint8).reshape(N, 3073)
        labels[name] = made[:, 0].tolist()
        if seed in drawn:
            (folder / f"{name}.png").hardlink_to(drawn[seed])
            continue
        pixels = np.ascontiguousarray(made[:, 1:].reshape(N, 3, 1024).transpose(0, 2, 1))
        drawn[seed] = folder / f"{name}.png"
        Image.fromarray(pixels).save(drawn[seed], compress_level=1)
    train = [label for name in TRAIN_BATCHES for label in labels[name]]
    (folder / "train_lables.json").write_text(json.dumps(train))
    (folder / "test_lables.json").write_text(json.dumps(labels["test_batch"]))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def real100(real_data, tmp_path_factory) -> Iterator[Path]:
    """CIFAR-100's official binary files, out of lossless sheets of 50 x 100 images."""
    source, folder = real_data("cifar100_webp"), tmp_path_factory.mktemp("real100")
    for split in ("train", "test"):
        images = [
            np.asarray(Image.open(path).convert("RGB")).reshape(50, 32, 100, 32, 3).transpose(0, 2, 4, 1, 3)
            for path in sorted(source.glob(f"{split}_*.webp"))
        ]
        columns = [np.load(source / f"{split}_labels.npy"), np.concatenate(images).reshape(-1, 3072)]
        np.concatenate(columns, axis=1, dtype=np.uint8, casting="unsafe").tofile(folder / f"{split}.bin")
    yield folder
    shutil.rmtree(folder)


def with_files(folder: Path, target: Path, **files: bytes | None) -> Path:
    """A copy of the folder by links, with some files' content changed or the file left out (None)."""
    target.mkdir(exist_ok=True)
    for path in folder.iterdir():
        if path.stem not in files:
            (target / path.name).symlink_to(path)
        elif files[path.stem] is not None:
            (target / path.name).write_bytes(files[path.stem])
    return target


def test_cifar10_is_read_record_by_record(made10):
    train, test = load_cifar10(made10)
    assert (len(train), len(test), train.n_classes) == (5 * N, N, 10)
    assert train.inputs[0].shape == (5 * N, 3, 32, 32) and train.inputs[0].dtype == torch.uint8
    for table, row, name, at in (
        (train, 0, "data_batch_1", 0),
        (train, 34567, "data_batch_4", 4567),
        (test, 9, BATCHES[-1], 9),
    ):
        record = (made10 / f"{name}.bin").read_bytes()[3073 * at : 3073 * (at + 1)]
        assert table.target[row] == record[0]
        image = table.inputs[0][row]
        assert image.numpy().tobytes() == record[1:]
        assert image[1, 2, 3] == record[1 + 1024 + 2 * 32 + 3]  # green plane, row 2, column 3


def test_cifar100_has_both_labels(made100):
    train, test = load_cifar100(made100)
    assert (len(train), len(test), train.n_classes) == (5 * N, N, 100)
    record = (made100 / "train.bin").read_bytes()[3074 * 43210 : 3074 * 43211]
    assert (train.side["coarse"][43210], train.target[43210]) == (record[0], record[1])
    assert len(train.target.unique()) == 100
    assert torch.equal(train.target % 20, train.side["coarse"])  # as the fixture made them
    assert train.inputs[0][43210].numpy().tobytes() == record[2:]


def test_the_official_folder_within_the_archive_will_do(made10, tmp_path):
    (tmp_path / "cifar-10-batches-bin").symlink_to(made10)
    assert len(load_cifar10(tmp_path)[1]) == N


def test_a_batch_is_normalised_floats():
    lookup = Normalise((0.5, 0.25, 0.0), (0.5, 0.25, 1.0))
    images = torch.zeros(2, 3, 32, 32, dtype=torch.uint8)
    images[1] = 255
    (out,) = lookup(images)
    assert out.dtype == torch.float32
    torch.testing.assert_close(out[0, :, 0, 0], torch.tensor([-1.0, -1.0, 0.0]))
    torch.testing.assert_close(out[1, :, 5, 7], torch.tensor([1.0, 3.0, 1.0]))
    random = torch.randint(0, 256, (4, 3, 32, 32), dtype=torch.uint8)
    mean, std = (torch.tensor(x).view(3, 1, 1) for x in (CIFAR10_LOOKUP.mean, CIFAR10_LOOKUP.std))
    torch.testing.assert_close(CIFAR10_LOOKUP(random)[0], (random / 255 - mean) / std)


def test_a_table_gives_batches_and_its_lookup_pickles(made10):
    _, test = load_cifar10(made10)
    batch = test.batch(torch.tensor([3, 1]))
    assert batch.inputs[0].shape == (2, 3, 32, 32) and batch.inputs[0].is_floating_point()
    again = pickle.loads(pickle.dumps(test.lookup))
    assert torch.equal(again(test.inputs[0][:2])[0], test.lookup(test.inputs[0][:2])[0])


def test_sheets_become_the_official_files(sheets, made10, tmp_path):
    prepare_sheets(sheets, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(f"{name}.bin" for name in BATCHES)
    for name in BATCHES:
        assert (tmp_path / f"{name}.bin").read_bytes() == (made10 / f"{name}.bin").read_bytes()


def test_npms_own_folder_will_do(sheets, tmp_path):
    (tmp_path / "package").symlink_to(sheets)
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"):  # the sheet is read, the target is no folder
        prepare_sheets(tmp_path, tmp_path / "file")


def test_damaged_binary_files_get_one_clear_sentence(made10, made100, tmp_path):
    whole = (made10 / "data_batch_3.bin").read_bytes()
    half = with_files(made10, tmp_path / "half", data_batch_3=whole[: len(whole) // 2])
    with pytest.raises(
        ValueError, match=r"data_batch_3.bin has 10000 records of 3073 bytes, .* got 15365000; it is cut"
    ):
        load_cifar10(half)
    bad = with_files(made10, tmp_path / "bad", data_batch_3=whole[: 3073 * 7] + b"\x0a" + whole[3073 * 7 + 1 :])
    with pytest.raises(ValueError, match=r"labels are below 10, record 7 of .*data_batch_3.bin has \[10\]"):
        load_cifar10(bad)
    missing = with_files(made10, tmp_path / "missing", test_batch=None)
    with pytest.raises(FileNotFoundError, match=r"test_batch.bin does not exist; .* vqabook data fetch cifar10"):
        load_cifar10(missing)
    with pytest.raises(FileNotFoundError, match="vqabook data fetch cifar100"):
        load_cifar100(tmp_path)
    other = with_files(made100, tmp_path / "other", test=whole)
    with pytest.raises(ValueError, match="10000 records of 3074 bytes, 30740000 in all, got 30730000"):
        load_cifar100(other)
    test = bytearray((made100 / "test.bin").read_bytes())
    test[1] = 100
    with pytest.raises(ValueError, match=r"labels are below 20 and 100, record 0 of .*test.bin has \[\d+, 100\]"):
        load_cifar100(with_files(made100, tmp_path / "label", test=bytes(test)))
    early = bytearray((made100 / "train.bin").read_bytes())
    early[3 * 3074] = 20
    with pytest.raises(ValueError, match=r"labels are below 20 and 100, record 3 of .*train.bin has \[20, \d+\]"):
        load_cifar100(with_files(made100, tmp_path / "early", train=bytes(early)))


def png(width: int, height: int, mode: str = "RGB") -> Callable[[], bytes]:
    """What makes a black PNG: when its test runs, since every worker reads this file."""

    def make() -> bytes:
        file = io.BytesIO()
        Image.new(mode, (width, height)).save(file, "PNG", compress_level=1)
        return file.getvalue()

    return make


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        (
            {"data_batch_1": b"<html>"},
            "a whole PNG of 10000 rows of 1024 RGB pixels: .*data_batch_1.png is not .cannot identify",
        ),
        ({"data_batch_1": png(1024, 5000)}, "data_batch_1.png is not .it has 5000 rows of 1024 RGB pixels"),
        ({"data_batch_1": png(1024, 10000, "L")}, "it has 10000 rows of 1024 L pixels"),
        ({"data_batch_1": png(20000, 20000, "1")}, "a sheet of CIFAR-10 is a whole PNG .* decompression bomb"),
        ({"train_lables": b"[1, 2"}, "train_lables.json must be whole, valid JSON"),
        ({"train_lables": b"[1, 2]"}, r"lists 50000 labels from 0 to 9, got 2 in"),
        ({"train_lables": json.dumps([10] * 5 * N).encode()}, "lists 50000 labels from 0 to 9"),
        ({"train_lables": json.dumps([0.5] * 5 * N).encode()}, "does not fit .*got `float`"),
        ({"train_lables": b'{"a": 1}'}, "lists 50000 labels"),
    ],
)
def test_damaged_sheets_get_one_clear_sentence(sheets, tmp_path, files, sentence):
    (tmp_path / "out").mkdir()
    made = {name: content() if callable(content) else content for name, content in files.items()}
    with pytest.raises(ValueError, match=sentence):
        prepare_sheets(with_files(sheets, tmp_path / "in", **made), tmp_path / "out")
    assert not list((tmp_path / "out").iterdir())


def test_a_sheet_cut_off_or_missing_says_so(sheets, tmp_path):
    whole = (sheets / "data_batch_1.png").read_bytes()
    with pytest.raises(ValueError, match="a sheet of CIFAR-10 is a whole PNG .*data_batch_1.png is not"):
        prepare_sheets(with_files(sheets, tmp_path / "cut", data_batch_1=whole[: len(whole) // 2]), tmp_path)
    with pytest.raises(FileNotFoundError, match="data_batch_1.png does not exist"):
        prepare_sheets(with_files(sheets, tmp_path / "none", data_batch_1=None), tmp_path)


def test_without_pillow_the_error_says_what_to_install(sheets, made10, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL.Image", None)
    for call in (lambda: prepare_sheets(sheets, tmp_path), lambda: describe_cifar10(made10)):
        with pytest.raises(
            RuntimeError, match=r"needs the package pillow, which is not installed: pip install 'vqabook\[data\]'"
        ):
            call()


def test_channel_statistics_are_numpys():
    images = torch.randint(0, 256, (2500, 3, 32, 32), dtype=torch.uint8)
    mean, std = channel_statistics(images)
    np.testing.assert_allclose(mean, images.double().div(255).mean((0, 2, 3)).numpy())
    np.testing.assert_allclose(std, images.double().div(255).std((0, 2, 3), correction=0).numpy())


def test_cifar10_is_described_by_its_class_means(made10):
    found = describe_cifar10(made10)
    assert found.rows == {"train": 5 * N, "test": N} and set(found.classes.values()) == {5000}
    assert found.picture.kind == "images" and found.picture.data["labels"][0] == "airplane"
    decoded = [Image.open(io.BytesIO(base64.b64decode(file))) for file in found.picture.data["png"]]
    assert [image.size for image in decoded] == [(32, 32)] * 10
    levels = np.stack([np.asarray(image) for image in decoded])
    assert levels.min() == 0 and levels.max() == 255  # one contrast for all
    json.dumps(asdict(found), allow_nan=False)


def test_cifar100_is_described_by_its_long_tails(made100):
    found = describe_cifar100(made100)
    assert found.n_classes == 100 and len(found.classes) == 50
    series = found.picture.data["series"]
    assert {name: (len(counts), counts[0], counts[-1]) for name, counts in series.items()} == {
        "IF 1": (100, 500, 500),
        "IF 10": (100, 500, 50),
        "IF 100": (100, 500, 5),
        "IF 200": (100, 500, 2),
    }
    assert found.facts["train images at IF 200"] == 9502
    json.dumps(asdict(found), allow_nan=False)


def test_real_cifar100_is_the_official_one(real100, real_data):
    meta = json.loads((real_data("cifar100_webp") / "meta.json").read_text())
    for split in ("train", "test"):
        with (real100 / f"{split}.bin").open("rb") as file:
            assert hashlib.file_digest(file, "sha256").hexdigest() == meta[split]["bin_sha256"]
    assert list(CIFAR100_CLASSES) == sorted(CIFAR100_CLASSES) == meta["fine_label_names"]
    train, test = load_cifar100(real100)
    assert torch.bincount(train.target).tolist() == [500] * 100 and torch.bincount(test.target).tolist() == [100] * 100
    assert torch.bincount(train.side["coarse"]).tolist() == [2500] * 20
    assert (
        len(torch.unique(torch.stack([train.target, train.side["coarse"]]), dim=1).T) == 100
    )  # a class, one superclass
    assert_constants(train.inputs[0], CIFAR100_LOOKUP)


def test_real_cifar10_has_the_documented_constants(real_data):
    train, test = load_cifar10(real_data("cifar10"))
    assert train.target[:10].tolist() == [6, 9, 9, 4, 1, 1, 2, 7, 8, 3]
    assert torch.bincount(train.target).tolist() == [5000] * 10 and torch.bincount(test.target).tolist() == [1000] * 10
    assert_constants(train.inputs[0], CIFAR10_LOOKUP)


def assert_constants(images: torch.Tensor, lookup: Normalise) -> None:
    for found, documented in zip(channel_statistics(images), (lookup.mean, lookup.std), strict=True):
        np.testing.assert_allclose(found, documented, atol=1e-6)
