"""What a process is writing, under a name of its own; whoever comes later sweeps up after the killed."""

import contextlib
import errno
import functools
import hashlib
import os
import platform
import re
import secrets
import shutil
import time
from pathlib import Path

from filelock import FileLock

KEPT = 24 * 3600.0  # seconds: how long others may go on from what a run left beside its record, or look at it
LEFT = (".stage", ".damaged", ".lock")
_PARTIAL = re.compile(r"\..*\.([0-9a-f]{8})-(\d+)-[0-9a-f]+\.partial")


def partial_of(path: Path) -> Path:
    """Where a new `path` grows: hidden, this call's alone, and named by the process, whose end others can tell."""
    return path.with_name(f".{path.name}.{_machine()}-{os.getpid()}-{secrets.token_hex(4)}.partial")


@functools.cache
def _machine() -> str:
    """Whose process numbers these are: this start of this machine, or a container of it."""
    try:
        names = Path("/proc/sys/kernel/random/boot_id").read_text("utf-8") + os.readlink("/proc/self/ns/pid")
    except OSError:  # not Linux
        names = platform.node()
    return hashlib.sha256(names.encode()).hexdigest()[:8]


def sweep(folder: Path) -> None:
    """Remove what processes left in `folder`, by one rule for all.

    What a killed process was writing goes at once (of another machine: a day after the last byte). Stages, what was
    set aside as damaged, and locks that nobody holds go after a day.
    """
    _sweep_partials(folder)
    for path in folder.glob("*"):
        if path.suffix in LEFT:
            with contextlib.suppress(OSError):  # held, or another process was first
                if _is_old(path):
                    with FileLock(path, timeout=0) if path.suffix == ".lock" else contextlib.nullcontext():
                        remove(path)


def _sweep_partials(folder: Path) -> None:
    for path in folder.glob(".*.partial"):
        if name := _PARTIAL.fullmatch(path.name):
            with contextlib.suppress(OSError):
                if not _is_alive(int(name[2])) if name[1] == _machine() else _is_old(path):
                    remove(path)


sweep_partials_once = functools.cache(_sweep_partials)  # not for each of 100,000 images of a folder


def _is_old(path: Path) -> bool:
    return time.time() - path.stat().st_mtime > KEPT


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except OSError as error:
        return error.errno != errno.ESRCH  # another user's is alive
    return True


def remove(path: Path) -> None:
    """A file or a folder, if it is there."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
