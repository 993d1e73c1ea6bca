"""VQA data sets, named (their official files lie below `data_root`) or in a folder of one's own: splits as Tables.

Every set comes with one native division into train and test: *changing* priors (VQA-CP) or the *same* priors (VQA).
The other division of the same questions is made by re-splitting the pool, so that both can be compared on one set.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Int

from vqabook.core import Table
from vqabook.data.layout import SOURCES, DataSpec, Source, find_features, find_files, source_files
from vqabook.data.tables import to_device
from vqabook.data.vqa import Questions, Vocabulary, build_vocabulary, check_alike, make_table, read_questions
from vqabook.features.store import FeatureStore, open_features
from vqabook.splits import changing_prior_split, same_prior_split, validation_split


class Splits(NamedTuple):
    """The questions of a set's splits; `valid` None: validation is not carved out of train yet."""

    train: Questions
    test: Questions
    valid: Questions | None = None


@dataclass(frozen=True)
class Task:
    """Train, carved-out validation and test Tables, what their ids mean, and the official questions and answers."""

    train: Table
    valid: Table
    test: Table
    vocabulary: Vocabulary
    features: FeatureStore
    train_questions: Questions
    valid_questions: Questions
    test_questions: Questions


def load_questions(spec: DataSpec, data_root: str | os.PathLike | None) -> Splits:
    """The questions as the set divides them, whether or not their features are there."""
    source, folder = source_files(spec, data_root)
    find_files(spec.dataset, source, folder)
    splits = Splits(*(read_questions(*(folder / path for path in split)) for split in source.splits))
    for (name, one), (other_name, other) in combinations(splits._asdict().items(), 2):
        if one is not None and other is not None:
            check_apart(one, other, f"{name} and {other_name}", spec.dataset)
    return splits


def check_apart(one: Questions, other: Questions, which: str, dataset: str) -> None:
    """Raise ValueError for a question that is in two splits (`which`), or ids that cannot be compared."""
    for key in ("question_id", "image_id"):
        check_alike(getattr(one, key), getattr(other, key), f"{which} of {dataset}")
    if len(both := np.intersect1d(one.question_id, other.question_id)):
        again = f"fetch the set again: vqabook data fetch {dataset}"
        raise ValueError(
            f"{which} share no question: {len(both)} of {dataset} are in both (first: {both[0]}); "
            f"{again if dataset in SOURCES else 'give every question an id of its own, and to one split'}"
        )


@lru_cache(maxsize=2)
def load_task(spec: DataSpec, data_root: str | os.PathLike | None, device: torch.device) -> Task:
    """Read, split and index the set. Vocabulary and validation split are train's, so that no choice needs test."""
    source, folder = source_files(spec, data_root)
    splits = load_questions(spec, data_root)
    features = open_features(find_features(spec.dataset, source, folder)).to(device)
    if source.drop_unseen_images:
        splits = Splits(
            _seen(splits.train, features), _seen(splits.test, features), splits.valid and _seen(splits.valid, features)
        )
    return make_task(spec, divide(spec, source, splits), features, device)


def divide(spec: DataSpec, source: Source, splits: Splits) -> Splits:
    """The splits with the spec's priors.

    Other priors than the set's own: the pool of all is divided anew, by the VQA-CP procedure or, with as large a test
    split as the set's own, at random; and validation is carved out of train.
    """
    if spec.prior == source.native:
        return splits
    train, test, valid = splits
    pool = train + test if valid is None else train + test + valid
    if spec.prior == "changing":
        share = spec.test_share or 1 / 3
        by: dict[str, Any] = {"test_fraction": share, "seed": spec.split_seed, "in_turn": bool(spec.in_turn)}
        try:
            rows = changing_prior_split(pool.question_type, pool.modal_answer, **by)
        except ValueError as error:
            raise ValueError(
                f"the questions of {spec.dataset} cannot be divided so that priors change: {error}; or ask for the "
                "prior 'same' alone"
            ) from error
    else:
        rows = same_prior_split(len(pool), test_fraction=len(test) / len(pool), seed=spec.split_seed)
    return Splits(pool.subset(rows[0]), pool.subset(rows[1]))


def _seen(questions: Questions, features: FeatureStore) -> Questions:
    """Those about images that have features."""
    return questions.subset(np.flatnonzero(np.isin(questions.image_id, features.image_ids)))


def make_task(spec: DataSpec, splits: Splits, features: FeatureStore, device: torch.device) -> Task:
    """Carve validation out of train unless it is there, build train's vocabulary, and make the Tables."""
    train, test, valid = splits
    if valid is None:
        strata = ["\t".join(pair) for pair in zip(train.question_type, train.modal_answer, strict=True)]
        kept, held_out = validation_split(strata, fraction=spec.valid_fraction, seed=spec.split_seed)
        train, valid = train.subset(kept), train.subset(held_out)
    vocabulary = build_vocabulary(train, min_answer_count=spec.min_answer_count)
    tabulate = partial(make_table, max_words=spec.max_words, as_typed=bool(spec.as_typed))
    learnt, judged, asked = (to_device(tabulate(q, vocabulary, features), device) for q in (train, valid, test))
    return Task(learnt, judged, asked, vocabulary, features, train, valid, test)


def modal_ids(task: Task, questions: Questions) -> Int[np.ndarray, " n"]:
    """Vocabulary id of each plurality answer, -1 outside the vocabulary."""
    return np.array([task.vocabulary.answer_ids.get(a, -1) for a in questions.modal_answer])
