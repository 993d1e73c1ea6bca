"""Feature files written row by row: a kill at any moment costs only what came after the last checkpoint.

HDF5 wants an array's length before its first byte, and an HDF5 file that is killed while open is lost. So rows are
appended to plain files in the folder `<out>.partial`; at the end HDF5 writes a file of the right shape without the
features (a hole, so it costs nothing), and its bytes are laid around the raw rows. The features are written once,
lie in one piece, and never pass through a memory map, where a full disk would kill the process.
"""

from __future__ import annotations

import io
import json
import math
import os
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import h5py
import msgspec
import numpy as np
from filelock import FileLock, Timeout
from jaxtyping import Int

from vqabook.files import move, need_space, need_writable, read_or_set_aside, tell_damage, tell_if_full, written_whole
from vqabook.progress import Bar

START = 4096  # where HDF5 puts a large array when it aligns by the page; the raw rows leave as much room in front
ROWS = ("image_id", "width", "height", "regions")
AGAIN = "run the same command again: it goes on where it stopped"


def check_dtype(dtype: str) -> None:
    """Raise ValueError for a type that features are not stored as."""
    if dtype not in ("float16", "uint8"):
        raise ValueError(f"features are stored as float16 or uint8, got {dtype!r}")


class State(msgspec.Struct, frozen=True):
    """How far a run has come; `tail`: shape of a row of features; `position`: as the last append gave it."""

    recipe: dict
    images: int = 0
    regions: int = 0
    tail: tuple[int, ...] = ()
    position: dict | None = None
    boxes: bool = False

    @property
    def shape(self) -> tuple[int, ...]:
        """Of all features: [n, o, d], or [regions, d] for ragged."""
        return (self.regions if len(self.tail) == 1 else self.images, *self.tail)

    def sizes(self, dtype: np.dtype) -> dict[str, int]:
        """Bytes of the files that belong to it."""
        return {
            "features": START + math.prod(self.shape) * dtype.itemsize,
            "boxes": self.regions * 16 if self.boxes else 0,
            "rows": self.images * 8 * len(ROWS),
        }


