"""Named VQA data sets: where their official files lie below `data_root`, and their splits as Tables.

Every set comes with one native division into train and test: *changing* priors (VQA-CP) or the *same* priors (VQA).
The other division of the same questions is made by re-splitting the pool, so that both can be compared on one set.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from vqabook.core import Table
from vqabook.data.features import FeatureStore, cache_folder, open_features
from vqabook.data.shapes import World, write_world
from vqabook.data.splits import changing_prior_split, same_prior_split, validation_split
from vqabook.data.vqa import Questions, Vocabulary, build_vocabulary, make_table, read_questions

Prior = Literal["changing", "same"]


@dataclass(frozen=True)
class Source:
    """Files of a data set below `data_root`. `{part}` stands for questions or annotations."""

    train: str
    test: str
    features: str
    native: Prior
    drop_unseen_images: bool = False  # questions about images that the feature file lacks are left out


SOURCES = {
    "vqacp_v1_coco16k": Source(
        "vqacp_v1_coco16k/vqacp_v1_train_{part}.json",
        "vqacp_v1_coco16k/vqacp_v1_test_{part}.json",
        "vqacp_v1_coco16k/coco_train2014_grid.h5",
        "changing",
    ),
    "vqa_v2_60k": Source(
        "vqa_v2_60k/v2_train_{part}.json",
        "vqa_v2_60k/v2_valid_{part}.json",
        "vqacp_v1_coco16k/coco_train2014_grid.h5",
        "same",
        True,
    ),
    "vqacp_v1": Source(
        "vqacp_v1/vqacp_v1_train_{part}.json",
        "vqacp_v1/vqacp_v1_test_{part}.json",
        "features/trainval36.h5",
        "changing",
    ),
    "vqacp_v2": Source(
        "vqacp_v2/vqacp_v2_train_{part}.json",
        "vqacp_v2/vqacp_v2_test_{part}.json",
        "features/trainval36.h5",
        "changing",
    ),
    "vqa_v2": Source(
        "vqa_v2/v2_mscoco_train2014_{part}.json",
        "vqa_v2/v2_mscoco_val2014_{part}.json",
        "features/trainval36.h5",
        "same",
    ),
}


@dataclass(frozen=True)
class DataSpec:
    """Which questions, split how. Part of a run's identity."""

    dataset: str = "shapes"
    prior: Prior = "changing"
    world: World | None = None  # knobs of the embedded world, for dataset "shapes"
    min_answer_count: int = 9  # UpDn preprocessing
    max_words: int = 14
    valid_fraction: float = 0.1
    split_seed: int = 0

    def __post_init__(self):
        if self.dataset != "shapes" and self.dataset not in SOURCES:
            raise ValueError(f"dataset is one of shapes, {', '.join(SOURCES)}; got {self.dataset!r}")
        if self.prior not in ("changing", "same"):
            raise ValueError(f"prior is 'changing' (VQA-CP) or 'same' (VQA), got {self.prior!r}")


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


def source_files(spec: DataSpec, data_root: Path | None) -> tuple[Source, Path]:
    """The files of the set, and the folder below which they lie; writes the embedded world on first use."""
    if spec.dataset == "shapes":
        world = spec.world or World()
        folder = cache_folder() / f"shapes-{hashlib.sha256(repr(world).encode()).hexdigest()[:12]}"
        write_world(world, folder)
        files = (spec.prior + "_train_{part}.json", spec.prior + "_test_{part}.json", "features.h5")
        return Source(*files, spec.prior), folder
    if data_root is None or not Path(data_root).is_dir():
        raise FileNotFoundError(
            f"data set {spec.dataset} is read from below data_root: {data_root} is not a folder; "
            "set data_root or VQABOOK_DATA to where it lies"
        )
    return SOURCES[spec.dataset], Path(data_root)


def data_digest(spec: DataSpec, data_root: Path | None) -> str:
    """Hash of the question and annotation files and the feature file's size: what the numbers depend on besides code.

    The embedded world follows from its knobs and the code, so its digest is its knobs'.
    """
    if spec.dataset == "shapes":
        return hashlib.sha256(repr(spec.world or World()).encode()).hexdigest()[:12]
    return _digest(spec.dataset, Path(data_root) if data_root else None)


@lru_cache
def _digest(dataset: str, data_root: Path | None) -> str:
    source, folder = source_files(DataSpec(dataset), data_root)
    questions = [
        folder / split.format(part=part)
        for split in (source.train, source.test)
        for part in ("questions", "annotations")
    ]
    files = [path if path.exists() else path.with_name(path.name + ".gz") for path in questions]
    if missing := [path for path in (*files, folder / source.features) if not path.exists()]:
        raise FileNotFoundError(
            f"data set {dataset} needs {missing[0]}, which does not exist; check data_root or fetch the set"
        )
    digest = hashlib.sha256(str((folder / source.features).stat().st_size).encode())
    for path in files:
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


@lru_cache(maxsize=2)
def load_task(spec: DataSpec, data_root: Path | None, device: torch.device) -> Task:
    """Read, split and index the set. Vocabulary and validation split are train's, so that no choice needs test."""
    source, folder = source_files(spec, data_root)
    features = open_features(folder / source.features).to(device)
    train, test = (
        read_questions(*(folder / s.format(part=p) for p in ("questions", "annotations")))
        for s in (source.train, source.test)
    )
    if source.drop_unseen_images:
        train, test = (q.subset(np.flatnonzero(np.isin(q.image_id, features.image_ids))) for q in (train, test))
    if spec.prior != source.native:
        train, test = resplit(train, test, spec.prior, spec.split_seed)
    strata = np.unique(
        [f"{t}\t{a}" for t, a in zip(train.question_type, train.modal_answer, strict=True)], return_inverse=True
    )[1]
    kept, held_out = validation_split(strata, fraction=spec.valid_fraction, seed=spec.split_seed)
    train, valid = train.subset(kept), train.subset(held_out)
    vocabulary = build_vocabulary(train, min_answer_count=spec.min_answer_count)
    tables = [
        to_device(make_table(q, vocabulary, features, max_words=spec.max_words), device) for q in (train, valid, test)
    ]
    return Task(*tables, vocabulary, features, train, valid, test)


def resplit(train: Questions, test: Questions, prior: Prior, seed: int) -> tuple[Questions, Questions]:
    """Divide the pool of both anew, keeping the test share: with changing priors (VQA-CP procedure) or at random."""
    pool, share = train + test, len(test) / (len(train) + len(test))
    if prior == "changing":
        rows = changing_prior_split(pool.question_type, pool.modal_answer, test_fraction=share, seed=seed)
    else:
        rows = same_prior_split(len(pool), test_fraction=share, seed=seed)
    return pool.subset(rows[0]), pool.subset(rows[1])


def to_device(table: Table, device: torch.device) -> Table:
    """The table's columns on `device`; its features follow by themselves (`FeatureStore.to`)."""
    target = table.target.to(device)
    return replace(
        table,
        inputs=tuple(c.to(device) for c in table.inputs),
        target=target,
        side={k: v.to(device) for k, v in table.side.items()},
    )
