"""A full disk, told in one sentence whatever was being written."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator
from pathlib import Path


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
