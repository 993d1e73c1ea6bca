"""Official VQA files -> `Questions`: a split as columns.

VQA v1 and v2 store dicts ({"questions": [...]}, {"annotations": [...]}), VQA-CP bare lists; both may be gzipped. Ids
are what a file says, whole numbers or texts (VizWiz' images are file names), and so are types.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypedDict

import numpy as np
from jaxtyping import Int, Shaped

from vqabook.data.json_files import check_unique, read_entries
from vqabook.metrics.vqa import normalise

N_ANNOTATORS = 10


class Question(TypedDict):
    """What is read of an entry of the question file."""

    question_id: int | str
    image_id: int | str
    question: str


class Answer(TypedDict):
    """One annotator's answer: its text alone, all that the evaluator reads."""

    answer: str


class Annotation(TypedDict):
    """What is read of an entry of the annotation file."""

    question_id: int | str
    image_id: int | str
    question_type: str
    answer_type: str
    multiple_choice_answer: str
    answers: list[Answer]


@dataclass(frozen=True)
class Questions:
    """A split as columns. `annotations` are as in the official file, for the evaluator; all lists share one order.

    A column of ids is int64, or text.
    """

    question_id: Shaped[np.ndarray, " n"]
    image_id: Shaped[np.ndarray, " n"]
    text: list[str]
    annotations: list[dict]

    def __len__(self) -> int:
        return len(self.text)

    @property
    def question_type(self) -> list[str]:
        return [a["question_type"] for a in self.annotations]

    @property
    def answer_type(self) -> list[str]:
        return [a["answer_type"] for a in self.annotations]

    @property
    def modal_answer(self) -> list[str]:
        """The annotators' plurality answer, normalised."""
        return [normalise(a["multiple_choice_answer"]) for a in self.annotations]

    def subset(self, rows: Int[np.ndarray, " s"]) -> Questions:
        text, annotations = ([column[i] for i in rows] for column in (self.text, self.annotations))
        return Questions(self.question_id[rows], self.image_id[rows], text, annotations)

    def __add__(self, other: Questions) -> Questions:
        ids, images = (
            np.concatenate(c) for c in ((self.question_id, other.question_id), (self.image_id, other.image_id))
        )
        return Questions(ids, images, self.text + other.text, self.annotations + other.annotations)


def read_questions(questions: str | os.PathLike, annotations: str | os.PathLike) -> Questions:
    """One split from its two official files, in the order of the question file. Of an answer only its text is kept."""
    rule = "a VQA question has an id, an image and its text"
    asked = _by_id(questions, read_entries(questions, "questions", Question, rule))
    rule = f"a VQA annotation has a question, an image, types and {N_ANNOTATORS} answers"
    by_id = _by_id(annotations, _share_answers(read_entries(annotations, "annotations", Annotation, rule)))
    question_id, image_id = (_as_column([q[key] for q in asked.values()], questions) for key in _IDS)
    for key, column in zip(_IDS, (question_id, image_id), strict=True):
        check_alike(column, _as_column([a[key] for a in by_id.values()], annotations), f"{questions} and {annotations}")
    unmatched = by_id.keys() ^ asked.keys()
    if unmatched:
        raise ValueError(
            f"questions and annotations come in pairs: {len(asked)} questions in {questions}, {len(by_id)} annotations "
            f"in {annotations}, {len(unmatched)} ids in only one of them (first: {min(unmatched)}); "
            "use two files of the same split"
        )
    matched = [by_id[i] for i in asked]
    for q, a in zip(asked.values(), matched, strict=True):
        if (a["image_id"], len(a["answers"])) != (q["image_id"], N_ANNOTATORS):
            raise ValueError(
                f"an annotation has its question's image and {N_ANNOTATORS} answers; "
                f"question {q['question_id']} about image {q['image_id']} has image {a['image_id']} and "
                f"{len(a['answers'])} answers; fetch both files again, or write a single answer {N_ANNOTATORS} times"
            )
    return Questions(question_id, image_id, [q["question"] for q in asked.values()], matched)


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
        raise ValueError(f"ids of one kind are compared, whole numbers or texts: {where} have {one!r} and {other!r}")


def _by_id(path: str | os.PathLike, entries: Iterable[dict]) -> dict[int | str, dict]:
    """The file's entries by question id, in its order."""
    entries = list(entries)
    check_unique([entry["question_id"] for entry in entries], "every question has an id of its own", path)
    return {entry["question_id"]: entry for entry in entries}


def _share_answers(annotations: Iterable[dict]) -> Iterable[dict]:
    """Equal answers become one dict: the official files repeat them ten times a question, most of the memory."""
    shared: dict[str, dict] = {}
    for annotation in annotations:
        annotation["answers"] = [shared.setdefault(x["answer"], x) for x in annotation["answers"]]
        yield annotation
