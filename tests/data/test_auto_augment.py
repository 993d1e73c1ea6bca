"""Augmentation of batches: every operation is Pillow's, draws are each image's own and follow the policy."""

from __future__ import annotations

import runpy
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from vqabook.data.auto_augment import (
    CUBIC,
    GREY,
    OPERATIONS,
    POLICY,
    Augment,
    AutoAugment,
    auto_augment,
    crop_and_flip,
    cutout,
    find_strength,
)

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


PILLOW = runpy.run_path(str(Path(__file__).parents[2] / "benchmarks" / "augmentation.py"))["PILLOW"]
GEOMETRIC, BLENDS = tuple(OPERATIONS)[:5], ("color", "contrast", "brightness", "sharpness")


@pytest.mark.parametrize("name", OPERATIONS)
def test_operations_are_pillow_s(name, images):
    """At every level and sign, to the byte but for rounding: a blend may be off by one, a place by its neighbour."""
    for level in range(10):
        strength = find_strength(name, level)
        for sign in (1, -1) if name in GEOMETRIC + BLENDS else (1,):
            got = OPERATIONS[name](images, torch.full((N,), sign * strength))
            want = [np.asarray(PILLOW[name](to_pil(image), sign * strength)) for image in images]
            off = got.int() - torch.from_numpy(np.stack(want)).permute(0, 3, 1, 2).int()
            assert name in GEOMETRIC or off.abs().max() <= (name in BLENDS), (level, sign)
            assert off.ne(0).double().mean() < (0.25 if name in BLENDS else 0.01), (level, sign)


@pytest.mark.parametrize("name", CUBIC)
def test_bicubic_shears_are_pillow_s(name, images):
    """To the byte but where a sum in another order falls on the other side of a whole number."""
    for strength in np.linspace(-0.3, 0.3, 9).tolist():
        by = (1, strength, 0, 0, 1, 0) if name == "shear_x" else (1, 0, 0, strength, 1, 0)
        how = {"resample": Image.Resampling.BICUBIC, "fillcolor": (GREY,) * 3}
        want = [np.asarray(to_pil(x).transform((SIDE, SIDE), Image.Transform.AFFINE, by, **how)) for x in images]
        got = CUBIC[name](images, torch.full((N,), strength, dtype=torch.double))
        off = (got.int() - torch.from_numpy(np.stack(want)).permute(0, 3, 1, 2).int()).abs()
        assert off.max() <= 1 and off.ne(0).double().mean() < 0.01, strength
    torch.manual_seed(0)
    plain = auto_augment(images.repeat(20, 1, 1, 1))
    torch.manual_seed(0)
    assert 0 < auto_augment(images.repeat(20, 1, 1, 1), cubic=True).ne(plain).flatten(1).any(1).double().mean() < 0.2


def test_strengths_are_an_image_s_own(images):
    by = torch.linspace(-0.3, 0.3, N)
    together = OPERATIONS["shear_x"](images, by)
    alone = [OPERATIONS["shear_x"](images[i : i + 1], by[i : i + 1]) for i in range(N)]
    assert torch.equal(together, torch.cat(alone))


def test_the_policy_is_followed():
    """How often an image stays as it is: the share of sub-policies whose operations all fail or change nothing."""
    image = torch.randint(1, 255, (1, 3, SIDE, SIDE), generator=torch.Generator().manual_seed(0)).byte()
    many = image.expand(4000, 3, SIDE, SIDE)
    torch.manual_seed(1)
    same = auto_augment(many).eq(many).flatten(1).all(1).double().mean()
    by = torch.full((1,), 0.9)
    idle = {name for name, operate in OPERATIONS.items() if torch.equal(operate(image, by), image)}
    want = np.mean([np.prod([1 if what in idle else 1 - often for what, often, _ in one if _ != 0]) for one in POLICY])
    assert float(same) == pytest.approx(want, abs=0.03)
    assert len(POLICY) == 25


def test_crops_are_the_padded_image_s_and_flips_mirror():
    image = torch.arange(1, 65, dtype=torch.uint8).view(1, 1, 8, 8)
    torch.manual_seed(0)
    found = crop_and_flip(image.expand(2000, 1, 8, 8), 2, True)
    padded = torch.nn.functional.pad(image[0, 0], (2, 2, 2, 2))
    crops = {bytes(padded[y : y + 8, x : x + 8].flatten().tolist()): (y, x) for y in range(5) for x in range(5)}
    mirrored = {bytes(torch.tensor(list(k)).view(8, 8).flip(1).flatten().tolist()) for k in crops}
    seen = [bytes(one.flatten().tolist()) for one in found]
    assert set(seen) == set(crops) | mirrored
    assert np.mean([one in crops for one in seen]) == pytest.approx(0.5, abs=0.04)
    unflipped = crop_and_flip(image, 0, False)
    assert torch.equal(unflipped, image)


def test_cutout_is_a_square_cut_at_the_border():
    white = torch.full((3000, 3, 16, 16), 255, dtype=torch.uint8)
    torch.manual_seed(0)
    black = cutout(white, 6).eq(0)
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


def variants(image: torch.Tensor, shift: int, flip: bool) -> list[torch.Tensor]:
    """Every image that may come of one, pixel by pixel."""
    channels, h, w = image.shape
    found = []
    for dy in range(-shift, shift + 1):
        for dx in range(-shift, shift + 1):
            for mirror in (False, True)[: 1 + flip]:
                new = torch.zeros(channels, h, w)
                for y in range(h):
                    for x in range(w):
                        source = (y + dy, (w - 1 - x if mirror else x) + dx)
                        if 0 <= source[0] < h and 0 <= source[1] < w:
                            new[:, y, x] = image[:, source[0], source[1]].float() / 255
                found.append(new)
    return found


@pytest.mark.parametrize(("shift", "flip"), [(1, True), (2, False), (0, True)])
def test_each_row_is_a_variant_and_all_variants_come(shift, flip):
    image = torch.arange(1, 41).view(2, 4, 5).byte()
    (got,) = Augment(as_floats, shift, flip)(image.expand(600, -1, -1, -1))
    expected = torch.stack(variants(image, shift, flip)).flatten(1)
    same = (got.flatten(1)[:, None] == expected[None]).all(2)
    assert same.any(1).all()
    assert same.any(0).all()
    shares = same.float().mean(0)
    assert shares.max() < 3 / len(expected)  # about evenly


def test_nothing_asked_changes_nothing():
    images = torch.randint(0, 256, (3, 1, 6, 4)).byte()
    (got,) = Augment(as_floats, 0, False)(images)
    assert torch.equal(got, images.float() / 255)
