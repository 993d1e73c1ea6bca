"""Where the data sets lie, unless someone says otherwise."""

from __future__ import annotations

import os
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]


def data_root(given: str | os.PathLike | None = None) -> Path:
    """The folder of the data sets: as given, else $VQABOOK_DATA, else the project's own `data/`."""
    return Path(given or os.environ.get("VQABOOK_DATA") or PROJECT / "data").expanduser()
