"""VQA data sets, named (their official files lie below `data_root`) or in a folder of one's own: splits as Tables.

Every set comes with one native division into train and test: *changing* priors (VQA-CP) or the *same* priors (VQA).
The other division of the same questions is made by re-splitting the pool, so that both can be compared on one set.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields, replace
from functools import lru_cache, partial
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Int

from vqabook.core import Table
from vqabook.data.json_files import plain_or_gz
from vqabook.data.layout import Files, Prior, Source, find_own, own_folder
from vqabook.data.tables import to_device
from vqabook.data.vqa import Questions, Vocabulary, build_vocabulary, check_alike, make_table, read_questions
from vqabook.features.store import FeatureStore, open_features
from vqabook.files import cache_folder
from vqabook.files import data_root as root_of
from vqabook.splits import changing_prior_split, same_prior_split, validation_split
from vqabook.world.write import World, find_world

PIECE, N_PIECES = 1 << 20, 16  # of a feature file, for its digest
RARE = ("test_share", "in_turn", "as_typed")  # of a spec: a recipe says them where they are not None


def _vqa(folder: str, version: str) -> Source:
    """The names of visualqa.org's archives; v1's annotation file has no task in its name, v2's has a version."""
    names = "{0}/{1}OpenEnded_mscoco_{2}_questions.json", "{0}/{1}mscoco_{2}_annotations.json"
    train, test = (
        Files(*(name.format(folder, version, split) for name in names)) for split in ("train2014", "val2014")
    )
    return Source(train, test, _UP_DOWN, "same", features_set="bottom_up_36")


def _vqacp(folder: str, version: str, features: str, features_set: str | None = None) -> Source:
    train, test = (Files.of(f"{folder}/{version}_{split}_{{part}}.json") for split in ("train", "test"))
    return Source(train, test, features, "changing", features_set=features_set)


_UP_DOWN = "features/trainval36.h5"
_RESNET = "features/resnet152_grid14.h5"
_GRID = "vqacp_v1_coco16k/coco_train2014_grid.h5"
_60K = Files.of("vqa_v2_60k/v2_train_{part}.json"), Files.of("vqa_v2_60k/v2_valid_{part}.json")
_EASY = Files.of("easy_vqa/train_{part}.json"), Files.of("easy_vqa/test_{part}.json")

SOURCES = {
    "vqacp_v1_coco16k": _vqacp("vqacp_v1_coco16k", "vqacp_v1", _GRID),
    "vqa_v2_60k": Source(*_60K, _GRID, "same", drop_unseen_images=True, features_set="vqacp_v1_coco16k"),
    "vqacp_v1": _vqacp("vqacp_v1", "vqacp_v1", _UP_DOWN, "bottom_up_36"),
    "vqacp_v2": _vqacp("vqacp_v2", "vqacp_v2", _UP_DOWN, "bottom_up_36"),
    "vqa_v1": _vqa("vqa_v1", ""),
    "vqa_v2": _vqa("vqa_v2", "v2_"),
    "vqa_v1_grid": replace(_vqa("vqa_v1", ""), features=_RESNET, features_set="vqa_v1_grid", questions_set="vqa_v1"),
    "easy_vqa": Source(*_EASY, "easy_vqa/features.h5", "same"),  # both splits are drawn from one generator
}


@dataclass(frozen=True)
class DataSpec:
    """Which questions, split how. Part of a run's identity."""

    dataset: str = "shapes"  # a name, or the path of a folder of one's own, which becomes absolute
    prior: Prior = "changing"
    world: World | None = None  # knobs of the embedded world, for dataset "shapes"
    min_answer_count: int = 9  # UpDn preprocessing
    max_words: int = 14
    valid_fraction: float = 0.1
    split_seed: int = 0
    test_share: float | None = None  # of questions divided anew so that priors change; None: a third
    in_turn: bool | None = None  # these: types get their share of test in turn, so that it asks for rare answers
    as_typed: bool | None = None  # answers are looked up as they stand, as in released code; None: normalised

    def asked(self) -> dict:
        """The spec as a recipe's `data` keeps it, without what is None by default."""
        asked = asdict(self)
        return {name: value for name, value in asked.items() if name not in RARE or value}

    @classmethod
    def of(cls, data: Mapping) -> DataSpec:
        """The spec in a recipe's `data`, which may say more; tuples come as lists from a record."""
        spec = {field.name: data[field.name] for field in fields(cls) if field.name in data}
        if spec.get("world"):
            knobs: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in spec["world"].items()}
            spec["world"] = World(**knobs)
        return cls(**spec)

    def __post_init__(self):
        if self.dataset != "shapes" and self.dataset not in SOURCES:
            if not (own := own_folder(self.dataset)):
                names = f"shapes, {', '.join(SOURCES)}"
                raise ValueError(
                    f"dataset is one of {names}, or the path of a folder of your own; got {self.dataset!r}"
                )
            object.__setattr__(self, "dataset", str(own))
        if self.prior not in ("changing", "same"):
            raise ValueError(f"prior is 'changing' (VQA-CP) or 'same' (VQA), got {self.prior!r}")


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


