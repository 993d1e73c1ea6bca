"""Laws of the splits, on a toy pool and on the real VQA-CP v1 subset."""

from __future__ import annotations

import gzip
import json
from collections import Counter

import numpy as np
import pytest

from vqabook.splits import changing_prior_split, same_prior_split, validation_split


def toy_pool(n: int = 6000, seed: int = 0) -> tuple[list[str], list[str]]:
    """Twelve types over four shared answer sets, Zipf priors in another order for every type."""
    rng = np.random.default_rng(seed)
    colors = ["red", "blue", "green", "dark red", "light blue"]
    domains = [["yes", "no"], ["1", "2", "3", "4"], colors, list("abcdefghij")]
    types = rng.integers(0, 12, n)
    answers = []
    for kind in types:
        domain = domains[kind % 4]
        prior = 1 / (1 + np.random.default_rng(kind).permutation(len(domain)))
        answers.append(domain[rng.choice(len(domain), p=prior / prior.sum())])
    return [f"what {'abcdefghijkl'[kind]} is" for kind in types], answers


def priors_distance(types: list[str], answers: list[str], train, test) -> dict[str, float]:
    """Total variation between the train and the test prior of every tested type."""
    priors: tuple[dict[str, Counter], dict[str, Counter]] = ({}, {})
    for prior, rows in zip(priors, (train, test), strict=True):
        for i in rows:
            prior.setdefault(types[i], Counter())[answers[i]] += 1
    distances = {}
    for kind, test_prior in priors[1].items():
        train_prior = priors[0].get(kind, Counter())
        n_train, n_test = max(1, train_prior.total()), test_prior.total()
        distances[kind] = (
            sum(abs(train_prior[a] / n_train - test_prior[a] / n_test) for a in train_prior | test_prior) / 2
        )
    return distances


def concepts(types: list[str], answers: list[str], rows) -> set[str]:
    return {word for i in rows for word in f"{types[i]} {answers[i]}".split()}


def test_changing_split_keeps_groups_whole_and_takes_the_asked_share():
    types, answers = toy_pool()
    train, test = changing_prior_split(types, answers)
    np.testing.assert_array_equal(np.sort(np.r_[train, test]), np.arange(len(types)))
    assert not {(types[i], answers[i]) for i in train} & {(types[i], answers[i]) for i in test}
    assert 0.30 < len(test) / len(types) <= 1 / 3


def test_changing_split_changes_the_prior_of_every_type_and_random_does_not():
    types, answers = toy_pool()
    changed = priors_distance(types, answers, *changing_prior_split(types, answers))
    assert changed.keys() == set(types)
    assert min(changed.values()) == pytest.approx(1)
    assert max(priors_distance(types, answers, *same_prior_split(len(types))).values()) < 0.15


def test_train_covers_the_concepts_of_test():
    types, answers = toy_pool()
    train, test = (concepts(types, answers, rows) for rows in changing_prior_split(types, answers))
    assert len(test & train) >= 0.95 * len(test)


def test_coverage_pulls_the_group_that_shares_most_words_into_train():
    # "dark red" may be tested only if the words dark and red stay in train, so one of its twins must be there
    types = ["what color is the"] * 40 + ["what color are the"] * 40
    answers = (["dark red"] * 10 + ["blue"] * 15 + ["green"] * 15) * 2
    for seed in range(20):
        train, test = (concepts(types, answers, rows) for rows in changing_prior_split(types, answers, seed=seed))
        assert test <= train


def test_changing_split_does_not_depend_on_the_order_of_the_rows():
    types, answers = toy_pool()
    order = np.random.default_rng(1).permutation(len(types))
    shuffled = changing_prior_split([types[i] for i in order], [answers[i] for i in order], seed=3)
    for side, of_shuffled in zip(changing_prior_split(types, answers, seed=3), shuffled, strict=True):
        np.testing.assert_array_equal(side, np.sort(order[of_shuffled]))


@pytest.mark.parametrize("split", [changing_prior_split, lambda *pool, seed: same_prior_split(len(pool[0]), seed=seed)])
def test_a_seed_fixes_the_split_and_another_changes_it(split):
    pool = toy_pool()
    np.testing.assert_array_equal(split(*pool, seed=0)[1], split(*pool, seed=0)[1])
    assert not np.array_equal(split(*pool, seed=0)[1], split(*pool, seed=1)[1])


def test_a_type_with_one_answer_is_never_tested():
    types, answers = toy_pool()
    _, test = changing_prior_split(types + ["why"] * 200, answers + ["because"] * 200)
    assert (test < len(types)).all()


