"""VQA v2's training questions, from the official JSON to soft targets: seconds and memory on one core.

    python benchmarks/questions.py
    python benchmarks/questions.py --questions 2000000 --record

The second reads so many by the library's way alone, in minutes and some GB of files in the folder for temporary ones,
and writes its figures for the book's protocol page. Of a million questions (measured in 2026 on two busy cores): 0.97
GB at most beyond the imports, of which 0.45 stay; 1.9 and 1.3 GB when every entry was a dict.

Makes files of the official size and layout (443,757 questions with ten answers each, which agree about as much as VQA
v2's: 2.5 distinct ones a question, 76 % of the annotators with the plurality), then reads them in a fresh process. The
usual way keeps every answer's dict and one dense row of targets a question; it is measured on a tenth of the
questions, with rows as wide as the whole set needs, and its time and memory are multiplied by ten. No data needed;
about two minutes.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import accumulate
from pathlib import Path

import h5py
import numpy as np
import torch

from vqabook.data.vqa import build_vocabulary, make_table, read_questions
from vqabook.evidence.record import provenance, write_json
from vqabook.features.store import open_features
from vqabook.metrics.vqa import normalise
from vqabook.report.survived import QUESTIONS_READ

QUESTIONS, IMAGES, SAMPLE = 443_757, 82_783, 10
GOAL_SECONDS, GOAL_GB = 60, 4
OPENINGS = {  # the most frequent of the 65 official question types, with their answer type
    "how many": "number", "is the": "yes/no", "what": "other", "what color is the": "other", "what is the": "other",
    "none of the above": "other", "is this": "yes/no", "is this a": "yes/no", "what is": "other", "are the": "yes/no",
    "what kind of": "other", "is there a": "yes/no", "what type of": "other", "where is the": "other",
    "are there": "yes/no", "does the": "yes/no", "is it": "yes/no", "what time": "other", "why": "other",
}  # fmt: skip


class Zipf:
    """Draws of distinct made-up words, the k-th of them with weight k^-exponent."""

    def __init__(self, n: int, exponent: float, draw: random.Random):
        syllables = [a + b for a in "bdfgklmnprstvz" for b in "aeiou"]
        seen = {"".join(draw.choices(syllables, k=draw.randint(1, 5))) for _ in range(2 * n)}
        self.words = sorted(seen, key=len)[:n]
        self.weights = list(accumulate(rank**-exponent for rank in range(1, len(self.words) + 1)))
        self.random = draw

    def __call__(self, k: int) -> list[str]:
        return self.random.choices(self.words, cum_weights=self.weights, k=k)


def rows(n: int, seed: int = 0) -> Iterator[tuple[dict, dict]]:
    """`n` questions and annotations with the fields of the official files."""
    draw = random.Random(seed)
    others, words = Zipf(150_000, 0.9, draw), Zipf(14_000, 1.0, draw)
    yes_no, numbers = (
        (lambda k: draw.choices(["yes", "no"], k=k)),
        (lambda k: [str(draw.randint(0, 12)) for _ in range(k)]),
    )
    pick = {"yes/no": yes_no, "number": numbers, "other": others}
    openings = list(OPENINGS)
    for i in range(n):
        opening = draw.choice(openings)
        kind = OPENINGS[opening]
        plurality, *rest = pick[kind](5)
        ten = [plurality if draw.random() < 0.7 else draw.choice(rest) for _ in range(10)]
        ids = {"image_id": 1 + 7 * (i % IMAGES), "question_id": 7000 * (i % IMAGES) + i // IMAGES}
        answers = [
            {"answer": a, "answer_confidence": draw.choice(["yes", "yes", "maybe"]), "answer_id": k}
            for k, a in enumerate(ten, start=1)
        ]
        labels = {"question_type": opening, "multiple_choice_answer": plurality, "answers": answers}
        yield (
            {**ids, "question": f"{opening} {' '.join(words(draw.randint(2, 6)))}?".capitalize()},
            {**labels, "image_id": ids["image_id"], "answer_type": kind, "question_id": ids["question_id"]},
        )


def make_files(folder: Path, n: int) -> None:
    """questions.json and annotations.json in VQA v2's layout, and region features of all their images."""
    about = {"info": {"version": "2.0", "year": 2017}, "data_type": "mscoco", "data_subtype": "train2014"}
    with (
        open(folder / "questions.json", "w", encoding="utf-8") as asked,
        open(folder / "annotations.json", "w", encoding="utf-8") as answered,
    ):
        for file, key in ((asked, "questions"), (answered, "annotations")):
            file.write(json.dumps(about)[:-1] + f', "{key}": [')
        for i, pair in enumerate(rows(n)):
            for file, row in zip((asked, answered), pair, strict=True):
                file.write((", " if i else "") + json.dumps(row))
        for file in (asked, answered):
            file.write("]}")
    with h5py.File(folder / "features.h5", "w") as file:
        file["features"], file["image_ids"] = np.zeros((IMAGES, 1, 8), np.float16), 1 + 7 * np.arange(IMAGES)


