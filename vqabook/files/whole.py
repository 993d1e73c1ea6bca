"""Written whole or not at all, and read back as what it should be, else set aside and made again."""

import contextlib
import os
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from vqabook.files.damage import damage_of
from vqabook.files.partial import partial_of, remove, sweep_partials_once
from vqabook.files.room import need_writable, tell_if_full

MANY = 1000  # files of which each is not synced by its own
T = TypeVar("T")


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
        sweep_partials_once(path.parent)
        try:
            yield partial
            move(partial, path)
        finally:
            remove(partial)


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
            remove(damaged)
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
