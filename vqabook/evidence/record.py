"""Produce-or-load: one JSON per run, named by what was asked, stamped with what ran it.

A record is {"recipe": what was asked, "result": numbers, "provenance": who made it, when, from which code, on what}.
It is written whole or not at all; of two processes that want the same record one makes it. A file is
trusted if it is a record of the recipe that its name says, and its result has finite numbers.
"""

import hashlib
import json
import os
import platform
import re
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from functools import cache, lru_cache
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any, TypedDict

import msgspec
from filelock import FileLock

from vqabook.files import (
    HOME,
    PROJECT,
    damage_of,
    files_below,
    need_writable,
    read_or_set_aside,
    written_whole,
)  # fmt: skip

PACKAGE = Path(__file__).parents[1]
EVIDENCE = PROJECT / "book" / "evidence" if PROJECT else HOME / "evidence"  # records of long runs, a folder a paper
UNKNOWN = {"commit": "unknown", "dirty": False}
ELSEWHERE = "give another folder (runs=..., --runs or VQABOOK_RUNS)"


class Stamp(TypedDict):
    """Who made a record; newer ones say their machine kind, too."""

    code: str
    commit: str
    dirty: bool
    started: str
    seconds: float
    hardware: str
    versions: dict[str, str]


class Record(TypedDict):
    """What a record has at least."""

    recipe: dict[str, Any]
    result: Annotated[dict[str, Any], msgspec.Meta(min_length=1)]
    provenance: Stamp


def key_of(recipe: Mapping) -> str:
    """The record's name: readable variant, seed, and a hash of the whole recipe."""
    text = json.dumps(recipe, sort_keys=True)
    name = "-".join(str(recipe[k]) for k in ("paper", "profile", "variant", "seed") if k in recipe)
    return f"{re.sub(r'[^A-Za-z0-9_]+', '-', name).strip('-')}-{hashlib.sha256(text.encode()).hexdigest()[:10]}"


def produce_or_load(recipe: Mapping, produce: Callable[[Mapping, Path], dict], *, folder: Path, code: str) -> dict:
    """The record of `recipe` in `folder`; unless the same `code` made it already, `produce(recipe, scratch path)` does.

    A record of other code is made anew, and so is a damaged one, which is set aside with a warning. What `produce`
    leaves at the scratch path stays until the record is written. Raises `filelock.Timeout` while another process is
    making it.
    """
    path = folder / f"{key_of(recipe)}.json"
    with suppress(Exception):  # told below, by the one process that makes it again
        if (record := load_record(path))["provenance"]["code"] == code:
            return record
    ensure_writable(folder)
    with FileLock(path.with_suffix(".lock"), timeout=0):
        found = read_or_set_aside(path, load_record)
        if found and found["provenance"]["code"] == code:
            return found
        started, clock = datetime.now(UTC), time.monotonic()
        result = produce(recipe, path.with_suffix(f".{code}.checkpoint"))
        seconds = round(time.monotonic() - clock, 2)
        record = {"recipe": dict(recipe), "result": result, "provenance": provenance(code, started, seconds)}
        write_json(path, record)
        for left in folder.glob(f"{path.stem}.*.checkpoint"):  # of older code, too
            left.unlink(missing_ok=True)
        return record


def load_record(path: Path) -> dict:
    """The record at `path`; raises unless it is one, of the recipe that its name says."""
    record = load_json(path, Record)
    if (key := key_of(record["recipe"])) != path.stem:
        raise ValueError(f"it answers another recipe, {key}")
    return record


def load_json(path: Path, kind: Any = dict) -> dict:
    """JSON that this project wrote; raises unless it has what a `kind` has, and finite numbers."""
    content = msgspec.json.decode(path.read_bytes())
    msgspec.convert(content, kind)
    return content


def read_record(path: Path, load: Callable[[Path], dict] = load_record) -> dict | None:
    """The record at `path`, or None if there is none; a file that is none is named in a warning, and left out."""
    try:
        return load(path)
    except Exception as error:  # whatever damaged bytes lead to
        if (reason := damage_of(path, error)) is not None:
            warnings.warn(
                "a record is whole, answers the recipe in its name, and has finite numbers: "
                f"{path} is left out ({reason}); restore it, or remove it to have it made again",
                stacklevel=2,
            )
        return None


