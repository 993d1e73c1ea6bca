"""Who makes a run of any paper, and the runs of a page. Nothing here draws or judges, so a training starts at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vqabook import files
from vqabook.evidence.runs import load_or_make
from vqabook.knobs import MOST_THREADS
from vqabook.papers import paper_of


@dataclass(frozen=True)
class Producer:
    """What makes a run of any paper: (recipe, checkpoint) -> result.

    Every run has so many threads, wherever it is asked for: more of them add up other parts, and numbers differ. It
    stays the process's number, which the record's provenance tells.
    """

    data_root: Path | None
    device: str = "auto"
    threads: int = 1

    def __post_init__(self):
        if not 1 <= self.threads <= MOST_THREADS:
            raise ValueError(f"threads must be in [1, {MOST_THREADS}], got {self.threads}; one is right for small runs")

    def __call__(self, asked: Mapping, checkpoint: Path) -> dict:
        import torch

        torch.set_num_threads(self.threads)
        paper = paper_of(asked["paper"])
        return paper.produce(asked, checkpoint, data_root=self.data_root, device=self.device)

    def check(self, recipes: Sequence[Mapping]) -> None:
        """Raise what one of these recipes would end with, before anything is trained."""
        for paper in dict.fromkeys(asked["paper"] for asked in recipes):
            own = [asked for asked in recipes if asked["paper"] == paper]
            paper_of(paper).check(own, data_root=self.data_root, device=self.device)


def load_or_make_runs(
    page: str, setting: Any, recipes: Sequence[Mapping] | None = None, share: tuple[int, int] = (0, 1)
) -> list[dict]:
    """The page's records in the order of its recipes; missing ones are made. `share` (k, n): those of node k of n."""
    paper = paper_of(page)
    produce = Producer(files.data_root(setting.data_root), setting.device, setting.threads)
    asked = paper.asked(setting, page) if recipes is None else recipes
    return load_or_make(paper.name, asked, produce, runs=setting.runs, label=page, share=share)
