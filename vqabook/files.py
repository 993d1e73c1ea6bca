"""Files: found, read, written whole or not at all, swept up after killed processes; where data sets and copies lie.

What the disk or its owner refuses is told in one sentence with a way out, and never as damage of the file.
"""

import contextlib
import errno
import functools
import hashlib
import json
import mmap
import os
import platform
import re
import secrets
import shutil
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import platformdirs
from filelock import FileLock

KEPT = 24 * 3600.0  # seconds: how long others may go on from what a run left beside its record, or look at it
LEFT = (".stage", ".damaged", ".lock")
MANY = 1000  # files of which each is not synced by its own
_PARTIAL = re.compile(r"\..*\.([0-9a-f]{8})-(\d+)-[0-9a-f]+\.partial")
_FULL = (errno.ENOSPC, errno.EDQUOT)
_OF_CONTENT = (None, 0, errno.EINVAL)  # the errno of an OSError by which a library says that bytes make no sense
_WAYS_TO_READ = {
    **dict.fromkeys((errno.EACCES, errno.EPERM), "get the right to read it"),
    **dict.fromkeys((errno.EAGAIN, errno.EBUSY, errno.ETXTBSY), "close the program that holds it"),
    **dict.fromkeys((errno.EMFILE, errno.ENFILE), "allow more open files (ulimit -n)"),
    **dict.fromkeys((errno.EIO, errno.ESTALE, errno.ETIMEDOUT), "check its disk or network mount"),
}

T = TypeVar("T")


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


def find_project(code: Path) -> Path | None:
    """The checkout that the package in `code` is part of, else the one around the current folder, else None."""
    folders = [code]
    with contextlib.suppress(FileNotFoundError):  # a current folder that was removed
        folders += [Path.cwd(), *Path.cwd().parents]
    return next((p for p in folders if (p / "book" / "_toc.yml").is_file() and (p / "vqabook").is_dir()), None)


PROJECT = find_project(Path(__file__).resolve().parents[1])
# Data sets, and the local records in runs/: of the project, or the user's; never beside an installed package.
HOME = PROJECT / "data" if PROJECT else platformdirs.user_data_path("vqabook", appauthor=False)


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
            _raise_hindrance(path, error)
        if not isinstance(error, damage):
            raise
        raise ValueError(f"{rule}: {path} is not ({_line_of(error)}); {advice or advise(path)}") from error


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


def _raise_hindrance(path: str | os.PathLike, error: Exception) -> NoReturn:
    if not isinstance(error, OSError):
        raise MemoryError(f"{path} needs more memory than there is ({error}); it may be whole") from error
    if isinstance(error, Hindered):
        raise error
    path, way_out = error.filename or path, _WAYS_TO_READ.get(error.errno, "mend that and run again")
    told = NotReadable(f"{path} cannot be read here ({os.strerror(error.errno)}), it may be whole; {way_out}")
    told.errno = error.errno
    raise told from error


def files_below(folder: str | os.PathLike) -> Iterator[Path]:
    """All files below `folder`, by name, also behind symbolic links to folders; none if it does not exist.

    A folder is entered once, so that a link to one above it ends, and two names of one folder give its files once.
    Raises NotReadable for one that may not be read: nothing is left out in silence.
    """
    entered = set()
    for here, folders, names in os.walk(folder, followlinks=True, onerror=_tell_unless_gone):
        real = os.path.realpath(here)
        folders[:] = [] if real in entered else sorted(folders)
        yield from () if real in entered else (Path(here, name) for name in sorted(names))
        entered.add(real)


def _tell_unless_gone(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError | NotADirectoryError):
        _raise_hindrance(error.filename, error)


