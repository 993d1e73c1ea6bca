"""Which files make a VQA set: those of a named one, and those found in a folder of one's own."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

Prior = Literal["changing", "same"]
FEATURES = "features.h5"
_SPLITS = {"train": "train", "valid": "val", "test": "test"}  # how file names begin to say it: val2014, validation
RULE = (
    "a folder of your own has train_questions.json, train_annotations.json, both also for val, test or both (or as "
    "VQA v2 names them), and features.h5"
)


class Files(NamedTuple):
    """The two official files of a split, below the set's folder."""

    questions: str
    annotations: str

    @classmethod
    def of(cls, pattern: str) -> Files:
        return cls(*(pattern.format(part=part) for part in cls._fields))


@dataclass(frozen=True)
class Source:
    """Files of a data set below a folder, each plain or gzipped. `native`: the priors of its own division."""

    train: Files
    test: Files
    features: str
    native: Prior
    valid: Files | None = None  # None: validation is carved out of train
    drop_unseen_images: bool = False  # questions about images that the feature file lacks are left out
    features_set: str | None = None  # what to fetch for the features, if they do not come with the set
    questions_set: str | None = None  # what to fetch for the questions, if another set brings them

    @property
    def splits(self) -> tuple[Files, ...]:
        """Those of train, test and, if there is one, validation."""
        return (self.train, self.test, *([self.valid] if self.valid else []))


def own_folder(dataset: str) -> Path | None:
    """The folder that `dataset` is the path of, absolute; None if there is none."""
    path = Path(os.path.abspath(os.path.expanduser(dataset)))
    return path if path.is_dir() else None


def find_own(folder: Path) -> Source:
    """The set that lies in a folder, by the names of its files; see `RULE`.

    A split is one that has annotations. Where val and test do, val is for validation; where one does, it is the test,
    and validation is carved out of train. Priors are the same, or changing if the names say VQA-CP. Raises
    FileNotFoundError for what is lacking, ValueError where two files could be meant.
    """
    found = dict(_find_splits(folder))
    train, test = found.get("train"), found.get("test", found.get("valid"))
    if train is None or test is None:
        there = ", ".join(sorted(path.name for path in folder.iterdir())[:8]) or "nothing"
        lacking = "train" if train is None else "val, nor of test"
        raise FileNotFoundError(f"{RULE}: {folder} has not both files of {lacking}; it has {there}")
    valid = found.get("valid") if "test" in found else None
    native: Prior = "changing" if "vqacp" in train.questions.lower() else "same"
    return Source(train, test, _find_features(folder), native, valid)


def _find_splits(folder: Path) -> Iterator[tuple[str, Files]]:
    """The splits that have annotations."""
    named: dict[tuple[str, str], set[str]] = {}
    for path in folder.iterdir():
        name = path.name.removesuffix(".gz")
        for split, word in _SPLITS.items():
            for part in Files._fields:
                if name.lower().endswith(f"{part}.json") and re.search(f"(?<![a-z]){word}", name.lower()):
                    named.setdefault((split, part), set()).add(name)
    for split in _SPLITS:
        if annotations := _only(named.get((split, "annotations"), set()), folder):
            if not (questions := _only(named.get((split, "questions"), set()), folder)):
                raise FileNotFoundError(f"{RULE}: {folder} has {annotations} without its questions; add them")
            yield split, Files(questions, annotations)


def _find_features(folder: Path) -> str:
    """The feature file's name: `FEATURES`, or the only HDF5 file."""
    names = {path.name for path in folder.iterdir() if path.suffix in (".h5", ".hdf5")}
    return FEATURES if FEATURES in names else _only(names, folder) or FEATURES


def _only(names: set[str], folder: Path) -> str | None:
    if len(names) > 1:
        raise ValueError(f"{RULE}: {folder} has {' and '.join(sorted(names))}, and one is meant; move the others away")
    return next(iter(names), None)
