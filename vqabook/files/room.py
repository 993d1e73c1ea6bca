"""Room for what will be written: a folder that takes files, a disk that is not full, told before the work."""

import contextlib
import errno
import shutil
from collections.abc import Iterator
from pathlib import Path

from vqabook.files.damage import DiskFull, NotWritable
from vqabook.files.partial import partial_of
from vqabook.files.places import bytes_below, cache_folder, data_root

_FULL = (errno.ENOSPC, errno.EDQUOT)


@contextlib.contextmanager
def tell_if_full(target: Path, advice: str) -> Iterator[None]:
    """A full disk met inside becomes one sentence; `advice`: what to do once there is room."""
    try:
        yield
    except Exception as error:
        if isinstance(error, DiskFull) or not _is_of_full_disk(error):
            raise
        raise DiskFull(f"the disk of {target} is full; free space and {advice}") from error


def _is_of_full_disk(error: BaseException | None) -> bool:
    """Also if it came while one was handled, as torch's RuntimeErrors do, or names the number, as HDF5's do."""
    if error is None or getattr(error, "errno", None) in _FULL:
        return error is not None
    told = any(f"errno = {number}," in str(error) for number in _FULL)
    return told or _is_of_full_disk(error.__cause__ or error.__context__)


def need_writable(folder: Path, advice: str = "", room: str = "run again") -> None:
    """Make `folder`; fail at once, not after an hour, where it takes no files. Raises NotWritable.

    `advice`: what the user may do, by default the variable that names another folder; `room`: once there is room.
    """
    probe = partial_of(folder / "probe")
    try:
        with tell_if_full(folder, room):
            folder.mkdir(parents=True, exist_ok=True)
            probe.write_bytes(b"\0" * 4096)
    except DiskFull:
        raise
    except OSError as error:
        told = NotWritable(f"files are written to {folder}: {error.strerror}; {advice or _way_out(folder)}")
        told.errno, told.strerror = error.errno, error.strerror
        raise told from error
    finally:
        with contextlib.suppress(OSError):
            probe.unlink()


def _way_out(folder: Path) -> str:
    """How a user names another folder in the place of this one."""
    with contextlib.suppress(NotWritable):
        if folder.is_relative_to(cache_folder()):
            return "set XDG_CACHE_HOME to a folder that you may write to"
    if folder.is_relative_to(data_root()):
        return "set VQABOOK_DATA to a folder that you may write to"
    return "give a folder that you may write to"


def need_space(n_bytes: int, folder: Path, what: str, advice: str) -> None:
    """Fail at once, not after an hour, where `what` cannot grow to `n_bytes` in `folder`, which has some of it."""
    need, free = n_bytes - bytes_below(folder), shutil.disk_usage(folder).free
    if need > free:
        raise OSError(
            f"{what} needs {need / 1e9:.1f} GB more, the disk of {folder} has {free / 1e9:.1f} GB free; free some, "
            f"{advice}"
        )