def without_mark(text: bytes | memoryview | mmap.mmap) -> bytes | memoryview | mmap.mmap:
    """UTF-8 of a text without its byte order mark; a UTF-16 one, as PowerShell writes, is converted."""
    if text[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return bytes(text).decode("utf-16").encode()
    return memoryview(text)[3:] if text[:3] == b"\xef\xbb\xbf" else text


def portable(path: str | os.PathLike) -> str:
    """A path or name as UTF-8 has it: the same text under every locale, for hashes and for what is kept in files."""
    return os.fsencode(path).decode("utf-8", "replace")


@contextlib.contextmanager
def written_whole(path: str | os.PathLike, advice: str = "run again") -> Iterator[Path]:
    """A path beside `path` for a new file or folder, which takes its place once the block is done.

    It is on the disk before it is moved, and goes away if the block fails: who reads `path` never finds half of it.
    What a killed process was writing in that folder goes, too. A full disk becomes one sentence with `advice`; the
    folders above `path` are made. Raises NotWritable before the block if nothing can be written there.
    """
    path = Path(path)
    partial = partial_of(path)
    with tell_if_full(path, advice):
        need_writable(path.parent, room=advice)
        _sweep_partials_once(path.parent)
        try:
            yield partial
            move(partial, path)
        finally:
            _remove(partial)


def move(source: Path, target: Path) -> None:
    """Put a file or folder into its place, in one step, once it is on the disk itself."""
    sync(source)
    source.replace(target)


def sync(path: Path) -> None:
    """Bring a file, or all files below a folder, from memory onto the disk: a power cut leaves them whole."""
    files = [file for file in (path, *path.rglob("*")) if file.is_file()]
    if len(files) > MANY:
        os.sync()
        return
    for file in files:
        with open(file, "r+b") as content:
            os.fsync(content.fileno())


def save_whole(content: object, path: str | os.PathLike) -> None:
    """`torch.save`, whole or not at all."""
    import torch

    # Into an open file: by name, torch would put the name into the content and call a full disk a RuntimeError.
    with written_whole(path) as partial, open(partial, "wb") as file:
        torch.save(content, file)


def load_saved(path: Path) -> Any:
    """What `save_whole` wrote, on the CPU; of damaged bytes any error may come, see `read_or_set_aside`."""
    import torch

    with open(path, "rb") as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's guesses at damaged bytes
        return torch.load(file, map_location="cpu", weights_only=True)


def read_or_set_aside(path: Path, read: Callable[[Path], T]) -> T | None:
    """What `read` makes of a file or folder that this project left for itself; None if there is none.

    `read` raises unless it is whole and of the right kind: then it is renamed, in the place of one set aside before,
    one sentence says so, None comes back, and the caller makes it again. A hindrance is told as such.
    """
    try:
        return read(path)
    except Exception as error:  # whatever damaged bytes lead to
        if (reason := damage_of(path, error)) is not None:
            damaged = path.with_name(f"{path.name}.damaged")
            _remove(damaged)
            with contextlib.suppress(FileNotFoundError):  # another process was first
                path.replace(damaged)
            rule, done = "what a run leaves can be read back", f"is now {damaged.name}, and is made again"
            warnings.warn(f"{rule}: {path} cannot ({reason}), {done}", stacklevel=2)
        return None


def read_or_make(path: Path, read: Callable[[Path], T], make: Callable[[Path], object]) -> T:
    """`read_or_set_aside`, or what `read` makes of the file once `make` has written it."""
    kept = read_or_set_aside(path, read)
    if kept is None:
        make(path)
        kept = read(path)
    return kept


def damage_of(path: Path, error: Exception) -> str | None:
    """Why a file of this project's own is none (a folder, say); None if it is not there. Raises a hindrance."""
    if is_hindrance(error) and not isinstance(error, FileNotFoundError | IsADirectoryError | NotADirectoryError):
        _raise_hindrance(path, error)
    return _line_of(error) if os.path.lexists(path) else None


def _line_of(error: Exception) -> str:
    return str(error).partition("\n")[0][:200] or type(error).__name__


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
                        _remove(path)


def _sweep_partials(folder: Path) -> None:
    for path in folder.glob(".*.partial"):
        if name := _PARTIAL.fullmatch(path.name):
            with contextlib.suppress(OSError):
                if not _is_alive(int(name[2])) if name[1] == _machine() else _is_old(path):
                    _remove(path)


_sweep_partials_once = functools.cache(_sweep_partials)  # not for each of 100,000 images of a folder


def _is_old(path: Path) -> bool:
    return time.time() - path.stat().st_mtime > KEPT


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except OSError as error:
        return error.errno != errno.ESRCH  # another user's is alive
    return True


def _remove(path: Path) -> None:
    """A file or a folder, if it is there."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def bytes_below(folder: Path) -> int:
    """Size of all files below `folder`."""
    return sum(path.stat().st_size for path in files_below(folder) if path.is_file())


def need_space(n_bytes: int, folder: Path, what: str, advice: str) -> None:
    """Fail at once, not after an hour, where `what` cannot grow to `n_bytes` in `folder`, which has some of it."""
    need, free = n_bytes - bytes_below(folder), shutil.disk_usage(folder).free
    if need > free:
        raise OSError(
            f"{what} needs {need / 1e9:.1f} GB more, the disk of {folder} has {free / 1e9:.1f} GB free; free some, "
            f"{advice}"
        )


def at_home(path: str | os.PathLike) -> Path:
    """A path as a user writes it, with ~ for the home folder."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise ValueError(f"~NAME is the home folder of a user here, got {path}; write the folder out") from None


def data_root(given: str | os.PathLike | None = None) -> Path:
    """The folder of the data sets: as given, else $VQABOOK_DATA, else of the project or the user (`HOME`)."""
    return at_home(given or os.environ.get("VQABOOK_DATA") or HOME)


def cache_folder() -> Path:
    """Where unpacked copies live: `$XDG_CACHE_HOME/vqabook`, by default `~/.cache/vqabook`. Safe to delete any time."""
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "vqabook"
    except RuntimeError as error:
        raise NotWritable(
            "copies of large files lie below the home folder: this user has none; set XDG_CACHE_HOME to a folder"
        ) from error
