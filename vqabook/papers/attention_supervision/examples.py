"""The three tasks of the attention paper as training, validation and test examples."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int

from vqabook import files
from vqabook.core import Table
from vqabook.data.hat import HumanMaps, read_maps
from vqabook.data.image_tables import tabulate
from vqabook.data.layout import DataSpec
from vqabook.data.seen import boxes_of, relevant_maps
from vqabook.data.sets import Task, load_task
from vqabook.data.tables import digest_tables, hold_out, to_device
from vqabook.data.trec import LABELS, load_trec
from vqabook.papers.attention_supervision.recipes import HAT, choose_images
from vqabook.world.scenes import CANVAS

CPU = torch.device("cpu")
TEXT_HELD_OUT = 0.1  # of TREC's training questions
JUDGED = 1000  # test examples whose maps are compared with human ones


@dataclass(frozen=True)
class People:
    """VQA-HAT's maps, the test rows that they are compared on, and the boxes of those rows' regions, if not a grid."""

    maps: HumanMaps
    rows: Int[np.ndarray, " r"]
    boxes: Float[np.ndarray, "r o 4"] | None


@dataclass(frozen=True)
class Examples:
    """A task's splits; `words` and `classes` name what ids mean, `human` where a person would look, where known."""

    train: Table
    valid: Table
    test: Table
    words: tuple[str, ...] = ()  # from id 2 on
    classes: tuple[str, ...] = ()
    task: Task | None = None  # VQA: the questions and answers behind the tables
    human: Mapping[str, Float[np.ndarray, "n o"]] | None = None  # by split, over regions
    boxes: Mapping[str, Float[np.ndarray, "n o 4"]] | None = None  # of the regions, by split, in [0, 1]
    people: People | None = None

    @property
    def digest(self) -> str:
        """Hash of what is learnt from and judged by."""
        return digest_tables((self.train, self.valid, self.test))

    @property
    def vqa(self) -> Task:
        """`task` of examples that are a VQA set's. Raises ValueError for others."""
        if self.task is None:
            raise ValueError("questions about images come with a task, these examples have none; take those of VQA")
        return self.task


def load_examples(task: str, data: Mapping, seed: int, data_root: Path | None, device: torch.device) -> Examples:
    """The examples of a task that a recipe's `data` name, on the device; `seed` draws what is held out of images."""
    if task == "image":
        return image_examples(data["dataset"], data["n_train"], seed, data_root, device)
    if task == "vqa":
        return vqa_examples(DataSpec.of(data), data["human"], data_root, device)
    if data["dataset"] == "trec":
        return trec_examples(data_root, device)
    return type_examples(DataSpec.of(data), data["word_noise"], data_root, device)


@lru_cache(maxsize=2)
def trec_examples(data_root: Path | None, device: torch.device = CPU) -> Examples:
    """TREC's official splits, a tenth of train held out; that cut is the same for every seed."""
    trec = load_trec(files.data_root(data_root))
    tables = (*hold_out(trec.train, fraction=TEXT_HELD_OUT), trec.test)
    train, valid, test = (to_device(table, device) for table in tables)
    return Examples(train, valid, test, tuple(trec.words), LABELS)


@lru_cache(maxsize=2)
def type_examples(spec: DataSpec, noise: float, data_root: Path | None, device: torch.device) -> Examples:
    """Questions by their question type. A share `noise` of all words, chosen once, are other words that tell nothing.

    Without it the first words of a question give its type away.
    """
    task, rng = load_task(spec, data_root, device), torch.Generator().manual_seed(0)
    n_words, n_types = len(task.vocabulary.words), len(task.vocabulary.question_types)
    tables = []
    for table in (task.train, task.valid, task.test):
        words, target = table.inputs[1].cpu(), table.side["question_type"].cpu()
        other = torch.randint(2, n_words + 2, words.shape, generator=rng, dtype=words.dtype)
        replaced = words.ne(0) & (torch.rand(words.shape, generator=rng) < noise)
        whole = Table((torch.where(replaced, other, words),), target, n_types)
        tables.append(to_device(whole.subset((target < n_types).nonzero()[:, 0]), device))
    train, valid, test = tables
    return Examples(train, valid, test, tuple(task.vocabulary.words), task.vocabulary.question_types)


@lru_cache(maxsize=2)
def image_examples(dataset: str, n_train: int, seed: int, data_root: Path | None, device: torch.device) -> Examples:
    """The images of `recipes.choose_images`."""
    *parts, names = choose_images(dataset, n_train, seed, files.data_root(data_root))
    train, valid, test = (to_device(tabulate(images, dataset, len(names)), device) for images in parts)
    return Examples(train, valid, test, classes=names)


@lru_cache(maxsize=2)
def vqa_examples(spec: DataSpec, human_maps: str | None, data_root: Path | None, device: torch.device) -> Examples:
    """A VQA set, with where people look: the regions that the embedded world's questions are about, or VQA-HAT."""
    task = load_task(spec, data_root, device)
    examples = Examples(task.train, task.valid, task.test, tuple(task.vocabulary.words), task=task)
    if human_maps == HAT:
        return replace(examples, people=find_people(task, spec.dataset, files.data_root(data_root)))
    if human_maps is None:
        return examples
    features, human, boxes = task.features, {}, {}
    if features.boxes is None:
        raise ValueError(f"relevant regions have boxes, {features.path} has none; make the world anew")
    for part, questions in (("train", task.train_questions), ("test", task.test_questions)):
        ids = questions.question_id
        human[part] = relevant_maps(spec, ids, n_regions=features.n_regions, data_root=data_root)
        boxes[part] = features.boxes[features.rows_of(questions.image_id)] / CANVAS
    return replace(examples, human=human, boxes=boxes)


def find_people(task: Task, dataset: str, folder: Path) -> People:
    """VQA-HAT's maps of the first test questions that have one."""
    questions, n = task.test_questions, task.features.n_regions
    maps = read_maps(folder / HAT, question_ids=questions.question_id)
    rows = np.flatnonzero(np.isin(questions.question_id, maps.question_id))[:JUDGED]
    known = boxes_of(dataset, questions.image_id[rows].tolist(), folder)
    boxes = None if known is None else np.stack([np.pad(own, ((0, n - len(own)), (0, 0))) for own in known])
    return People(maps, rows, boxes)
