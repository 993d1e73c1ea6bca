"""What the ensembles of Mun et al. 2018 are trained on: questions that need reasoning, VQA, images."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from vqabook import files
from vqabook.core import SparseScores, Table
from vqabook.data.cifar import cifar100_classes, load_cifar100
from vqabook.data.clevr import ANSWERS, FAMILIES, load_clevr, scene_features
from vqabook.data.imbalanced import Cut, divide
from vqabook.data.sets import DataSpec, data_digest, load_task, to_device
from vqabook.data.whitening import Whitening
from vqabook.features.store import open_features
from vqabook.knobs import root_of
from vqabook.papers.mcl_kd.setting import Setting
from vqabook.splits import validation_split
from vqabook.world.write import World

if TYPE_CHECKING:
    from jaxtyping import Int, UInt8

HELD_OUT = 0.1  # of train, to choose an epoch on
DIGITS_HELD_OUT = 0.5  # of which there are fewer; first for test, then for validation


@dataclass(frozen=True)
class Examples:
    """A task's splits; `family` names the groups in which members may specialise, `group` has each row's.

    Targets are labels, or `SparseScores` where ten people answered.
    """

    train: Table
    valid: Table
    test: Table
    group: Mapping[str, Int[np.ndarray, " n"]]  # by split
    families: tuple[str, ...]
    answers: tuple[str, ...]
    words: tuple[str, ...] = ()  # from id 2 on
    seen: bytes = b""  # what there is to see and does not lie in the inputs, or its hash


def spec_of(data: Mapping) -> DataSpec:
    """The `DataSpec` in a recipe's data."""
    known = {k: v for k, v in data.items() if k in DataSpec.__dataclass_fields__}
    if known["world"]:  # from a record its tuples come as lists
        known["world"] = World(**{k: tuple(v) if isinstance(v, list) else v for k, v in known["world"].items()})
    return DataSpec(**known)


def examples_of(data: Mapping, data_root: Path | None, device: torch.device) -> Examples:
    """The examples that a recipe's data name, on the device."""
    name = data["dataset"]
    if name in ("digits", "cifar100"):
        return image_examples(name, data["n_train"], data["side"], data_root, device)
    if name.startswith("clevr"):
        return clevr_examples(name, data["features"], data_root, device)
    return question_examples(spec_of(data), data["labels"], data_root, device)


@lru_cache(maxsize=1)
def clevr_examples(dataset: str, features: str, data_root: Path | None, device: torch.device) -> Examples:
    """CLEVR's questions about the true states of a scene's objects, or about features of its picture.

    Those lie beside the questions, in features_train.h5 and features_val.h5. The official validation questions are the
    test.
    """
    folder = files.data_root(data_root) / dataset
    splits = ("train", "val")
    if features == "states":
        stores = {split: scene_features(folder, split) for split in splits}
        seen = b"".join(store.codes.numpy().tobytes() for store in stores.values())
    else:
        paths = {split: folder / f"features_{split}.h5" for split in splits}
        if absent := [str(path) for path in paths.values() if not path.exists()]:
            raise FileNotFoundError(
                f"questions about CLEVR's pictures need their features in {' and '.join(absent)}, which do not exist; "
                "make them: vqabook data features IMAGES FILE, or ask about states: reasoning_features = 'states'"
            )
        stores = {split: open_features(path) for split, path in paths.items()}
        seen = repr([path.stat().st_size for path in paths.values()]).encode()
    clevr = load_clevr(folder, features=stores)
    strata = clevr.train.side["family"].numpy() * len(ANSWERS) + clevr.train.target.numpy()
    tables = (*_divided(clevr.train, strata), clevr.val)
    families = tuple(f"{template} {i}" for template, i in FAMILIES)
    words = tuple(sorted(clevr.words, key=clevr.words.get))
    return replace(_examples(tables, "family", families, ANSWERS, words, device), seen=seen)


@lru_cache(maxsize=2)
def question_examples(spec: DataSpec, labels: bool, data_root: Path | None, device: torch.device) -> Examples:
    """A VQA set by its question types; `labels`: one answer a question, the one that most people gave."""
    task = load_task(spec, data_root, device)
    tables = [task.train, task.valid, task.test]
    if labels:
        tables = [_labelled(table) for table in tables]
    vocabulary = task.vocabulary
    types = (*vocabulary.question_types, "other")  # a type that train lacks has the id after the last
    return _examples(tables, "question_type", types, tuple(vocabulary.answers), tuple(vocabulary.words), device)


def _labelled(table: Table) -> Table:
    """The rows with a known answer, whose label is the one that most annotators gave."""
    target = table.target
    best = target.score.argmax(1, keepdim=True)
    known = (target.score.amax(1) > 0).nonzero()[:, 0]
    whole = replace(table, target=target.answer.gather(1, best.to(target.answer.device)).squeeze(1).long())
    return whole.subset(known)


