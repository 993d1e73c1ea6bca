"""Codes and components: laws, hand-made values, and the recipe of the real grid features."""

from __future__ import annotations

import h5py
import numpy as np
import pytest

from vqabook.features.codes import Codes, fit_codes, fit_components


def decode(codes: Codes, values: np.ndarray) -> np.ndarray:
    """What a reader of the file gets."""
    return values * codes.scale + codes.offset


def test_codes_by_hand():
    codes = Codes(np.float32([0.5, 2]), np.float32([-1, 10]), levels=4)
    x = np.float32([[-1, 10], [-0.4, 13.1], [99, -99]])
    assert codes.encode(x).tolist() == [[0, 0], [1, 2], [3, 0]]
    assert decode(codes, codes.encode(x)).tolist() == [[-1, 10], [-0.5, 14], [0.5, 10]]


@pytest.mark.parametrize("levels", [2, 64, 256])
def test_inside_the_range_the_error_is_half_a_step(levels):
    x = np.random.default_rng(0).normal(size=(5000, 3)).astype(np.float32) * [1, 10, 0.1]
    codes = fit_codes(x.astype(np.float32), levels=levels)
    inside = (x >= codes.offset) & (x <= codes.offset + codes.scale * (levels - 1))
    error = np.abs(decode(codes, codes.encode(x.astype(np.float32))) - x)
    assert (error <= 0.501 * codes.scale)[inside].all()
    assert 0.998 < inside.mean() < 0.9995  # 0.05 % lie beyond each end


def test_codes_of_codes_are_the_codes():
    x = np.random.default_rng(1).normal(size=(500, 4)).astype(np.float32)
    codes = fit_codes(x, levels=64)
    stored = codes.encode(x)
    np.testing.assert_array_equal(codes.encode(decode(codes, stored).astype(np.float32)), stored)


def test_a_constant_channel():
    codes = fit_codes(np.full((10, 1), 3.0, np.float32))
    assert decode(codes, codes.encode(np.full((2, 1), 3.0, np.float32))).tolist() == [[3.0], [3.0]]


@pytest.mark.parametrize("levels", [1, 257])
def test_levels_that_a_byte_cannot_hold(levels):
    with pytest.raises(ValueError, match=f"2 to 256 levels, got {levels}"):
        fit_codes(np.zeros((4, 1), np.float32), levels=levels)


def test_components_are_those_of_the_whole_matrix():
    rng = np.random.default_rng(2)
    x = (rng.normal(size=(400, 6)) @ rng.normal(size=(6, 6)) + 5).astype(np.float32)
    space = fit_components(np.split(x, 8), 3)
    np.testing.assert_allclose(space.mean, x.mean(0), rtol=1e-5)
    np.testing.assert_allclose(space.components.T @ space.components, np.eye(3), atol=1e-6)
    exact = np.linalg.svd(x - x.mean(0), full_matrices=False)[2][:3].T
    np.testing.assert_allclose(np.abs((exact * space.components).sum(0)), 1, atol=1e-5)
    variances = space.project(x).var(0)
    assert (np.diff(variances) < 0).all()
    np.testing.assert_array_equal(space.components, fit_components(np.split(x, 8), 3).components)
    assert (space.components[np.abs(space.components).argmax(0), range(3)] > 0).all()


@pytest.mark.parametrize("k", [0, 7])
def test_more_components_than_there_are(k):
    with pytest.raises(ValueError, match=f"at most 6 components of 50 regions 6 wide, got {k}"):
        fit_components([np.ones((50, 6), np.float32)], k)


def test_the_recipe_of_the_real_grid_features(real_data):
    with h5py.File(real_data("vqacp_v1_coco16k/coco_train2014_grid.h5")) as file:
        stored = file["features"][:4096].reshape(-1, 128)
        scale, offset, components = (file[k][()] for k in ("scale", "offset", "pca_components"))
    np.testing.assert_allclose(components.T @ components, np.eye(128), atol=2e-6)
    codes = Codes(scale, offset, levels=64)
    assert (stored.min(), stored.max()) == (0, 63)
    np.testing.assert_array_equal(codes.encode(decode(codes, stored)), stored)
    # its ranges are the quantiles that `fit_codes` takes: the end codes hold 0.05 % and half a bin's share each
    for end in (0, 63):
        assert abs((stored == end).mean() - 0.00055) < 0.0001
    ours = fit_codes(decode(codes, stored[::16]), levels=64)
    assert np.abs(ours.offset - offset).max() < 4 * scale.max() and np.abs(ours.scale / scale - 1).max() < 0.15
    values = decode(codes, stored)
    assert np.abs(values.mean(0)).max() < 0.2 * values.std(0).min()  # centred
    correlation = np.corrcoef(values.T) - np.eye(128)
    assert np.abs(correlation).max() < 0.1  # coordinates along principal components
