"""Imbalanced sets and their balanced controls: counts, disjoint sides, the same held-out rows, what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from vqabook.data import imbalanced
from vqabook.data.image_tables import Division, divide
from vqabook.data.imbalanced import Cut, Images, Pool, digest_images, select_images
from vqabook.data.long_tail import long_tail_counts
from vqabook.data.tables import digest_tables

pytest.importorskip("sklearn")
NOWHERE = Path("nowhere")  # the digits lie in scikit-learn


def cut(division: str = "imbalanced", seed: int = 0, **more) -> Cut:
    return Cut(**{"dataset": "digits", "division": division, "imbalance": 20.0, "held_out": 0.6, "seed": seed} | more)


def images_of(division: Division, side: str) -> set[bytes]:
    return {image.numpy().tobytes() for image in getattr(division, side).inputs[0]}


def test_a_made_tail_and_its_control_are_equally_large():
    tail, control = (select_images(cut(name), NOWHERE) for name in ("imbalanced", "balanced"))
    counts, even = tail.describe(cut()).counts, control.describe(cut()).counts
    assert counts == long_tail_counts(counts[0], 10, 20.0)
    assert max(even) - min(even) <= 1 and sum(even) == sum(counts)
    assert tail.frequency.tolist() == control.frequency.tolist() == counts  # the placebo


def test_sides_are_disjoint_and_both_divisions_hold_out_the_same():
    tail, control = (divide(cut(name), NOWHERE) for name in ("imbalanced", "balanced"))
    assert not images_of(tail, "train") & images_of(tail, "held_out")
    assert torch.equal(tail.held_out.inputs[0], control.held_out.inputs[0])
    held_out = np.bincount(tail.held_out.target)
    assert held_out.min() > 0.9 * held_out.max()  # stratified


def test_the_seed_decides():
    first, again, other = (select_images(cut(seed=seed), NOWHERE) for seed in (0, 0, 1))
    assert first.describe(cut()) == again.describe(cut()) and np.array_equal(first.train.pixels, again.train.pixels)
    assert first.describe(cut()).digest != other.describe(cut()).digest


def test_natural_imbalance_is_kept_or_cut_to_the_rarest():
    tail, control = (divide(cut(name, imbalance=None), NOWHERE) for name in ("imbalanced", "balanced"))
    there = np.bincount(tail.train.target, minlength=10)
    assert len(tail.train) + len(tail.held_out) == 1797
    assert np.bincount(control.train.target).tolist() == [there.min()] * 10
    assert images_of(control, "train") <= images_of(tail, "train")


def test_images_are_looked_up_in_0_to_1():
    division = divide(cut(), NOWHERE)
    (images,) = division.train.batch(torch.arange(50)).inputs
    assert images.shape == (50, 1, 8, 8) and images.min() == 0 and images.max() == 1
    assert division.names[3] == "3"


def test_digits_are_scikit_learns():
    from sklearn.datasets import load_digits

    digits, pool = load_digits(), imbalanced.POOLS["digits"](NOWHERE)
    assert np.array_equal(pool.rows.pixels[:, 0], digits.images) and np.array_equal(pool.rows.labels, digits.target)


def test_images_have_the_digest_of_their_tables():
    asked = [cut(dataset="digits", division=division) for division in ("imbalanced", "balanced")]
    for chosen, division in ((select_images(c, NOWHERE), divide(c, NOWHERE)) for c in asked):
        parts = [getattr(chosen, side) for side in ("train", "held_out")]
        assert digest_images(parts) == digest_tables([division.train, division.held_out])


def test_moves_to_a_device():
    division = divide(cut(), NOWHERE).to(torch.device("meta"))
    assert division.train.device.type == division.held_out.target.device.type == "meta"


def test_faces_are_cut_anew(real_data, cache):
    division = divide(cut(dataset="faces", imbalance=None, held_out=0.5), real_data("lfw_home"))
    assert len(division.train) + len(division.held_out) == 1288
    assert division.names[int(division.frequency.argmax())] == "George W Bush"
    assert abs(division.frequency.max() / 265 - 1) < 0.02


def test_an_official_test_split_is_kept_whole(monkeypatch, tmp_path):
    def pool(root: Path) -> Pool:
        sides = (np.arange(n) % 10 for n in (50_000, 10_000))
        return Pool(*(Images(y.astype(np.uint8).reshape(-1, 1, 1, 1), y) for y in sides), tuple("0123456789"))

    monkeypatch.setitem(imbalanced.POOLS, "cifar10", pool)
    division = select_images(cut(dataset="cifar10", imbalance=100.0, held_out=None), tmp_path)
    assert division.describe(cut()).counts == [5000, 2997, 1796, 1077, 645, 387, 232, 139, 83, 50]  # LDAM's 12,406
    assert division.describe(cut()).held_out_counts == [1000] * 10


def test_cifar_is_read_where_it_is_fetched_to(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"cifar10/data_batch_1.bin does not exist; .* fetch cifar10"):
        divide(cut(dataset="cifar10", imbalance=100.0, held_out=None), tmp_path)


def test_bad_inputs_are_refused():
    with pytest.raises(ValueError, match="data sets are cifar10, cifar100, faces, digits, got 'mnist'"):
        cut(dataset="mnist")
    with pytest.raises(ValueError, match="division is one of imbalanced, balanced, got 'even'"):
        cut("even")
    with pytest.raises(ValueError, match="digits has no official test split, got held_out None"):
        divide(cut(held_out=None), NOWHERE)
