"""Where files lie: the project, the user's folders, data sets and copies of them; all files below a folder."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import platformdirs

from vqabook.files.damage import NotWritable, raise_hindrance


def find_project(code: Path) -> Path | None:
    """The checkout that the package in `code` is part of, else the one around the current folder, else None."""
    folders = [code]
    with contextlib.suppress(FileNotFoundError):  # a current folder that was removed
        folders += [Path.cwd(), *Path.cwd().parents]
    return next((p for p in folders if (p / "book" / "_toc.yml").is_file() and (p / "vqabook").is_dir()), None)


PROJECT = find_project(Path(__file__).resolve().parents[2])
# Data sets, and the local records in runs/: of the project, or the user's; never beside an installed package.
HOME = PROJECT / "data" if PROJECT else platformdirs.user_data_path("vqabook", appauthor=False)


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


def files_below(folder: str | os.PathLike[str]) -> Iterator[Path]:
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
        raise_hindrance(error.filename, error)


def bytes_below(folder: Path) -> int:
    """Size of all files below `folder`."""
    return sum(path.stat().st_size for path in files_below(folder) if path.is_file())
