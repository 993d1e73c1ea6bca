"""The question types of the embedded world, the choice of questions, and ten annotators who answer each.

Nothing in the wording tells the answer: within every wording class of a type (which attributes are named, whatever
their values) the answers follow the type's own prior. Values are exchangeable, as scenes draw them uniformly, so a
model that reads only the question knows that prior at best. Annotators err as people do: the harder a thing is to see,
the more they disagree.
"""

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from vqabook.splits import rank_within
from vqabook.world import families
from vqabook.world.families import COLOR, MATERIAL, SHAPE, SIDES, SIZE, YES_NO, ZONES, Proposal
from vqabook.world.scenes import ATTRIBUTES, VALUES, Scenes

MAX_ROUNDS = 24  # of proposals, one an image each; rare answers need several
SYNONYMS = {
    "gray": "grey", "purple": "violet", "cube": "block", "sphere": "ball", "cylinder": "tube", "ring": "donut",
    "small": "tiny", "large": "big", "metal": "steel", "rubber": "plastic", "wood": "wooden", "center": "middle",
}  # fmt: skip
N_ANNOTATORS = 10
PLAIN, HARD = 0.25, 0.5  # the difficulties below which annotators only slip, and from which they err most
CARELESS = 0.05  # they slip about a plain thing this many times as often as they err about a hard one


@dataclass(frozen=True)
class QuestionType:
    """`template` begins with `name`, the official-looking question_type; {s0} is a noun phrase, {p0} its plural."""

    name: str
    family: str
    template: str
    answers: tuple[str, ...]
    propose: Callable[[Scenes, np.random.Generator], Proposal]
    mode: int = 0  # the most frequent answer, if the answers are numbers

    @property
    def answer_type(self) -> str:
        return "yes/no" if self.answers == YES_NO else "number" if self.answers[0].isdigit() else "other"

    def prior(self, exponent: float) -> Float[np.ndarray, " a"]:
        """Zipf over the answers: numbers by distance from `mode`, others in a fixed random order of the type's own."""
        if self.answer_type == "number":
            rank = np.argsort(np.argsort([abs(int(answer) - self.mode) for answer in self.answers], kind="stable"))
        else:
            rank = np.random.default_rng(zlib.crc32(self.name.encode())).permutation(len(self.answers))
        weight = (rank + 1.0) ** -exponent
        return weight / weight.sum()


class Question(NamedTuple):
    """A question with its truth."""

    image: int
    type: QuestionType
    text: str
    answer: str
    relevant: list[int]  # regions that matter for the answer
    difficulty: float  # in [0, 1]: the mean invisibility of what must be seen


def ask(scenes: Scenes, n_questions: int, exponent: float, rng: np.random.Generator) -> list[Question]:
    """`n_questions` questions, ordered by image; yes/no types get one and a half times the share of the others.

    `exponent`: Zipf exponent of every type's answers. Raises if the images do not allow so many different questions.
    """
    share = np.array([1.5 if kind.answer_type == "yes/no" else 1.0 for kind in QUESTION_TYPES])
    quota = _apportion(n_questions * share / share.sum(), rng)
    chosen = [_ask_one_type(scenes, kind, int(n), exponent, rng) for kind, n in zip(QUESTION_TYPES, quota, strict=True)]
    questions = [question for of_type in chosen for question in of_type]
    images = np.array([question.image for question in questions])
    order = np.lexsort((rng.random(len(questions)), images))
    return [questions[i] for i in order]


