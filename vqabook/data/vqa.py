"""Official VQA files -> `Questions`, a split as columns -> `Table`: vocabulary, soft targets, word ids.

VQA v1 and v2 store dicts ({"questions": [...]}, {"annotations": [...]}), VQA-CP bare lists; both may be gzipped. Ids
are what a file says, whole numbers or texts (VizWiz' images are file names), and so are types. The usual preprocessing
is from Teney et al. 2018 ("Tips and tricks for VQA"), on which every method of Guo et al. builds.
"""

from __future__ import annotations

import os
import re
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import msgspec
import numpy as np
import torch
from jaxtyping import Int, Shaped
from torch import Tensor

from vqabook.core import SparseScores, Table
from vqabook.data.json_files import check_unique, read_entries
from vqabook.features.store import FeatureStore, Gather
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
    annotations: list[Mapping]

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
        ids.append(q.question_id)
        images.append(q.image_id)
        text.append(q.question)
    check_unique(ids, "every question has an id of its own", questions)
    question_id, image_id = columns = [_as_column(column, questions) for column in (ids, images)]
    if annotations is None:
        return Questions(question_id, image_id, text, [])
    rule = f"a VQA annotation has a question, an image, types and {N_ANNOTATORS} answers"
    answered = list(_share_texts(read_entries(annotations, "annotations", Annotation, rule)))
    for key, column in zip(_IDS, columns, strict=True):
        theirs = [entry[key] for entry in answered]
        check_alike(column, _as_column(theirs, annotations), f"{questions} and {annotations}")
    check_unique([entry.question_id for entry in answered], "every question has an id of its own", annotations)
    in_order = _match(ids, images, answered, questions, annotations)
    return Questions(question_id, image_id, text, cast(list[Mapping], in_order))  # registered as Mappings


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
    numbers = [i for i in ids if isinstance(i, int)]
    if numbers and not -(2**63) <= min(numbers) <= max(numbers) < 2**63:
        most = max(numbers, key=abs)
        raise ValueError(f"a file has ids below 2^63 or texts: {most} is in {path}; write them as texts")
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


def soft_targets(
    questions: Questions, vocabulary: Vocabulary, *, as_typed: bool = False
) -> tuple[SparseScores, Int[Tensor, "n k"]]:
    """Soft scores min(1, 0.3 v) of the in-vocabulary answers with v of the ten votes, and the votes themselves.

    0.3 v capped at 1 *is* the official leave-one-out accuracy of answering so (Guo et al. print v/3 in Eq. 9, which it
    is not). `as_typed`: answers are looked up as they stand, as in released code, where "the cat" scores nothing.
    """
    answer, count = _count(_answer_ids(questions, vocabulary, as_typed))
    if not count.any():
        raise ValueError(
            f"none of the {len(questions)} questions has an answer in the vocabulary of {len(vocabulary.answers)}; "
            "lower min_answer_count or use its own split"
        )
    score = torch.from_numpy(count * 0.3).float().clamp(max=1)
    return SparseScores(torch.from_numpy(answer), score, len(vocabulary.answers)), torch.from_numpy(count)


def _answer_ids(questions: Questions, vocabulary: Vocabulary, as_typed: bool) -> Int[np.ndarray, "n 10"]:
    """The ten annotators' answers as ids, -1 outside the vocabulary. Each distinct text is normalised once."""
    ids: dict[str, int] = {}
    texts = [x["answer"] for a in questions.annotations for x in a["answers"]]
    for text in set(texts):
        ids[text] = vocabulary.answer_ids.get(text if as_typed else normalise(text), -1)
    return np.fromiter(map(ids.__getitem__, texts), np.int32, len(texts)).reshape(-1, N_ANNOTATORS)


def _count(ids: Int[np.ndarray, "n 10"]) -> tuple[Int[np.ndarray, "n k"], Int[np.ndarray, "n k"]]:
    """Distinct ids of each row in the order of their first vote, and their votes; negative ids are left out."""
    votes, repeated = np.zeros_like(ids), ids < 0
    for j in range(ids.shape[1]):
        equal = ids == ids[:, j : j + 1]
        votes += equal
        repeated[:, j + 1 :] |= equal[:, j + 1 :]
    votes[repeated] = 0
    width = max(1, int((votes > 0).sum(1).max()))
    order = np.argsort(votes == 0, axis=1, kind="stable")[:, :width]
    answer, count = (np.take_along_axis(column, order, 1) for column in (ids, votes))
    return np.where(count > 0, answer, 0), count


def encode_words(texts: list[str], words: dict[str, int], *, max_words: int = 14) -> Int[Tensor, "n t"]:
    """Word ids, right-padded with 0 and cut at `max_words` (14 in UpDn)."""
    return encode_tokens(map(tokenise, texts), words, max_words)


def encode_tokens(texts: Iterable[list[str]], words: Mapping[str, int], width: int) -> Int[Tensor, "n t"]:
    """Ids of texts that are cut into tokens already: 1 for an unknown one, or for an empty text."""
    ids = array("i")
    for tokens in texts:
        known = [words.get(token, 1) for token in tokens[:width]] or [1]
        ids.extend(known + [0] * (width - len(known)))
    return torch.from_numpy(np.array(ids, np.int32).reshape(-1, width))


def spell(ids: Int[Tensor, " t"], words: Sequence[str]) -> list[str]:
    """A text's words, which have ids from 2 on; "?" for 1, a word that train lacks; 0 is padding."""
    return [words[k - 2] if k > 1 else "?" for k in ids.tolist() if k]


def make_table(
    questions: Questions,
    vocabulary: Vocabulary,
    features: FeatureStore,
    *,
    max_words: int = 14,
    as_typed: bool = False,
) -> Table:
    """The split as a Table: inputs (image row, words), looked up as (regions [b, o, d], words [b, t]).

    side: "question_type" (a type that train lacks gets the id after the last), and "votes" [n, k] beside
    `target.answer`; `as_typed` is for `soft_targets`. A split without annotations has no side, and no answer that
    scores: it is there to be answered.
    """
    n, n_answers = len(questions), len(vocabulary.answers)
    target, side = SparseScores(torch.zeros(n, 1, dtype=torch.int32), torch.zeros(n, 1), n_answers), {}
    if questions.annotations:
        types = {name: i for i, name in enumerate(vocabulary.question_types)}
        target, votes = soft_targets(questions, vocabulary, as_typed=as_typed)
        question_type = torch.tensor([types.get(t, len(types)) for t in questions.question_type])
        side = {"question_type": question_type, "votes": votes}
    inputs = (
        torch.from_numpy(features.rows_of(questions.image_id)),
        encode_words(questions.text, vocabulary.words, max_words=max_words),
    )
    return Table(inputs, target, n_answers, side, Gather(features))
