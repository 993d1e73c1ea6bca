"""Whose fault an error is: damage of a file, or the machine, which hinders; each is one sentence with a way out."""

import contextlib
import errno
import json
import os
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

# What a damaged archive raises while it is read; OSErrors of the machine too, which `is_hindrance` tells apart.
DAMAGED_ARCHIVE: tuple[type[Exception], ...] = (
    zipfile.BadZipFile,
    NotImplementedError,  # zipfile's, of a way to pack that makes no sense
    tarfile.TarError,
    OSError,  # gzip's and bzip2's
    zlib.error,
    EOFError,
)
with contextlib.suppress(ImportError):  # a Python that was built without it reads no such archive
    import lzma

    DAMAGED_ARCHIVE += (lzma.LZMAError,)

_OF_CONTENT = (None, 0, errno.EINVAL)  # the errno of an OSError by which a library says that bytes make no sense
_WAYS_TO_READ: dict[int | None, str] = {
    **dict.fromkeys((errno.EACCES, errno.EPERM), "get the right to read it"),
    **dict.fromkeys((errno.EAGAIN, errno.EBUSY, errno.ETXTBSY), "close the program that holds it"),
    **dict.fromkeys((errno.EMFILE, errno.ENFILE), "allow more open files (ulimit -n)"),
    **dict.fromkeys((errno.EIO, errno.ESTALE, errno.ETIMEDOUT), "check its disk or network mount"),
}


class Hindered(OSError):
    """The machine's fault, not a file's. `errno`: the system's reason."""

    def __str__(self) -> str:  # an OSError with an errno would leave out the sentence
        return self.args[0]


class NotReadable(Hindered):
    """A file that cannot be read now: forbidden, locked, away; nothing is known of its content."""


class NotWritable(Hindered):
    """A folder that takes no files; no other source of the same data would help."""


class DiskFull(NotWritable):
    """No space left, or no quota."""


def is_hindrance(error: BaseException) -> bool:
    """Whether the machine hindered, so that nothing is known of the content: forbidden, locked, full, away, no memory.

    An OSError that a library raises for bytes that make no sense has no errno, or EINVAL where it seeks by them.
    """
    told = isinstance(error, MemoryError | Hindered) or "allocate memory" in str(error)  # torch's, a RuntimeError
    return told or (isinstance(error, OSError) and error.errno not in _OF_CONTENT)


@contextlib.contextmanager
def tell_damage(
    path: str | os.PathLike, rule: str, *damage: type[Exception], advice: str | None = None
) -> Iterator[None]:
    """One sentence for whatever fails while `path` is read: the one place that tells damage from the machine's faults.

    A hindrance (`is_hindrance`) is NotReadable, or NotWritable of what is written on the way; errors of the kinds
    `damage` are a ValueError that begins with `rule`. Any other error passes. `advice` None: `advise`'s.
    """
    try:
        yield
    except Exception as error:
        if is_hindrance(error):
            raise_hindrance(path, error)
        if not isinstance(error, damage):
            raise
        raise ValueError(f"{rule}: {path} is not ({_line_of(error)}); {advice or advise(path)}") from error


def raise_hindrance(path: str | os.PathLike, error: Exception) -> NoReturn:
    """What `is_hindrance` says of an error met at `path`, as one sentence: NotReadable, or MemoryError."""
    if not isinstance(error, OSError):
        raise MemoryError(f"{path} needs more memory than there is ({error}); it may be whole") from error
    if isinstance(error, Hindered):
        raise error
    path, way_out = error.filename or path, _WAYS_TO_READ.get(error.errno, "mend that and run again")
    reason = os.strerror(error.errno) if error.errno else str(error)
    told = NotReadable(f"{path} cannot be read here ({reason}), it may be whole; {way_out}")
    told.errno = error.errno
    raise told from error


def advise(path: str | os.PathLike) -> str:
    """How to get a whole copy of a file: the command if `vqabook data fetch` brought it, else from whoever made it.

    What was fetched, or the folder or archive that it is in, stands in a pin `.NAME.fetched.json` in its set's folder.
    """
    path = Path(os.path.abspath(path))
    for folder in path.parents[:4]:  # LFW's photographs lie three folders below the set's
        name = f"{path.relative_to(folder).as_posix().removesuffix('.gz')}/"
        for pin in sorted(folder.glob(".*.fetched.json")):
            with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
                if any(name.startswith(f"{file.rstrip('/')}/") for file in json.loads(pin.read_bytes())["files"]):
                    return f"fetch it again: vqabook data fetch {pin.name[1:].removesuffix('.fetched.json')}"
    return "bring a whole copy of it from where it came, or write it anew"


def damage_of(path: Path, error: Exception) -> str | None:
    """Why a file of this project's own is none (a folder, say); None if it is not there. Raises a hindrance."""
    if is_hindrance(error) and not isinstance(error, FileNotFoundError | IsADirectoryError | NotADirectoryError):
        raise_hindrance(path, error)
    return _line_of(error) if os.path.lexists(path) else None


def _line_of(error: Exception) -> str:
    return str(error).partition("\n")[0][:200] or type(error).__name__
