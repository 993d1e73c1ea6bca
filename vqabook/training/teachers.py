"""What base models say of every training example, said once: logits in half precision on disk, read by index.

A step of distillation would otherwise run every teacher again. The file knows its data and weights by their hash.
"""

import hashlib
from pathlib import Path

import h5py
import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from vqabook.core import Batch, Output, SparseScores, Table
from vqabook.files import read_or_make, written_whole
from vqabook.training.fit import predict

HALF = torch.finfo(torch.float16).max


def teacher_logits(
    model: nn.Module, table: Table, path: Path | None = None, *, batch_size: int = 1024
) -> Float[Tensor, "n m c"]:
    """The members' logits of all rows of `table`, in their order: `side["teacher"]` of a table that distils them.

    `model` returns logits [m, b, c]. With `path` they are written there, whole or not at all, and mapped. A file that
    is there is read, if it is whole and was made with these weights on this data; if not, it is set aside with a
    warning, and made again. What the inputs are looked up in is too large to hash; some rows are answered again in its
    place.
    """
    if path is None:
        return predict(model, table, _as_half, batch_size=batch_size)
    tried = torch.linspace(0, len(table) - 1, min(8, len(table))).long()
    again, identity = predict(model, table.subset(tried), _as_half), _identity(model, table)

    def read(path: Path) -> Float[Tensor, "n m c"]:
        logits = _map(path, identity, (len(table), *again.shape[1:]))
        if not torch.allclose(again.float(), logits[tried].float(), atol=0.05, rtol=0.02):
            raise ValueError("the base models say otherwise of some rows, so the features behind them have changed")
        return logits

    def make(path: Path) -> None:
        with written_whole(path) as partial, h5py.File(partial, "w") as file:
            stored = file.create_dataset("logits", (len(table), *again.shape[1:]), np.float16)
            for rows in torch.arange(len(table)).split(batch_size):
                stored[int(rows[0]) : int(rows[-1]) + 1] = predict(model, table.subset(rows), _as_half).numpy()
            file.attrs["identity"] = identity

    return read_or_make(path, read, make)


def _map(path: Path, identity: str, shape: tuple[int, ...]) -> Float[Tensor, "n m c"]:
    """The logits of a file; raises unless it is whole, and of this model on this data."""
    with h5py.File(path) as file:
        stored = file["logits"]
        if file.attrs.get("identity") != identity or (stored.shape, stored.dtype) != (shape, np.float16):
            raise ValueError("it was made with other weights or other examples")
        return torch.from_numpy(np.memmap(path, stored.dtype, "c", stored.id.get_offset(), stored.shape))


def _as_half(out: Output, batch: Batch) -> Float[Tensor, "b m c"]:
    if out.logits.dim() != 3:
        raise ValueError(f"teachers answer side by side, logits [m, b, c], got {tuple(out.logits.shape)}; wrap them")
    return out.logits.transpose(0, 1).clamp(-HALF, HALF).half()


def _identity(model: nn.Module, table: Table) -> str:
    target = (table.target.answer, table.target.score) if isinstance(table.target, SparseScores) else (table.target,)
    digest = hashlib.sha256()
    for name, tensor in (*model.state_dict().items(), *(("", x) for x in (*table.inputs, *target))):
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