def read_records(folder: Path) -> list[dict]:
    """All records below `folder`, in the order of their names; whoever reads a file again has the same object."""
    found = (read_record(path, _load_once) for path in sorted(files_below(folder)) if path.suffix == ".json")
    return [record for record in found if record]


def _load_once(path: Path) -> dict:
    """The record at `path`, parsed again only if the file changed: the ledger reads the evidence some fifty times."""
    state = path.stat()
    return _load_state(path, state.st_mtime_ns, state.st_size, state.st_ino)


@cache
def _load_state(path: Path, changed: int, size: int, inode: int) -> dict:
    return load_record(path)


def need_evidence() -> None:
    """Raises FileNotFoundError where recorded evidence is not at hand: an installed package does not carry it."""
    if not EVIDENCE.is_dir():
        raise FileNotFoundError(
            f"recorded evidence comes with the project, not with the installed package, and {EVIDENCE} is not there; "
            "run this in a checkout (git clone https://github.com/vqabook/vqabook)"
        )


def write_json(path: Path, content: object) -> None:
    """Write JSON whole or not at all; a full disk leaves the old file as it was."""
    with written_whole(path, f"run again, or {ELSEWHERE}; finished records are kept") as partial:
        partial.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n", "utf-8")


def ensure_writable(folder: Path) -> None:
    """Fail before the work rather than after it if results cannot be written to `folder`."""
    need_writable(folder, ELSEWHERE, f"run again, or {ELSEWHERE}")


def provenance(code: str, started: datetime, seconds: float) -> dict:
    """Commit, code hash, time, machine and versions of a run."""
    versions = {name: metadata.version(name) for name in ("torch", "numpy", "h5py")}
    return {
        "code": code,
        **commit(),
        "started": started.isoformat(timespec="seconds"),
        "seconds": seconds,
        "hardware": hardware(),
        "machine": machine(),
        "versions": {"python": platform.python_version(), **versions},
    }


@lru_cache
def commit() -> dict:
    """The commit of this project's repository, and whether tracked files differed from it.

    Of a package that was installed or copied into another repository it is unknown: that one's says nothing of it.
    """
    env = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}  # of a hook, of theirs

    def git(*words: str) -> str:
        words = ("git", "-C", str(PACKAGE.parent), *words)
        return subprocess.run(words, env=env, capture_output=True, encoding="utf-8", check=True).stdout.strip()

    try:
        git("ls-files", "--error-unmatch", "vqabook/__init__.py", "book/_toc.yml")
        if git("rev-parse", "--show-prefix"):
            return dict(UNKNOWN)
        return {
            "commit": git("rev-parse", "--short=12", "HEAD"),
            "dirty": bool(git("status", "--porcelain", "-uno", "--", str(PACKAGE))),
        }
    except (OSError, subprocess.CalledProcessError):
        return dict(UNKNOWN)


def hardware() -> str:
    """Processor or accelerator and count, and the threads of a run, as short text."""
    torch = sys.modules.get("torch")
    n = torch.get_num_threads() if torch is not None else 1
    threads = f"{n} thread{'s'[: n > 1]} a run"
    if torch is not None and torch.cuda.is_available():
        return f"{torch.cuda.device_count()} x {torch.cuda.get_device_name()}, {threads}"
    return f"{_processor()}, {os.cpu_count()} cores, {threads}"


def _processor() -> str:
    return _cpuinfo().get("model name") or platform.processor() or platform.machine()


@lru_cache
def machine() -> str:
    """The machine kind: the accelerator, or the processor's family and vector units; another kind rounds otherwise."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        return torch.cuda.get_device_name()
    about, units = _cpuinfo(), torch.backends.cpu.get_cpu_capability() if torch is not None else ""
    known = [about[k] for k in ("vendor_id", "cpu family", "model", "CPU implementer", "CPU part") if k in about]
    return " ".join([*(known or [_processor()]), units]).strip()


def kind_of(record: Mapping) -> str:
    """The machine kind that made a record; of older ones only the processor's name is known."""
    stamp = record["provenance"]
    return stamp.get("machine") or stamp["hardware"].split(",")[0]


@lru_cache
def _cpuinfo() -> dict[str, str]:
    """What the kernel says of the first core; empty where it does not."""
    try:
        pairs = (line.split(":", 1) for line in Path("/proc/cpuinfo").read_text("utf-8").split("\n\n")[0].splitlines())
        return {name.strip(): value.strip() for name, value in pairs}
    except (OSError, ValueError):
        return {}
