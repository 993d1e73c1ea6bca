"""Bring a data set: lock, download, verify, unpack, prepare, verify again, move into place.

Everything happens below `data_root/.fetch/NAME` until the set's files are whole; a fetch that was stopped anywhere is
continued or repaired by the next.
"""

import contextlib
import errno
import filecmp
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from filelock import FileLock, Timeout

from vqabook.fetch.archives import clear
from vqabook.fetch.download import CONTINUE
from vqabook.fetch.holdings import measure, pins_of, staging, state, write_pin
from vqabook.fetch.manifest import DataSet, Origin, pick, read_manifest
from vqabook.fetch.sources import bring, prepare, say
from vqabook.files import Hindered, bytes_below, need_space, need_writable, sweep, sync, tell_if_full, written_whole


@dataclass(frozen=True)
class Fetched:
    """What a fetch did. `pinned`: files whose hash nobody published; `aside`: the user's files that were in the way."""

    name: str
    origin: str
    bytes: int
    seconds: float
    pinned: tuple[str, ...] = ()
    aside: tuple[Path, ...] = ()


def fetch(
    name: str,
    root: Path,
    *,
    manifest: Mapping[str, DataSet] | None = None,
    keep_archives: bool = False,
    check: bool = False,
) -> Fetched:
    """The set `name` below `root`, from the first of its origins that gives it; nothing if it is there and verified.

    `check` recomputes the hashes of what is there. Two processes fetch once: the second waits. Raises RuntimeError that
    says of every origin why it failed, or OSError for a full or read-only disk.
    """
    entry = pick(name, read_manifest() if manifest is None else manifest)
    folder, clock = root / entry.folder, time.monotonic()
    if state(entry, root) == "verified" and not check:
        return Fetched(name, "already there", 0, 0.0)
    closed = (folder.exists() or folder.is_symlink()) and not (folder.is_dir() and os.access(folder, os.W_OK))
    with contextlib.nullcontext() if closed else _lock(entry, root):
        pinned = _adopt(entry, root, check, pin=not closed)
        if pinned is not None:
            return Fetched(name, "already there", 0, time.monotonic() - clock, pinned)
        if closed:
            raise OSError(
                f"the set's files go into {folder}, which is not a folder that you may write to; move it away or give "
                "another --data-root"
            )
        if state(entry, root) not in ("absent", "partial"):
            say(f"{name}: what lies in {folder} is not as it should be; bringing it anew")
        got = _try_origins(entry, root, keep_archives)
    sweep(staging(entry, root).parent)
    return replace(got, seconds=time.monotonic() - clock)


def _adopt(entry: DataSet, root: Path, check: bool, pin: bool) -> tuple[str, ...] | None:
    """Take what is there if it is right, pinning what someone else put there; None if the set is to be brought."""
    now = state(entry, root)
    if now == "verified" and not check:  # by the process that was waited for
        return ()
    if now not in ("present", "verified"):
        return None
    faults, files = measure(entry, root / entry.folder, pins_of(entry, root))
    if faults:
        return None
    return write_pin(entry, root, "already there", files) if pin and now == "present" else ()


def _try_origins(entry: DataSet, root: Path, keep: bool) -> Fetched:
    """The set from the first origin that gives it."""
    reasons = []
    need_writable(staging(entry, root), "give a folder that you may write to (--data-root)", CONTINUE)
    for number, origin in enumerate(entry.origins, start=1):
        work = staging(entry, root) / f"{number}-{origin.kind}"
        try:
            target, files = _stage(entry, origin, work)
        except KeyboardInterrupt:
            say(f"{entry.name}: interrupted; what has come is kept, fetch again to continue")
            raise
        except Hindered:
            raise
        except (OSError, ValueError, RuntimeError) as error:
            reasons.append(f"{origin.label}: {str(error).removeprefix(f'{origin.label}: ')}")
            remove_empty(staging(entry, root))
            if number < len(entry.origins) and origin.kind != "manual":
                say(f"{entry.name}: {reasons[-1]}; trying the next source")
            continue
        size = bytes_below(target)
        sync(target)
        aside = tuple(place(target, root / entry.folder))
        pinned = write_pin(entry, root, origin.label, files)
        if keep:
            _forget(work)
        else:
            shutil.rmtree(staging(entry, root), ignore_errors=True)
        return Fetched(entry.name, origin.label, size, 0.0, pinned, aside)
    tried, names = "\n  ".join(reasons), ", ".join(file.path for file in entry.files)
    raise RuntimeError(
        f"{entry.name} could not be fetched; every source was tried:\n  {tried}\n"
        f"About the set: {entry.homepage}. If you have its files ({names}; archives unpacked), put them into "
        f"{root / entry.folder} and run: vqabook data verify {entry.name}"
    )


