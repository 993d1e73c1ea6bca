"""CIFAR-10, CIFAR-100 and LFW's seven people in numbers and one picture each."""

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from vqabook.catalogue.description import Description, Picture, encode_png, rank, score_majority
from vqabook.core import Table
from vqabook.data.cifar import CIFAR10_CLASSES, CIFAR100_CLASSES
from vqabook.data.image_tables import load_cifar10, load_cifar100, load_faces
from vqabook.data.long_tail import long_tail_counts


def describe_cifar10(folder: Path) -> Description:
    """CIFAR-10 in numbers; its picture is the mean train image of each class."""
    train, test = load_cifar10(folder)
    images = train.inputs[0].numpy()
    means = np.stack([images[(train.labels == c).numpy()].mean(0) for c in range(10)])
    scaled = ((means - means.min()) * (255 / (means.max() - means.min()))).round().astype(np.uint8)
    png = [encode_png(image.transpose(1, 2, 0)) for image in scaled]  # statistics: no licence to show examples
    picture = Picture(
        "images",
        {"labels": list(CIFAR10_CLASSES), "png": png},
        "The mean of the 5,000 train images of each class, with one contrast for all. Blue sky and sea, green "
        "grass, grey road: the background alone says much about the class, a prior that a model can lean on.",
    )
    return Description.of({"train": train, "test": test}, CIFAR10_CLASSES, picture, _list_facts(train, test))


def describe_cifar100(folder: Path) -> Description:
    """CIFAR-100 in numbers; its picture is the long tails that the papers cut out of it."""
    train, test = load_cifar100(folder)
    tails = {f"IF {factor}": long_tail_counts(500, 100, factor) for factor in (1, 10, 100, 200)}
    axes = {"x_label": "class, most frequent first", "y_label": "train images", "log": "y"}
    picture = Picture(
        "curve",
        {"x": list(range(1, 101)), "series": tails} | axes,
        "Train images a class at imbalance factors 1, 10, 100 and 200: all start at 500, and the rarest class is "
        "left with 500, 50, 5 and 2.",
    )
    sizes = {f"train images at {name}": sum(counts) for name, counts in tails.items() if name != "IF 1"}
    facts = {"superclasses": len(train.side["coarse"].unique()), **_list_facts(train, test), **sizes}
    return Description.of({"train": train, "test": test}, CIFAR100_CLASSES, picture, facts)


def describe_faces(folder: Path) -> Description:
    """Counts a person, and each person's mean face: a statistic of all photographs, no photograph."""
    faces = load_faces(folder)
    tables = {"train": faces.train, "valid": faces.valid, "test": faces.test}
    images = torch.cat([table.inputs[0] for table in tables.values()]).double()
    target = torch.cat([table.labels for table in tables.values()])
    counts = rank(faces.people, torch.bincount(target, minlength=len(faces.people)))
    means = [images[target == faces.people.index(name)].mean(0)[0].round().byte().numpy() for name in counts]
    picture = Picture(
        "images",
        {"labels": [f"{name} ({n})" for name, n in counts.items()], "png": [encode_png(mean) for mean in means]},
        f"The mean face of each of the {len(counts)} people of LFW with 70 photographs or more, most photographed "
        "first, with the number of photographs.",
    )
    guessed = score_majority(faces.train, faces.test, lambda table: torch.zeros_like(table.labels))
    facts = {
        "photographs": len(target),
        "height, pixels": images.shape[2],
        "width, pixels": images.shape[3],
        "largest over smallest class": round(max(counts.values()) / min(counts.values()), 1),
        "accuracy of always the commonest person, %": guessed,
        "official split": "none; cut here, stratified by person",
    }
    return Description.of(tables, faces.people, picture, facts)


def channel_statistics(images: UInt8[Tensor, "n 3 32 32"]) -> tuple[Float[np.ndarray, " 3"], Float[np.ndarray, " 3"]]:
    """Mean and standard deviation of each channel over all pixels, in [0, 1]; exact, from the counts of byte values."""
    counts = np.zeros((3, 256))
    for block in images.split(2000):
        counts += [np.bincount(block[:, channel].numpy().ravel(), minlength=256) for channel in range(3)]
    shares, values = counts / counts.sum(1, keepdims=True), np.arange(256) / 255
    mean = shares @ values
    return mean, np.sqrt(shares @ values**2 - mean**2)


def _list_facts(train: Table, test: Table) -> dict[str, str | int]:
    mean, std = channel_statistics(train.inputs[0])
    seen = {image.tobytes() for image in train.inputs[0].numpy()}
    return {
        "images": "32 x 32, RGB, 8 bit",
        "channel means": ", ".join(f"{x:.4f}" for x in mean),
        "channel standard deviations": ", ".join(f"{x:.4f}" for x in std),
        "train images that repeat another, byte for byte": len(train) - len(seen),
        "test images that are also in train, byte for byte": sum(x.tobytes() in seen for x in test.inputs[0].numpy()),
    }
