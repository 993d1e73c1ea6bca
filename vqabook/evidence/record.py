"""Produce-or-load: one JSON per run, named by what was asked, stamped with what ran it.

A record is {"recipe": what was asked, "result": numbers, "provenance": who made it, when, from which code, on what}.
It is written whole or not at all; of two processes that want the same record one makes it.
"""

import hashlib
import json
import os
import platform
import re
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from importlib import metadata
from pathlib import Path

from filelock import FileLock

from vqabook.files import HOME, PROJECT, DiskFull, files_below, written_whole

PACKAGE = Path(__file__).parents[1]
EVIDENCE = PROJECT / "book" / "evidence" if PROJECT else HOME / "evidence"  # records of long runs, a folder a paper


def key_of(recipe: Mapping) -> str:
    """The record's name: readable variant, seed, and a hash of the whole recipe."""
    text = json.dumps(recipe, sort_keys=True)
    name = "-".join(str(recipe[k]) for k in ("paper", "profile", "variant", "seed") if k in recipe)
    return f"{re.sub(r'[^A-Za-z0-9_]+', '-', name).strip('-')}-{hashlib.sha256(text.encode()).hexdigest()[:10]}"


def produce_or_load(recipe: Mapping, produce: Callable[[Mapping, Path], dict], *, folder: Path, code: str) -> dict:
    """The record of `recipe` in `folder`; unless the same `code` made it already, `produce(recipe, scratch path)` does.

    A record of other code is made anew. Raises `filelock.Timeout` while another process is making it.
    """
    path = folder / f"{key_of(recipe)}.json"
    found = read_record(path)
    if found and found["provenance"]["code"] == code:
        return found
    ensure_writable(folder)
    with FileLock(path.with_suffix(".lock"), timeout=0):
        found = read_record(path)
        if found and found["provenance"]["code"] == code:
            return found
        started, clock = datetime.now(UTC), time.monotonic()
        result = produce(recipe, path.with_suffix(f".{code}.checkpoint"))
        seconds = round(time.monotonic() - clock, 2)
        record = {"recipe": dict(recipe), "result": result, "provenance": provenance(code, started, seconds)}
        write_json(path, record)
        return record


def read_record(path: Path) -> dict | None:
    """The record at `path`, or None if there is none or it is not one."""
    try:
        record = json.loads(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError, UnicodeDecodeError, json.JSONDecodeError):
        return None
    return record if isinstance(record, dict) and {"recipe", "result", "provenance"} <= record.keys() else None


def read_records(folder: Path) -> list[dict]:
    """All records below `folder`, in the order of their names."""
    found = (read_record(path) for path in sorted(files_below(folder)) if path.suffix == ".json")
    return [record for record in found if record]


def need_evidence() -> None:
    """Raises FileNotFoundError where recorded evidence is not at hand: an installed package does not carry it."""
    if not EVIDENCE.is_dir():
        raise FileNotFoundError(
            f"recorded evidence comes with the project, not with the installed package, and {EVIDENCE} is not there; "
            "run this in a checkout (git clone https://github.com/vqabook/vqabook)"
        )


def write_json(path: Path, content: object) -> None:
    """Write JSON whole or not at all; a full disk leaves the old file as it was."""
    try:
        with written_whole(path) as partial:
            partial.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n", "utf-8")
    except OSError as error:
        reason = "the disk is full" if isinstance(error, DiskFull) else error.strerror
        raise OSError(
            f"results are written to {path.parent}: {reason}; free space or give another folder (runs=...), "
            "finished records are kept"
        ) from error


def ensure_writable(folder: Path) -> None:
    """Fail before the work rather than after it if results cannot be written to `folder`."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".{os.getpid()}.probe"
        probe.write_bytes(b"\0" * 4096)
        probe.unlink()
    except OSError as error:
        raise OSError(
            f"results are written to {folder}: {error.strerror}; give a folder that you may write to (runs=...)"
        ) from error


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
    """The commit of the repository that tracks this package, and whether files differ from it; else unknown."""

    def git(*words: str) -> str:
        return subprocess.run(
            ("git", *words), cwd=PACKAGE, capture_output=True, encoding="utf-8", check=True
        ).stdout.strip()

    try:
        git("ls-files", "--error-unmatch", "__init__.py")  # not a repository that an environment happens to lie in
        return {
            "commit": git("rev-parse", "--short=12", "HEAD"),
            "dirty": bool(git("status", "--porcelain", "-uno", "--", str(PACKAGE))),
        }
    except (OSError, subprocess.CalledProcessError):
        return {"commit": "unknown", "dirty": False}


@lru_cache
def hardware() -> str:
    """Processor or accelerator and count, as short text."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        return f"{torch.cuda.device_count()} x {torch.cuda.get_device_name()}"
    threads = torch.get_num_threads() if torch is not None else 1
    return f"{_processor()}, {os.cpu_count()} cores, {threads} thread{'s'[: threads > 1]} a run"


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
