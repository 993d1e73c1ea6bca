"""What the ensembles of Mun et al. 2018 are trained on: questions that need reasoning, VQA, images."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from vqabook.core import SparseScores, Table
from vqabook.data import root
from vqabook.data.cifar import cifar100_classes, load_cifar100
from vqabook.data.clevr import ANSWERS, FAMILIES, load_clevr
from vqabook.data.imbalanced import Cut, divide
from vqabook.data.sets import DataSpec, load_task, to_device
from vqabook.data.shapes import World
from vqabook.data.splits import validation_split
from vqabook.data.whitening import Whitening

if TYPE_CHECKING:
    from jaxtyping import Int

HELD_OUT = 0.1  # of train, to choose an epoch on
DIGITS_TESTED = 0.5


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
        return image_examples(name, data_root, device)
    if name.startswith("clevr"):
        return clevr_examples(name, data_root, device)
    return question_examples(spec_of(data), data["labels"], data_root, device)


@lru_cache(maxsize=1)
def clevr_examples(dataset: str, data_root: Path | None, device: torch.device) -> Examples:
    """CLEVR's questions about the true states of a scene's objects; the official validation questions are the test."""
    clevr = load_clevr(root.data_root(data_root) / dataset)
    strata = clevr.train.side["family"].numpy() * len(ANSWERS) + clevr.train.target.numpy()
    tables = (*_divided(clevr.train, strata), clevr.val)
    families = tuple(f"{template} {i}" for template, i in FAMILIES)
    words = tuple(sorted(clevr.words, key=clevr.words.get))
    return _examples(tables, "family", families, ANSWERS, words, device)


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
def image_examples(dataset: str, data_root: Path | None, device: torch.device) -> Examples:
    """Images by their class. CIFAR-100 is contrast-normalised and whitened, and nothing is augmented (Sec. 4.2)."""
    if dataset == "digits":
        cut = divide(Cut("digits", "balanced", None, DIGITS_TESTED, 0), root.data_root(data_root))
        train, test, names = cut.train, cut.held_out, cut.names
    else:
        folder = root.data_root(data_root) / "cifar100"
        train, test = load_cifar100(folder)
        whitening, names = Whitening.of(train.inputs[0]), cifar100_classes(folder)
        train, test = (Table((whitening(t.inputs[0]),), t.target, 100) for t in (train, test))
    train, test = (replace(t, side={"class": t.target}) for t in (train, test))
    return _examples((*_divided(train, train.target.numpy()), test), "class", names, names, (), device)


def _divided(table: Table, strata: Int[np.ndarray, " n"]) -> tuple[Table, Table]:
    kept, held_out = validation_split(np.unique(strata, return_inverse=True)[1], fraction=HELD_OUT)
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
    """Hash of what is learnt from and judged by: inputs that lie in memory, and targets, of all splits."""
    digest = hashlib.sha256()
    for table in (examples.train, examples.valid, examples.test):
        target = table.target
        columns = (target.answer, target.score) if isinstance(target, SparseScores) else (target,)
        for column in (*table.inputs, *columns):
            digest.update(column.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:12]