@lru_cache(maxsize=1)
def image_examples(
    dataset: str, n_train: int, side: int | None, data_root: Path | None, device: torch.device
) -> Examples:
    """`n_train` images and those held out, by their class.

    CIFAR-100 is contrast-normalised and whitened, and nothing is augmented (Sec. 4.2); `side` pixels wide.
    """
    if dataset == "digits":
        cut = divide(Cut("digits", "balanced", None, DIGITS_HELD_OUT, 0), files.data_root(data_root))
        train, test, names, held_out = cut.train, cut.held_out, cut.names, DIGITS_HELD_OUT
    else:
        folder = files.data_root(data_root) / "cifar100"
        train, test = (replace(t, inputs=(smaller(t.inputs[0], side),)) for t in load_cifar100(folder))
        names, held_out = cifar100_classes(folder), HELD_OUT
    kept, valid = _divided(train, train.target.numpy(), held_out)
    if n_train > len(kept):
        raise ValueError(
            f"images are trained on that are not held out: image_train is at most {len(kept)} of {dataset}, got "
            f"{n_train}; lower it"
        )
    if n_train < len(kept):
        kept = _divided(kept, kept.target.numpy(), n_train / len(kept))[1]
    tables = (kept, valid, test)
    if dataset == "cifar100":
        whitening = Whitening.of(kept.inputs[0])
        tables = tuple(Table((whitening(t.inputs[0]),), t.target, 100) for t in tables)
    tables = tuple(replace(t, side={"class": t.target}) for t in tables)
    return _examples(tables, "class", names, names, (), device)


def smaller(images: UInt8[Tensor, "n c h h"], side: int) -> UInt8[Tensor, "n c side side"]:
    """Images of `side` pixels, each the mean of those it stands for. ValueError unless they divide evenly."""
    there = images.shape[-1]
    if there % side:
        raise ValueError(f"pixels become means of as many each: {there} is no multiple of {side}; use 8, 16 or 32")
    if there == side:
        return images
    parts = [F.avg_pool2d(some.float(), there // side).round().byte() for some in images.split(4096)]
    return torch.cat(parts)


def _divided(table: Table, strata: Int[np.ndarray, " n"], fraction: float = HELD_OUT) -> tuple[Table, Table]:
    kept, held_out = validation_split(np.unique(strata, return_inverse=True)[1], fraction=fraction)
    return table.subset(torch.from_numpy(kept)), table.subset(torch.from_numpy(held_out))


def _examples(
    tables: tuple[Table, ...] | list[Table],
    side: str,
    families: tuple[str, ...],
    answers: tuple[str, ...],
    words: tuple[str, ...],
    device: torch.device,
) -> Examples:
    group = {
        part: table.side[side].cpu().numpy().astype(np.int64)
        for part, table in zip(("train", "valid", "test"), tables, strict=True)
    }
    return Examples(*(to_device(table, device) for table in tables), group, families, answers, words)


def digest_of(examples: Examples) -> str:
    """Hash of what is learnt from and judged by: inputs, what they stand for, and targets, of all splits."""
    digest = hashlib.sha256(examples.seen)
    for table in (examples.train, examples.valid, examples.test):
        target = table.target
        columns = (target.answer, target.score) if isinstance(target, SparseScores) else (target,)
        for column in (*table.inputs, *columns):
            digest.update(column.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:12]


def data_of(s: Setting, task: str) -> dict:
    """What a task's recipes say of their data; its hash reads all of them."""
    dataset = {"reasoning": s.reasoning_data, "vqa": s.dataset, "image": s.image_data}[task]
    data: dict = {"dataset": dataset}
    if task == "image":
        data |= {"n_train": s.image_train, "side": s.image_side if dataset == "cifar100" else None}
    elif dataset.startswith("clevr"):
        data |= {"features": s.reasoning_features}
    if task == "vqa" or dataset == "shapes":
        world = None
        if dataset == "shapes":
            seen = {"objects": s.world_objects, "regions": max(s.world_objects), "noise": s.world_noise}
            synonyms = World.synonyms if task == "vqa" else 0.0  # reasoning is about what is there, not about words
            wrong = World.disagreement if task == "vqa" else s.world_disagreement
            world = World(n_train=s.questions, disagreement=wrong, synonyms=synonyms, **seen)
        spec = DataSpec(dataset, "same", world, s.min_answer_count, s.max_words)
        labels = {"labels": task == "reasoning"}
        return asdict(spec) | labels | {"digest": data_digest(spec, root_of(s))}
    return data | {"digest": digest_of(examples_of(data, root_of(s), torch.device("cpu")))}
