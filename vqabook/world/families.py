"""The question families of the embedded world, after CLEVR's, with ground-truth answers.

Each function proposes one question of its family for every image, vectorised over images [n]; `shapes_questions` picks
among the proposals. CLEVR: Johnson et al. 2017, arXiv:1612.06890, Sec. 3.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int

from vqabook.world.scenes import ATTRIBUTES, VALUES, Scenes

COLOR, SHAPE, SIZE, MATERIAL = range(4)
DIRECTIONS = ("to the left of", "to the right of", "above", "below")
ZONES = ("left", "right", "top", "bottom", "center")
SIDES = ("left", "right")
YES_NO = ("yes", "no")
ADJECTIVES = tuple(value for attribute in ATTRIBUTES for value in VALUES[attribute])
FIRST_ADJECTIVE = np.cumsum([0] + [len(VALUES[attribute]) for attribute in ATTRIBUTES])
NEVER = -1  # the answer when an image allows no such question

Naming = tuple[int, ...]  # the attributes that a noun phrase names
REFERENCES: tuple[Naming, ...] = ((SHAPE,), (COLOR, SHAPE), (MATERIAL, SHAPE), (SIZE, SHAPE), (COLOR, MATERIAL))


class Proposal(NamedTuple):
    """One question for each image; `answer` indexes the type's answers, and any other number means no such question."""

    answer: Int[np.ndarray, " n"]
    wording: Int[np.ndarray, " n"]  # the wording class: which attributes are named, not their values
    phrases: tuple[Int[np.ndarray, "n 4"], ...]  # values of the named attributes, -1 where not named
    relevant: Bool[np.ndarray, "n o"]  # the objects that matter for the answer
    asked: Bool[np.ndarray, "n 4"]  # the attributes that must be seen
    n_wordings: int
    words: tuple[str, ...] = ("",)  # what `{word}` in the template may stand for
    word: Int[np.ndarray, " n"] | None = None  # index into `words`; None stands for zeros

    def word_at(self, image: int) -> str:
        """What `{word}` stands for in the question about this image."""
        return self.words[0 if self.word is None else self.word[image]]

    def columns(self) -> Int[np.ndarray, "k n"]:
        """All that tells questions of one type apart."""
        phrases = np.concatenate([phrase.T for phrase in self.phrases])
        return phrases if self.word is None else np.concatenate([phrases, self.word[None]])


def _name(namings: Sequence[Naming], wording: Int[np.ndarray, " n"]) -> Bool[np.ndarray, "n 4"]:
    table = np.zeros((len(namings), 4), bool)
    for row, naming in zip(table, namings, strict=True):
        row[list(naming)] = True
    return table[wording]


def _pick(among: Bool[np.ndarray, "n o"], rng: np.random.Generator) -> Int[np.ndarray, " n"]:
    """A random region of each image where `among` holds (any region where it never does)."""
    return (rng.random(among.shape) + among).argmax(1)


def _at(per_object: np.ndarray, target: Int[np.ndarray, " n"]) -> np.ndarray:
    return per_object[np.arange(len(target)), target]


def _only(target: Int[np.ndarray, " n"], scenes: Scenes) -> Bool[np.ndarray, "n o"]:
    return np.arange(scenes.values.shape[1]) == target[:, None]


def _fits(scenes: Scenes, phrase: Int[np.ndarray, "n 4"]) -> Bool[np.ndarray, "n o"]:
    """Objects that a noun phrase describes."""
    equal = scenes.values == phrase[:, None]
    return scenes.present & (equal | (phrase < 0)[:, None]).all(-1)


def _inspect(
    scenes: Scenes, phrase: Int[np.ndarray, "n 4"], fitting: Bool[np.ndarray, "n o"]
) -> Bool[np.ndarray, "n o"]:
    """The objects that fit; else those that share a named attribute; else all: one looks before saying "no" or "0"."""
    similar = (scenes.values == phrase[:, None]).any(-1) & scenes.present
    others = np.where(similar.any(1, keepdims=True), similar, scenes.present)
    return np.where(fitting.any(1, keepdims=True), fitting, others)


def _refer(scenes: Scenes, rng: np.random.Generator, namings: Sequence[Naming], wording: Int[np.ndarray, " n"]):
    """A random object, the phrase that names it, and whether it fits this object alone."""
    target = _pick(scenes.present, rng)
    phrase = np.where(_name(namings, wording), _at(scenes.values, target), -1)
    return target, phrase, _fits(scenes, phrase).sum(1) == 1


