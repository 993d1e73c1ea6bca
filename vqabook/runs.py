"""All records of a page: those that exist are loaded, the others produced, by as many processes as care to join in."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

from tqdm import tqdm

from vqabook.papers import PAGES, paper_of
from vqabook.record import PACKAGE, Busy, code_of, produce_or_load


def runs_folder(runs: str | None) -> Path:
    """Where records lie: `runs` as given, by default data/runs of the project whatever the current folder is."""
    return Path(runs) if runs else PACKAGE.parent / "data" / "runs"


def records(page: str, setting: object) -> list[dict]:
    """The page's records in the order of its recipes, produced if need be; those others work on come last."""
    paper = paper_of(page)
    recipes, folder = paper.recipes(setting, page), runs_folder(setting.runs) / PAGES[page]
    done: dict[int, dict] = {}
    options = {"data_root": paper.root_of(setting), "device": setting.device}

    def produce(recipe: Mapping, checkpoint: Path) -> dict:
        return paper.produce(recipe, checkpoint, **options)

    with tqdm(total=len(recipes), desc=page, unit="run", disable=None) as bar:
        while len(done) < len(recipes):
            before = len(done)
            for i, recipe in enumerate(recipes):
                if i in done:
                    continue
                try:
                    done[i] = produce_or_load(recipe, produce, folder=folder, code=code_of(recipe), wait=False)
                    bar.update()
                except Busy:
                    continue
            if len(done) == before:
                time.sleep(0.5)
    return [done[i] for i in range(len(recipes))]
