"""What listening to all ten annotators costs: the loss and its gradient over those of plain cross-entropy.

512 questions, 3,129 answers, four distinct answers a question (VQA v2 has about three) in ten columns. The usual way
beside it: soft targets as wide as the vocabulary, made for the batch or before. All run in turn, round after round, so
that a busy machine slows all alike. One thread; with `--gpu` on the first GPU.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

import numpy as np
import torch
from torch.nn import functional as F
from turns import median_ratio, print_ratios, take_turns

from vqabook.core import SparseScores
from vqabook.losses import annotator_cross_entropy, annotator_weights, soft_cross_entropy

BATCH, ANSWERS, ROUNDS = 512, 3129, 100
VOTES = (5, 3, 1, 1, 0, 0, 0, 0, 0, 0)
GOALS = {"all annotators": 1.1}


def make_losses(device: str) -> dict[str, Callable[[], torch.Tensor]]:
    """Mean losses of one batch of random logits, by name; each leaves the gradient where `logits.grad` was."""
    torch.manual_seed(0)
    logits = torch.randn(BATCH, ANSWERS, device=device, requires_grad=True)
    votes = torch.tensor(VOTES, device=device).expand(BATCH, -1)
    answer = torch.rand(BATCH, ANSWERS, device=device).topk(len(VOTES)).indices.int()
    modal, weight = answer[:, 0].long(), annotator_weights(votes)
    sparse = SparseScores(answer, weight, ANSWERS)
    rows, wide = torch.arange(BATCH, device=device), sparse[torch.arange(BATCH, device=device)]

    def run(loss: Callable[[], torch.Tensor]) -> Callable[[], torch.Tensor]:
        def step() -> torch.Tensor:
            logits.grad = None
            value = loss()
            value.backward()
            return value.detach()

        return step

    return {
        "cross-entropy": run(lambda: F.cross_entropy(logits, modal)),
        "all annotators": run(lambda: annotator_cross_entropy(logits, answer, weight).mean()),
        "wide targets, made before": run(lambda: soft_cross_entropy(logits, wide).mean()),
        "wide targets, made in the step": run(lambda: soft_cross_entropy(logits, sparse[rows]).mean()),
    }


def main(device: str) -> dict:
    torch.set_num_threads(1)
    losses = make_losses(device)
    times = take_turns({name: lambda _, loss=loss: loss() for name, loss in losses.items()}, ROUNDS, warm=5)
    plain = times["cross-entropy"]
    ratio = {name: median_ratio(seconds, plain) for name, seconds in times.items()}
    print(f"cross-entropy and its gradient: {1e3 * np.median(plain):.2f} ms ({BATCH} x {ANSWERS}, {device})")
    print_ratios(ratio, GOALS)
    return {"name": "annotators", "ratio": ratio, "goal": GOALS, "step_s": float(np.median(plain))}


if __name__ == "__main__":
    main("cuda" if "--gpu" in sys.argv[1:] else "cpu")
