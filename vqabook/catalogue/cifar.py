"""CIFAR-10 and CIFAR-100 in numbers and one picture each, for `vqabook data info` and the book's Data page."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from vqabook.catalogue.description import Description, Picture, encode_png
from vqabook.core import Table
from vqabook.data.cifar import CIFAR10_CLASSES, cifar100_classes, load_cifar10, load_cifar100
from vqabook.data.long_tail import long_tail_counts


def describe_cifar10(folder: Path) -> Description:
    """CIFAR-10 in numbers; its picture is the mean train image of each class."""
    train, test = load_cifar10(folder)
    images = train.inputs[0].numpy()
    means = [images[(train.target == c).numpy()].mean(0) for c in range(10)]
    low, high = min(mean.min() for mean in means), max(mean.max() for mean in means)
    scaled = [((mean - low) * (255 / (high - low))).round().astype(np.uint8).transpose(1, 2, 0) for mean in means]
    png = [encode_png(image) for image in scaled]  # statistics: no licence to show examples
    return Description(
        {"train": len(train), "test": len(test)},
        _class_sizes(train, CIFAR10_CLASSES),
        10,
        Picture(
            "images",
            {"labels": list(CIFAR10_CLASSES), "png": png},
            "The mean of the 5,000 train images of each class, with one contrast for all. Blue sky and sea, green "
            "grass, grey road: the background alone says much about the class, a prior that a model can lean on.",
        ),
        _facts(train, test),
    )


def describe_cifar100(folder: Path) -> Description:
    """CIFAR-100 in numbers; its picture is the long tails that the papers cut out of it."""
    train, test = load_cifar100(folder)
    tails = {f"IF {factor}": long_tail_counts(500, 100, factor) for factor in (1, 10, 100, 200)}
    facts = {f"train images at {name}": sum(counts) for name, counts in tails.items() if name != "IF 1"}
    return Description(
        {"train": len(train), "test": len(test)},
        dict(list(_class_sizes(train, cifar100_classes(folder)).items())[:50]),
        100,
        Picture(
            "curve",
            {
                "x": list(range(1, 101)),
                "series": tails,
                "x_label": "class, most frequent first",
                "y_label": "train images",
                "log": "y",
            },
            "Train images a class at imbalance factors 1, 10, 100 and 200: all start at 500, and the rarest class is "
            "left with 500, 50, 5 and 2.",
        ),
        {"superclasses": len(train.side["coarse"].unique()), **_facts(train, test), **facts},
    )


def channel_statistics(images: UInt8[Tensor, "n 3 32 32"]) -> tuple[Float[np.ndarray, " 3"], Float[np.ndarray, " 3"]]:
    """Mean and standard deviation of each channel over all pixels, in [0, 1]; exact, from the counts of byte values."""
    counts = np.zeros((3, 256))
    for block in images.split(2000):
        counts += [np.bincount(block[:, channel].numpy().ravel(), minlength=256) for channel in range(3)]
    shares, values = counts / counts.sum(1, keepdims=True), np.arange(256) / 255
    mean = shares @ values
    return mean, np.sqrt(shares @ values**2 - mean**2)


def _class_sizes(table: Table, names: Sequence[str]) -> dict[str, int]:
    sizes = dict(zip(names, torch.bincount(table.target, minlength=len(names)).tolist(), strict=True))
    return dict(sorted(sizes.items(), key=lambda item: -item[1]))


def _facts(train: Table, test: Table) -> dict[str, str | int]:
    mean, std = channel_statistics(train.inputs[0])
    seen = {image.tobytes() for image in train.inputs[0].numpy()}
    return {
        "images": "32 x 32, RGB, 8 bit",
        "channel means": ", ".join(f"{x:.4f}" for x in mean),
        "channel standard deviations": ", ".join(f"{x:.4f}" for x in std),
        "train images that repeat another, byte for byte": len(train) - len(seen),
        "test images that are also in train, byte for byte": sum(x.tobytes() in seen for x in test.inputs[0].numpy()),
    }
