"""What five members cost side by side: a training step of `Members` over steps of five models one after the other.

Sizes of the embedded world (chapter 05, preset `small`), Adam, the sum of the members' cross-entropies. Beside it what
reading cached teachers' logits is of a step of MCL-KD. All run in turn, round after round, so that a busy machine slows
all alike. Torch's own number of threads; with `--gpu` on the first GPU, at the papers' sizes.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from vqabook.core import Table
from vqabook.models.members import Members
from vqabook.models.mlp import Mlp, MlpConfig
from vqabook.models.resnet import ResNetConfig
from vqabook.models.san import San, SanConfig
from vqabook.models.staged import StagedResNet
from vqabook.models.updn import UpDn, UpDnConfig
from vqabook.objectives.multiple_choice import MultipleChoice
from vqabook.training.teachers import teacher_logits

M, ROUNDS, WORDS, ANSWERS = 5, 60, 10, 60
ROWS = 2048
GOALS = {"cpu": {"side by side": 1.5, "teachers": 0.02}, "cuda": {"side by side": 3.0, "teachers": 0.02}}


def make(device: str) -> dict[str, tuple[list[nn.Module], Table, int]]:
    """Models, what they are trained on, and the batch size, by network."""
    torch.manual_seed(0)
    big = device == "cuda"
    hidden, regions, feature = (1024, 36, 2048) if big else (64, 4, 64)
    words = torch.randint(2, 80, (ROWS, WORDS), device=device)
    words[torch.arange(WORDS, device=device) >= torch.randint(5, WORDS + 1, (ROWS, 1), device=device)] = 0
    seen = torch.randn(ROWS, regions, feature, device=device)
    target = torch.randint(ANSWERS, (ROWS,), device=device)
    asked = Table((seen, words), target, ANSWERS)
    images = Table((torch.randn(ROWS, 3, 32, 32, device=device),), target, ANSWERS)
    if not big:
        images = replace(images, inputs=(torch.randn(ROWS, 1, 8, 8),))
    word = {"word": 300 if big else 32}
    sizes = {
        "mlp": lambda: Mlp(MlpConfig(80, ANSWERS, feature, regions, hidden=hidden, wide=2 * hidden, **word)),
        "san": lambda: San(
            SanConfig(80, ANSWERS, feature=feature, hidden=hidden, attention=hidden, dropout=0.0, **word)
        ),
        "updn": lambda: UpDn(UpDnConfig(80, ANSWERS, feature=feature, hidden=hidden, **word)),
        "resnet": lambda: StagedResNet(
            ResNetConfig(ANSWERS, depth=20, width=16) if big else ResNetConfig(ANSWERS, depth=8, channels=1, width=4)
        ),
    }
    tables = {"mlp": (asked, 128), "san": (asked, 128), "updn": (asked, 128), "resnet": (images, 128 if big else 32)}
    return {name: ([one().to(device) for _ in range(M)], *tables[name]) for name, one in sizes.items()}


def stepping(model: nn.Module, table: Table, loss: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Tensor], None]:
    """One optimiser step on given rows."""
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-4)
    model.train()

    def step(rows: Tensor) -> None:
        batch = table.batch(rows)
        optimizer.zero_grad(set_to_none=True)
        loss(model(*batch.inputs).logits, batch.target).backward()
        optimizer.step()

    return step


def each(logits: Tensor, target: Tensor) -> Tensor:
    return nn.functional.cross_entropy(logits, target)


def all_of(logits: Tensor, target: Tensor) -> Tensor:
    return nn.functional.cross_entropy(logits.flatten(0, 1), target.repeat(len(logits))) * len(logits)


def specialising(model: Members, table: Table) -> Callable[[Tensor], None]:
    """One step of MCL-KD."""
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-4)
    rule = MultipleChoice("mcl_kd", k=1, beta=1.8, temperature=0.5)
    rule.checked = float("inf")
    model.train()

    def step(rows: Tensor) -> None:
        batch = table.batch(rows)
        (loss,) = rule.steps(model, batch, 0.0)
        optimizer.zero_grad(set_to_none=True)
        loss.mean().backward()
        optimizer.step()

    return step


def timed(device: str, calls: dict[str, Callable[[Tensor], None]], batch: int) -> dict[str, np.ndarray]:
    """Seconds of each call, round by round."""
    rng, times = np.random.default_rng(0), {name: [] for name in calls}
    for turn in range(-5, ROUNDS):
        rows = torch.from_numpy(rng.choice(ROWS, batch, replace=False)).to(device)
        for name in rng.permutation(list(calls)):  # so that none always comes after the same other
            start = time.perf_counter()
            calls[name](rows)
            if device == "cuda":
                torch.cuda.synchronize()
            if turn >= 0:
                times[name].append(time.perf_counter() - start)
    return {name: np.array(took) for name, took in times.items()}


def main(device: str) -> dict[str, dict[str, float]]:
    found = {}
    for name, (models, table, batch) in make(device).items():
        together = Members(models)
        said = teacher_logits(together, table).to(device)
        steps = [stepping(model, table, each) for model in models]

        def apart(rows: Tensor, steps=steps) -> None:
            for step in steps:
                step(rows)

        cached = replace(table, side={"teacher": said})
        calls = {
            "apart": apart,
            "together": stepping(together, table, all_of),
            "distilled": specialising(Members(models), cached),
            "teachers": lambda rows, cached=cached: cached.batch(rows).side["teacher"].float(),
            "nothing": lambda rows, table=table: table.batch(rows),
        }
        times = timed(device, calls, batch)
        ratio = float(np.median(times["apart"] / times["together"]))
        extra = float(np.median((times["teachers"] - times["nothing"]) / times["distilled"]))
        goal = GOALS[device]
        print(
            f"{name}: five apart {1e3 * np.median(times['apart']):.1f} ms, side by side "
            f"{1e3 * np.median(times['together']):.1f} ms, {ratio:.2f} times as fast (goal {goal['side by side']}); "
            f"cached teachers {100 * extra:.2f} % of a step (goal {100 * goal['teachers']:.0f} %)"
        )
        found[name] = {"side by side": ratio, "teachers": extra}
    return found


if __name__ == "__main__":
    main("cuda" if "--gpu" in sys.argv[1:] else "cpu")
