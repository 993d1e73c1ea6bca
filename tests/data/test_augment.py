"""Shifts and flips: every image is one of the few that a plain loop makes, all of them come, and draws are seeded."""

from __future__ import annotations

import pytest
import torch

from vqabook.data.auto_augment import Augment


def floats(images: torch.Tensor) -> tuple[torch.Tensor, ...]:
    return (images.float(),)


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
                            new[:, y, x] = image[:, source[0], source[1]].float()
                found.append(new)
    return found


@pytest.mark.parametrize(("shift", "flip"), [(1, True), (2, False), (0, True)])
def test_each_row_is_a_variant_and_all_variants_come(shift, flip):
    image = torch.arange(1, 41).view(2, 4, 5).byte()
    (got,) = Augment(floats, shift, flip)(image.expand(600, -1, -1, -1))
    expected = torch.stack(variants(image, shift, flip)).flatten(1)
    same = (got.flatten(1)[:, None] == expected[None]).all(2)
    assert same.any(1).all()
    assert same.any(0).all()
    shares = same.float().mean(0)
    assert shares.max() < 3 / len(expected)  # about evenly


def test_nothing_asked_changes_nothing():
    images = torch.randint(0, 256, (3, 1, 6, 4)).byte()
    (got,) = Augment(floats, 0, False)(images)
    assert torch.equal(got, images.float())


def test_draws_from_the_global_generator():
    def drawn(seed: int) -> torch.Tensor:
        torch.manual_seed(seed)
        return Augment(floats, 2, True)(torch.arange(512).view(8, 1, 8, 8))[0]

    with torch.random.fork_rng():
        assert torch.equal(drawn(0), drawn(0))
        assert not torch.equal(drawn(0), drawn(1))