def ours(folder: Path) -> dict:
    """Seconds of each step of the library's own way."""
    times = [time.perf_counter()]
    questions = read_questions(folder / "questions.json", folder / "annotations.json")
    times.append(time.perf_counter())
    vocabulary = build_vocabulary(questions)
    times.append(time.perf_counter())
    table = make_table(questions, vocabulary, open_features(folder / "features.h5"))
    times.append(time.perf_counter())
    seconds = dict(zip(("read", "vocabulary", "table"), np.diff(times).tolist(), strict=True))
    return {"seconds": seconds, "rows": len(table), "answers": table.n_classes}


def usual(folder: Path, width: int) -> dict:
    """Every answer's dict kept, normalised one by one, and a dense row of targets a question, `width` answers wide."""
    started = time.perf_counter()
    asked = json.loads((folder / "questions.json").read_bytes())["questions"]
    annotations = {a["question_id"]: a for a in json.loads((folder / "annotations.json").read_bytes())["annotations"]}
    plain = normalise.__wrapped__  # without its memory of what it has seen
    counts = Counter(plain(a["multiple_choice_answer"]) for a in annotations.values())
    known = {a: i for i, a in enumerate(a for a, n in counts.items() if n >= 9)}
    entries = []
    for question in asked:
        votes = Counter(plain(x["answer"]) for x in annotations[question["question_id"]]["answers"])
        target = torch.zeros(width)
        for answer, n in votes.items():
            if answer in known:
                target[known[answer]] = min(1.0, 0.3 * n)
        entries.append({**question, "answer": annotations[question["question_id"]], "target": target})
    return {"seconds": {"all": time.perf_counter() - started}, "rows": len(entries), "answers": len(known)}


def measured(way: str, *arguments: object) -> dict:
    """One way in a fresh process, with the memory that it took beyond the bare imports, in GB."""
    done = subprocess.run(
        [sys.executable, __file__, way, *map(str, arguments)], capture_output=True, encoding="utf-8", check=True
    )
    return json.loads(done.stdout.splitlines()[-1])


def alone(way: str, folder: str, *width: str) -> None:
    """The fresh process: result and memory as JSON."""
    torch.set_num_threads(1)
    before, clock = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    result = {"ours": ours, "usual": usual}[way](Path(folder), *map(int, width))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    took = {"cpu_s": time.process_time() - clock, "peak_gb": peak / 2**20, "grown_gb": (peak - before) / 2**20}
    print(json.dumps(result | took))


def read(folder: Path, n: int) -> dict:
    """Make `n` questions in a folder, read them by the library's way, print what it took."""
    folder.mkdir()
    make_files(folder, n)
    mb = sum(path.stat().st_size for path in folder.glob("*.json")) / 1e6
    here = measured("ours", folder)
    here |= {"mb": mb, "all_s": sum(here["seconds"].values())}
    steps = ", ".join(f"{step} {seconds:.1f}" for step, seconds in here["seconds"].items())
    print(f"questions: {here['rows']:,} with ten answers ({mb:.0f} MB of JSON), {here['answers']:,} in the vocabulary")
    print(f"here: {here['all_s']:.1f} s ({steps}), {here['cpu_s']:.1f} s of them at work")
    print(f"here: {here['grown_gb']:.2f} GB at most beyond the imports, {here['peak_gb']:.2f} with them")
    return here


def main() -> dict:
    """Seconds and peak memory of both ways at the size of VQA v2's training set."""
    with tempfile.TemporaryDirectory() as name:
        here, sample = read(Path(name) / "full", QUESTIONS), Path(name) / "sample"
        sample.mkdir()
        make_files(sample, QUESTIONS // SAMPLE)
        there = measured("usual", sample, here["answers"])
    usual_s, usual_gb = SAMPLE * there["seconds"]["all"], SAMPLE * there["grown_gb"]
    ratio = usual_s / here["all_s"]
    print(f"goals: {GOAL_SECONDS} s, {GOAL_GB} GB with the imports")
    print(f"the usual way, from a tenth: {usual_s:.0f} s ({ratio:.1f} x), {usual_gb:.1f} GB")
    result = {"name": "questions", "ours_s": here["all_s"], "usual_s": usual_s, "ratio": ratio}
    return result | {"goal_s": GOAL_SECONDS, "peak_gb": here["peak_gb"], "usual_gb": usual_gb, "goal_gb": GOAL_GB}


def read_many(n: int, *, record: bool) -> None:
    """Read `n` questions by the library's way alone; `record`: keep the figures as evidence."""
    started = datetime.now(UTC)
    with tempfile.TemporaryDirectory() as name:
        here = read(Path(name) / "many", n)
    if record:
        stamp = provenance("", started, round(here["all_s"], 1))
        made = {key: stamp[key] for key in ("commit", "dirty", "started", "machine", "versions")}
        figures = {key: here[key] for key in ("rows", "answers", "mb", "all_s", "cpu_s", "grown_gb")}
        write_json(QUESTIONS_READ, {"made": made, **figures})


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--questions", type=int, help="read so many, by the library's way alone")
    parser.add_argument("--record", action="store_true", help="with --questions: write the figures for the book")
    parser.add_argument("alone", nargs="*", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.alone:
        alone(*options.alone)
    elif options.questions:
        read_many(options.questions, record=options.record)
    else:
        main()
