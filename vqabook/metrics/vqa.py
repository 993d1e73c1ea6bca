"""The official VQA evaluator, to the last bit, on whole columns (Antol et al. 2015, "VQA", arXiv 1505.00468).

A prediction is scored against each nine of the ten human answers: min(1, matches / 3), averaged over the ten ways to
leave one out. Texts are normalised before they are compared, *unless the ten answers agree*: then they are compared
as they stand, so that predicting "two" where all ten wrote "2" scores 0. Published numbers contain this and the other
quirks that are noted below, so they are kept.

Compared on 1,860,000 pairs, all agreed but three questions and 13 aggregates: Python 2, in which the official code is
written, rounds exact halves away from zero, and takes other scripts' digits and a capital I with a dot differently.
"""

import json
import os
import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import count
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Int

from vqabook.files import written_whole

N_ANSWERS = 10
ANSWER_TYPES = ("yes/no", "number", "other")  # the official three, in the papers' column order
FURTHER = "further_types"  # where a record keeps what is scored by answer types that a file has besides

_PUNCTUATION = frozenset(';/[]"{}()=+\\_-><@`,?!')  # no colon and no apostrophe
_NUMBER_COMMA = re.compile(r"\d,\d")
_PERIOD = re.compile(r"\.(?!\d)")  # the official look-behind for a digit has a typo and always holds
_MOST_PERIODS = 32  # re.UNICODE, which the official code passes as `count`
_NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_DIGITS = {"none": "0"} | {word: str(i) for i, word in enumerate(_NUMBERS)}
_ARTICLES = frozenset({"a", "an", "the"})

# The official table maps each of these with any one apostrophe left out to the full spelling. Its "I'm", "I've" and
# "I'd've" are not here: words are lower-cased before they are looked up, so those entries never apply.
_SPELLINGS = """
    ain't aren't can't could've couldn't couldn't've didn't doesn't don't hadn't hadn't've hasn't haven't he'd he'd've
    he's how'd how'll how's isn't it'd it'd've it'll ma'am mightn't mightn't've might've mustn't must've needn't not've
    o'clock oughtn't 'ow's'at shan't she'd've should've shouldn't shouldn't've somebody'd've somebody'll somebody's
    someone'd someone'd've someone'll someone's something'd something'd've something'll that's there'd there'd've
    there're there's they'd they'd've they'll they're they've 'twas wasn't we'd've we've weren't what'll what're what's
    what've when's where'd where's where've who'd who'd've who'll who's who've why'll why're why's won't would've
    wouldn't wouldn't've y'all y'all'll y'all'd've you'd you'd've you'll you're you've
"""
_CONTRACTIONS = {w[:i] + w[i + 1 :]: w for w in _SPELLINGS.split() for i, letter in enumerate(w) if letter == "'"}
_CONTRACTIONS["somebody'd"] = "somebodyd"  # reversed in the official table


class VqaAccuracy(NamedTuple):
    """Accuracies in percent, rounded to two places. Types and questions keep the order of the annotations."""

    overall: float
    per_answer_type: dict[str, float]
    per_question_type: dict[str, float]
    per_question: dict[int | str, float]

    @property
    def scores(self) -> dict:
        """What a record keeps: "overall", the official answer types that occur, and under `FURTHER` a file's own.

        Those are apart, so that a type may have any name, "overall" too.
        """
        return {"overall": self.overall} | nest_types(self.per_answer_type)


def nest_types(values: Mapping[str, Any]) -> dict:
    """A value an answer type as a record keeps it: the official ones by name, a file's own under `FURTHER`."""
    official = {kind: value for kind, value in values.items() if kind in ANSWER_TYPES}
    further = {kind: value for kind, value in values.items() if kind not in ANSWER_TYPES}
    return official | ({FURTHER: further} if further else {})


def rows_by_type(annotations: Sequence[Mapping]) -> dict[str, Bool[np.ndarray, " n"]]:
    """Which annotations have each answer type that occurs: the official ones first, then the file's own by name."""
    types = np.array([annotation["answer_type"] for annotation in annotations], dtype=object)
    names = set(types)
    ordered = [kind for kind in ANSWER_TYPES if kind in names] + sorted(names.difference(ANSWER_TYPES))
    return {kind: types == kind for kind in ordered}


