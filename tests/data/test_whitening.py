"""Whitened images vary alike in every direction, up to the floor, and look like themselves."""

from __future__ import annotations

import torch

from vqabook.data.whitening import Whitening, normalise_contrast


def images(n: int = 6000) -> torch.Tensor:
    """Smooth, so that neighbours go together."""
    rng = torch.Generator().manual_seed(0)
    coarse = torch.rand(n, 3, 2, 2, generator=rng)
    fine = torch.nn.functional.interpolate(coarse, size=(4, 4), mode="bilinear")
    return (200 * fine + 55 * torch.rand(fine.shape, generator=rng)).byte()


def test_every_image_has_mean_0_and_deviation_1():
    x = normalise_contrast(images(10)).flatten(1)
    torch.testing.assert_close(x.mean(1), torch.zeros(10), atol=1e-5, rtol=0)
    torch.testing.assert_close(x.square().mean(1), torch.ones(10))
    assert not normalise_contrast(torch.full((1, 3, 4, 4), 7, dtype=torch.uint8)).any()


def test_directions_vary_alike():
    train = images()
    x = normalise_contrast(train).flatten(1)
    before = torch.linalg.eigvalsh(torch.cov(x.T, correction=0).double())
    white = Whitening.of(train)(train).flatten(1)
    after = torch.linalg.eigvalsh(torch.cov(white.T, correction=0).double())
    torch.testing.assert_close(after, before / (before + 0.1), atol=1e-4, rtol=1e-4)
    assert white.mean(0).abs().max() < 1e-4
    bare = Whitening.of(train, floor=1e-3)(train).flatten(1)
    seen = torch.linalg.eigvalsh(torch.cov(bare.T, correction=0).double())[1:]  # one direction, the mean, is gone
    assert seen.min() > 0.9 and seen.max() < 1.01


def test_it_turns_back():
    """ZCA is the symmetric one of all whitenings: pixels stay where they are."""
    train = images()
    whitening = Whitening.of(train)
    torch.testing.assert_close(whitening.turn, whitening.turn.T, atol=1e-5, rtol=1e-5)
    white, plain = whitening(train).flatten(1), normalise_contrast(train).flatten(1)
    own = torch.nn.functional.cosine_similarity(white.T, plain.T)
    assert own.min() > 0.3


def test_test_images_are_whitened_as_train_was():
    train = images()
    whitening = Whitening.of(train[:5000])
    torch.testing.assert_close(whitening(train[5000:]), whitening(train)[5000:], atol=1e-4, rtol=1e-4)
