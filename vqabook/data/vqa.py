"""Official VQA files -> `Questions` -> `Table`.

VQA v1 and v2 store dicts ({"questions": [...]}, {"annotations": [...]}), VQA-CP bare lists; both may be gzipped. The
usual preprocessing is from Teney et al. 2018 ("Tips and tricks for VQA"), on which every method of Guo et al. builds.
"""

from __future__ import annotations

import gzip
import json
import os
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from vqabook.core import SparseScores, Table
from vqabook.data.features import FeatureStore
from vqabook.metrics.vqa import normalise

if TYPE_CHECKING:
    from jaxtyping import Int
    from torch import Tensor

N_ANNOTATORS = 10
ANSWER_TYPES = ("yes/no", "number", "other")  # the official three, in the papers' column order


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


def read_json(path: str | os.PathLike) -> Any:
    """Plain or gzipped JSON; looks for `path` and then `path`.gz."""
    path = Path(path)
    if not path.exists() and path.with_name(path.name + ".gz").exists():
        path = path.with_name(path.name + ".gz")
    if not path.exists():
        raise FileNotFoundError(
            f"{path} (or the same name with .gz) does not exist; check data_root or fetch the data set"
        )
    opener = gzip.open if path.suffix == ".gz" else open
    try:
        with opener(path, "rt", encoding="utf-8") as file:
            return json.load(file)
    except (EOFError, OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(
            f"{path} must be whole, valid JSON: {error}; it is probably cut off, fetch it again"
        ) from error


def _entries(path: str | os.PathLike, key: str, fields: tuple[str, ...]) -> list[dict]:
    content = read_json(path)
    entries = content.get(key) if isinstance(content, dict) else content
    if not isinstance(entries, list) or not entries or not isinstance(entries[0], dict):
        raise ValueError(
            f'VQA files hold a list of dicts, or a dict with one under "{key}"; {path} does not: is it the right file?'
        )
    for entry in entries:
        for field in fields:
            if field not in entry:
                raise ValueError(
                    f"every entry under {key} has {', '.join(fields)}; one in {path} lacks {field} "
                    f"(it has {', '.join(entry)}): is it the right file?"
                )
    return entries


def read_questions(questions: str | os.PathLike, annotations: str | os.PathLike) -> Questions:
    """One split from its two official files, in the order of the question file."""
    asked = _entries(questions, "questions", ("question_id", "image_id", "question"))
    fields = ("question_id", "image_id", "question_type", "answer_type", "multiple_choice_answer", "answers")
    by_id = {a["question_id"]: a for a in _entries(annotations, "annotations", fields)}
    unmatched = by_id.keys() ^ {q["question_id"] for q in asked}
    if unmatched or len(by_id) != len(asked):
        raise ValueError(
            f"questions and annotations come in pairs: {len(asked)} questions in {questions}, {len(by_id)} annotations "
            f"in {annotations}, {len(unmatched)} ids in only one of them (first: "
            f"{min(unmatched, default='none, but ids repeat')}); use two files of the same split"
        )
    matched = [by_id[q["question_id"]] for q in asked]
    for q, a in zip(asked, matched, strict=True):
        given = (q["image_id"], N_ANNOTATORS, True)
        if (a["image_id"], len(a["answers"]), a["answer_type"] in ANSWER_TYPES) != given:
            raise ValueError(
                f"an annotation has its question's image, {N_ANNOTATORS} answers, a type: {', '.join(ANSWER_TYPES)}; "
                f"question {q['question_id']} about image {q['image_id']} has image {a['image_id']}, "
                f"{len(a['answers'])} answers and type {a['answer_type']!r}; fetch both files again"
            )
    ids, images = (np.array([q[k] for q in asked], dtype=np.int64) for k in ("question_id", "image_id"))
    return Questions(ids, images, [q["question"] for q in asked], matched)


def tokenise(question: str) -> list[str]:
    """Lower case, `'s` split off, commas and question marks dropped: the UpDn tokeniser."""
    return re.sub(r"[,?]", "", question.lower()).replace("'s", " 's").split()


@dataclass(frozen=True)
class Vocabulary:
    """What ids mean. Built from *train* alone, so that nothing of test leaks in.

    `answers` are the surface forms to predict: the most frequent spelling of each normalised answer, because the
    official evaluator compares unanimous answers unnormalised. Word 0 pads, word 1 stands for unknown words.
    """

    words: dict[str, int]
    answers: tuple[str, ...]
    answer_ids: dict[str, int]  # normalised answer -> id
    question_types: tuple[str, ...]


def build_vocabulary(train: Questions, *, min_answer_count: int = 9) -> Vocabulary:
    """Answers that are the plurality answer of `min_answer_count` or more train questions (UpDn: 9)."""
    if min_answer_count < 1:
        raise ValueError(f"min_answer_count must be at least 1, got {min_answer_count}")
    counts = Counter(train.modal_answer)
    kept = sorted((a for a, n in counts.items() if n >= min_answer_count), key=lambda a: (-counts[a], a))
    if not kept:
        raise ValueError(
            f"no answer occurs {min_answer_count} times in {len(train)} train questions; lower min_answer_count"
        )
    spelling: dict[str, Counter] = {a: Counter() for a in kept}
    for annotation in train.annotations:
        raw = annotation["multiple_choice_answer"]
        if normalise(raw) in spelling:
            spelling[normalise(raw)][raw] += 1
    words = sorted({word for text in train.text for word in tokenise(text)})
    return Vocabulary(
        words={word: i for i, word in enumerate(words, start=2)},
        answers=tuple(spelling[a].most_common(1)[0][0] for a in kept),
        answer_ids={a: i for i, a in enumerate(kept)},
        question_types=tuple(sorted(set(train.question_type))),
    )


def soft_targets(questions: Questions, vocabulary: Vocabulary) -> tuple[SparseScores, Int[Tensor, "n k"]]:
    """Soft scores min(1, 0.3 v) of the in-vocabulary answers with v of the ten votes, and the votes themselves.

    0.3 v capped at 1 *is* the official leave-one-out accuracy of answering so (Guo et al. print v/3 in Eq. 9, which it
    is not).
    """
    known = vocabulary.answer_ids
    votes = [Counter(known.get(normalise(x["answer"]), -1) for x in a["answers"]) for a in questions.annotations]
    for counter in votes:
        counter.pop(-1, None)
    width = max(1, max(map(len, votes)))
    answer, count = np.zeros((2, len(votes), width), dtype=np.int32)
    for i, counter in enumerate(votes):
        answer[i, : len(counter)] = list(counter.keys())
        count[i, : len(counter)] = list(counter.values())
    if not count.any():
        raise ValueError(
            f"none of the {len(votes)} questions has an answer in the vocabulary of {len(known)}; "
            "lower min_answer_count or use its own split"
        )
    score = torch.from_numpy(count * 0.3).float().clamp(max=1)
    return SparseScores(torch.from_numpy(answer), score, len(known)), torch.from_numpy(count)


def encode_words(texts: list[str], words: dict[str, int], *, max_words: int = 14) -> Int[Tensor, "n t"]:
    """Word ids, right-padded with 0 and cut at `max_words` (14 in UpDn)."""
    ids = np.zeros((len(texts), max_words), dtype=np.int32)
    for row, text in zip(ids, texts, strict=True):
        known = [words.get(word, 1) for word in tokenise(text)[:max_words]] or [1]
        row[: len(known)] = known
    return torch.from_numpy(ids)


def make_table(questions: Questions, vocabulary: Vocabulary, features: FeatureStore, *, max_words: int = 14) -> Table:
    """The split as a Table: inputs (image row, words), looked up as (regions [b, o, d], words [b, t]).

    side: "question_type" (a type that train lacks gets the id after the last), "answer_type", and "votes" [n, k]
    beside `target.answer`.
    """
    types = {name: i for i, name in enumerate(vocabulary.question_types)}
    target, votes = soft_targets(questions, vocabulary)
    rows = torch.from_numpy(features.rows_of(questions.image_id))
    return Table(
        inputs=(rows, encode_words(questions.text, vocabulary.words, max_words=max_words)),
        target=target,
        n_classes=len(vocabulary.answers),
        side={
            "question_type": torch.tensor([types.get(t, len(types)) for t in questions.question_type]),
            "answer_type": torch.tensor([ANSWER_TYPES.index(t) for t in questions.answer_type]),
            "votes": votes,
        },
        lookup=lambda image, words: (features.gather(image), words),
    )
