"""The VQA evaluator on 40,000 questions: `vqa_accuracy` against the official algorithm, one question at a time.

    python benchmarks/evaluator.py          # made-up answers; with VQABOOK_DATA set, real ones

Needs the package installed, no data, one core, about ten seconds. Both sides score the same dicts in the same process.
"""

from __future__ import annotations

import gzip
import json
import os
import random
import re
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from vqabook.metrics.vqa import _CONTRACTIONS, VqaAccuracy, normalise, vqa_accuracy

QUESTIONS = 40_000
GOAL = 20.0
GOLDEN = "vqa_evaluator_golden.json.gz"
PUNCTUATION = [";", "/", "[", "]", '"', "{", "}", "(", ")", "=", "+", "\\", "_", "-", ">", "<", "@", "`", ",", "?", "!"]
NUMBERS = {
    "none": "0", "zero": "0", "one": "1", "two": "2", "three": "3", "four": "4", "five": "5", "six": "6",
    "seven": "7", "eight": "8", "nine": "9", "ten": "10",
}  # fmt: skip


def plain_tidy(text: str) -> str:
    """One line, without space around it."""
    return text.replace("\n", " ").replace("\t", " ").strip()


def plain_normalise(text: str) -> str:
    """Mark by mark and word by word, as the official evaluator does it."""
    result = text
    for mark in PUNCTUATION:
        drop = mark + " " in text or " " + mark in text or re.search(r"(\d)(\,)(\d)", text) is not None
        result = result.replace(mark, "" if drop else " ")
    result = re.sub(r"(?!<=\d)(\.)(?!\d)", "", result, count=int(re.UNICODE))
    words = []
    for word in result.lower().split():
        word = NUMBERS.get(word, word)
        if word not in ["a", "an", "the"]:
            words.append(_CONTRACTIONS.get(word, word))
    return " ".join(words)


def plain_vqa_accuracy(predictions: Mapping[int, str], annotations: Sequence[Mapping]) -> VqaAccuracy:
    """The official algorithm, question by question and annotator by annotator: the reference for speed and equality."""
    everything, by_answer_type, by_question_type, per_question = [], defaultdict(list), defaultdict(list), {}
    for annotation in annotations:
        answers = [dict(x, answer=plain_tidy(x["answer"])) for x in annotation["answers"]]
        prediction = plain_tidy(predictions[annotation["question_id"]])
        if len({x["answer"] for x in answers}) > 1:
            for x in answers:
                x["answer"] = plain_normalise(x["answer"])
            prediction = plain_normalise(prediction)
        scores = []
        for left_out in answers:
            others = [x for x in answers if x != left_out]
            matching = [x for x in others if x["answer"] == prediction]
            scores.append(min(1, float(len(matching)) / 3))
        score = float(sum(scores)) / len(scores)
        everything.append(score)
        by_answer_type[annotation["answer_type"]].append(score)
        by_question_type[annotation["question_type"]].append(score)
        per_question[annotation["question_id"]] = round(100 * score, 2)
    return VqaAccuracy(
        plain_mean(everything),
        {t: plain_mean(scores) for t, scores in by_answer_type.items()},
        {t: plain_mean(scores) for t, scores in by_question_type.items()},
        per_question,
    )


def plain_mean(scores: list[float]) -> float:
    """Percent, rounded to two places."""
    return round(100 * float(sum(scores)) / len(scores), 2)


def golden_cases() -> list[dict] | None:
    """The officially scored real cases below VQABOOK_DATA, or None if they are not there."""
    path = Path(os.environ.get("VQABOOK_DATA", "")) / GOLDEN
    if not path.is_file():
        return None
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return json.load(file)["cases"]


def made_up_cases(n: int, seed: int = 0) -> list[dict]:
    """Cases like real ones: a skewed vocabulary of 3,000 answers, annotators who differ, articles, dots, numbers."""
    draw = random.Random(seed)
    syllables = [a + b for a in "bdfgklmnprst" for b in "aeiou"]
    words = ["yes", "no", *NUMBERS, *("".join(draw.choices(syllables, k=draw.randint(1, 3))) for _ in range(3000))]
    weights = [1 / rank for rank in range(1, len(words) + 1)]
    forms = ["{}", "the {}", "{}.", "{}-{}", "{}, {}", "A {}", "{}\n"]

    def answer(modal: str) -> str:
        word = modal if draw.random() < 0.7 else draw.choices(words, weights)[0]
        return word if draw.random() < 0.8 else draw.choice(forms).format(word, modal)

    cases = []
    for i in range(n):
        modal = draw.choices(words, weights)[0]
        answers = [modal] * 10 if draw.random() < 0.25 else [answer(modal) for _ in range(10)]
        types = {"question_type": f"type {i % 65}", "answer_type": draw.choice(["yes/no", "number", "other"])}
        cases.append({"prediction": answer(modal), "answers": answers, **types})
    return cases


def as_official(cases: list[dict], n: int) -> tuple[dict[int, str], list[dict]]:
    """`n` questions, repeating the cases, as predictions and official annotations, fresh from JSON."""
    annotations = []
    for i in range(n):
        case = cases[i % len(cases)]
        answers = [{"answer": answer, "answer_id": k} for k, answer in enumerate(case["answers"], start=1)]
        types = {key: case[key] for key in ("question_type", "answer_type")}
        annotations.append({"question_id": i, **types, "answers": answers})
    return {i: cases[i % len(cases)]["prediction"] for i in range(n)}, json.loads(json.dumps(annotations))


def main() -> dict:
    """CPU seconds of both, and how many times faster ours is. Raises unless the two agree to the last bit."""
    real = golden_cases()
    predictions, annotations = as_official(real or made_up_cases(QUESTIONS), QUESTIONS)
    normalise.cache_clear()
    started = time.process_time()
    ours = vqa_accuracy(predictions, annotations)
    ours_s = time.process_time() - started
    started = time.process_time()
    usual = plain_vqa_accuracy(predictions, annotations)
    usual_s = time.process_time() - started
    if ours != usual:
        raise AssertionError(f"the two evaluators must agree, got {ours.overall} (ours) and {usual.overall} (plain)")
    name = f"VQA evaluator, {QUESTIONS:,} questions ({f'{len(real):,} real cases repeated' if real else 'made up'})"
    return {"name": name, "ours_s": ours_s, "usual_s": usual_s, "ratio": usual_s / ours_s, "goal": GOAL}


if __name__ == "__main__":
    line = "{name}: ours {ours_s:.3f} s, one at a time {usual_s:.2f} s, {ratio:.0f} times faster (goal {goal:.0f})"
    print(line.format(**main()))