def source_files(spec: DataSpec, data_root: str | os.PathLike | None) -> tuple[Source, Path]:
    """The files of the set, and the folder below which they lie, its own or `data_root`; writes the embedded world.

    `data_root` None: `vqabook.files.data_root`'s default.
    """
    if spec.dataset == "shapes":
        folder = find_world(spec.world or World(), cache_folder())
        train, test = (Files.of(f"{spec.prior}_{split}_{{part}}.json") for split in ("train", "test"))
        return Source(train, test, "features.h5", spec.prior), folder
    if spec.dataset not in SOURCES:
        return find_own(Path(spec.dataset)), Path(spec.dataset)
    folder = root_of(data_root)
    if not folder.is_dir():
        raise FileNotFoundError(
            f"data set {spec.dataset} is read from below data_root: {folder} is not a folder; "
            "set data_root or VQABOOK_DATA to where it lies"
        )
    return SOURCES[spec.dataset], folder


def load_questions(spec: DataSpec, data_root: str | os.PathLike | None) -> Splits:
    """The questions as the set divides them, whether or not their features are there."""
    source, folder = source_files(spec, data_root)
    _find_files(spec.dataset, source, folder)
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


def data_digest(spec: DataSpec, data_root: str | os.PathLike | None) -> str:
    """Hash of the question and annotation files and the feature file's size: what the numbers depend on besides code.

    Of a folder of one's own, whose features may be made anew with the same size, also of pieces of that file. The
    embedded world follows from its knobs and the code, so its digest is its knobs'.
    """
    if spec.dataset == "shapes":
        return hashlib.sha256(repr(spec.world or World()).encode()).hexdigest()[:12]
    return _digest(spec.dataset, *source_files(DataSpec(spec.dataset), data_root))


@lru_cache
def _digest(dataset: str, source: Source, folder: Path) -> str:
    files, features = _find_files(dataset, source, folder), _find_features(dataset, source, folder)
    digest = hashlib.sha256(str(features.stat().st_size).encode())
    if dataset not in SOURCES:
        for piece in _sample(features):
            digest.update(piece)
    for path in files:
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def _sample(path: Path) -> Iterator[bytes]:
    """Pieces of a file, spread evenly: 16 MiB in all, or the whole of a smaller one."""
    with path.open("rb") as file:
        for start in np.linspace(0, max(0, path.stat().st_size - PIECE), N_PIECES).astype(int).tolist():
            file.seek(start)
            yield file.read(PIECE)


def _find_files(dataset: str, source: Source, folder: Path) -> list[Path]:
    """The question and annotation files as they lie there, plain or gzipped."""
    try:
        return [plain_or_gz(folder / path) for split in source.splits for path in split]
    except FileNotFoundError as error:
        brings = source.questions_set or dataset
        raise FileNotFoundError(f"data set {dataset} is not whole: {error}: vqabook data fetch {brings}") from None


def _find_features(dataset: str, source: Source, folder: Path) -> Path:
    path = folder / source.features
    if not path.exists():
        names = "" if dataset in SOURCES else " (with --ids name where ids are file names)"
        fetch = f"get them: vqabook data fetch {source.features_set or dataset}, or " if dataset in SOURCES else ""
        raise FileNotFoundError(
            f"data set {dataset} needs region features in {path}, which does not exist; "
            f"{fetch}make them from its images: vqabook data features IMAGES {path}{names}"
        )
    return path


@lru_cache(maxsize=2)
def load_task(spec: DataSpec, data_root: str | os.PathLike | None, device: torch.device) -> Task:
    """Read, split and index the set. Vocabulary and validation split are train's, so that no choice needs test."""
    source, folder = source_files(spec, data_root)
    splits = load_questions(spec, data_root)
    features = open_features(_find_features(spec.dataset, source, folder)).to(device)
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
