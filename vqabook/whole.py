"""Files that are there whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import torch


def save_whole(content: object, path: Path) -> None:
    """`torch.save` beside `path`, then moved there: who reads `path` never finds half a file."""
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    try:
        torch.save(content, partial)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
