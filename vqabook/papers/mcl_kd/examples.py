"""What the ensembles of Mun et al. 2018 are trained on: questions that need reasoning, VQA, images."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from jaxtyping import Int

from vqabook import files
from vqabook.core import Table
from vqabook.data.clevr import ANSWERS, FAMILIES, load_clevr, scene_features
from vqabook.data.image_tables import shrink, tabulate
from vqabook.data.layout import DataSpec
from vqabook.data.sets import load_task
from vqabook.data.tables import digest_tables, hold_out, to_device
from vqabook.data.whitening import Whitening
from vqabook.features.store import FeatureStore, open_features
from vqabook.papers.mcl_kd.recipes import HELD_OUT, choose_images

CPU = torch.device("cpu")


@dataclass(frozen=True)
class Examples:
    """A task's splits; `families` names the groups in which members may specialise, `group` has each row's.

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

    @property
    def digest(self) -> str:
        """Hash of what is learnt from and judged by."""
        return digest_tables((self.train, self.valid, self.test), self.seen)


def load_examples(data: Mapping, data_root: Path | None, device: torch.device = CPU) -> Examples:
    """The examples that a recipe's data name, on the device."""
    name = data["dataset"]
    if name in ("digits", "cifar100"):
        return load_images(name, data["n_train"], data["side"], data_root, device)
    if name.startswith("clevr"):
        return load_reasoning(name, data["features"], data_root, device)
    return load_questions(DataSpec.of(data), data["labels"], data_root, device)


@lru_cache(maxsize=1)
def load_reasoning(dataset: str, features: str, data_root: Path | None, device: torch.device) -> Examples:
    """CLEVR's questions about the true states of a scene's objects, or about features of its picture.

    Those lie beside the questions, in features_train.h5 and features_val.h5; the paper's are conv4 of ResNet-101 (Sec.
    4.1). The official validation questions are the test.
    """
    folder = files.data_root(data_root) / dataset
    splits: tuple[Literal["train", "val"], ...] = ("train", "val")
    stores: dict[str, FeatureStore]
    if features == "states":
        stores = {split: scene_features(folder, split) for split in splits}
        seen = b"".join(store.codes.numpy().tobytes() for store in stores.values())
    else:
        paths = {split: folder / f"features_{split}.h5" for split in splits}
        if absent := [str(path) for path in paths.values() if not path.exists()]:
            raise FileNotFoundError(
                f"questions about CLEVR's pictures need their features in {' and '.join(absent)}, which do not exist; "
                "make them: vqabook data features IMAGES FILE --backbone transformers:microsoft/resnet-101@stage3 "
                "--size 224 --grid 14 --dtype float16, or ask about states: reasoning_features = 'states'"
            )
        stores = {split: open_features(path) for split, path in paths.items()}
        seen = repr([path.stat().st_size for path in paths.values()]).encode()
    clevr = load_clevr(folder, features=stores)
    strata = clevr.train.side["family"].numpy() * len(ANSWERS) + clevr.train.labels.numpy()
    tables = (*hold_out(clevr.train, strata, fraction=HELD_OUT), clevr.val)
    families = tuple(f"{template} {i}" for template, i in FAMILIES)
    words = tuple(sorted(clevr.words, key=clevr.words.__getitem__))
    return _group(tables, "family", families, ANSWERS, device, words=words, seen=seen)


@lru_cache(maxsize=2)
def load_questions(spec: DataSpec, labels: bool, data_root: Path | None, device: torch.device) -> Examples:
    """A VQA set by its question types; `labels`: one answer a question, the one that most people gave."""
    task = load_task(spec, data_root, device)
    tables, known = [task.train, task.valid, task.test], task.vocabulary
    if labels:
        tables = [_with_labels(table) for table in tables]
    types = (*known.question_types, "other")  # a type that train lacks has the id after the last
    return _group(tables, "question_type", types, tuple(known.answers), device, words=tuple(known.words))


def _with_labels(table: Table) -> Table:
    """The rows with a known answer, whose label is the one that most annotators gave."""
    known = (table.scores.score.amax(1) > 0).nonzero()[:, 0]
    return replace(table, target=table.scores.best).subset(known)


@lru_cache(maxsize=1)
def load_images(dataset: str, n_train: int, side: int | None, data_root: Path | None, device: torch.device) -> Examples:
    """The images of `recipes.choose_images`, by their class.

    CIFAR-100 is contrast-normalised and whitened, and nothing is augmented (Sec. 4.2); `side` pixels wide.
    """
    *parts, names = choose_images(dataset, n_train, files.data_root(data_root))
    tables = [tabulate(images, dataset, len(names)) for images in parts]
    if dataset == "cifar100":
        shrunk = [shrink(table.inputs[0], side or 32) for table in tables]
        whitening = Whitening.of(shrunk[0])
        tables = [Table((whitening(x),), table.target, 100) for x, table in zip(shrunk, tables, strict=True)]
    return _group([replace(t, side={"class": t.labels}) for t in tables], "class", names, names, device)


def _group(
    tables: Sequence[Table], side: str, families: tuple, answers: tuple, device: torch.device, **more
) -> Examples:
    """Examples whose groups a side column has."""
    parts = zip(("train", "valid", "test"), tables, strict=True)
    group = {part: table.side[side].cpu().numpy().astype(np.int64) for part, table in parts}
    train, valid, test = (to_device(table, device) for table in tables)
    return Examples(train, valid, test, group, families, answers, **more)
