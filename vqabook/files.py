"""Files: written whole or not at all, a full disk told in one sentence, and where the data sets lie."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]


def save_whole(content: object, path: Path) -> None:
    """`torch.save` beside `path`, then moved there: who reads `path` never finds half a file."""
    import torch

    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    try:
        torch.save(content, partial)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


class DiskFull(OSError):
    """No space left, or no quota; no other source of the same data would help."""


@contextlib.contextmanager
def told_if_full(target: Path, advice: str) -> Iterator[None]:
    """A full disk met inside becomes one sentence; `advice`: what to do once there is room."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT) or isinstance(error, DiskFull):
            raise
        raise DiskFull(f"the disk of {target} is full; free space and {advice}") from error


def data_root(given: str | os.PathLike | None = None) -> Path:
    """The folder of the data sets: as given, else $VQABOOK_DATA, else the project's own `data/`."""
    return Path(given or os.environ.get("VQABOOK_DATA") or PROJECT / "data").expanduser()
