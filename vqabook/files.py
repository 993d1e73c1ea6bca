"""Files: written whole or not at all, a full disk told in one sentence, and where the data sets lie."""

import contextlib
import errno
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

import platformdirs


def find_project(code: Path) -> Path | None:
    """The checkout that the package in `code` is part of, else the one around the current folder, else None."""
    folders = [code]
    with contextlib.suppress(FileNotFoundError):  # a current folder that was removed
        folders += [Path.cwd(), *Path.cwd().parents]
    return next((p for p in folders if (p / "book" / "_toc.yml").is_file() and (p / "vqabook").is_dir()), None)


PROJECT = find_project(Path(__file__).resolve().parents[1])
# Data sets, and the local records in runs/: of the project, or the user's; never beside an installed package.
HOME = PROJECT / "data" if PROJECT else platformdirs.user_data_path("vqabook", appauthor=False)


@contextlib.contextmanager
def written_whole(path: Path, advice: str = "run again") -> Iterator[Path]:
    """A path beside `path` for a new file or folder, which takes its place once the block is done.

    It is on the disk before it is moved, and goes away if the block fails: who reads `path` never finds half of it.
    A full disk becomes one sentence with `advice`; the folders above `path` are made.
    """
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}.partial")
    with tell_if_full(path, advice):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield partial
            for file in (partial, *partial.rglob("*")):
                if file.is_file():
                    with open(file, "r+b") as content:
                        os.fsync(content.fileno())
            partial.replace(path)
        finally:
            if partial.is_dir():
                shutil.rmtree(partial, ignore_errors=True)
            else:
                partial.unlink(missing_ok=True)


def save_whole(content: object, path: Path) -> None:
    """`torch.save`, whole or not at all."""
    import torch

    # Into an open file: by name, torch would put the name into the content and call a full disk a RuntimeError.
    with written_whole(path) as partial, open(partial, "wb") as file:
        torch.save(content, file)


class DiskFull(OSError):
    """No space left, or no quota; no other source of the same data would help."""


@contextlib.contextmanager
def tell_if_full(target: Path, advice: str) -> Iterator[None]:
    """A full disk met inside becomes one sentence; `advice`: what to do once there is room."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT) or isinstance(error, DiskFull):
            raise
        raise DiskFull(f"the disk of {target} is full; free space and {advice}") from error


def bytes_below(folder: Path) -> int:
    """Size of all files below `folder`."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def need_space(n_bytes: int, folder: Path, what: str, advice: str) -> None:
    """Fail at once, not after an hour, where `what` cannot grow to `n_bytes` in `folder`, which has some of it."""
    need, free = n_bytes - bytes_below(folder), shutil.disk_usage(folder).free
    if need > free:
        raise OSError(
            f"{what} needs {need / 1e9:.1f} GB more, the disk of {folder} has {free / 1e9:.1f} GB free; free some, "
            f"{advice}"
        )


def data_root(given: str | os.PathLike | None = None) -> Path:
    """The folder of the data sets: as given, else $VQABOOK_DATA, else of the project or the user (`HOME`)."""
    return Path(given or os.environ.get("VQABOOK_DATA") or HOME).expanduser()