def vqa_accuracy(predictions: Mapping[int | str, str], annotations: Sequence[Mapping]) -> VqaAccuracy:
    """Score one predicted answer per question id with the official VQA metric.

    `annotations`: the official dicts (question_id, question_type, answer_type, answers: ten dicts with an "answer");
    ids are whole numbers or texts, types what the file says.
    They are not modified, and the ten are told apart by position (the official code does it by their answer_id).
    Means are taken over unrounded accuracies. ValueError or TypeError unless the predictions are strings for exactly
    the annotated questions, each with ten answers.
    """
    ids = [a["question_id"] for a in annotations]
    _check(ids, predictions, annotations)
    matches = _matches([x["answer"] for a in annotations for x in a["answers"]], [predictions[i] for i in ids])
    patterns = matches @ (1 << np.arange(N_ANSWERS))
    scores = _SCORE_OF_PATTERN[patterns].tolist()
    by_answer_type, by_question_type = defaultdict(list), defaultdict(list)
    for annotation, score in zip(annotations, scores, strict=True):
        by_answer_type[annotation["answer_type"]].append(score)
        by_question_type[annotation["question_type"]].append(score)
    return VqaAccuracy(
        overall=_percent(scores),
        per_answer_type={t: _percent(s) for t, s in by_answer_type.items()},
        per_question_type={t: _percent(s) for t, s in by_question_type.items()},
        per_question=dict(zip(ids, _PERCENT_OF_PATTERN[patterns].tolist(), strict=True)),
    )


@lru_cache(maxsize=1 << 18)
def normalise(answer: str) -> str:
    """The text that the official evaluator compares: no punctuation, lower case, digits for number words, no articles.

    A punctuation mark is dropped where the text has it next to a space, or has a comma between digits; otherwise it
    becomes a space ("red/white" -> "red white", "red, white" -> "red white", "1,000" -> "1000").
    """
    text = _tidy(answer)
    marks = _PUNCTUATION.intersection(text)
    if marks:
        drop_all = _NUMBER_COMMA.search(text)
        text = text.translate({ord(m): "" if drop_all or f"{m} " in text or f" {m}" in text else " " for m in marks})
    text = _PERIOD.sub("", text, count=_MOST_PERIODS) if "." in text else text
    words = (_DIGITS.get(word, word) for word in text.lower().split())
    return " ".join(_CONTRACTIONS.get(word, word) for word in words if word not in _ARTICLES)


def leave_one_out_scores(answers: Sequence[str]) -> dict[str, float]:
    """Accuracy in [0, 1] of predicting each distinct one of ten answers, as they stand: min(1, 0.3 n) for n votes.

    This *is* the official average over the ten ways to leave one out: n of them see n - 1 matches, 10 - n see n, and
    [n min(1, (n - 1)/3) + (10 - n) min(1, n/3)] / 10 = min(1, 0.3 n) for n = 0..10.
    """
    if len(answers) != N_ANSWERS:
        raise ValueError(f"the metric leaves one out of ten answers, got {len(answers)}; pass all ten, also repeats")
    return {answer: min(1.0, 3 * votes / N_ANSWERS) for answer, votes in Counter(answers).items()}


def answerable_accuracy(predictions: Sequence[str], annotations: Sequence[Mapping], answers: Collection[str]) -> dict:
    """What the release of Ilievski & Feng (2017) prints for validation, which is not the official accuracy.

    Percent, "overall" and by answer type (as `nest_types`), over the questions whose most frequent answer is among
    `answers`; empty if there is none.

    Every number is multiplied by the share of such questions among all, so a type that is rarely answerable is credited
    with the others' coverage. Texts are compared as they stand; `answers` are normalised.
    """
    overall: list[float] = []
    by_type = defaultdict(list)
    for answer, annotation in zip(predictions, annotations, strict=True):
        if normalise(annotation["multiple_choice_answer"]) in answers:
            score = leave_one_out_scores([x["answer"] for x in annotation["answers"]]).get(answer, 0.0)
            overall.append(score)
            by_type[annotation["answer_type"]].append(score)
    if not overall:
        return {}
    share = len(overall) / len(annotations)
    mean, *means = (100 * share * sum(scores) / len(scores) for scores in (overall, *by_type.values()))
    return {"overall": mean} | nest_types(dict(zip(by_type, means, strict=True)))


