"""What any set does with its Tables: hold out rows of each stratum, hash what is in them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
import torch

from vqabook.core import SparseScores, Table
from vqabook.splits import validation_split

if TYPE_CHECKING:
    from jaxtyping import Int


def hold_out(table: Table, strata: Int[np.ndarray, " n"], *, fraction: float, seed: int = 0) -> tuple[Table, Table]:
    """The rows that are kept, and the `fraction` of each stratum that is held out."""
    kept, held_out = validation_split(np.unique(strata, return_inverse=True)[1], fraction=fraction, seed=seed)
    return table.subset(torch.from_numpy(kept)), table.subset(torch.from_numpy(held_out))


def digest_tables(tables: Iterable[Table], seen: bytes = b"") -> str:
    """Hash of what is learnt from and judged by: inputs and targets. `seen`: what inputs stand for, or its hash."""
    digest = hashlib.sha256(seen)
    for table in tables:
        target = table.target
        columns = (target.answer, target.score) if isinstance(target, SparseScores) else (target,)
        for column in (*table.inputs, *columns):
            digest.update(column.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:12]
