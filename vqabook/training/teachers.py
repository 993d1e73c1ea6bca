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
from vqabook.files import written_whole
from vqabook.training.fit import predict
from vqabook.training.stages import set_aside

HALF = torch.finfo(torch.float16).max


def teacher_logits(
    model: nn.Module, table: Table, path: Path | None = None, *, batch_size: int = 1024
) -> Float[Tensor, "n m c"]:
    """The members' logits of all rows of `table`, in their order: `side["teacher"]` of a table that distils them.

    `model` returns logits [m, b, c]. With `path` they are written there, whole or not at all, and mapped; a file that
    is there is read, if it was made with these weights on this data: ValueError if not. One that cannot be read is set
    aside. What the inputs are looked up in is too large to hash; some rows are answered again in its place.
    """
    identity = _identity(model, table)
    if path is None:
        return predict(model, table, _as_half, batch_size=batch_size)
    if path.exists() and not h5py.is_hdf5(path):
        set_aside(path, OSError("no HDF5"))
    if not path.exists():
        _write(model, table, path, identity, batch_size)
    with h5py.File(path) as file:
        stored, offset = file["logits"], file["logits"].id.get_offset()
        if file.attrs.get("identity") != identity:
            raise ValueError(
                f"cached logits are of these base models on this data: {path} was made with other weights or other "
                "examples; delete it or give another file"
            )
        logits = torch.from_numpy(np.memmap(path, stored.dtype, "c", offset, stored.shape))
    tried = torch.linspace(0, len(table) - 1, min(8, len(table))).long()
    again = predict(model, table.subset(tried), _as_half).float()
    if not torch.allclose(again, logits[tried].float(), atol=0.05, rtol=0.02):
        raise ValueError(
            f"cached logits are what the base models say: {path} says otherwise of the first rows tried, so the "
            "features behind the examples have changed; delete it or give another file"
        )
    return logits


def _write(model: nn.Module, table: Table, path: Path, identity: str, batch_size: int) -> None:
    with written_whole(path) as partial, h5py.File(partial, "w") as file:
        first = predict(model, table.subset(torch.zeros(1, dtype=torch.long)), _as_half)
        stored = file.create_dataset("logits", (len(table), *first.shape[1:]), np.float16)
        for rows in torch.arange(len(table)).split(batch_size):
            stored[int(rows[0]) : int(rows[-1]) + 1] = predict(model, table.subset(rows), _as_half).numpy()
        file.attrs["identity"] = identity


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