def _stage(entry: DataSet, origin: Origin, work: Path) -> tuple[Path, dict[str, dict]]:
    """The set's final files, verified, in a folder of their own, and what `measure` found them to be."""
    downloads, source, target = work / "downloads", work / "source", work / "target"
    if origin.kind != "manual":
        _need_space(entry, origin, work)
    limit = origin.unpacked if origin.unpacked is not None else 2 * max(entry.bytes, entry.download) + (1 << 26)
    with tell_if_full(work, CONTINUE):
        try:
            bring(origin, downloads, source, limit_bytes=limit)
        except ValueError:
            _forget(work)
            _distrust(origin, downloads)
            raise
        if origin.prepare:
            if not origin.resumes:
                clear(target)
            target.mkdir(parents=True, exist_ok=True)
            say(f"{entry.name}: preparing ...")
            prepare(origin.prepare, source, target)
        else:
            target = source
    faults, files = measure(entry, target, {})
    if faults:
        _forget(work)
        if not origin.prepare:
            _distrust(origin, downloads)
        raise ValueError(f"it did not bring what was meant: {faults[0].removesuffix('; fetch the set again')}")
    return target, files


def _forget(work: Path) -> None:
    """Throw away all but the downloads."""
    for path in work.iterdir():
        if path.name != "downloads":
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def _distrust(origin: Origin, downloads: Path) -> None:
    """Throw away what turned out to be wrong and has no hash that says otherwise, so that it is asked for again."""
    for wanted in origin.downloads or (origin,):
        if not wanted.sha256 and wanted.file:
            (downloads / wanted.file).unlink(missing_ok=True)


def place(staged: Path, folder: Path) -> Iterator[Path]:
    """Move everything below `staged` into `folder`; a different file in the way is kept as NAME.old, and yielded."""
    folder.mkdir(parents=True, exist_ok=True)
    for entry in sorted(staged.iterdir()):
        goal = folder / entry.name
        if goal.is_file() and entry.is_file() and filecmp.cmp(entry, goal, shallow=False):
            entry.unlink()
            continue
        if goal.exists() and not (goal.is_dir() and entry.is_dir()):
            names = (goal.with_name(f"{goal.name}.old{n or ''}") for n in range(1000))
            old = next(path for path in names if not path.exists())
            goal.rename(old)
            yield old
        if goal.exists() or not _rename(entry, goal):
            if entry.is_dir():
                yield from place(entry, goal)
            else:
                with written_whole(goal, CONTINUE) as partial:
                    shutil.copyfile(entry, partial)


def remove_empty(folder: Path) -> None:
    """Remove the folder if it holds no file, and such folders below it."""
    for path in sorted((folder, *folder.rglob("*")), reverse=True):
        with contextlib.suppress(OSError):  # a file, or a folder that has one
            path.rmdir()


def _rename(entry: Path, goal: Path) -> bool:
    """False if `goal` is on another disk."""
    try:
        entry.rename(goal)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        return False
    return True


def _need_space(entry: DataSet, origin: Origin, work: Path) -> None:
    """Fail before the download rather than after it: archives, what they unpack to, and what is made of that."""
    work.mkdir(parents=True, exist_ok=True)
    sizes = [wanted.bytes for wanted in origin.downloads] or [origin.bytes]
    archives = sum(size for size in sizes if size) if all(sizes) else entry.download
    made = entry.bytes if origin.prepare else 0
    need = archives + (origin.unpacked or entry.bytes) + made
    need_space(need, work, "this", "or give another --data-root")


def _lock(entry: DataSet, root: Path) -> contextlib.AbstractContextManager:
    """Held for a `with`: only one process at a time fetches the set below this root."""
    folder = staging(entry, root).parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / f"{entry.name}.lock")
        try:
            return lock.acquire(timeout=0)
        except Timeout:
            say(f"{entry.name}: another process is fetching it; waiting for it to end")
            return lock.acquire()
    except OSError as error:
        raise OSError(
            f"data sets are fetched into {root}: {error.strerror}; give a folder that you may write to (--data-root)"
        ) from error