def _ask_one_type(
    scenes: Scenes, kind: QuestionType, n_questions: int, exponent: float, rng: np.random.Generator
) -> list[Question]:
    """Propose until every (wording, answer) has its share, then pick. Others fill a share out of reach."""
    rounds: list[Proposal] = []
    n_images = len(scenes.values)
    want = rows = cell = np.empty(0, int)
    while len(rounds) < MAX_ROUNDS:
        rounds.append(kind.propose(scenes, rng))
        if len(rounds) == 1:
            of_wording = _apportion(np.full(rounds[0].n_wordings, n_questions / rounds[0].n_wordings), rng)
            want = np.concatenate([_apportion(n * kind.prior(exponent), rng) for n in of_wording])
        rows = _find_distinct(rounds, len(kind.answers))
        wording, answer = (np.concatenate([getattr(p, name) for p in rounds])[rows] for name in ("wording", "answer"))
        cell = wording * len(kind.answers) + answer
        if (np.bincount(cell, minlength=want.size) >= want).all():
            break
    wanted = rank_within(cell, rng) < want[cell]
    picked = rows[np.argsort(np.where(wanted, 0, 1 + rng.random(len(rows))), kind="stable")[:n_questions]]
    if len(picked) < n_questions:
        raise ValueError(
            f"every question about an image is different: {n_images} images allow {len(picked)} questions of type "
            f"{kind.name!r}, {n_questions} are wanted; lower questions_per_image"
        )
    return [_question(scenes, kind, rounds[row // n_images], int(row % n_images)) for row in picked]


def _find_distinct(rounds: list[Proposal], n_answers: int) -> Int[np.ndarray, " k"]:
    """Rows (round * n_images + image) of possible questions, each question about an image once."""
    keys, possible = [], []
    for proposal in rounds:
        key = np.arange(len(proposal.answer))
        for column in proposal.columns():
            key = key * 32 + column + 1  # a column has fewer than 31 values
        keys.append(key)
        possible.append((proposal.answer >= 0) & (proposal.answer < n_answers))
    rows = np.flatnonzero(np.concatenate(possible))
    return rows[np.sort(np.unique(np.concatenate(keys)[rows], return_index=True)[1])]


def _question(scenes: Scenes, kind: QuestionType, proposal: Proposal, image: int) -> Question:
    nouns = [_noun(phrase[image]) for phrase in proposal.phrases]
    fields = {f"s{i}": noun for i, noun in enumerate(nouns)} | {f"p{i}": f"{noun}s" for i, noun in enumerate(nouns)}
    text = kind.template.format(**fields, word=proposal.word_at(image)).replace(" a orange", " an orange")
    relevant = np.flatnonzero(proposal.relevant[image])
    seen = scenes.visibility[image][np.ix_(relevant, proposal.asked[image])]
    difficulty = 1 - float(seen.mean()) if seen.size else 0.0
    return Question(image, kind, text.capitalize(), kind.answers[proposal.answer[image]], relevant.tolist(), difficulty)


def _noun(phrase: Int[np.ndarray, " 4"]) -> str:
    color, shape, size, material = (
        VALUES[attribute][value] if value >= 0 else "" for attribute, value in zip(ATTRIBUTES, phrase, strict=True)
    )
    return " ".join(word for word in (size, color, material, shape or "thing") if word)


def _apportion(shares: Float[np.ndarray, " k"], rng: np.random.Generator) -> Int[np.ndarray, " k"]:
    """Whole numbers with the shares as expectations and the rounded sum of the shares as their sum."""
    total = round(shares.sum())
    edges = np.floor(np.cumsum(shares) / max(shares.sum(), 1e-9) * total + rng.random())
    edges[-1] = total
    return np.diff(edges, prepend=0).astype(int)


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


def _numbers(least: int, most: int) -> tuple[str, ...]:
    return tuple(str(number) for number in range(least, most + 1))


def _query(name: str, rest: str, attribute: int) -> QuestionType:
    kind, propose = ATTRIBUTES[attribute], partial(families.query, attribute=attribute)
    return QuestionType(name, f"query_{kind}", f"{name} {rest}", VALUES[kind], propose)


_ONE = partial(families.count, namings=((COLOR,), (SHAPE,), (SIZE,), (MATERIAL,)), least=0)
_ALL = partial(families.count, namings=[()], least=3)
_COLOR, _SHAPE = (partial(families.query_nearest, attribute=attribute) for attribute in (COLOR, SHAPE))
_ZONE, _SIDE = (partial(families.locate, answers=answers) for answers in (ZONES, SIDES))
_0_TO_6, _0_TO_7, _3_TO_10 = _numbers(0, 6), _numbers(0, 7), _numbers(3, 10)

QUESTION_TYPES: tuple[QuestionType, ...] = (
    QuestionType("is there a", "exist", "is there a {s0}?", YES_NO, families.exist),
    QuestionType("are there any", "exist_relate", "are there any {p0} {word} the {s1}?", YES_NO, families.exist_beside),
    QuestionType("is the", "verify", "is the {s0} {word}?", YES_NO, families.verify),
    QuestionType("does the", "compare_attribute", "does the {s0} have the same {word} as the {s1}?", YES_NO,
                 families.same),
    QuestionType("are the", "compare_attribute", "are the {s0} and the {s1} the same {word}?", YES_NO, families.same),
    QuestionType("are there more", "compare_integer", "are there more {p0} than {p1}?", YES_NO, families.compare),
    QuestionType("how many", "count", "how many {p0} are there?", _0_TO_6, _ONE, 1),
    QuestionType("what number of", "count", "what number of {p0} are shown?", _0_TO_6, _ONE, 3),
    QuestionType("how many objects are", "count_relate", "how many objects are {word} the {s0}?", _0_TO_7,
                 families.count_beside, 2),
    QuestionType("how many things are", "count", "how many things are in the image?", _3_TO_10, _ALL, 5),
    _query("what color is the", "{s0}?", COLOR),
    _query("what is the color of the", "{s0}?", COLOR),
    _query("what shape is the", "{s0}?", SHAPE),
    _query("what kind of", "shape does the {s0} have?", SHAPE),
    _query("what size is the", "{s0}?", SIZE),
    _query("how big is the", "{s0}?", SIZE),
    _query("what material is the", "{s0} made of?", MATERIAL),
    _query("what is the", "{s0} made of?", MATERIAL),
    QuestionType("what color object is", "query_relate", "what color object is nearest to the {s0}?", VALUES["color"],
                 _COLOR),
    QuestionType("what is next to the", "query_relate", "what is next to the {s0}?", VALUES["shape"], _SHAPE),
    QuestionType("where is the", "locate", "where is the {s0}?", ZONES, _ZONE),
    QuestionType("what part of the", "locate", "what part of the image is the {s0} in?", ZONES, _ZONE),
    QuestionType("which", "locate", "which side is the {s0} on?", SIDES, _SIDE),
)  # fmt: skip
