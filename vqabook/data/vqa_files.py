"""Official VQA files -> `Questions`: a split as columns.

VQA v1 and v2 store dicts ({"questions": [...]}, {"annotations": [...]}), VQA-CP bare lists; both may be gzipped. Ids
are what a file says, whole numbers or texts (VizWiz' images are file names), and so are types.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from jaxtyping import Int, Shaped

from vqabook.data.json_files import check_unique, read_entries
from vqabook.files import advise
from vqabook.metrics.vqa import normalise

N_ANNOTATORS = 10


class _Entry(msgspec.Struct, gc=False):
    """An entry of a file, read like the mapping that it is there, in a fifth of a dict's memory."""

    def __getitem__(self, key: str) -> Any:
        return getattr(self, key)

    def __iter__(self) -> Iterator[str]:
        return iter(self.__struct_fields__)

    def keys(self) -> tuple[str, ...]:
        return self.__struct_fields__


Mapping.register(_Entry)


class Question(_Entry, gc=False):
    """What is read of an entry of the question file."""

    question_id: int | str
    image_id: int | str
    question: str


class Answer(_Entry, gc=False):
    """One annotator's answer: its text alone, all that the evaluator reads."""

    answer: str


class Annotation(_Entry, gc=False):
    """What is read of an entry of the annotation file."""

    question_id: int | str
    image_id: int | str
    question_type: str
    answer_type: str
    multiple_choice_answer: str
    answers: tuple[Answer, ...]


@dataclass(frozen=True)
class Questions:
    """A split as columns. `annotations` are as in the official file, for the evaluator; all lists share one order.

    A column of ids is int64, or text. A split whose answers nobody published (test-dev) has no `annotations`.
    """

    question_id: Shaped[np.ndarray, " n"]
    image_id: Shaped[np.ndarray, " n"]
    text: list[str]
    annotations: Sequence[Mapping]

    def __len__(self) -> int:
        return len(self.text)

    @property
    def question_type(self) -> list[str]:
        return self._labels("question_type")

    @property
    def answer_type(self) -> list[str]:
        return self._labels("answer_type")

    @property
    def modal_answer(self) -> list[str]:
        """The annotators' plurality answer, normalised."""
        return [normalise(answer) for answer in self._labels("multiple_choice_answer")]

    def _labels(self, key: str) -> list[str]:
        if len(self.annotations) < len(self):
            raise ValueError(
                f"a question has its {key} from the annotations, these {len(self)} have none, as in test-dev; "
                "answer them and let the evaluation server judge (save_results)"
            )
        return [annotation[key] for annotation in self.annotations]

    def subset(self, rows: Int[np.ndarray, " s"]) -> Questions:
        text, annotations = ([column[i] for i in rows if column] for column in (self.text, self.annotations))
        return Questions(self.question_id[rows], self.image_id[rows], text, annotations)

    def __add__(self, other: Questions) -> Questions:
        if len({len(part.annotations) == len(part) for part in (self, other)}) > 1:
            raise ValueError("questions with and without annotations do not make one split; keep them apart")
        ids, images = (
            np.concatenate(c) for c in ((self.question_id, other.question_id), (self.image_id, other.image_id))
        )
        return Questions(ids, images, self.text + other.text, [*self.annotations, *other.annotations])


def read_questions(questions: str | os.PathLike, annotations: str | os.PathLike | None = None) -> Questions:
    """One split from its two official files, in the order of the question file. Of an answer only its text is kept.

    `annotations` None: a split whose answers nobody published, such as test-dev.
    """
    rule = "a VQA question has an id, an image and its text"
    ids, images, text = [], [], []
    for q in read_entries(questions, "questions", Question, rule):
        ids.append(q.question_id), images.append(q.image_id), text.append(q.question)
    check_unique(ids, "every question has an id of its own", questions)
    columns = [_as_column(column, questions) for column in (ids, images)]
    if annotations is None:
        return Questions(*columns, text, [])
    rule = f"a VQA annotation has a question, an image, types and {N_ANNOTATORS} answers"
    answered = list(_share_texts(read_entries(annotations, "annotations", Annotation, rule)))
    for key, column in zip(_IDS, columns, strict=True):
        theirs = [entry[key] for entry in answered]
        check_alike(column, _as_column(theirs, annotations), f"{questions} and {annotations}")
    check_unique([entry.question_id for entry in answered], "every question has an id of its own", annotations)
    return Questions(*columns, text, _match(ids, images, answered, questions, annotations))


def _match(
    ids: list[int | str],
    images: list[int | str],
    annotations: list[Annotation],
    here: str | os.PathLike,
    there: str | os.PathLike,
) -> list[Annotation]:
    """The annotations, which are in the file `there`, in the order of their questions, which are in `here`."""
    by_id = {entry.question_id: entry for entry in annotations}
    if unmatched := by_id.keys() ^ set(ids):
        raise ValueError(
            f"questions and annotations come in pairs: {len(ids)} questions in {here}, {len(by_id)} annotations in "
            f"{there}, {len(unmatched)} ids in only one of them (first: {min(unmatched)}); use two files of one split"
        )
    for question, image in zip(ids, images, strict=True):
        a = by_id[question]
        if (a.image_id, len(a.answers)) != (image, N_ANNOTATORS):
            raise ValueError(
                f"an annotation has its question's image and {N_ANNOTATORS} answers; question {question} about image "
                f"{image} has image {a.image_id} and {len(a.answers)} answers in {there}; "
                f"{advise(there)}, an answer that stands alone {N_ANNOTATORS} times"
            )
    return [by_id[i] for i in ids]


_IDS = ("question_id", "image_id")


def _as_column(ids: Sequence[int | str], path: str | os.PathLike) -> Shaped[np.ndarray, " n"]:
    """A file's ids, which are all whole numbers of 64 bits or all texts."""
    first_of = {type(i): i for i in reversed(ids)}
    if len(first_of) > 1:
        both = " and ".join(repr(first_of[kind]) for kind in (int, str))
        raise ValueError(f"a file has ids of one kind, whole numbers or texts: {both} are in {path}; write all alike")
    if int in first_of and not -(2**63) <= min(ids) <= max(ids) < 2**63:
        raise ValueError(f"a file has ids below 2^63 or texts: {max(ids, key=abs)} is in {path}; write them as texts")
    return np.array(ids, np.int64 if int in first_of else np.str_)


def check_alike(ids: Shaped[np.ndarray, " n"], others: Shaped[np.ndarray, " m"], where: str) -> None:
    """Raise ValueError where ids are numbers in one of two places (`where`) and texts in the other: none is equal."""
    if ids.dtype.kind != others.dtype.kind:
        one, other = ids[0].item(), others[0].item()
        came = f"{where} have {one!r} and {other!r}"
        raise ValueError(f"ids of one kind are compared, whole numbers or texts: {came}; write all alike")


def _share_texts(annotations: Iterable[Annotation]) -> Iterator[Annotation]:
    """Equal texts and answers become one: the official files repeat an answer ten times a question."""
    texts: dict[str, str] = {}
    answers: dict[str, Answer] = {}
    for a in annotations:
        a.answers = tuple(answers.setdefault(x.answer, x) for x in a.answers)
        for key in ("question_type", "answer_type", "multiple_choice_answer"):
            setattr(a, key, texts.setdefault(a[key], a[key]))
        yield a
