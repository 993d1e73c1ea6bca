"""All records of a page: those that exist are loaded, the others produced, by as many processes as care to join in."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from pathlib import Path

from tqdm import tqdm

from vqabook.papers import PAGES, paper_of
from vqabook.record import EVIDENCE, PACKAGE, Busy, code_of, key_of, produce_or_load, read_record, read_records


def runs_folder(runs: str | None) -> Path:
    """Where records lie: `runs` as given, by default data/runs of the project whatever the current folder is."""
    return Path(runs) if runs else PACKAGE.parent / "data" / "runs"


def existing(pages: Iterable[str], setting: object) -> list[dict]:
    """The records of these pages that are there already, each once."""
    found = {}
    for page in pages:
        for recipe in paper_of(page).recipes(setting, page):
            key = key_of(recipe)
            found[key] = read_record(runs_folder(setting.runs) / PAGES[page] / f"{key}.json")
    return [record for record in found.values() if record]


def records(page: str, setting: object) -> list[dict]:
    """The page's records in the order of its recipes, produced if need be; those others work on come last.

    Unless `setting.runs` names a folder, a run that is part of the recorded evidence, by this very code, is not made
    again: give `runs` to see it made here.
    """
    paper = paper_of(page)
    recipes, folder = paper.recipes(setting, page), runs_folder(setting.runs) / PAGES[page]
    recorded = {} if setting.runs else {key_of(r["recipe"]): r for r in read_records(EVIDENCE / PAGES[page])}
    done: dict[int, dict] = {}
    for i, recipe in enumerate(recipes):
        record = recorded.get(key_of(recipe))
        if record and record["provenance"]["code"] == code_of(recipe):
            done[i] = record
    options = {"data_root": paper.root_of(setting), "device": setting.device}

    def produce(recipe: Mapping, checkpoint: Path) -> dict:
        return paper.produce(recipe, checkpoint, **options)

    with tqdm(total=len(recipes), initial=len(done), desc=page, unit="run", disable=None) as bar:
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
