"""VQA sets in numbers: what their questions ask, how far annotators agree, and how answers' priors move to test.

Statistics alone: no question or image is passed on.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from itertools import chain
from pathlib import Path

import numpy as np

from vqabook.catalogue.description import Description, Picture
from vqabook.data.sets import DataSpec, load_questions, source_files
from vqabook.data.vqa import ANSWER_TYPES, Questions, tokenise
from vqabook.metrics.vqa import normalise

MIN_ANSWER_COUNT = DataSpec.min_answer_count
SHOWN_TYPES = SHOWN_ANSWERS = 3
SHOWN_CLASSES = 50
Answers = Mapping[str, Counter]  # question type -> modal answer -> questions


def describe(dataset: str, data_root: Path | None) -> Description:
    """A set of `vqabook.data.sets.SOURCES`, or "shapes", by its own division into train and test; needs no features.

    Classes are train's modal answers, the vocabulary's ("answers in the vocabulary") those of 9 questions or more.
    """
    spec = DataSpec(dataset)
    train, test = load_questions(spec, data_root)
    counts = Counter(train.modal_answer)
    ranked = sorted(counts, key=lambda answer: (-counts[answer], answer))
    before, after = _count_by_type(train), _count_by_type(test)
    shift, by_chance = prior_shift(before, after), prior_shift(*_cut_at_random(train, test))
    facts = {
        **_describe_questions(train, test),
        f"answers in the vocabulary (train, {MIN_ANSWER_COUNT} or more)": len(_keep_frequent(counts)),
        "train questions that the vocabulary answers (%)": round(100 * sum(_keep_frequent(counts)) / len(train), 1),
        "annotators who give the modal answer (%)": _percent(_find_agreement(train) + _find_agreement(test)),
        "priors of train and test": source_files(spec, data_root)[0].native,
        "total variation of answers between train and test, within question types (%)": round(100 * shift, 1),
        "the same, had the questions been cut at random (%)": round(100 * by_chance, 1),
    }
    return Description(
        rows={"train": len(train), "test": len(test)},
        classes={answer: counts[answer] for answer in ranked[:SHOWN_CLASSES]},
        n_classes=len(counts),
        picture=_picture(before, after, _find_answer_types(train), shift, by_chance),
        facts=facts,
    )


def total_variation(one: Mapping[str, int], other: Mapping[str, int]) -> float:
    """Half the L1 distance of the two answer distributions: 0 for the same prior, 1 for no answer in common."""
    totals = sum(one.values()), sum(other.values())
    return sum(abs(one.get(a, 0) / totals[0] - other.get(a, 0) / totals[1]) for a in one.keys() | other.keys()) / 2


def prior_shift(train: Answers, test: Answers) -> float:
    """Mean total variation between train's and test's answers over the question types of both, by test questions."""
    shared = [kind for kind in test if kind in train]
    if not shared:
        return 1.0
    sizes = [sum(test[kind].values()) for kind in shared]
    return float(np.average([total_variation(train[kind], test[kind]) for kind in shared], weights=sizes))


def _count_by_type(questions: Questions) -> dict[str, Counter]:
    return _tally(zip(questions.question_type, questions.modal_answer, strict=True))


def _tally(pairs: Iterable[tuple[str, str]]) -> dict[str, Counter]:
    counts: dict[str, Counter] = defaultdict(Counter)
    for kind, answer in pairs:
        counts[kind][answer] += 1
    return dict(counts)


def _cut_at_random(train: Questions, test: Questions) -> tuple[dict[str, Counter], dict[str, Counter]]:
    """The control: small test sets differ from train in their rare answers whatever was done to the priors."""
    pairs = [pair for part in (train, test) for pair in zip(part.question_type, part.modal_answer, strict=True)]
    order = np.random.default_rng(0).permutation(len(pairs)).tolist()
    cut = len(train)
    return _tally(pairs[i] for i in order[:cut]), _tally(pairs[i] for i in order[cut:])


def _describe_questions(train: Questions, test: Questions) -> dict[str, str | int | float]:
    """What the questions are about, and in which words."""
    images = [set(part.image_id.tolist()) for part in (train, test)]
    kinds = train.answer_type + test.answer_type
    words = [tokenise(text) for text in train.text]
    types = sorted(Counter(train.question_type).items(), key=lambda item: (-item[1], item[0]))
    return {
        "images": len(set.union(*images)),
        "images in both splits": len(set.intersection(*images)),
        "question types": len({*train.question_type, *test.question_type}),
        "most frequent question types (train)": ", ".join(f"{kind} ({n:,})" for kind, n in types[:SHOWN_TYPES]),
        **{f"{name} questions (%)": _percent([kind == name for kind in kinds]) for name in ANSWER_TYPES},
        "words in the vocabulary (train)": len(set(chain.from_iterable(words))),
        "words a question (train)": round(float(np.mean([len(text) for text in words])), 2),
    }


def _find_answer_types(questions: Questions) -> dict[str, str]:
    """Question type -> its most frequent answer type."""
    counts = _tally(zip(questions.question_type, questions.answer_type, strict=True))
    return {kind: counter.most_common(1)[0][0] for kind, counter in counts.items()}


def _find_agreement(questions: Questions) -> list[float]:
    """Share of the ten annotators who give the most frequent answer, per question."""
    shares = []
    for annotation in questions.annotations:
        votes = Counter(x["answer"] for x in annotation["answers"])
        if len(votes) > 1:
            votes = Counter(normalise(x["answer"]) for x in annotation["answers"])
        shares.append(max(votes.values()) / votes.total())
    return shares


def _keep_frequent(counts: Counter) -> list[int]:
    return [n for n in counts.values() if n >= MIN_ANSWER_COUNT]


def _percent(values: list) -> float:
    return round(100 * float(np.mean(values)), 1)


def _picture(train: Answers, test: Answers, answer_types: Mapping[str, str], shift: float, by_chance: float) -> Picture:
    """The most frequent answers of a few question types, each as its share of its type in train and in test."""
    chosen = _choose_types(train, test, answer_types)
    labels, series = [], {"train": [], "test": []}
    for kind in chosen:
        share = {
            name: {answer: n / part[kind].total() for answer, n in part[kind].items()}
            for name, part in (("train", train), ("test", test))
        }
        both = Counter(share["train"])
        both.update(share["test"])
        for answer in sorted(both, key=lambda answer: (-both[answer], answer))[:SHOWN_ANSWERS]:
            labels.append(f"{kind}: {answer}")
            for name, column in series.items():
                column.append(round(100 * share[name].get(answer, 0.0), 2))
    alt = (
        f"Bars in pairs, train beside test: how often each of the most frequent answers to {_list(chosen)} is given. "
        f"Within a question type train's and test's answers differ by {100 * shift:.0f} % in total variation; "
        f"after a random cut they would by {100 * by_chance:.0f} %."
    )
    return Picture("bars", {"labels": labels, "series": series, "y_label": "% of the type"}, alt)


def _choose_types(train: Answers, test: Answers, answer_types: Mapping[str, str]) -> list[str]:
    """The largest question type of each answer type that train and test share, then the next largest."""
    order = sorted(train.keys() & test.keys(), key=lambda kind: (-train[kind].total() - test[kind].total(), kind))
    rank: Counter[str] = Counter()
    ranks = {}
    for kind in order:
        ranks[kind] = rank[answer_types[kind]]
        rank[answer_types[kind]] += 1
    return sorted(order, key=lambda kind: (ranks[kind], order.index(kind)))[:SHOWN_TYPES]


def _list(names: list[str]) -> str:
    return ", ".join(f'"{name}"' for name in names) or "no question type, for they share none,"
