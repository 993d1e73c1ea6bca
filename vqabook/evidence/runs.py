"""All records of a page: evidence and what lies there are loaded, the others made, by as many processes as help."""

import hashlib
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from filelock import Timeout

from vqabook.evidence.fingerprint import code_hash
from vqabook.evidence.jobs import Work
from vqabook.evidence.record import EVIDENCE, key_of, kind_of, machine, produce_or_load, read_record, read_records
from vqabook.files import HOME, at_home, sweep
from vqabook.progress import Bar, tell

Produce = Callable[[Mapping, Path], dict]  # (recipe, checkpoint) -> result


def runs_folder(runs: str | None) -> Path:
    """Where records lie: `runs` as given, else $VQABOOK_RUNS, else runs/ where the data sets lie."""
    return at_home(runs or os.environ.get("VQABOOK_RUNS") or HOME / "runs")


def find_records(paper: str, recipes: Iterable[Mapping], runs: str | None) -> list[dict]:
    """The records of these recipes that are there already, each once, evidence first."""
    recorded, folder = _evidence(paper, runs), runs_folder(runs) / paper
    keys = dict.fromkeys(map(key_of, recipes))
    return [r for key in keys if (r := recorded.get(key) or read_record(folder / f"{key}.json"))]


def load_or_make(
    paper: str,
    recipes: Sequence[Mapping],
    produce: Produce,
    *,
    runs: str | None,
    label: str,
    share: tuple[int, int] = (0, 1),
) -> list[dict]:
    """A record of each recipe in their order, made if need be; those others work on come last.

    `share` (k, n): only those that are dealt to job k of n; the first shows what need not be made.

    Recorded evidence is shown as recorded, unless `runs` names a folder. A seed of which some runs must be made here is
    made here whole where evidence comes from another machine kind: both sides of a pair are from one.
    """
    recorded = _evidence(paper, runs)
    found = {i: recorded[key] for i, key in enumerate(map(key_of, recipes)) if key in recorded}
    missing = {recipe["seed"] for i, recipe in enumerate(recipes) if i not in found}
    if halved := {i: kind_of(record) for i, record in found.items() if record["recipe"]["seed"] in missing}:
        here = machine_of_runs()
        found = {i: record for i, record in found.items() if halved.get(i, here) == here}
    jobs = find_work(paper, recipes, runs).deal_out(share[1]) if share[1] > 1 else {}
    ours = [i for i, recipe in enumerate(recipes) if jobs.get(key_of(recipe), 0) == share[0]]
    done = {at: found[i] for at, i in enumerate(ours) if i in found}
    wanted = [recipes[i] for i in ours]
    return _make_missing(produce, wanted, runs_folder(runs) / paper, done, label=label, code=code_hash())


def find_work(paper: str, recipes: Sequence[Mapping], runs: str | None) -> Work:
    """What evidence lacks of these recipes, with the seconds that it tells: the same on every machine."""
    return Work.of(recipes, read_records(EVIDENCE / paper), anew=bool(runs))


def make(recipes: Iterable[Mapping], produce: Produce, folder: Path, *, here: bool = False) -> list[dict]:
    """A record of each recipe, made in `folder` whatever was recorded before; the same recipe is made once.

    `here`: what another machine kind left there is made again, too.
    """
    unique = {key_of(recipe): recipe for recipe in recipes}
    code = f"{code_hash()}-{hashlib.sha256(machine_of_runs().encode()).hexdigest()[:4]}" if here else code_hash()
    return _make_missing(produce, list(unique.values()), folder, {}, label=folder.name, code=code)


def machine_of_runs() -> str:
    """The machine kind as records of runs made here have it, whether or not one has been made."""
    import torch  # noqa: F401  names the vector units

    return machine()


def _evidence(paper: str, runs: str | None) -> dict[str, dict]:
    """The recorded evidence of a paper by key: none if `runs` names a folder."""
    return {key_of(r["recipe"]): r for r in ([] if runs else read_records(EVIDENCE / paper))}


def _make_missing(
    produce: Produce, recipes: Sequence[Mapping], folder: Path, done: dict[int, dict], *, label: str, code: str
) -> list[dict]:
    """One record a recipe; `done` holds those that need no work. Other processes may be at it in the same folder.

    Where `produce` has a `check`, it is asked about what is to be made before the first is.
    """
    if check := getattr(produce, "check", None):
        absent = [recipe for i, recipe in enumerate(recipes) if i not in done]
        made = (read_record(folder / f"{key_of(recipe)}.json") for recipe in absent)
        check([r for r, record in zip(absent, made, strict=True) if not record or record["provenance"]["code"] != code])
    with Bar(total=len(recipes), initial=len(done), desc=label, unit="run") as bar:
        while len(done) < len(recipes):
            before = len(done)
            for i, recipe in enumerate(recipes):
                if i in done:
                    continue
                with suppress(Timeout):  # another process is making it
                    done[i] = produce_or_load(recipe, produce, folder=folder, code=code)
                    bar.update()
                    tell("%s: record %d of %d, %s", label, len(done), len(recipes), key_of(recipe))
            if len(done) == before:
                time.sleep(0.5)
    sweep(folder)
    return [done[i] for i in range(len(recipes))]
