"""Augmentation of batches: every operation is Pillow's, draws are each image's own and follow the policy."""

from __future__ import annotations

import runpy
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from vqabook.data import auto_augment as augment
from vqabook.data.auto_augment import KINDS, POLICY, AutoAugment, auto_augment, crop_and_flip, cutout

N, SIDE = 12, 32


@pytest.fixture
def images() -> torch.Tensor:
    """Noise, smooth ramps, and an image of one colour; of low and of high contrast."""
    rng = torch.Generator().manual_seed(0)
    noise = torch.randint(256, (N - 5, 3, SIDE, SIDE), generator=rng)
    ramp = (torch.arange(SIDE * SIDE).view(SIDE, SIDE) // 4).expand(2, 3, SIDE, SIDE)
    faint = 100 + torch.randint(9, (2, 3, SIDE, SIDE), generator=rng)
    return torch.cat([noise, ramp, faint, torch.full((1, 3, SIDE, SIDE), 37)]).byte()


def to_pil(image: torch.Tensor) -> Image.Image:
    return Image.fromarray(image.permute(1, 2, 0).numpy())


def operate(name: str, images: torch.Tensor, strength: torch.Tensor) -> torch.Tensor:
    """One operation on all images, each by its own strength."""
    (kind,) = [kind for kind in KINDS if name in kind.names]
    return kind.run(images, {name: strength})


PILLOW = runpy.run_path(str(Path(__file__).parents[2] / "benchmarks" / "augmentation.py"))["PILLOW"]
GEOMETRIC, BLENDS, _ = (kind.names for kind in KINDS)


@pytest.mark.parametrize("name", [name for kind in KINDS for name in kind.names])
def test_operations_are_pillow_s(name, images):
    """At every level and sign, to the byte but for rounding: a blend may be off by one, a place by its neighbour."""
    for level in range(10):
        strength = augment._strength(name, level)
        for sign in (1, -1) if name in GEOMETRIC + BLENDS else (1,):
            got = operate(name, images, torch.full((N,), sign * strength))
            want = [np.asarray(PILLOW[name](to_pil(image), sign * strength)) for image in images]
            off = got.int() - torch.from_numpy(np.stack(want)).permute(0, 3, 1, 2).int()
            assert name in GEOMETRIC or off.abs().max() <= (name in BLENDS), (level, sign)
            assert off.ne(0).double().mean() < (0.25 if name in BLENDS else 0.01), (level, sign)


def test_strengths_are_an_image_s_own(images):
    by = torch.linspace(-0.3, 0.3, N)
    together = operate("shear_x", images, by)
    alone = [operate("shear_x", images[i : i + 1], by[i : i + 1]) for i in range(N)]
    assert torch.equal(together, torch.cat(alone))


def test_the_policy_is_followed():
    """How often an image stays as it is: the share of sub-policies whose operations all fail or change nothing."""
    image = torch.randint(1, 255, (1, 3, SIDE, SIDE), generator=torch.Generator().manual_seed(0)).byte()
    many = image.expand(4000, 3, SIDE, SIDE)
    same = auto_augment(many, torch.Generator().manual_seed(1)).eq(many).flatten(1).all(1).double().mean()
    idle = {
        name for kind in KINDS for name in kind.names if torch.equal(operate(name, image, torch.full((1,), 0.9)), image)
    }
    want = np.mean([np.prod([1 if what in idle else 1 - often for what, often, _ in one if _ != 0]) for one in POLICY])
    assert float(same) == pytest.approx(want, abs=0.03)
    assert len(POLICY) == 25


def test_crops_are_the_padded_image_s_and_flips_mirror():
    image = torch.arange(1, 65, dtype=torch.uint8).view(1, 1, 8, 8)
    found = crop_and_flip(image.expand(2000, 1, 8, 8), 2, True, torch.Generator().manual_seed(0))
    padded = torch.nn.functional.pad(image[0, 0], (2, 2, 2, 2))
    crops = {bytes(padded[y : y + 8, x : x + 8].flatten().tolist()): (y, x) for y in range(5) for x in range(5)}
    mirrored = {bytes(torch.tensor(list(k)).view(8, 8).flip(1).flatten().tolist()) for k in crops}
    seen = [bytes(one.flatten().tolist()) for one in found]
    assert set(seen) == set(crops) | mirrored
    assert np.mean([one in crops for one in seen]) == pytest.approx(0.5, abs=0.04)
    unflipped = crop_and_flip(image, 0, False, torch.Generator())
    assert torch.equal(unflipped, image)


def test_cutout_is_a_square_cut_at_the_border():
    white = torch.full((3000, 3, 16, 16), 255, dtype=torch.uint8)
    black = cutout(white, 6, torch.Generator().manual_seed(0)).eq(0)
    assert torch.equal(black[:, 0], black[:, 2])
    rows, columns = black[:, 0].any(2).sum(1), black[:, 0].any(1).sum(1)
    assert torch.equal(black[:, 0].sum((1, 2)), rows * columns)  # a rectangle
    assert set(rows.tolist()) == {3, 4, 5, 6} and int(rows.max()) == 6


def as_floats(images: torch.Tensor) -> tuple[torch.Tensor]:
    return (images.float() / 255,)


def test_a_seed_is_a_draw(images):
    """The global generator's, as `fit` seeds it."""
    found = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        (one,) = AutoAugment(as_floats)(images)
        found.append(one)
    assert torch.equal(found[0], found[1]) and not torch.equal(found[0], found[2])
    plain = AutoAugment(as_floats, padding=0, flip=False, policy=False, hole=None)
    assert torch.equal(*plain(images), *as_floats(images))
