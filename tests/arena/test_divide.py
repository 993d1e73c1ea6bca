"""Divisions: of each class its share, no row twice; rows are read where they lie; priors are of these classes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vqabook.arena.divide import deal, divide, group_by_rows, measure, read_prior
from vqabook.arena.examples import check
from vqabook.arena.readers import Raw

COUNTS = torch.tensor([300, 80, 20])


@given(st.lists(st.integers(3, 40), min_size=2, max_size=6), st.integers(0, 99))
@settings(max_examples=25, deadline=None)
def test_every_class_is_in_every_part_by_its_share(counts, seed):
    labels = np.repeat(np.arange(len(counts)), counts)
    parts = deal(labels, seed)
    assert sorted(np.concatenate(list(parts.values()))) == list(range(len(labels)))
    for part, share in zip(("train", "valid", "test"), (0.6, 0.2, 0.2), strict=True):
        n = np.bincount(labels[parts[part]], minlength=len(counts))
        assert (n >= 1).all()
        assert (abs(n - share * np.array(counts)) < 2).all()


def test_a_seed_divides_alike_and_another_one_otherwise():
    labels = np.repeat([0, 1], [50, 9])
    first, again, other = (deal(labels, seed)["test"].tolist() for seed in (0, 0, 1))
    assert first == again != other
    with pytest.raises(ValueError, match="three above 0 that sum to 1"):
        deal(labels, 0, (0.9, 0.1, 0.1))


def test_mean_and_deviation_are_numpy_s_where_numbers_are_large(monkeypatch):
    monkeypatch.setattr("vqabook.arena.divide.BATCH", 7)
    x, rows = 1e9 + np.random.default_rng(0).normal(size=(40, 3)), np.arange(5, 33)
    mean, deviation = measure(x, rows, np.array([0, 2]))
    np.testing.assert_allclose(mean, x[5:33, [0, 2]].mean(0), rtol=1e-12)
    np.testing.assert_allclose(deviation, x[5:33, [0, 2]].std(0), rtol=1e-6)
    scaled = divide(check(Raw("large", x, np.repeat([0, 1], 20))), 0).x["train"]
    torch.testing.assert_close(scaled[torch.arange(len(scaled))].std(0, correction=0), torch.ones(3))


def test_what_is_constant_in_training_alone_is_left_out():
    x = np.random.default_rng(0).normal(size=(30, 3)).astype(np.float32)
    y = np.repeat([0, 1], 15)
    x[:, 1] = 0
    x[deal(y, 0)["test"][0], 1] = 1
    division = divide(check(Raw("r", x, y)), 0)
    assert division.width == 2 and division.x["test"][torch.arange(3)].shape == (3, 2)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int16])
def test_mapped_rows_are_those_in_memory(dtype, tmp_path):
    x = np.random.default_rng(0).normal(scale=40, size=(40, 3)).astype(dtype)
    np.save(tmp_path / "x.npy", x)
    y = np.repeat([0, 1], 20)
    parts = [divide(check(Raw("r", rows, y)), 0).x["test"] for rows in (x, np.load(tmp_path / "x.npy", mmap_mode="r"))]
    here, there = (part[torch.arange(len(part))] for part in parts)
    assert here.dtype == torch.float32 and torch.equal(here, there)
    assert torch.equal(torch.cat([batch for _, batch in parts[1].batches(3)]), here)


def test_groups_hold_a_third_of_the_rows_each_or_begin_there():
    groups = group_by_rows(torch.tensor([40, 30, 20, 6, 4]))
    assert [mask.tolist() for mask in groups.values()] == [
        [True, False, False, False, False], [False, True, False, False, False], [False, False, True, True, True],
    ]  # fmt: skip
    assert {name: mask.tolist() for name, mask in group_by_rows(torch.tensor([9, 1])).items()} == {
        "many": [True, False], "medium": [False, False], "few": [False, True],
    }  # fmt: skip


def test_a_prior_is_a_name_or_shares_of_these_classes():
    classes = ("cat", "dog", "owl")
    assert read_prior("training", classes, COUNTS).tolist() == [0.75, 0.2, 0.05]
    assert read_prior({"dog": 3, "owl": 1}, classes, COUNTS).tolist() == [0, 0.75, 0.25]
    with pytest.raises(ValueError, match="uniform, training, reversed or JSON {class: share}, got 'even'"):
        read_prior("even", classes, COUNTS)
    with pytest.raises(ValueError, match="of the classes that take part: 'fox' does not; choose among 'cat', 'dog'"):
        read_prior({"fox": 1.0}, classes, COUNTS)
    for shares in ({"cat": -1.0}, {"cat": 0.0}, {"cat": float("nan")}):
        with pytest.raises(ValueError, match="shares of a prior are 0 or more"):
            read_prior(shares, classes, COUNTS)