def _describe(scenes: Scenes, rng: np.random.Generator, named: Bool[np.ndarray, "n 4"]) -> Int[np.ndarray, "n 4"]:
    """A random object's values, each redrawn with probability 1/2, so that often nothing fits the phrase."""
    random = np.stack([rng.integers(len(VALUES[a]), size=len(named)) for a in ATTRIBUTES], 1)
    seen = _at(scenes.values, _pick(scenes.present, rng))
    return np.where(named, np.where(rng.random(named.shape) < 0.5, random, seen), -1)


def _beside(scenes: Scenes, anchor: Int[np.ndarray, " n"], direction: Int[np.ndarray, " n"]) -> Bool[np.ndarray, "n o"]:
    """Objects to the left of, to the right of, above or below the anchor."""
    shift = scenes.centre - _at(scenes.centre, anchor)[:, None]
    along = np.take_along_axis(shift, (direction // 2)[:, None, None], 2)[..., 0]
    return scenes.present & np.where(direction[:, None] % 2 == 0, along < 0, along > 0)


def query(scenes: Scenes, rng: np.random.Generator, *, attribute: int) -> Proposal:
    """The value of an attribute of the one object that the phrase, which does not name that attribute, fits."""
    namings = [naming for naming in (*REFERENCES, (COLOR, SIZE)) if attribute not in naming]
    wording = rng.integers(len(namings), size=len(scenes.values))
    target, phrase, unique = _refer(scenes, rng, namings, wording)
    answer = np.where(unique, _at(scenes.values, target)[:, attribute], NEVER)
    asked = (phrase >= 0) | (np.arange(4) == attribute)
    return Proposal(answer, wording, (phrase,), _only(target, scenes), asked, len(namings))


def query_nearest(scenes: Scenes, rng: np.random.Generator, *, attribute: int) -> Proposal:
    """The value of an attribute of the object nearest to the named one."""
    wording = rng.integers(len(REFERENCES), size=len(scenes.values))
    anchor, phrase, unique = _refer(scenes, rng, REFERENCES, wording)
    distance = np.linalg.norm(scenes.centre - _at(scenes.centre, anchor)[:, None], axis=-1)
    distance[~scenes.present | _only(anchor, scenes)] = np.inf
    target = distance.argmin(1)
    answer = np.where(unique & np.isfinite(_at(distance, target)), _at(scenes.values, target)[:, attribute], NEVER)
    asked = (phrase >= 0) | (np.arange(4) == attribute)
    return Proposal(answer, wording, (phrase,), _only(target, scenes) | _only(anchor, scenes), asked, len(REFERENCES))


def locate(scenes: Scenes, rng: np.random.Generator, *, answers: tuple[str, ...]) -> Proposal:
    """Where in the image the named object is: on which side, or in which of five zones."""
    wording = rng.integers(len(REFERENCES), size=len(scenes.values))
    target, phrase, unique = _refer(scenes, rng, REFERENCES, wording)
    x, y = (_at(scenes.centre, target) - 0.5).T
    if answers == SIDES:
        answer = np.where(abs(x) < 0.03, NEVER, x > 0)
    else:
        zone = np.where(abs(x) >= abs(y), 0 + (x > 0), 2 + (y > 0))
        answer = np.where(np.maximum(abs(x), abs(y)) < 0.2, ZONES.index("center"), zone)
    answer = np.where(unique, answer, NEVER)
    return Proposal(answer, wording, (phrase,), _only(target, scenes), phrase >= 0, len(REFERENCES))


def exist(scenes: Scenes, rng: np.random.Generator) -> Proposal:
    """Whether anything fits a phrase of two attributes."""
    wording = rng.integers(len(REFERENCES) - 1, size=len(scenes.values))
    phrase = _describe(scenes, rng, _name(REFERENCES[1:], wording))
    fitting = _fits(scenes, phrase)
    relevant = _inspect(scenes, phrase, fitting)
    return Proposal(np.subtract(1, fitting.any(1)), wording, (phrase,), relevant, phrase >= 0, len(REFERENCES) - 1)


def exist_beside(scenes: Scenes, rng: np.random.Generator) -> Proposal:
    """Whether anything that fits a phrase lies on one side of the named object."""
    n = len(scenes.values)
    wording, direction = rng.integers(4, size=n), rng.integers(4, size=n)
    anchor, where, unique = _refer(scenes, rng, REFERENCES[1:2], np.zeros(n, int))
    phrase = _describe(scenes, rng, np.arange(4) == wording[:, None])
    fitting = _fits(scenes, phrase) & _beside(scenes, anchor, direction)
    relevant = _inspect(scenes, phrase, fitting) | _only(anchor, scenes)
    asked = (phrase >= 0) | (where >= 0)
    answer = np.where(unique, 1 - fitting.any(1), NEVER)
    return Proposal(answer, wording, (phrase, where), relevant, asked, 4, DIRECTIONS, direction)


def verify(scenes: Scenes, rng: np.random.Generator) -> Proposal:
    """Whether the named object has the value of another attribute."""
    pairs = [(naming, a) for naming in REFERENCES for a in (COLOR, SIZE, MATERIAL) if a not in naming]
    wording = rng.integers(len(pairs), size=len(scenes.values))
    target, phrase, unique = _refer(scenes, rng, [naming for naming, _ in pairs], wording)
    attribute = np.array([a for _, a in pairs])[wording]
    truth = _at(_at(scenes.values, target), attribute)
    n_values = np.diff(FIRST_ADJECTIVE)[attribute]
    other = (truth + rng.integers(1, n_values)) % n_values
    value = np.where(rng.random(len(truth)) < 0.5, truth, other)
    asked = (phrase >= 0) | (np.arange(4) == attribute[:, None])
    answer = np.where(unique, value != truth, NEVER)
    word = FIRST_ADJECTIVE[attribute] + value
    return Proposal(answer, wording, (phrase,), _only(target, scenes), asked, len(pairs), ADJECTIVES, word)


def same(scenes: Scenes, rng: np.random.Generator) -> Proposal:
    """Whether two named objects have the same value of an attribute that neither phrase names."""
    pairs = [(naming, a) for naming in REFERENCES[:4] for a in range(4) if a not in naming]
    wording = rng.integers(len(pairs), size=len(scenes.values))
    namings, attribute = [naming for naming, _ in pairs], np.array([a for _, a in pairs])[wording]
    target, first, unique = _refer(scenes, rng, namings, wording)
    other, second, also = _refer(scenes, rng, namings, wording)
    differs = _at(_at(scenes.values, target), attribute) != _at(_at(scenes.values, other), attribute)
    asked = (first >= 0) | (np.arange(4) == attribute[:, None])
    answer = np.where(unique & also & (target != other), differs, NEVER)
    relevant = _only(target, scenes) | _only(other, scenes)
    return Proposal(answer, wording, (first, second), relevant, asked, len(pairs), ATTRIBUTES, attribute)


def compare(scenes: Scenes, rng: np.random.Generator) -> Proposal:
    """Whether more objects fit one phrase than another, which names another value of the same attribute."""
    wording = rng.integers(4, size=len(scenes.values))
    named = np.arange(4) == wording[:, None]
    phrases = tuple(np.where(named, _at(scenes.values, _pick(scenes.present, rng)), -1) for _ in range(2))
    fitting = [_fits(scenes, phrase) for phrase in phrases]
    more = fitting[0].sum(1) > fitting[1].sum(1)
    answer = np.where((phrases[0] != phrases[1]).any(1), ~more, NEVER)
    return Proposal(answer, wording, phrases, fitting[0] | fitting[1], named, 4)


def count(scenes: Scenes, rng: np.random.Generator, *, namings: Sequence[Naming], least: int) -> Proposal:
    """How many objects fit a phrase; the first answer of the type is `least`."""
    wording = rng.integers(len(namings), size=len(scenes.values))
    phrase = _describe(scenes, rng, _name(namings, wording))
    fitting = _fits(scenes, phrase)
    relevant = _inspect(scenes, phrase, fitting)
    return Proposal(fitting.sum(1) - least, wording, (phrase,), relevant, phrase >= 0, len(namings))


def count_beside(scenes: Scenes, rng: np.random.Generator) -> Proposal:
    """How many objects lie on one side of the named one."""
    n = len(scenes.values)
    wording, direction = rng.integers(len(REFERENCES), size=n), rng.integers(4, size=n)
    anchor, phrase, unique = _refer(scenes, rng, REFERENCES, wording)
    fitting = _beside(scenes, anchor, direction)
    relevant = fitting | _only(anchor, scenes)
    answer, n_wordings = np.where(unique, fitting.sum(1), NEVER), len(REFERENCES)
    return Proposal(answer, wording, (phrase,), relevant, phrase >= 0, n_wordings, DIRECTIONS, direction)
