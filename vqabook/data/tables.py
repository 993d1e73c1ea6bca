"""What any set does with its Tables: move them, hold out rows of each stratum, hash what is in them."""

import hashlib
from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from vqabook.core import SparseScores, Table
from vqabook.splits import validation_split


def to_device(table: Table, device: torch.device) -> Table:
    """The table's columns on `device`; what a lookup gathers from follows by itself (`FeatureStore.to`)."""
    return replace(
        table,
        inputs=tuple(c.to(device) for c in table.inputs),
        target=table.target.to(device),
        side={k: v.to(device) for k, v in table.side.items()},
    )


def hold_out(
    table: Table, strata: Int[np.ndarray, " n"] | None = None, *, fraction: float, seed: int = 0
) -> tuple[Table, Table]:
    """The rows that are kept, and the `fraction` of each stratum that is held out; of each label by default."""
    rows = validation_split(table.labels.numpy() if strata is None else strata, fraction=fraction, seed=seed)
    kept, held_out = (table.subset(torch.from_numpy(part)) for part in rows)
    return kept, held_out


def deal_out(values: Shaped[Tensor, "n ..."], group: Shaped[Tensor, " n"], seed: int) -> Shaped[Tensor, "n ..."]:
    """The same rows of `values`, each at the place of a random one of its `group`."""
    order = torch.randperm(len(values), generator=torch.Generator().manual_seed(seed)).to(values.device)
    takers, givers = group.argsort(stable=True), order[group[order].argsort(stable=True)]
    dealt = values.clone()
    dealt[takers] = values[givers]
    return dealt


def digest_tables(tables: Iterable[Table], seen: bytes = b"") -> str:
    """Hash of what is learnt from and judged by: inputs and targets. `seen`: what inputs stand for, or its hash."""
    digest = hashlib.sha256(seen)
    for table in tables:
        target = table.target
        columns = (target.answer, target.score) if isinstance(target, SparseScores) else (target,)
        for column in (*table.inputs, *columns):
            digest.update(column.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:12]


def with_strangers(
    answer: Int[Tensor, "n k"], weight: Float[Tensor, "n k"], group: Int[Tensor, " n"], *, seed: int
) -> Int[Tensor, "n k"]:
    """`answer` with all but the heaviest one of each row exchanged among the rows of its `group`, at random.

    Weights stay where they are, so a question keeps how its votes are spread and gets the minority of others.
    """
    minority = weight > 0
    minority.scatter_(1, weight.argmax(1, keepdim=True), False)
    exchanged = answer.clone()
    exchanged[minority] = deal_out(answer[minority], group[:, None].expand_as(answer)[minority], seed)
    return exchanged
