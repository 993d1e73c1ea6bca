"""All records of a page: those that exist are loaded, the others produced, by as many processes as care to join in."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from contextlib import suppress
from functools import partial
from pathlib import Path

from tqdm import tqdm

from vqabook.fingerprint import code_of, is_current, shown_by
from vqabook.papers import PAGES, paper_of
from vqabook.record import EVIDENCE, PACKAGE, Busy, key_of, produce_or_load, read_record, read_records

STAGES_KEPT = 24 * 3600.0  # seconds


def runs_folder(runs: str | None) -> Path:
    """Where records lie: `runs` as given, by default data/runs of the project whatever the current folder is."""
    return Path(runs) if runs else PACKAGE.parent / "data" / "runs"


def existing(pages: Iterable[str], setting: object) -> list[dict]:
    """The records of these pages that are there already, each once."""
    found = {}
    for page in pages:
        recorded = _recorded(page, setting)
        for key in map(key_of, paper_of(page).recipes(setting, page)):
            found[key] = recorded.get(key) or read_record(runs_folder(setting.runs) / PAGES[page] / f"{key}.json")
    return [record for record in found.values() if record]


def records(page: str, setting: object) -> list[dict]:
    """The page's records in the order of its recipes, produced if need be; those others work on come last.

    Unless `setting.runs` names a folder, a run that is part of the recorded evidence, and current, is not made again:
    give `runs` to see it made here.
    """
    paper = paper_of(page)
    recipes, folder = paper.recipes(setting, page), runs_folder(setting.runs) / PAGES[page]
    recorded = _recorded(page, setting)
    loaded = [recorded.get(key_of(recipe)) for recipe in recipes]
    done = {i: record for i, record in enumerate(loaded) if record}
    produce = partial(paper.produce, data_root=paper.root_of(setting), device=setting.device)
    return _produce(produce, recipes, folder, done, label=page)


def make(recipes: Sequence[Mapping], folder: Path, *, data_root: Path | None, device: str = "auto") -> list[dict]:
    """A record of each recipe, made here in `folder` whatever was recorded before; the same recipe is made once."""

    def produce(recipe: Mapping, checkpoint: Path) -> dict:
        paper = paper_of(next(page for page in PAGES if PAGES[page] == recipe["paper"]))
        return paper.produce(recipe, checkpoint, data_root=data_root, device=device)

    unique = {key_of(recipe): recipe for recipe in recipes}
    return _produce(produce, list(unique.values()), folder, {}, label=folder.name)


def _recorded(page: str, setting: object) -> dict[str, dict]:
    """The recorded evidence that need not be made again, by key: none if `setting.runs` names a folder."""
    found = [] if setting.runs else read_records(EVIDENCE / PAGES[page])
    return {key_of(record["recipe"]): record for record in found if is_current(record)}


def _produce(
    produce: Callable[[Mapping, Path], dict],
    recipes: Sequence[Mapping],
    folder: Path,
    done: dict[int, dict],
    *,
    label: str,
) -> list[dict]:
    """One record a recipe; `done` holds those that need no work. Other processes may be at it in the same folder."""
    with tqdm(total=len(recipes), initial=len(done), desc=label, unit="run", disable=None) as bar:
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
    for stage in folder.glob("*.stage"):  # another page or process may still go on from younger ones
        with suppress(FileNotFoundError):
            if time.time() - stage.stat().st_mtime > STAGES_KEPT:
                stage.unlink()
    return [done[i] for i in range(len(recipes))]


def reproduce(
    module: str, *, data_root: Path | None, runs: str | None = None, device: str = "auto", apart: str | None = None
) -> list[dict]:
    """Make recorded runs of a paper again with today's code: the entries for its list of code with the same numbers.

    Empty if today's code made every record; an entry for each code of today's (the embedded world's generator counts
    for its own records only). What is made again: `standing_for`. Raises at the first number that is not the same to
    its last digit (times apart). Parts that need an environment of their own are left out; `apart` is one of them, and
    leaves out all else.
    """
    paper = paper_of(next(page for page in PAGES if PAGES[page] == module))
    if apart is not None and apart not in paper.APART:
        raise ValueError(
            f"parts of {module} with an environment of their own are {', '.join(paper.APART) or 'none'}; got {apart!r}"
        )
    produce = partial(paper.produce, data_root=data_root, device=device)
    older: dict[str, list[dict]] = {}
    for record in read_records(EVIDENCE / module):
        part = record["recipe"].get("part")
        if part != apart if apart else part in paper.APART:
            continue
        if record["provenance"]["code"] != (code := code_of(record["recipe"])):
            older.setdefault(code, []).append(record)
    roots = {code: {shown_by(module, r["provenance"]["code"]) for r in records} for code, records in older.items()}
    alike = all(len(found) == 1 for found in roots.values())
    everything = [record for records in older.values() for record in records]
    standing = standing_for(everything, lambda code: "" if alike else shown_by(module, code))
    folder = runs_folder(runs) / "reproduced" / module
    again = _produce(produce, [r["recipe"] for r in standing], folder, {}, label=f"{module}, again")
    pairs = [(code_of(old["recipe"]), old, new) for old, new in zip(standing, again, strict=True)]
    return [
        _same_numbers(code, {r["provenance"]["code"] for r in records}, [pair for by, *pair in pairs if by == code])
        for code, records in older.items()
    ]


def _same_numbers(code: str, older: Set[str], pairs: Sequence[Sequence[Mapping]]) -> dict:
    """The entry which says that `code` gives the numbers of `older` code; `pairs`: runs as recorded, and again."""
    keys = [key_of(old["recipe"]) for old, _ in pairs]
    for key, (old, new) in zip(keys, pairs, strict=True):
        if (first := difference(old["result"], json.loads(json.dumps(new["result"])))) is not None:
            raise RuntimeError(
                f"a change that moves no number may keep the recorded evidence, this one moves {first} in {key}; "
                f"record the runs of {old['recipe']['paper']} again"
            )
    stamp = pairs[-1][1]["provenance"]
    about = {name: stamp[name] for name in ("commit", "dirty", "hardware", "versions")}
    return {"from": sorted(older), "to": code, "runs": keys, **about}


def standing_for(records: Sequence[Mapping], lineage: Callable[[str], str] = str) -> list[Mapping]:
    """The cheapest record of each method, whatever its seed, data and sizes, and of each division of each data set.

    A method is what a recipe says in words; its numbers are sizes. Records whose code is of another `lineage` stand for
    themselves alone.
    """
    chosen: dict[str, Mapping] = {}
    for key in (_method, _division):
        seen = {key(record, lineage) for record in chosen.values()}
        for record in sorted(records, key=lambda r: r["provenance"]["seconds"]):
            if (mine := key(record, lineage)) not in seen:
                seen.add(mine)
                chosen[key_of(record["recipe"])] = record
    return list(chosen.values())


def _method(record: Mapping, lineage: Callable[[str], str]) -> str:
    asked = {k: v for k, v in record["recipe"].items() if k not in ("profile", "seed", "data", "prior")}
    return json.dumps([lineage(record["provenance"]["code"]), _in_words(asked)], sort_keys=True)


def _division(record: Mapping, lineage: Callable[[str], str]) -> str:
    recipe, data = record["recipe"], record["recipe"]["data"]
    if "seed" in data:  # it draws the rows
        data = {k: v for k, v in data.items() if k not in ("seed", "digest", "counts", "held_out_counts")}
    return json.dumps([lineage(record["provenance"]["code"]), recipe["kind"], recipe.get("part"), data], sort_keys=True)


def _in_words(value: object) -> object:
    """A recipe without its numbers."""
    if isinstance(value, Mapping):
        return {key: _in_words(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_in_words(part) for part in value]
    return value if isinstance(value, str | bool | None) else "number"


def difference(old: object, new: object, at: str = "") -> str | None:
    """Where two results first differ, as a dotted path with both values; None if they do not.

    `seconds` may differ, and the new one may say more than the old did.
    """
    if isinstance(old, Mapping) and isinstance(new, Mapping) and old.keys() <= new.keys():
        pairs = [(f"{at}.{key}", old[key], new[key]) for key in old if key != "seconds"]
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        pairs = [(f"{at}.{i}", one, other) for i, (one, other) in enumerate(zip(old, new, strict=True))]
    else:
        return None if old == new else f"{at.lstrip('.')} from {str(old)[:40]} to {str(new)[:40]}"
    return next((found for path, one, other in pairs if (found := difference(one, other, path)) is not None), None)
