"""Which files make a VQA set: those of a named one, and those found in a folder of one's own; which questions of them.

What a recipe says of its data, and the hash of their bytes. No torch: `data.sets` makes Tables of them.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from vqabook.data.json_files import plain_or_gz
from vqabook.files import cache_folder
from vqabook.files import data_root as root_of
from vqabook.world.write import World, find_world

Prior = Literal["changing", "same"]
FEATURES = "features.h5"
PIECE, N_PIECES = 1 << 20, 16  # of a feature file, for its digest
ASKED_BY_HAT = ("vqa_v1", "vqa_v1_grid", "vqacp_v1", "vqacp_v1_coco16k")  # sets with VQA v1's question ids
RARE = ("test_share", "in_turn", "as_typed")  # of a spec: a recipe says them where they are not None
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


def is_set(path: Path) -> bool:
    """Whether a path is a set of questions, whole or not: a name, or a folder with an official file or regions alone.

    A folder with arrays or further folders in it, and no official file, is another kind of data.
    """
    if not path.is_dir():
        return str(path) in SOURCES and not path.exists()
    inside = list(path.iterdir())
    names = [each.name.lower().removesuffix(".gz") for each in inside]
    if any(name.endswith(tuple(f"{part}.json" for part in Files._fields)) for name in names):
        return True
    regions = any(name.endswith((".h5", ".hdf5")) for name in names)
    return regions and not any(each.is_dir() or each.suffix == ".npy" for each in inside)


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
    return Source(train, test, _find_own_features(folder), native, valid)


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


def _find_own_features(folder: Path) -> str:
    """The feature file's name: `FEATURES`, or the only HDF5 file."""
    names = {path.name for path in folder.iterdir() if path.suffix in (".h5", ".hdf5")}
    return FEATURES if FEATURES in names else _only(names, folder) or FEATURES


def _only(names: set[str], folder: Path) -> str | None:
    if len(names) > 1:
        raise ValueError(f"{RULE}: {folder} has {' and '.join(sorted(names))}, and one is meant; move the others away")
    return next(iter(names), None)


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
REST = {  # held-out questions besides the test split that `SOURCES` names
    "vqa_v2_60k": ("vqa_v2_60k/v2_test_questions.json", "vqa_v2_60k/v2_test_annotations.json")
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
    files, features = find_files(dataset, source, folder), find_features(dataset, source, folder)
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


def find_files(dataset: str, source: Source, folder: Path) -> list[Path]:
    """The question and annotation files as they lie there, plain or gzipped."""
    try:
        return [plain_or_gz(folder / path) for split in source.splits for path in split]
    except FileNotFoundError as error:
        brings = source.questions_set or dataset
        raise FileNotFoundError(f"data set {dataset} is not whole: {error}: vqabook data fetch {brings}") from None


def find_features(dataset: str, source: Source, folder: Path) -> Path:
    """The feature file as it lies there. Raises FileNotFoundError, with how to come by it."""
    path = folder / source.features
    if not path.exists():
        names = "" if dataset in SOURCES else " (with --ids name where ids are file names)"
        fetch = f"get them: vqabook data fetch {source.features_set or dataset}, or " if dataset in SOURCES else ""
        raise FileNotFoundError(
            f"data set {dataset} needs region features in {path}, which does not exist; "
            f"{fetch}make them from its images: vqabook data features IMAGES {path}{names}"
        )
    return path


@lru_cache
def votes_digest(spec: DataSpec, data_root: str | os.PathLike | None, *, images: bool = True) -> str:
    """`data_digest` of a set and the held-out questions that come on top; without `images`, of questions alone."""
    if spec.dataset == "shapes":
        return data_digest(spec, data_root)
    source, folder = source_files(spec, data_root)
    files = [] if images else [folder / path for split in source.splits for path in split]
    digest = hashlib.sha256(data_digest(spec, data_root).encode() if images else b"")
    for path in (*files, *find_rest(spec, data_root)):
        digest.update(plain_or_gz(path).read_bytes())
    return digest.hexdigest()[:12]


def find_rest(spec: DataSpec, data_root: str | os.PathLike | None) -> list[Path]:
    """The files of the held-out questions that come on top."""
    folder = source_files(spec, data_root)[1]
    return [folder / path for path in REST.get(spec.dataset, ())]
