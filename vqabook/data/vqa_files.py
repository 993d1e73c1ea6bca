"""Official VQA files -> `Questions`: a split as columns.

VQA v1 and v2 store dicts ({"questions": [...]}, {"annotations": [...]}), VQA-CP bare lists; both may be gzipped.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypedDict

import numpy as np
from jaxtyping import Int

from vqabook.data.json_files import check_unique, read_entries
from vqabook.metrics.vqa import normalise

N_ANNOTATORS = 10
ANSWER_TYPES = ("yes/no", "number", "other")  # the official three, in the papers' column order


class Question(TypedDict):
    """What is read of an entry of the question file."""

    question_id: int
    image_id: int
    question: str


class Answer(TypedDict):
    """One annotator's answer: its text alone, all that the evaluator reads."""

    answer: str


class Annotation(TypedDict):
    """What is read of an entry of the annotation file."""

    question_id: int
    image_id: int
    question_type: str
    answer_type: str
    multiple_choice_answer: str
    answers: list[Answer]


@dataclass(frozen=True)
class Questions:
    """A split as columns. `annotations` are as in the official file, for the evaluator; all lists share one order."""

    question_id: Int[np.ndarray, " n"]
    image_id: Int[np.ndarray, " n"]
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
    unmatched = by_id.keys() ^ asked.keys()
    if unmatched:
        raise ValueError(
            f"questions and annotations come in pairs: {len(asked)} questions in {questions}, {len(by_id)} annotations "
            f"in {annotations}, {len(unmatched)} ids in only one of them (first: {min(unmatched)}); "
            "use two files of the same split"
        )
    matched = [by_id[i] for i in asked]
    for q, a in zip(asked.values(), matched, strict=True):
        expected = (q["image_id"], N_ANNOTATORS, True)
        if (a["image_id"], len(a["answers"]), a["answer_type"] in ANSWER_TYPES) != expected:
            raise ValueError(
                f"an annotation has its question's image, {N_ANNOTATORS} answers, a type: {', '.join(ANSWER_TYPES)}; "
                f"question {q['question_id']} about image {q['image_id']} has image {a['image_id']}, "
                f"{len(a['answers'])} answers and type {a['answer_type']!r}; fetch both files again"
            )
    images = np.array([q["image_id"] for q in asked.values()], dtype=np.int64)
    return Questions(np.array(list(asked), np.int64), images, [q["question"] for q in asked.values()], matched)


def _by_id(path: str | os.PathLike, entries: Iterable[dict]) -> dict[int, dict]:
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
