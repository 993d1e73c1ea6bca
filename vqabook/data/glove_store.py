"""The file in which word vectors are kept: all words, and their vectors in one piece, memory-mapped.

HDF5: `vectors` [n, d] float32, contiguous; `words`, UTF-8 bytes with a newline between words, in the vectors' order.
float32 because the published decimals have five to six digits, of which float16 keeps three. Bytes in one piece because
340,000 strings of HDF5's own took six times as long to open.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import h5py
import numpy as np
from tqdm import tqdm

if TYPE_CHECKING:
    from jaxtyping import Float, Float32

Block = tuple[list[bytes], "Float[np.ndarray, 'n d']"]


def write_store(path: Path, n_words: int, dim: int, blocks: Iterable[Block], *, origin: str) -> None:
    """Write the file from blocks of words with their vectors, `n_words` in all; whole or not at all.

    Raises for vectors that are not finite, a word given twice (neither is then preferred in silence), or another number
    of words than announced. `origin` is what the messages name.
    """
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    words: list[bytes] = []
    try:
        with h5py.File(partial, "w") as file, tqdm(total=n_words, desc=path.name, unit="word", disable=None) as bar:
            vectors = file.create_dataset("vectors", (n_words, dim), np.float32)
            for some, rows in blocks:
                if len(words) + len(some) > n_words:
                    raise ValueError(f"{origin} announces {n_words} words and has more; fetch it again")
                if not np.isfinite(rows).all():
                    bad = some[int((~np.isfinite(rows)).any(1).argmax())].decode(errors="replace")
                    raise ValueError(
                        f"word vectors are finite numbers, that of {bad!r} in {origin} is not; fetch it again"
                    )
                vectors[len(words) : len(words) + len(some)] = rows
                words += some
                bar.update(len(some))
            _check_words(words, n_words, origin)
            file["words"] = np.frombuffer(b"\n".join(words), np.uint8)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _check_words(words: list[bytes], n_words: int, origin: str) -> None:
    if len(words) != n_words:
        raise ValueError(f"{origin} has {n_words} words, only {len(words)} came; it is cut off, fetch it again")
    if len(set(words)) != n_words:
        seen: set[bytes] = set()
        twice = next(word for word in words if word in seen or seen.add(word)).decode(errors="replace")
        raise ValueError(f"a word has one vector, {origin} has {twice!r} twice; fetch it again")


def open_store(path: Path) -> tuple[list[str], Float32[np.ndarray, "n d"]]:
    """All words, and their vectors, mapped: a row is read when it is used."""
    try:
        with h5py.File(path, "r") as file:
            words = file["words"][()].tobytes().decode().split("\n")
            shape, dtype, offset = file["vectors"].shape, file["vectors"].dtype, file["vectors"].id.get_offset()
            if len(shape) != 2 or dtype != np.float32 or offset is None or shape[0] != len(words):
                raise ValueError(f"vectors are {shape} {dtype} for {len(words)} words")
        return words, np.memmap(path, mode="r", dtype=dtype, shape=shape, offset=offset)
    except (OSError, KeyError, AttributeError, ValueError) as error:
        raise ValueError(
            f"word vectors are HDF5 with `words` and `vectors` in one piece: {path} is not ({error}); "
            "fetch it again: vqabook data fetch glove"
        ) from error
