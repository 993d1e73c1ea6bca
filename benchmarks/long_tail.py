"""What a loss for long tails costs: a training step, and reading a test batch, over those of softmax cross-entropy.

ResNet-32, 128 images of 32 x 32, 100 classes; one thread. All take turns, round after round, so that a busy machine
slows all alike. Nothing is left at test: balanced softmax and sigmoid read the logits that softmax reads.
"""

from __future__ import annotations

import time

import torch
from torch import nn
from turns import median_ratio, take_turns

from vqabook.core import Table
from vqabook.data.long_tail import long_tail_counts
from vqabook.models.heads import CosineClassifier
from vqabook.models.images import ResNet, ResNetConfig
from vqabook.objectives.longtail import long_tail
from vqabook.training.fit import FitConfig, Training, best_answer, predict

CLASSES, BATCH, ROUNDS = 100, 128, 15
RULES = ("softmax", "balanced_softmax", "balanced_sigmoid", "equalisation", "focal", "ldam")


def make_run(rule: str) -> Training:
    model = ResNet(ResNetConfig(CLASSES, depth=32)).to(memory_format=torch.channels_last)
    if rule == "ldam":
        model.classifier = CosineClassifier(model.classifier.in_features, CLASSES)
    objective = long_tail(rule, torch.tensor(long_tail_counts(500, CLASSES, 100)))
    return Training(model, objective, FitConfig(optimizer="sgd", lr=0.1))


def step(run: Training, table: Table) -> None:
    """What `fit` does with one batch."""
    run.model.train()
    for losses in run.objective.steps(run.model, table.batch(torch.arange(BATCH)), 0.5):
        run.optimizer.zero_grad(set_to_none=True)
        losses.mean().backward()
        nn.utils.clip_grad_norm_(run.parameters, run.config.clip)
        run.optimizer.step()


def main() -> dict[str, dict[str, float]]:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    table = Table((torch.randn(BATCH, 3, 32, 32),), torch.randint(CLASSES, (BATCH,)), CLASSES)
    calls = {}
    for rule in RULES:
        run = make_run(rule)
        calls[f"step {rule}"] = lambda _, run=run: step(run, table)
        calls[f"test {rule}"] = lambda _, run=run: predict(run.model, table, best_answer)
    times = take_turns(calls, ROUNDS, clock=time.process_time)
    ratio = {
        part: {rule: median_ratio(times[f"{part} {rule}"], times[f"{part} softmax"]) for rule in RULES}
        for part in ("step", "test")
    }
    for rule in RULES:
        print(f"{rule}: step {ratio['step'][rule]:.3f} x, test batch {ratio['test'][rule]:.3f} x that of softmax")
    return ratio


if __name__ == "__main__":
    main()