def test_validation_is_stratified_and_leaves_singletons_in_train():
    strata = np.repeat(np.arange(50), 100).tolist() + list(range(50, 80))
    train, valid = validation_split(strata, fraction=0.1)
    np.testing.assert_array_equal(np.sort(np.r_[train, valid]), np.arange(len(strata)))
    assert (valid < 5000).all()
    per_stratum = np.bincount(valid // 100, minlength=50)
    assert per_stratum.min() >= 9 and per_stratum.max() <= 11


def test_validation_takes_its_share_of_small_strata_on_average():
    train, valid = validation_split(np.repeat(np.arange(4000), 3), fraction=0.1)
    assert len(valid) / 12000 == pytest.approx(0.1, abs=0.01)
    assert len(set(train // 3)) == 4000  # no stratum moves whole


def test_validation_reads_code_rows_as_one_stratum():
    codes = np.stack([np.repeat([0, 1], 500), np.tile([0, 1], 500)], 1)
    _, valid = validation_split(codes, fraction=0.2)
    np.testing.assert_allclose(np.unique(codes[valid], axis=0, return_counts=True)[1], 50, atol=1)


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.1, 33.0, float("nan")])
def test_fractions_lie_between_zero_and_one(fraction: float):
    calls = [
        lambda: changing_prior_split(*toy_pool(100), test_fraction=fraction),
        lambda: same_prior_split(100, test_fraction=fraction),
        lambda: validation_split([0, 1] * 50, fraction=fraction),
    ]
    for call in calls:
        with pytest.raises(ValueError, match=r"lies in \(0, 1\), got"):
            call()


def test_bad_pools_get_one_clear_sentence():
    with pytest.raises(ValueError, match=r"lengths \[2, 1\]"):
        changing_prior_split(["a", "b"], ["yes"])
    with pytest.raises(ValueError, match="got none"):
        changing_prior_split([], [])
    with pytest.raises(ValueError, match="groups of .* move whole"):
        changing_prior_split(["is the"] * 10, ["yes"] * 10)
    with pytest.raises(ValueError, match="both sides"):
        same_prior_split(2, test_fraction=0.1)
    with pytest.raises(ValueError, match="a validation set needs rows"):
        validation_split(list(range(10)))


def test_on_real_questions_priors_change_as_in_the_official_split(real_data):
    types, answers, n_train = official_division(real_data)
    share = 1 - n_train / len(types)
    splits = {
        "official": (np.arange(n_train), np.arange(n_train, len(types))),
        "ours": changing_prior_split(types, answers, test_fraction=share),
    }
    distance, covered = {}, {}
    for name, (train, test) in splits.items():
        distance[name] = np.mean(list(priors_distance(types, answers, train, test).values()))
        known, asked = concepts(types, answers, train), concepts(types, answers, test)
        covered[name] = len(known & asked) / len(asked)
    assert distance["official"] > 0.98 and distance["ours"] == pytest.approx(1)
    assert covered["ours"] > covered["official"] - 0.02
    assert len(splits["ours"][1]) == pytest.approx(len(types) - n_train, rel=0.02)


def official_division(real_data) -> tuple[list[str], list[str], int]:
    """Types and plurality answers of VQA-CP v1 about images at hand, train before test, and how many train has."""
    folder, pool, sizes = real_data("vqacp_v1_coco16k"), [], []
    for side in ("train", "test"):
        with gzip.open(folder / f"vqacp_v1_{side}_annotations.json.gz", "rt") as file:
            pool += json.load(file)
        sizes.append(len(pool))
    types, answers = ([a[key] for a in pool] for key in ("question_type", "multiple_choice_answer"))
    return types, answers, sizes[0]


def test_groups_in_random_order_ask_at_test_what_the_official_division_asks(real_data):
    """How often test's answer is its type's most frequent, its share of yes and no, how types differ in their share.

    Over seeds, 0.31 +- 0.07, 0.39 +- 0.06 and 0.23 +- 0.02; with types in turn 0.08, 0.44 and 0.09.
    """
    types, answers, n_train = official_division(real_data)
    kind, answer = np.array(types), np.array(answers)
    most = {t: Counter(answer[kind == t]).most_common(1)[0] for t in set(types)}
    frequent = np.array([most[t][0] for t in types]) == answer
    large = [t for t, (_, n) in most.items() if n >= 50]

    def read(test: np.ndarray) -> list[float]:
        tested = np.isin(np.arange(len(kind)), test)
        shares = [tested[kind == t].mean() for t in large]
        assert all(tested[kind == t].mean() < 1 for t in most)
        return [frequent[tested].mean(), np.isin(answer[tested], ["yes", "no"]).mean(), np.std(shares)]

    official = read(np.arange(n_train, len(types)))
    how = {"test_fraction": 1 - n_train / len(types)}
    drawn = [read(changing_prior_split(types, answers, **how, seed=seed, in_turn=False)[1]) for seed in range(4)]
    in_turn = read(changing_prior_split(types, answers, **how)[1])
    apart = np.abs(np.mean(drawn, 0) - official)
    assert (apart < [0.2, 0.15, 0.06]).all() and abs(in_turn[0] - official[0]) > 0.3
    assert abs(in_turn[2] - official[2]) > 0.1


def test_a_type_of_one_answer_stays_in_train_whatever_the_order():
    types, answers = ["is it"] * 9 + ["what"] * 90, ["yes"] * 9 + [f"a{i % 9}" for i in range(90)]
    for seed in range(10):
        train, test = changing_prior_split(types, answers, seed=seed, in_turn=False)
        assert set(range(9)) <= set(train.tolist()) and 20 < len(test) <= 33
        assert not {(types[i], answers[i]) for i in train} & {(types[i], answers[i]) for i in test}


def test_a_group_of_more_than_half_of_its_type_stays_in_train():
    """With a third of all rows in test the bound is 2 f / (1 + f) = 1/2, whatever room there is."""
    types = ["is it"] * 10 + ["what"] * 90
    answers = ["yes"] * 6 + ["no"] * 4 + [f"a{i % 9}" for i in range(90)]
    for seed in range(10):
        train, test = changing_prior_split(types, answers, seed=seed)
        assert set(range(6)) <= set(train.tolist()) and len(test) > 20


def test_coverage_leaves_test_the_only_group_that_it_could_have_of_a_type():
    kinds = [f"is it {letter}" for letter in "abcdef"]
    types = [kind for kind in kinds for _ in range(10)] + ["what"] * 60
    answers = (["yes"] * 6 + ["no"] * 4) * 6 + [f"a{i % 30}" for i in range(60)]
    for seed in range(10):
        _, test = changing_prior_split(types, answers, seed=seed)
        assert {types[i] for i in test} >= set(kinds)