def save_results(predictions: Mapping[int | str, str], path: str | os.PathLike) -> None:
    """Write the official results JSON, [{"question_id": ..., "answer": ...}, ...], whole or not at all.

    The evaluation server wants the name vqa_OpenEnded_mscoco_<split>_<method>_results.json.
    """
    ids = (i if isinstance(i, str) else int(i) for i in predictions)
    rows = [{"question_id": i, "answer": answer} for i, answer in zip(ids, predictions.values(), strict=True)]
    with written_whole(path) as partial:
        partial.write_text(json.dumps(rows), encoding="utf-8")


def _check(ids: Sequence[int | str], predictions: Mapping[int | str, str], annotations: Sequence[Mapping]) -> None:
    known = set(ids)
    if not ids or len(known) < len(ids):
        came = f"{len(ids)} annotations of {len(known)} questions"
        raise ValueError(f"a question is annotated once, and there is at least one, got {came}; pass one whole split")
    missing = [i for i in ids if i not in predictions]
    if missing:
        raise ValueError(
            f"every annotated question needs a prediction: {len(missing)} of {len(ids)} have none "
            f"(first: question {missing[0]}); predict them too, or pass only the annotations of what was predicted"
        )
    unknown = [i for i in predictions if i not in known]
    if unknown:
        raise ValueError(
            f"predictions are for annotated questions only: {len(unknown)} of {len(predictions)} are not "
            f"(first: question {unknown[0]}); use the annotations of the same split"
        )
    for i, answer in predictions.items():
        if not isinstance(answer, str):
            raise TypeError(f"a prediction is a str, got {answer!r} for question {i}; pass the answer's text")
    for i, annotation in zip(ids, annotations, strict=True):
        if len(annotation["answers"]) != N_ANSWERS:
            came = f"{len(annotation['answers'])} for question {i}"
            raise ValueError(f"the metric leaves one out of ten answers, got {came}; use the official annotations")


def _matches(answers: list[str], predictions: list[str]) -> Bool[np.ndarray, "n 10"]:
    """Which of its ten answers each prediction equals. Distinct strings are normalised once; the rest is integers."""
    codes, distinct = _encode(answers + predictions)
    answer, prediction = codes[: len(answers)].reshape(-1, N_ANSWERS), codes[len(answers) :, None]
    as_it_stands, _ = _encode(map(_tidy, distinct))
    normalised, _ = _encode(map(normalise, distinct))
    first = as_it_stands[answer[:, :1]]
    agree = (as_it_stands[answer] == first).all(axis=1, keepdims=True)
    return np.where(agree, first == as_it_stands[prediction], normalised[answer] == normalised[prediction])


def _encode(texts: Iterable[str]) -> tuple[Int[np.ndarray, " n"], list[str]]:
    """Each text's place among the distinct ones, and the distinct ones."""
    place: defaultdict[str, int] = defaultdict(count().__next__)
    return np.fromiter(map(place.__getitem__, texts), dtype=np.int32), list(place)


def _tidy(answer: str) -> str:
    return answer.replace("\n", " ").replace("\t", " ").strip()


def _score(pattern: int) -> float:
    """Accuracy if the annotators at the set bits match. The last bit of it depends on which they are, as officially."""
    match = [pattern >> i & 1 for i in range(N_ANSWERS)]
    return sum(min(1, (sum(match) - own) / 3) for own in match) / N_ANSWERS


def _percent(scores: Sequence[float]) -> float:
    return round(100 * sum(scores) / len(scores), 2)


_SCORE_OF_PATTERN = np.array([_score(p) for p in range(1 << N_ANSWERS)])
_PERCENT_OF_PATTERN = np.array([round(100 * s, 2) for s in _SCORE_OF_PATTERN.tolist()])
