"""What a training rule costs: the step of each objective over the step of UpDn with plain Sigm-BCE.

A step is all that `fit` does for a batch: index it, the losses, backward, clip, Adamax; twice for CSS. All share one
table and one set of sizes, and run in turn, round after round, so that a busy machine slows all alike. 256 questions,
49 regions x 128, 256 units, 539 answers, 5,000 words; with `--paper` the sizes of UpDn's paper. One thread.
"""

from __future__ import annotations

import sys
import time
from typing import NamedTuple

import numpy as np
import torch
from turns import median_ratio, print_ratios, take_turns

from vqabook.core import SparseScores, Table
from vqabook.losses import in_type, rescaling_weights
from vqabook.models import AnswerMask, UpDn, UpDnConfig
from vqabook.objectives import LearnedMixin, LossRescaling, Objective
from vqabook.objectives.css import Css
from vqabook.training.fit import FitConfig, Training

TYPES, WORDS, BATCHES = 65, 14, 4
GOALS = {"re-scaling": 1.02, "LM": 1.1, "LMH": 1.1, "CSS": 3.5}


class Sizes(NamedTuple):
    """Of one benchmark."""

    batch: int = 256
    regions: int = 49
    feature: int = 128
    hidden: int = 256
    answers: int = 539
    words: int = 5000
    rounds: int = 20


PAPER = Sizes(batch=512, regions=36, feature=2048, hidden=1024, answers=2274, words=18455, rounds=2)


def make_table(sizes: Sizes, rng: np.random.Generator) -> Table:
    """Random questions of 4 to 14 words with four answers each, four batches of them, and their images' features."""
    n = BATCHES * sizes.batch
    features = torch.from_numpy(rng.random((n, sizes.regions, sizes.feature), dtype=np.float32))
    words = torch.from_numpy(rng.integers(2, sizes.words, (n, WORDS)).astype(np.int32))
    words[torch.arange(WORDS) >= torch.from_numpy(4 + rng.binomial(10, 0.3, (n, 1)))] = 0  # 7 words on average
    answer = torch.from_numpy(rng.integers(0, sizes.answers, (n, 4)).astype(np.int32))
    side = {"question_type": torch.from_numpy(rng.integers(0, TYPES, n))}
    target = SparseScores(answer, torch.full((n, 4), 0.3), sizes.answers)
    return Table((torch.arange(n), words), target, sizes.answers, side, lambda rows, w: (features[rows], w))


def make_runs(sizes: Sizes, rng: np.random.Generator) -> dict[str, Training]:
    """A model and optimiser of its own for each objective."""
    counts = torch.from_numpy(rng.integers(0, 30, (TYPES, sizes.answers)))
    weight, label, bias = rescaling_weights(counts), in_type(counts), torch.rand(TYPES, sizes.answers)
    type_words = torch.from_numpy(rng.integers(1, 4, TYPES))

    def css(q_share: float, base: Objective | None = None) -> Css:
        base = base or LossRescaling("bce")
        return Css(base, type_words=type_words, mask_word=sizes.words, q_share=q_share)

    def mixin(entropy: float) -> LossRescaling:
        return LossRescaling(LearnedMixin(bias, sizes.hidden, entropy=entropy))

    objectives = {
        "UpDn": LossRescaling("bce"),
        "re-scaling": LossRescaling("bce", weight=weight),
        "mask": LossRescaling("bce", label=label),
        "re-scaling and mask": LossRescaling("bce", weight=weight, label=label),
        "LM": mixin(0.0),
        "LMH": mixin(0.36),
        "V-CSS": css(0.0),
        "Q-CSS": css(1.0),
        "V-CSS + LMH": css(0.0, mixin(0.36)),
        "Q-CSS + LMH": css(1.0, mixin(0.36)),
    }
    config = UpDnConfig(sizes.words + 1, sizes.answers, feature=sizes.feature, hidden=sizes.hidden)
    runs = {}
    for name, objective in objectives.items():
        model = UpDn(config)
        if "mask" in name:
            model = AnswerMask(model, sizes.hidden, sizes.answers)
        runs[name] = Training(model.train(), objective, FitConfig())
    return runs


def step(run: Training, table: Table, rows: torch.Tensor) -> None:
    """What `fit` does with one batch."""
    for losses in run.objective.steps(run.model, table.batch(rows), 0.5):
        run.optimizer.zero_grad(set_to_none=True)
        losses.mean().backward()
        torch.nn.utils.clip_grad_norm_(run.parameters, run.config.clip)
        run.optimizer.step()


def main(sizes: Sizes) -> dict:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    table, runs = make_table(sizes, rng), make_runs(sizes, rng)
    batches = torch.from_numpy(rng.permutation(len(table))).split(sizes.batch)
    calls = {name: lambda turn, run=run: step(run, table, batches[turn % BATCHES]) for name, run in runs.items()}
    times = take_turns(calls, sizes.rounds, clock=time.process_time)
    ratio = {name: median_ratio(seconds, times["UpDn"]) for name, seconds in times.items()}
    for suffix in ("", " + LMH"):
        ratio["CSS" + suffix] = (ratio["V-CSS" + suffix] + ratio["Q-CSS" + suffix]) / 2  # one coin for each batch
    described = ", ".join(f"{name} {value}" for name, value in sizes._asdict().items())
    print(f"UpDn's step: {1e3 * np.median(times['UpDn']):.0f} ms ({described})")
    print_ratios(ratio, GOALS)
    return {"name": "objectives", "ratio": ratio, "goal": GOALS, "step_s": float(np.median(times["UpDn"]))}


if __name__ == "__main__":
    main(PAPER if "--paper" in sys.argv[1:] else Sizes())
