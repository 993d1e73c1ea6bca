"""Pools that tails are cut out of: sizes by the rule, alike for a seed, and features that belong to their labels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from vqabook.data.long_tail import long_tail_counts
from vqabook.data.pools import LEAST, Pool, cut_classes, list_possible, read_pool


def pool_of(counts: list[int], *, natural: bool = False) -> Pool:
    labels = np.repeat(np.arange(len(counts)), counts)
    names = tuple(map(str, range(len(counts))))
    return Pool(labels, labels[:3], names, "made", lambda: (labels[:, None], labels[:3, None]), natural=natural)


@pytest.mark.parametrize("imbalance", [1, 10, 100])
def test_a_balanced_pool_is_cut_as_cui_et_al_cut(imbalance):
    kept, counts = cut_classes(pool_of([500] * 10), imbalance, seed=3)
    assert counts == long_tail_counts(500, 10, imbalance)
    assert np.bincount(np.repeat(np.arange(10), 500)[kept]).tolist() == counts


def test_no_class_is_asked_for_more_rows_than_it_has():
    there = [1250, 1223, 1162, 896, 835, 86]  # TREC's classes
    for imbalance, most in ((10, 860), (100, 1250)):
        _, counts = cut_classes(pool_of(there), imbalance, seed=0)
        assert counts[0] == most and all(mine <= all_of for mine, all_of in zip(counts, there, strict=True))
        assert counts == sorted(counts, reverse=True)


def test_the_rarest_class_keeps_a_row_to_train_on_and_one_to_choose_by():
    assert min(cut_classes(pool_of([107] * 10), 100, seed=0)[1]) == LEAST
    assert list_possible(pool_of([107] * 10), [500, 100, 10]) == [100, 10]


def test_a_tail_of_its_own_is_not_cut():
    pool = pool_of([9, 5, 2], natural=True)
    assert list_possible(pool, [100.0]) == [None] and cut_classes(pool, None, seed=1)[1] == [9, 5, 2]


def test_another_seed_keeps_other_rows():
    pool = pool_of([200] * 5)
    one, same, other = (cut_classes(pool, 10, seed)[0].tolist() for seed in (0, 0, 1))
    assert one == same != other


@pytest.mark.parametrize("dataset", ["digits", "fraud"])
def test_features_belong_to_their_labels(dataset, tmp_path):
    """The nearest class mean of train is right far more often than chance at test."""
    pool = read_pool(dataset, 0, tmp_path, 0)
    train, test = pool.read()
    assert len(train) == len(pool.labels) and len(test) == len(pool.truth)
    means = np.stack([train[pool.labels == k].mean(0) for k in range(len(pool.names))])
    nearest = ((test[:, None] - means) ** 2).sum(-1).argmin(1)
    assert (nearest == pool.truth).mean() > 1.3 / len(pool.names)
    assert pool.digest() == read_pool(dataset, 0, tmp_path, 0).digest()


@pytest.mark.parametrize(
    ("dataset", "folder", "classes", "rows"), [("trec", "nltk_data", 6, 5452), ("lvis_v1", "lvis", 1203, 26280)]
)
def test_real_pools_have_their_published_sizes(dataset, folder, classes, rows, real_data):
    pool = read_pool(dataset, 0, real_data(folder).parent, 0)
    assert len(pool.names) == classes and len(pool.labels) == rows
    counts = np.bincount(pool.labels)
    assert counts.tolist() == sorted(counts.tolist(), reverse=True)


def test_an_unknown_pool_is_refused(tmp_path):
    with pytest.raises(ValueError, match="pools are digits, .*, got 'mnist'; choose among them"):
        read_pool("mnist", 0, tmp_path, 0)
    with pytest.raises(FileNotFoundError, match="does not exist; check data_root, or run: vqabook data fetch lvis"):
        read_pool("lvis_v1", 0, Path(tmp_path), 0)
