"""Runs made again: recorded ones by today's code, or the same ones by two codes on this machine."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from vqabook import stop
from vqabook.evidence.record import EVIDENCE, PACKAGE, key_of, load_json, read_record, read_records
from vqabook.evidence.runs import make
from vqabook.files import PROJECT

CHECKOUT = PROJECT or PACKAGE.parent
OUTCOME = EVIDENCE / "recheck.json"  # of the latest recheck that was recorded
APART = ("detection",)  # parts with an environment of their own


def choose(
    papers: Sequence[str], sample: int | None, profile: str | None = None, *, longest: float = float("inf")
) -> list[Mapping]:
    """Recorded runs to make again: all, or `sample` a paper, of the cheapest of each method; another day, others.

    Runs that took more than `longest` seconds are left out.
    """
    chosen: list[Mapping] = []
    for paper in papers:
        records: list[Mapping] = [
            record
            for record in read_records(EVIDENCE / paper)
            if record["recipe"].get("part") not in APART
            and profile in (None, record["recipe"]["profile"])
            and record["provenance"]["seconds"] <= longest
        ]
        if sample is not None:
            cheapest = pick_cheapest(records)
            first = datetime.now(UTC).toordinal() * sample
            records = [cheapest[(first + i) % len(cheapest)] for i in range(min(sample, len(cheapest)))]
        chosen += records
    return chosen


def pick_cheapest(records: Sequence[Mapping]) -> list[Mapping]:
    """The cheapest record of each method, whatever its seed, data, sizes; a method is what a recipe says in words."""
    cheapest: dict[str, Mapping] = {}
    for record in sorted(records, key=lambda r: r["provenance"]["seconds"]):
        asked = {k: v for k, v in record["recipe"].items() if k not in ("profile", "seed", "data", "prior")}
        cheapest.setdefault(json.dumps(_in_words(asked), sort_keys=True), record)
    return list(cheapest.values())


def _in_words(value: object) -> object:
    """A recipe without its numbers."""
    if isinstance(value, Mapping):
        return {key: _in_words(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_in_words(part) for part in value]
    return value if isinstance(value, str | bool | None) else "number"


def make_again(records: Sequence[Mapping], produce: Callable, folder: Path) -> None:
    """Make each of `records` again, by today's code here; a folder that holds some goes on from them."""
    for paper in dict.fromkeys(record["recipe"]["paper"] for record in records):
        make([r["recipe"] for r in records if r["recipe"]["paper"] == paper], produce, folder / paper)


def find_again(records: Sequence[Mapping], folder: Path) -> list[tuple[Mapping, dict]]:
    """(recorded, again) of those records that were made again in `folder`."""
    pairs = [(r, read_record(folder / r["recipe"]["paper"] / f"{key_of(r['recipe'])}.json")) for r in records]
    return [(record, again) for record, again in pairs if again]


def difference(old: object, new: object, at: str = "") -> str | None:
    """Where two results first differ, as a dotted path with both values; None if they do not.

    `seconds` may differ, and the new one may say more than the old did.
    """
    if isinstance(old, Mapping) and isinstance(new, Mapping) and old.keys() <= new.keys():
        pairs = [(f"{at}.{key}", old[key], new[key]) for key in old if key != "seconds"]
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        pairs = [(f"{at}.{i}", left, right) for i, (left, right) in enumerate(zip(old, new, strict=True))]
    else:
        return None if old == new else f"{at.lstrip('.')} from {str(old)[:40]} to {str(new)[:40]}"
    return next((first for path, left, right in pairs if (first := difference(left, right, path)) is not None), None)


def read_outcome() -> dict | None:
    """The outcome of the latest recheck that was recorded."""
    return read_record(OUTCOME, load_json)


def words_for_make(profile: str, pages: Sequence[str], recipes: Path | None, data_root: str | None) -> list[str]:
    """What `vqabook make` is asked for, by either code."""
    words = ["--profile", profile, *(word for page in pages for word in ("--page", page))]
    words += ["--recipes", str(recipes.resolve())] if recipes else []
    return words + (["--data-root", data_root] if data_root else [])


def compare_codes(commit: str, asked: Sequence[str], folder: Path) -> tuple[int, list[str]]:
    """How many runs the code of `commit` and today's both made, and a line for each that differs.

    `asked`: words for `vqabook make` that say which runs; each code lists and names them itself. `folder` holds the
    records of both; a second call goes on where a killed one stopped.
    """
    with _check_out(commit) as old:
        makers = [_start_make(code, asked, folder / name) for name, code in (("old", old), ("new", CHECKOUT))]
        with stop.together(makers):
            failed = [name for name, maker in zip(("old", "new"), makers, strict=True) if maker.wait()]
    if failed:
        raise RuntimeError(f"both codes make the same runs; {' and '.join(failed)} failed, as it says above")
    old_runs, new_runs = (
        {key_of(r["recipe"]): r for r in read_records(folder / name / "runs")} for name in ("old", "new")
    )
    return len(old_runs.keys() & new_runs.keys()), list(_list_differences(old_runs, new_runs))


def _list_differences(old: Mapping[str, Mapping], new: Mapping[str, Mapping]) -> Iterator[str]:
    for key in sorted(old.keys() | new.keys()):
        if key not in new or key not in old:
            yield f"{key}: only the {'old' if key in old else 'new'} code has it"
        elif (first := difference(old[key]["result"], new[key]["result"])) is not None:
            yield f"{key}: {first}"


@contextmanager
def _check_out(commit: str) -> Iterator[Path]:
    """The project's files as they were at `commit`, in a folder that goes away."""
    with tempfile.TemporaryDirectory() as folder:
        code = Path(folder) / "code"
        words = ["git", "worktree", "add", "--detach", str(code), commit]
        added = subprocess.run(words, cwd=CHECKOUT, capture_output=True, encoding="utf-8", errors="replace")
        if added.returncode:
            raise ValueError(f"a commit of this repository is needed, got {commit!r}: {added.stderr.strip()}")
        try:
            yield code
        finally:
            subprocess.run(["git", "worktree", "remove", "--force", str(code)], cwd=CHECKOUT, check=True)


def _start_make(code: Path, asked: Sequence[str], out: Path) -> subprocess.Popen:
    """`vqabook make` by the code in a folder, with a cache of its own: worlds are written by their readers' code."""
    out.mkdir(parents=True, exist_ok=True)
    own = {"PYTHONPATH": str(code), "XDG_CACHE_HOME": str(out / "cache"), "OMP_NUM_THREADS": "1"}
    words = [sys.executable, "-m", "vqabook", "make", "--out", str(out / "runs"), *asked]
    return subprocess.Popen(words, cwd=code, env=os.environ | own)
