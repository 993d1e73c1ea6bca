"""Ten annotators a question, who err as people do: the harder a thing is to see, the more they disagree."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vqabook.world.questions import Question

SYNONYMS = {
    "gray": "grey", "purple": "violet", "cube": "block", "sphere": "ball", "cylinder": "tube", "ring": "donut",
    "small": "tiny", "large": "big", "metal": "steel", "rubber": "plastic", "wood": "wooden", "center": "middle",
}  # fmt: skip
N_ANNOTATORS = 10
PLAIN, HARD = 0.25, 0.5  # the difficulties below which annotators only slip, and from which they err most
CARELESS = 0.05  # they slip about a plain thing this many times as often as they err about a hard one


def annotate(
    questions: Sequence[Question], *, disagreement: float, synonyms: float, rng: np.random.Generator
) -> list[list[str]]:
    """The ten answers to each question.

    An annotator errs with probability `disagreement` about what is hard to see, `CARELESS * disagreement` about what
    is plain, in between on a line, so most questions are unanimous and some contested. To err is to flip yes and no, to
    miscount by one, or to take a value for its neighbour in the list of values (half the time) or for any other. An
    annotator uses a synonym with probability `synonyms`.
    """
    n = len(questions)
    difficulty = np.array([question.difficulty for question in questions])[:, None]
    errs = rng.random((n, N_ANNOTATORS)) < disagreement * np.interp(difficulty, [PLAIN, HARD], [CARELESS, 1])
    prefers_synonym = rng.random((n, N_ANNOTATORS)) < synonyms
    slips = rng.integers(0, 2**31, (n, N_ANNOTATORS))
    answers = []
    for question, *rows in zip(questions, errs.tolist(), prefers_synonym.tolist(), slips.tolist(), strict=True):
        answers.append([_answer(question, *choices) for choices in zip(*rows, strict=True)])
    return answers


def modal_answer(votes: Sequence[str], truth: str) -> str:
    """The most frequent vote; among equals the truth, then the first in the alphabet."""
    return min(set(votes), key=lambda answer: (-votes.count(answer), answer != truth, answer))


def _answer(question: Question, errs: bool, prefers_synonym: bool, slip: int) -> str:
    answer = _mistake(question, slip) if errs else question.answer
    return SYNONYMS.get(answer, answer) if prefers_synonym else answer


def _mistake(question: Question, slip: int) -> str:
    """A wrong answer; `slip` is a random number that decides which."""
    up = slip % 2 == 0
    if question.type.answer_type == "number":
        number = int(question.answer)
        return str(number + 1 if up or number == 0 else number - 1)
    answers = question.type.answers
    near = slip // 2 % 2 == 0
    step = (1 if up else -1) if near else 1 + slip // 4 % (len(answers) - 1)
    return answers[(answers.index(question.answer) + step) % len(answers)]
