"""What five members cost side by side: a training step of `Members` over steps of five models one after the other.

Sizes of the embedded world (chapter 05, preset `small`), Adam, the sum of the members' cross-entropies. Beside it what
reading cached teachers' logits is of a step of MCL-KD. All run in turn, round after round, so that a busy machine slows
all alike. Torch's own number of threads; with `--gpu` on the first GPU, at the papers' sizes.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn
from turns import median_ratio, take_turns

from vqabook.core import Batch, Table
from vqabook.models.images import ResNet, ResNetConfig
from vqabook.models.members import Members
from vqabook.models.san import Mlp, MlpConfig, San, SanConfig
from vqabook.models.updn import UpDn, UpDnConfig
from vqabook.objectives.multiple_choice import MultipleChoice
from vqabook.training.teachers import teacher_logits

M, ROUNDS, WARM, WORDS, ANSWERS = 5, 60, 5, 10, 60
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
    questions = Table((seen, words), target, ANSWERS)
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
        "resnet": lambda: ResNet(
            ResNetConfig(ANSWERS, depth=20, width=16) if big else ResNetConfig(ANSWERS, depth=8, channels=1, width=4)
        ),
    }
    tables = {
        "mlp": (questions, 128),
        "san": (questions, 128),
        "updn": (questions, 128),
        "resnet": (images, 128 if big else 32),
    }
    return {name: ([build().to(device) for _ in range(M)], *tables[name]) for name, build in sizes.items()}


def make_step(model: nn.Module, table: Table, loss: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Tensor], None]:
    """One optimiser step on given rows."""
    return _optimise(model, table, lambda batch: loss(model(*batch.inputs).logits, batch.target))


def make_specialising_step(model: Members, table: Table) -> Callable[[Tensor], None]:
    """One step of MCL-KD."""
    rule = MultipleChoice("mcl_kd", k=1, beta=1.8, temperature=0.5)
    rule.checked = float("inf")
    return _optimise(model, table, lambda batch: next(rule.steps(model, batch, 0.0)).mean())


def _optimise(model: nn.Module, table: Table, loss: Callable[[Batch], Tensor]) -> Callable[[Tensor], None]:
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-4)
    model.train()

    def step(rows: Tensor) -> None:
        batch = table.batch(rows)
        optimizer.zero_grad(set_to_none=True)
        loss(batch).backward()
        optimizer.step()

    return step


def cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    return nn.functional.cross_entropy(logits, target)


def summed_cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    return nn.functional.cross_entropy(logits.flatten(0, 1), target.repeat(len(logits))) * len(logits)


def main(device: str) -> dict[str, dict[str, float]]:
    ratios, goal, rng = {}, GOALS[device], np.random.default_rng(0)
    for name, (models, table, batch) in make(device).items():
        together = Members(models)
        cached = replace(table, side={"teacher": teacher_logits(together, table).to(device)})
        rows = [torch.from_numpy(rng.choice(ROWS, batch, replace=False)).to(device) for _ in range(ROUNDS + WARM)]
        steps = [make_step(model, table, cross_entropy) for model in models]
        calls = {
            "apart": lambda rows, steps=steps: [step(rows) for step in steps],
            "together": make_step(together, table, summed_cross_entropy),
            "distilled": make_specialising_step(Members(models), cached),
            "teachers": lambda rows, cached=cached: cached.batch(rows).side["teacher"].float(),
            "nothing": table.batch,
        }
        turns = {kind: lambda turn, call=call, rows=rows: call(rows[turn]) for kind, call in calls.items()}
        times = take_turns(turns, ROUNDS, warm=WARM)
        ratio = median_ratio(times["apart"], times["together"])
        extra = median_ratio(times["teachers"] - times["nothing"], times["distilled"])
        print(
            f"{name}: five apart {1e3 * np.median(times['apart']):.1f} ms, side by side "
            f"{1e3 * np.median(times['together']):.1f} ms, {ratio:.2f} times as fast (goal {goal['side by side']}); "
            f"cached teachers {100 * extra:.2f} % of a step (goal {100 * goal['teachers']:.0f} %)"
        )
        ratios[name] = {"side by side": ratio, "teachers": extra}
    return ratios


if __name__ == "__main__":
    main("cuda" if "--gpu" in sys.argv[1:] else "cpu")
