"""What surrogate maps cost: 1,000 questions under 501 masks each, and under all pairs of words, against full passes.

The usual way beside it: a forward pass of the whole model for every masked question, one by one, as the released text
code does. That would take an hour, so it is timed on a few questions spread over the run and multiplied. AttentiveSan
in the sizes of its defaults (14 x 14 cells of 2,048, 3,000 answers); `--quick` has 7 x 7 of 128. One thread; with
`--gpu` on the first GPU.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import torch

from vqabook.core import Table
from vqabook.models.san import AttentiveSan, AttentiveSanConfig
from vqabook.surrogates import MASKS, pair_masks, region_masks, region_probe, word_probe

QUESTIONS, WORDS, IMAGES = 1000, 8, 50
LOOPED = 40  # masked questions that the usual way is timed on
GOALS = {"regions": 20.0}  # times as fast


def make(device: str, *, quick: bool) -> tuple[AttentiveSan, Table, int]:
    """A model, questions about images of random cells, and the grid's side."""
    torch.manual_seed(0)
    side, width = (7, 128) if quick else (14, 2048)
    small = {"hidden": 256, "attention": 128} if quick else {}
    model = AttentiveSan(AttentiveSanConfig(10_000, 3000, feature=width, **small)).to(device).eval()
    cells = torch.randn(IMAGES, side**2, width, device=device)
    words = torch.randint(2, 10_000, (QUESTIONS, WORDS), device=device, dtype=torch.int32)
    image = torch.randint(IMAGES, (QUESTIONS,), device=device)
    target = torch.randint(3000, (QUESTIONS,), device=device)
    table = Table((image, words), target, 3000, lookup=lambda rows, words: (cells[rows], words))
    return model, table, side


@torch.no_grad()
def time_full_passes(model: AttentiveSan, table: Table, keep: str, masks: torch.Tensor) -> float:
    """Seconds of one masked question by a full pass."""
    rows = torch.linspace(0, len(table) - 1, LOOPED, device=table.device).long()
    start = time.perf_counter()
    for i, row in enumerate(rows):
        inputs = table.batch(row[None]).inputs
        float(model(*inputs, **{keep: masks[i % len(masks)][None]}).logits.max())  # waits for a GPU
    return (time.perf_counter() - start) / LOOPED


def time_probe(probe, note: Callable[[], None]) -> float:
    """Seconds of looking at every piece; `note` is called at four places on the way."""
    spent, at = 0.0, {len(probe.pieces) * i // 4 for i in range(4)}
    for i, rows in enumerate(probe.pieces):
        if i in at:
            note()
        start = time.perf_counter()
        float(probe.look(rows)[0].max())
        spent += time.perf_counter() - start
    return spent


def main(device: str, *, quick: bool) -> dict[str, float]:
    torch.set_num_threads(1)
    model, table, side = make(device, quick=quick)
    masks = region_masks(MASKS, side, side, scale=side * 6 // 14, generator=torch.Generator().manual_seed(0)).to(device)
    pairs = pair_masks(WORDS).to(device)
    ratios = {}
    for name, keep, kept, probe in (
        ("regions", "keep", masks, region_probe(model, table, masks)),
        ("words", "keep_words", pairs, word_probe(model, table)),
    ):
        each: list[float] = []

        def note(keep: str = keep, kept: torch.Tensor = kept, each: list[float] = each) -> None:
            each.append(time_full_passes(model, table, keep, kept))

        spent = time_probe(probe, note)
        usual = sum(each) / len(each) * len(table) * len(kept)
        ratios[name] = usual / spent
        goal = f" (goal {GOALS[name]:.0f})" if name in GOALS else ""
        work = f"{len(table)} questions x {len(kept)} masks in {spent:.1f} s"
        print(f"{name}: {work}, full passes {usual:.0f} s, {ratios[name]:.1f} times as fast{goal}")
    return ratios


if __name__ == "__main__":
    main("cuda" if "--gpu" in sys.argv else "cpu", quick="--quick" in sys.argv)
