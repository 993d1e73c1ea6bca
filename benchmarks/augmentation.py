"""Crop, flip, AutoAugment and Cutout of CIFAR images: whole batches here, image by image with Pillow the usual way.

The usual way: `__getitem__` makes a Pillow image, augments it, and a DataLoader with a worker a core collates batches
of normalised floats. Ours: one index into bytes that lie in memory, augmented and normalised together. Images a second,
batches of 512; both get all cores.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable

import numpy as np
import torch
from PIL import Image, ImageEnhance, ImageOps
from torch.utils.data import DataLoader, Dataset

from vqabook.data.auto_augment import GREY, POLICY, AutoAugment, find_strength
from vqabook.data.image_tables import CIFAR10_LOOKUP

N, BATCH, SIDE, GOAL = 10_240, 512, 32, 3.0


def affine(image: Image.Image, *matrix: float) -> Image.Image:
    return image.transform(image.size, Image.Transform.AFFINE, matrix, Image.Resampling.NEAREST, fillcolor=(GREY,) * 3)


def enhance(kind: type) -> Callable[[Image.Image, float], Image.Image]:
    return lambda image, by: kind(image).enhance(1 + by)


PILLOW: dict[str, Callable[[Image.Image, float], Image.Image]] = {
    "shear_x": lambda image, by: affine(image, 1, by, 0, 0, 1, 0),
    "shear_y": lambda image, by: affine(image, 1, 0, 0, by, 1, 0),
    "translate_x": lambda image, by: affine(image, 1, 0, by * SIDE, 0, 1, 0),
    "translate_y": lambda image, by: affine(image, 1, 0, 0, 0, 1, by * SIDE),
    "rotate": lambda image, by: image.rotate(by, fillcolor=(GREY,) * 3),
    "color": enhance(ImageEnhance.Color),
    "contrast": enhance(ImageEnhance.Contrast),
    "brightness": enhance(ImageEnhance.Brightness),
    "sharpness": enhance(ImageEnhance.Sharpness),
    "posterize": lambda image, by: ImageOps.posterize(image, int(by)),
    "solarize": lambda image, by: ImageOps.solarize(image, by),
    "autocontrast": lambda image, by: ImageOps.autocontrast(image),
    "equalize": lambda image, by: ImageOps.equalize(image),
    "invert": lambda image, by: ImageOps.invert(image),
}


class Usual(Dataset):
    """An image at a time."""

    def __init__(self, images: np.ndarray):
        self.images = images  # [n, 32, 32, 3]
        self.mean, self.std = (torch.tensor(x).view(3, 1, 1) for x in (CIFAR10_LOOKUP.mean, CIFAR10_LOOKUP.std))

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, i: int) -> tuple[torch.Tensor, int]:
        image = ImageOps.expand(Image.fromarray(self.images[i]), 4)
        left, top = random.randint(0, 8), random.randint(0, 8)
        image = image.crop((left, top, left + SIDE, top + SIDE))
        if random.random() < 0.5:
            image = ImageOps.mirror(image)
        for name, often, level in random.choice(POLICY):
            if random.random() < often:
                sign = 1 if name in ("posterize", "solarize") else random.choice((-1, 1))
                image = PILLOW[name](image, sign * find_strength(name, level))
        x = torch.from_numpy(np.array(image)).permute(2, 0, 1).float() / 255
        x = (x - self.mean) / self.std
        row, column = random.randint(0, SIDE - 1), random.randint(0, SIDE - 1)
        x[:, max(0, row - 8) : row + 8, max(0, column - 8) : column + 8] = 0
        return x, i


def main() -> dict[str, float]:
    from turns import median_ratio, take_turns  # beside this file, which a test runs from elsewhere

    images = np.random.default_rng(0).integers(0, 256, (N, SIDE, SIDE, 3), dtype=np.uint8)
    cores = os.cpu_count() or 1
    loader = DataLoader(Usual(images), BATCH, shuffle=True, num_workers=cores, persistent_workers=True)
    lookup, bytes_ = AutoAugment(CIFAR10_LOOKUP), torch.from_numpy(images).permute(0, 3, 1, 2).contiguous()

    def usual() -> None:
        for _ in loader:
            pass

    def ours() -> None:
        for rows in torch.randperm(N).split(BATCH):
            lookup(bytes_[rows])

    calls = {"usual": lambda _: usual(), "ours": lambda _: ours()}
    times = take_turns(calls, 3)  # the first, which does not count, starts the workers
    speed = {name: N / float(np.median(seconds)) for name, seconds in times.items()}
    ratio = median_ratio(times["usual"], times["ours"])
    print(
        f"augmented images a second on {cores} cores: {speed['usual']:.0f} by Pillow and a DataLoader, "
        f"{speed['ours']:.0f} by the batch, {ratio:.1f} times as many (goal {GOAL})"
    )
    return {"ratio": ratio}


if __name__ == "__main__":
    main()