class FeatureWriter:
    """Appends images to `<out>.partial`; `finish` turns them into the feature file `out`.

    An interrupted run with an equal `recipe` (JSON) is continued: `position` is then what its last checkpoint said,
    else None. `every`: seconds between checkpoints. Raises FileExistsError if `out` exists, RuntimeError if another
    process writes it. `names`: ids of images that are texts; what is appended has places in it.
    """

    def __init__(
        self,
        out: str | os.PathLike,
        recipe: Mapping,
        dtype: str,
        *,
        every: float = 1.0,
        suffix: str = ".partial",
        names: Sequence[str] | None = None,
    ):
        check_dtype(dtype)
        out = Path(out)
        if out.exists():
            raise FileExistsError(f"a feature file is never overwritten: {out} exists; move it away or name another")
        self.out, self.dtype, self.every, self.names = out, np.dtype(dtype), every, names
        self.folder = out.with_name(out.name + suffix)
        need_writable(self.folder, room=AGAIN)
        self._lock = FileLock(self.folder / "lock")
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            raise RuntimeError(f"one process writes a feature file: another writes {out} now; wait for it") from None
        self._at = State(json.loads(json.dumps(recipe)))
        self._resume()
        with tell_damage(self.folder, "what an interrupted run left can be written on"):
            self._files = {n: open(self.folder / f"{n}.raw", "r+b", buffering=0) for n in self._sizes()}  # noqa: SIM115
        self.checkpoint()

    def __enter__(self) -> FeatureWriter:
        return self

    def __exit__(self, kind: type | None, *_) -> None:
        try:
            if self.folder.exists():
                self.checkpoint()
        except OSError:
            if kind is None:
                raise  # else the first error is the one to tell; the checkpoint before still holds
        finally:
            for file in self._files.values():
                file.close()
            self._lock.release()

    @property
    def images(self) -> int:
        """Images appended so far."""
        return self._at.images

    @property
    def recipe(self) -> dict:
        return self._at.recipe

    @property
    def position(self) -> dict | None:
        """What came with the last append: where in the sources to go on."""
        return self._at.position

    @property
    def _shape(self) -> tuple[int, ...]:
        return self._at.shape

    def _sizes(self) -> dict[str, int]:
        return self._at.sizes(self.dtype)

    def _resume(self) -> None:
        """Take over the state of an interrupted run of this recipe; make empty files for a new one."""
        state, fresh = self.folder / "state.json", self._at
        left = read_or_set_aside(state, self._read_state)
        if left is not None and left.recipe == fresh.recipe:
            Bar.write(f"{self.out.name}: continues an interrupted run at image {left.images}", sys.stderr)
            self._at = left
            return
        if left is not None:
            why = "it had another recipe or other sources"
            Bar.write(f"{self.out.name}: starts anew, an interrupted run cannot be continued: {why}", sys.stderr)
            state.unlink()
        for name in self._sizes():
            (self.folder / f"{name}.raw").write_bytes(b"")

    def _read_state(self, path: Path) -> State:
        """How far a run has come, if all of that is there; raises if not."""
        state = msgspec.json.decode(path.read_bytes(), type=State)
        for name, size in state.sizes(self.dtype).items():
            if (self.folder / f"{name}.raw").stat().st_size < size:
                raise ValueError(f"{name}.raw is shorter than it says")
        return state

    def reserve(self, n_bytes: int) -> None:
        """Raise OSError where features of `n_bytes` in all cannot fit."""
        need_space(n_bytes, self.folder, str(self.out), "choose another disk, or convert to uint8")

    def append(
        self,
        rows: Int[np.ndarray, "n 4"],
        features: np.ndarray,
        boxes: np.ndarray | None = None,
        position: dict | None = None,
    ) -> None:
        """Add n images: `rows` as in ROWS; `features` [n, o, d], or [regions, d] for ragged; `boxes` one a region."""
        at = self._at
        parts = {"features": features, "rows": rows} | ({} if boxes is None else {"boxes": boxes})
        with tell_if_full(self.out, AGAIN):
            for name, values in parts.items():
                _write(self._files[name], np.ascontiguousarray(values).reshape(-1).view(np.uint8).data)
        # one assignment: an interrupt sees the state before or after, never between
        self._at = State(
            at.recipe,
            at.images + len(rows),
            at.regions + int(rows[:, 3].sum()),
            features.shape[1:],
            position,
            boxes is not None,
        )
        if time.monotonic() - self._saved >= self.every:
            self.checkpoint()

    def checkpoint(self) -> None:
        """Make all that was appended survive a kill."""
        state = self.folder / "state.json"
        for name, size in self._sizes().items():  # after an interrupt inside `append`
            self._files[name].truncate(size)
            self._files[name].seek(size)
        with written_whole(state) as partial:
            partial.write_bytes(msgspec.json.encode(self._at))
        self._saved = time.monotonic()

    def rows(self) -> Int[np.ndarray, "n 4"]:
        """One row an image, columns as in ROWS."""
        return np.fromfile(self.folder / "rows.raw", np.int64).reshape(-1, len(ROWS))[: self.images]

    def map(self) -> np.ndarray:
        """The features appended so far, mapped for reading."""
        return np.memmap(self.folder / "features.raw", self.dtype, mode="r", offset=START, shape=self._shape)

    def finish(self, attributes: Mapping, **parts: np.ndarray) -> None:
        """Move the whole file to `out`; `parts` are further data sets (scale, offset, ...)."""
        if not self.images:
            raise ValueError(f"a feature file has at least one image, the sources of {self.out} have none; check them")
        self.checkpoint()
        raw, frame = self.folder / "features.raw", self.folder / "frame.h5"
        with tell_if_full(self.out, AGAIN):
            begin, end = self._write_frame(frame, attributes, parts), self._sizes()["features"]
            if begin == START:
                with open(frame, "rb") as around, open(raw, "r+b") as file:
                    file.write(around.read(START))
                    around.seek(end)
                    file.seek(end)
                    shutil.copyfileobj(around, file)
            else:  # an array of less than a page lies elsewhere: few bytes to move
                with h5py.File(frame, "r+") as file:
                    file["features"][()] = self.map()
                raw = frame
            move(raw, self.out)
        self.discard()

    def discard(self) -> None:
        """Remove all that was appended."""
        shutil.rmtree(self.folder)

    def _write_frame(self, path: Path, attributes: Mapping, parts: Mapping[str, np.ndarray]) -> int:
        """The HDF5 file with a hole for the features; returns the hole's offset."""
        rows, shape = self.rows(), self._shape
        threshold = min(math.prod(shape) * self.dtype.itemsize, 8 << 20)
        hole = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        hole.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
        hole.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
        # h5py keeps no times: the same features give the same bytes
        with h5py.File(path, "w", alignment_threshold=threshold, alignment_interval=START) as file:
            begin = file.create_dataset("features", shape, self.dtype, dcpl=hole).id.get_offset()
            texts = None if self.names is None else np.array(self.names, h5py.string_dtype())
            file["image_ids"] = rows[:, 0] if texts is None else texts[rows[:, 0]]
            if rows[:, 1:3].any():  # zeros where the sources say no sizes
                file["sizes"] = rows[:, 1:3].astype(np.int32)
            if len(shape) == 2:
                file["first"] = np.concatenate([[0], np.cumsum(rows[:, 3])])
            if self._at.boxes:
                file["boxes"] = np.memmap(self.folder / "boxes.raw", np.float32, "r", shape=(*shape[:-1], 4))
            for name, values in parts.items():
                file[name] = values
            file.attrs.update(attributes)
        return begin


def is_whole(out: Path) -> bool:
    """Whether `out` is written already: it appears only whole. What a stop right after left beside it goes."""
    if out.exists():
        for suffix in (".partial", ".maps"):
            shutil.rmtree(out.with_name(out.name + suffix), ignore_errors=True)
    return out.exists()


def _write(file: io.FileIO, block: memoryview) -> None:
    """Write all of it: a raw file may take less than it is given."""
    while len(block):
        block = block[file.write(block) :]
