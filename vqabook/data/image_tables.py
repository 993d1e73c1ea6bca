"""Sets of images as Tables: CIFAR, LFW's faces, scikit-learn's digits, and the cuts of them that runs ask for."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor
from torch.nn import functional as F

from vqabook.core import Table
from vqabook.data.cifar import read_cifar10, read_cifar100
from vqabook.data.faces import read_faces, split_faces
from vqabook.data.imbalanced import Cut, Images, select_images
from vqabook.data.tables import to_device


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


# Mean and standard deviation of all pixels of the 50,000 train images, by `catalogue.images`; a test recomputes them.
CIFAR10_LOOKUP = Normalise((0.491400, 0.482158, 0.446531), (0.247032, 0.243485, 0.261588))
CIFAR100_LOOKUP = Normalise((0.507075, 0.486549, 0.440918), (0.267334, 0.256438, 0.276150))


def _to_float(images: UInt8[Tensor, "b 1 h w"]) -> tuple[Float[Tensor, "b 1 h w"], ...]:
    return (images.float() / 255,)


def _from_sixteenths(images: UInt8[Tensor, "b 1 8 8"]) -> tuple[Float[Tensor, "b 1 8 8"]]:
    return (images.float() / 16,)


LOOKUPS: dict[str, Callable[..., tuple[Tensor, ...]]] = {
    "cifar10": CIFAR10_LOOKUP,
    "cifar100": CIFAR100_LOOKUP,
    "faces": _to_float,
    "digits": _from_sixteenths,
}


def tabulate(images: Images, dataset: str, n_classes: int) -> Table:
    """The images as a Table, looked up as floats as the set's are."""
    return Table(
        (torch.from_numpy(images.pixels),), torch.from_numpy(images.labels), n_classes, lookup=LOOKUPS[dataset]
    )


def load_cifar10(folder: str | os.PathLike) -> tuple[Table, Table]:
    """Train (50,000) and test (10,000) as Tables: images uint8 [n, 3, 32, 32], looked up as normalised floats.

    `folder`: see `cifar.read_cifar10`.
    """
    train, test = (tabulate(Images(*columns), "cifar10", 10) for columns in read_cifar10(folder))
    return train, test


def load_cifar100(folder: str | os.PathLike) -> tuple[Table, Table]:
    """Train (50,000) and test (10,000) as Tables; side: "coarse", one of 20 superclasses.

    `folder`: see `cifar.read_cifar100`.
    """
    train, test = (
        replace(tabulate(Images(images, labels[1]), "cifar100", 100), side={"coarse": torch.from_numpy(labels[0])})
        for images, *labels in read_cifar100(folder)
    )
    return train, test


@dataclass(frozen=True)
class Faces:
    """A stratified cut of the photographs; target: a place in `people`, alphabetical."""

    train: Table
    valid: Table
    test: Table
    people: tuple[str, ...]


def load_faces(root: str | os.PathLike, *, min_faces_per_person: int = 70, seed: int = 0) -> Faces:
    """Inputs: uint8 images [n, 1, 62, 47], looked up as floats in [0, 1]. side: "photo", scikit-learn's row.

    `root`: see `faces.read_faces`. Test is a quarter, validation a tenth of the rest.
    """
    photos = read_faces(root, min_faces_per_person)
    whole = tabulate(Images(photos.images, photos.labels), "faces", len(photos.people))
    whole = replace(whole, side={"photo": torch.arange(len(whole))})
    train, valid, test = (whole.subset(torch.from_numpy(rows)) for rows in split_faces(photos.labels, seed=seed))
    return Faces(train, valid, test, photos.people)


@dataclass(frozen=True)
class Division:
    """A data set cut for one run: `imbalanced.Selection` as Tables."""

    train: Table
    held_out: Table
    names: tuple[str, ...]
    frequency: Int[np.ndarray, " c"]

    def to(self, device: torch.device) -> Division:
        """The same rows on a device."""
        return replace(self, train=to_device(self.train, device), held_out=to_device(self.held_out, device))


def divide(cut: Cut, root: str | os.PathLike) -> Division:
    """The rows that `imbalanced.select_images` chooses."""
    chosen = select_images(cut, root)
    train, held_out = (tabulate(x, cut.dataset, len(chosen.names)) for x in (chosen.train, chosen.held_out))
    return Division(train, held_out, chosen.names, chosen.frequency)


def shrink(images: UInt8[Tensor, "n c h h"], side: int) -> UInt8[Tensor, "n c side side"]:
    """Images of `side` pixels, each the mean of those it stands for. ValueError unless they divide evenly."""
    there = images.shape[-1]
    if there % side:
        raise ValueError(f"pixels become means of as many each: {there} is no multiple of {side}; use 8, 16 or 32")
    return torch.cat([F.avg_pool2d(x.float(), there // side).round().byte() for x in images.split(4096)])
