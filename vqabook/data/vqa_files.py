"""Official VQA files -> `Questions`: a split as columns.

VQA v1 and v2 store dicts ({"questions": [...]}, {"annotations": [...]}), VQA-CP bare lists; both may be gzipped.
"""

from __future__ import annotations

import gc
import gzip
import json
import os
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vqabook.metrics.vqa import normalise

if TYPE_CHECKING:
    from jaxtyping import Int

N_ANNOTATORS = 10
ANSWER_TYPES = ("yes/no", "number", "other")  # the official three, in the papers' column order
_ASKED = {"question_id": int, "image_id": int, "question": str}
_ANNOTATED = {"question_id": int, "image_id": int, "question_type": str, "answer_type": str}
_ANNOTATED |= {"multiple_choice_answer": str, "answers": list}
_KINDS = {int: "a whole number", str: "text", list: "a list"}


@dataclass(frozen=True)
class Questions:
    """A split as columns. `annotations` are the official dicts, for the evaluator; all lists share one order."""

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


def plain_or_gz(path: str | os.PathLike) -> Path:
    """`path`, or else `path`.gz. Raises if neither exists."""
    path = Path(path)
    if not path.exists() and path.with_name(path.name + ".gz").exists():
        path = path.with_name(path.name + ".gz")
    if not path.exists():
        raise FileNotFoundError(
            f"{path} (or the same name with .gz) does not exist; check data_root or fetch the data set"
        )
    return path


def read_json(path: str | os.PathLike, *, object_hook: Callable[[dict], Any] | None = None) -> Any:
    """Plain or gzipped JSON; looks for `path` and then `path`.gz. `object_hook`: as `json.loads` takes it."""
    path = plain_or_gz(path)
    opener = gzip.open if path.suffix == ".gz" else open
    try:
        with opener(path, "rt", encoding="utf-8") as file:
            text = file.read()
        if kind := _no_json(text):
            raise ValueError(f"{path} must be JSON, it is {kind}; fetch it again")
        return json.loads(text, object_hook=object_hook)
    except (EOFError, OSError, zlib.error, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(
            f"{path} must be whole, valid JSON: {error}; it is probably cut off, fetch it again"
        ) from error


def _no_json(text: str) -> str | None:
    """What a failed download left in place of JSON, as far as its beginning tells."""
    start = text[:512].lstrip("\ufeff \t\r\n").lower()
    if not start:
        return "empty"
    return "an HTML page, probably a login or error page" if start.startswith("<") else None


class _SharedAnswers:
    """A JSON object hook: equal answers become one dict with their text alone, all that the evaluator reads.

    The official files repeat text, confidence and position ten times a question; kept, they would be most of the
    memory.
    """

    def __init__(self):
        self.known: dict[str, dict] = {}

    def __call__(self, entry: dict) -> dict:
        answer = entry.get("answer")
        if not isinstance(answer, str) or "answers" in entry:
            return entry
        if answer not in self.known:
            self.known[answer] = {"answer": answer}
        return self.known[answer]


@contextmanager
def _no_collection() -> Iterator[None]:
    """Millions of new containers, none of them garbage: looking for cycles among them would only take time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _entries(path: str | os.PathLike, key: str, fields: Mapping[str, type]) -> dict[int, dict]:
    """The file's entries by question id, in its order."""
    with _no_collection():
        content = read_json(path, object_hook=_SharedAnswers())
    entries = content.get(key) if isinstance(content, dict) else content
    if not isinstance(entries, list) or not entries or not all(isinstance(entry, dict) for entry in entries):
        raise ValueError(
            f'VQA files hold a list of dicts, or a dict with one under "{key}"; {path} does not: is it the right file?'
        )
    for entry in entries:
        for field, kind in fields.items():
            if field not in entry:
                raise ValueError(
                    f"every entry under {key} has {', '.join(fields)}; one in {path} lacks {field} "
                    f"(it has {', '.join(entry)}): is it the right file?"
                )
            if not isinstance(entry[field], kind):
                raise ValueError(
                    f"{field} is {_KINDS[kind]} in VQA files, got {entry[field]!r:.60} in {path}; fetch it again"
                )
    by_id = {entry["question_id"]: entry for entry in entries}
    if len(by_id) < len(entries):
        twice, times = Counter(entry["question_id"] for entry in entries).most_common(1)[0]
        raise ValueError(
            f"every question has an id of its own: {path} has {len(by_id)} ids for {len(entries)} entries "
            f"(question {twice} occurs {times} times); fetch it again, or number the questions anew"
        )
    return by_id


def read_questions(questions: str | os.PathLike, annotations: str | os.PathLike) -> Questions:
    """One split from its two official files, in the order of the question file. Of an answer only its text is kept."""
    asked, by_id = _entries(questions, "questions", _ASKED), _entries(annotations, "annotations", _ANNOTATED)
    unmatched = by_id.keys() ^ asked.keys()
    if unmatched:
        raise ValueError(
            f"questions and annotations come in pairs: {len(asked)} questions in {questions}, {len(by_id)} annotations "
            f"in {annotations}, {len(unmatched)} ids in only one of them (first: {min(unmatched)}); "
            "use two files of the same split"
        )
    matched = [by_id[i] for i in asked]
    for q, a in zip(asked.values(), matched, strict=True):
        given = (q["image_id"], N_ANNOTATORS, True)
        if (a["image_id"], len(a["answers"]), a["answer_type"] in ANSWER_TYPES) != given:
            raise ValueError(
                f"an annotation has its question's image, {N_ANNOTATORS} answers, a type: {', '.join(ANSWER_TYPES)}; "
                f"question {q['question_id']} about image {q['image_id']} has image {a['image_id']}, "
                f"{len(a['answers'])} answers and type {a['answer_type']!r}; fetch both files again"
            )
        if not all(isinstance(x, dict) and isinstance(x.get("answer"), str) for x in a["answers"]):
            raise ValueError(
                f'an answer is a dict with its text under "answer", which one of question {q["question_id"]} in '
                f"{annotations} is not; fetch it again"
            )
    images = np.array([q["image_id"] for q in asked.values()], dtype=np.int64)
    return Questions(np.array(list(asked), np.int64), images, [q["question"] for q in asked.values()], matched)
