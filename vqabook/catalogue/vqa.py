"""VQA sets in numbers: what their questions ask, how far annotators agree, and how answers' priors move to test.

Statistics alone: no question or image is passed on.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import chain
from pathlib import Path

import numpy as np
import pandas as pd

from vqabook.catalogue.description import Description, Picture, rank
from vqabook.data.layout import DataSpec, source_files
from vqabook.data.sets import load_questions
from vqabook.data.vqa import Questions, tokenise
from vqabook.metrics.vqa import normalise, rows_by_type

MIN_ANSWER_COUNT = DataSpec.min_answer_count
SHOWN_TYPES = SHOWN_ANSWERS = 3


def describe(dataset: str, data_root: Path | None) -> Description:
    """A VQA set, named or in a folder, or "shapes", by its own division into train and test; needs no features.

    Classes are train's modal answers, the vocabulary's ("answers in the vocabulary") those of 9 questions or more.
    """
    spec = DataSpec(dataset)
    train, test, valid = load_questions(spec, data_root)
    answers = list_answers(train), list_answers(test)
    mixed = pd.concat(answers).iloc[np.random.default_rng(0).permutation(len(train) + len(test))]
    shift = prior_shift(*answers)
    # The control: small test sets differ from train in their rare answers whatever was done to the priors.
    by_chance = prior_shift(mixed[: len(train)], mixed[len(train) :])
    counts = _count(answers[0]["answer"])
    kept = counts[counts >= MIN_ANSWER_COUNT]
    facts = {
        **_describe_questions(train, test, valid),
        f"answers in the vocabulary (train, {MIN_ANSWER_COUNT} or more)": len(kept),
        "train questions that the vocabulary answers (%)": round(100 * int(kept.sum()) / len(train), 1),
        "annotators who give the modal answer (%)": _percent(map(_agree, train.annotations + test.annotations)),
        "priors of train and test": source_files(spec, data_root)[0].native,
        "total variation of answers between train and test, within question types (%)": round(100 * shift, 1),
        "the same, had the questions been cut at random (%)": round(100 * by_chance, 1),
    }
    rows = {"train": len(train)} | ({} if valid is None else {"val": len(valid)}) | {"test": len(test)}
    return Description(rows, rank(counts.index, counts), len(counts), _picture(*answers, shift, by_chance), facts)


def list_answers(questions: Questions) -> pd.DataFrame:
    """A row a question: its type, its modal answer and that answer's type."""
    return pd.DataFrame(
        {"type": questions.question_type, "answer": questions.modal_answer, "of": questions.answer_type}
    )


def prior_shift(train: pd.DataFrame, test: pd.DataFrame) -> float:
    """How far answers' shares within a question type move: total variation, half the L1 distance.

    The mean over the question types of both, by test questions: 0 for the same priors, 1 for no answer in common.
    """
    shares = _share(train, test)
    distances = (shares["train"] - shares["test"]).abs().groupby("type").sum() / 2
    sizes = test.loc[test["type"].isin(train["type"]), "type"].value_counts()
    return float(np.average(distances[sizes.index], weights=sizes)) if len(sizes) else 1.0


def _share(train: pd.DataFrame, test: pd.DataFrame) -> pd.DataFrame:
    """(type, answer) -> its share of its type's questions in train and in test."""
    parts = {"train": train, "test": test}
    shares = {name: part.groupby("type")["answer"].value_counts(normalize=True) for name, part in parts.items()}
    return pd.concat(shares, axis="columns").fillna(0.0)


def _count(values: pd.Series) -> pd.Series:
    """How often each value comes, the most frequent first, ties by name."""
    return values.value_counts().sort_index().sort_values(ascending=False, kind="stable")


def _describe_questions(train: Questions, test: Questions, valid: Questions | None) -> dict[str, str | int | float]:
    """What the questions are about, and in which words; only images are counted in `valid` too."""
    images, third = ([set(part.image_id.tolist()) for part in parts if part] for parts in ((train, test), (valid,)))
    of_kinds = rows_by_type(train.annotations + test.annotations)
    words = [tokenise(text) for text in train.text]
    types = _count(pd.Series(train.question_type))[:SHOWN_TYPES]
    return {
        "images": len(set.union(*images, *third)),
        "images in both splits" if valid is None else "images in train and test": len(set.intersection(*images)),
        "question types": len({*train.question_type, *test.question_type}),
        "most frequent question types (train)": ", ".join(f"{kind} ({n:,})" for kind, n in types.items()),
        **{f"{kind} questions (%)": _percent(rows.tolist()) for kind, rows in of_kinds.items()},
        "words in the vocabulary (train)": len(set(chain.from_iterable(words))),
        "words a question (train)": round(float(np.mean([len(text) for text in words])), 2),
    }


def _agree(annotation: Mapping) -> float:
    """Share of a question's ten annotators who give the most frequent answer."""
    votes = Counter(x["answer"] for x in annotation["answers"])
    if len(votes) > 1:
        votes = Counter(normalise(x["answer"]) for x in annotation["answers"])
    return max(votes.values()) / votes.total()


def _percent(values: Iterable[float]) -> float:
    return round(100 * float(np.mean(list(values))), 1)


def _picture(train: pd.DataFrame, test: pd.DataFrame, shift: float, by_chance: float) -> Picture:
    """The most frequent answers of a few question types, each as its share of its type in train and in test."""
    chosen = _choose_types(train, test)
    shares = _share(train, test).assign(both=lambda part: part["train"] + part["test"]).sort_index()
    shares = shares.sort_values("both", ascending=False, kind="stable")
    shown = pd.concat([shares.loc[[kind]][:SHOWN_ANSWERS] for kind in chosen] or [shares[:0]])
    series = {name: (100 * shown[name]).round(2).tolist() for name in ("train", "test")}
    names = ", ".join(f'"{name}"' for name in chosen) or "no question type, for they share none,"
    alt = (
        f"Bars in pairs, train beside test: how often each of the most frequent answers to {names} is given. "
        f"Within a question type train's and test's answers differ by {100 * shift:.0f} % in total variation; "
        f"after a random cut they would by {100 * by_chance:.0f} %."
    )
    labels = [f"{kind}: {answer}" for kind, answer in shown.index]
    return Picture("bars", {"labels": labels, "series": series, "y_label": "% of the type"}, alt)


def _choose_types(train: pd.DataFrame, test: pd.DataFrame) -> list[str]:
    """The largest question type of each answer type that train and test share, then the next largest."""
    sizes = _count(pd.concat([train, test])["type"])
    shared = sizes.index[sizes.index.isin(train["type"]) & sizes.index.isin(test["type"])]
    answer_types = train.groupby("type")["of"].agg(lambda kinds: kinds.mode()[0])[shared]
    ranks = answer_types.groupby(answer_types).cumcount()
    return ranks.sort_values(kind="stable").index[:SHOWN_TYPES].tolist()
