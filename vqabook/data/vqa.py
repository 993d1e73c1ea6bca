"""`Questions` -> `Table`: vocabulary, soft targets, word ids.

The usual preprocessing is from Teney et al. 2018 ("Tips and tricks for VQA"), on which every method of Guo et al.
builds.
"""

import re
from array import array
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from vqabook.core import SparseScores, Table
from vqabook.data.vqa_files import N_ANNOTATORS, Questions
from vqabook.features.store import FeatureStore, Gather
from vqabook.metrics.vqa import normalise


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
    answer, count = _count(_answer_ids(questions, vocabulary))
    if not count.any():
        raise ValueError(
            f"none of the {len(questions)} questions has an answer in the vocabulary of {len(vocabulary.answers)}; "
            "lower min_answer_count or use its own split"
        )
    score = torch.from_numpy(count * 0.3).float().clamp(max=1)
    return SparseScores(torch.from_numpy(answer), score, len(vocabulary.answers)), torch.from_numpy(count)


def _answer_ids(questions: Questions, vocabulary: Vocabulary) -> Int[np.ndarray, "n 10"]:
    """The ten annotators' answers as ids, -1 outside the vocabulary. Each distinct text is normalised once."""
    ids: dict[str, int] = {}
    texts = [x["answer"] for a in questions.annotations for x in a["answers"]]
    for text in set(texts):
        ids[text] = vocabulary.answer_ids.get(normalise(text), -1)
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


def make_table(questions: Questions, vocabulary: Vocabulary, features: FeatureStore, *, max_words: int = 14) -> Table:
    """The split as a Table: inputs (image row, words), looked up as (regions [b, o, d], words [b, t]).

    side: "question_type" (a type that train lacks gets the id after the last), and "votes" [n, k] beside
    `target.answer`. A split without annotations has no side, and no answer that scores: it is there to be answered.
    """
    n, n_answers = len(questions), len(vocabulary.answers)
    target, side = SparseScores(torch.zeros(n, 1, dtype=torch.int32), torch.zeros(n, 1), n_answers), {}
    if questions.annotations:
        types = {name: i for i, name in enumerate(vocabulary.question_types)}
        target, votes = soft_targets(questions, vocabulary)
        question_type = torch.tensor([types.get(t, len(types)) for t in questions.question_type])
        side = {"question_type": question_type, "votes": votes}
    inputs = (
        torch.from_numpy(features.rows_of(questions.image_id)),
        encode_words(questions.text, vocabulary.words, max_words=max_words),
    )
    return Table(inputs, target, n_answers, side, Gather(features))
