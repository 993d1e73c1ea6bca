"""What a user's data may lie in: arrays, a table, a feature file, or a folder of images by class; each becomes `Raw`.

Nothing is checked here but what only this kind of file can get wrong; `examples` checks the rest, alike for all.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import h5py
import numpy as np
import torch
from jaxtyping import Float

from vqabook.extras import told_if_missing
from vqabook.features.backbones import LITE0
from vqabook.features.image_files import FILE_PATH
from vqabook.features.store import FeatureStore, open_features
from vqabook.files import DAMAGED_ARCHIVE, tell_damage

FEATURES, LABELS = ("X", "x", "features", "data"), ("y", "Y", "labels", "label", "target")  # names of arrays
LABEL_COLUMNS = ("label", "target", "class", "y")  # of a table, in lower case
KINDS = "an .npz; X.npy y.npy; a .csv, .tsv or .parquet; an .h5 of `vqabook data features`; a folder of images by class"


@runtime_checkable
class Rows(Protocol):
    """Features [n, d], in memory or not: a shape, and rows by a slice or an array of places."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def dtype(self) -> np.dtype: ...

    def __getitem__(self, at: Any, /) -> np.ndarray: ...


@dataclass(frozen=True)
class Raw:
    """Features and labels as they were found; `columns`: their names, if they have any; `notes`: what was left out."""

    name: str
    x: Rows
    y: np.ndarray
    columns: Sequence[str] = ()
    notes: tuple[str, ...] = ()


def read(paths: Sequence[Path], out: Path, *, label: str | None = None, skip_bad: bool = False) -> Raw:
    """What lies at one path, or at two: an .npy of features and one of labels. Features of images are kept in `out`.

    `label`: a table's column. Raises ValueError or FileNotFoundError, one sentence, for what cannot be read.
    """
    for path in paths:
        if not path.exists():
            raise FileNotFoundError(f"the arena reads {KINDS}: {path} does not exist; check the path")
    first, suffix = paths[0], paths[0].suffix.lower()
    if len(paths) == 2 and all(path.suffix.lower() == ".npy" for path in paths):
        return _of_arrays(paths[0].parent / paths[0].stem, {path.stem: read_array(path) for path in paths})
    if len(paths) > 1:
        raise ValueError(f"two paths are an .npy of features and one of labels, got {' '.join(map(str, paths))}")
    if label is not None and suffix not in TABLES:
        raise ValueError(f"--label names a column of a table, {', '.join(TABLES)}: {first} is none; leave it out")
    if first.is_dir():
        arrays = {path.stem: path for path in sorted(first.glob("*.npy"))}
        if arrays:
            return _of_arrays(first, {stem: read_array(path) for stem, path in arrays.items()})
        return read_images(first, out, skip_bad=skip_bad)
    if suffix in TABLES:
        return read_table(first, label)
    ways: dict[str, Callable[[Path], Raw]] = {".npz": read_npz, ".h5": read_store, ".hdf5": read_store}
    if suffix == ".npy":
        raise ValueError(f"an .npy holds features or labels, not both: give two, X.npy y.npy, beside {first.name}")
    if suffix not in ways:
        raise ValueError(f"the arena reads {KINDS}: got {first}; convert it to one of these")
    return ways[suffix](first)


def read_array(path: Path) -> np.ndarray:
    """An .npy, mapped: only the rows that are asked for are read."""
    with tell_damage(path, "an .npy is an array without pickled objects", OSError, ValueError, EOFError):
        return np.load(path, mmap_mode="r", allow_pickle=False)


def read_npz(path: Path) -> Raw:
    """An .npz, whose features and labels are called so, or are its only matrix and its only column."""
    rule = "an .npz holds arrays without pickled objects; texts are saved as np.array(labels, dtype=str)"
    with (
        tell_damage(path, rule, ValueError, KeyError, *DAMAGED_ARCHIVE),
        np.load(path, allow_pickle=False) as file,
    ):
        arrays = {name: file[name] for name in file.files}
    return _of_arrays(path, arrays)


def _of_arrays(path: Path, arrays: dict[str, np.ndarray]) -> Raw:
    """Features are called one of FEATURES, or are the only matrix; labels one of LABELS, or the only column."""
    flat = {name: a[:, 0] if a.ndim == 2 and a.shape[1] == 1 else a for name, a in arrays.items()}
    matrices, columns = ([name for name, a in flat.items() if a.ndim == n] for n in (2, 1))
    x = next((name for name in FEATURES if name in matrices), matrices[0] if len(matrices) == 1 else None)
    y = next((name for name in LABELS if name in columns), columns[0] if len(columns) == 1 else None)
    if x is None or y is None:
        shapes = ", ".join(f"{name} {list(a.shape)}" for name, a in arrays.items()) or "nothing"
        raise ValueError(
            f"features are a matrix called {', '.join(FEATURES)}, or the only one, and labels a column called "
            f"{', '.join(LABELS)}, or the only one: {path} has {shapes}; rename them"
        )
    return Raw(path.stem, flat[x], np.asarray(flat[y]))


def read_table(path: Path, label: str | None) -> Raw:
    """A table with a header: numeric columns are features, one is the label, by default the last or one called so."""
    table = TABLES[path.suffix.lower()](path)
    columns = [str(column) for column in table.columns]
    table.columns = columns
    if label is not None and label not in columns:
        raise ValueError(f"--label is a column of {path}, {', '.join(columns[:20])}: got {label!r}; check the spelling")
    named = next((column for column in columns if column.lower() in LABEL_COLUMNS), columns[-1])
    y = table.pop(label or named)
    if y.isna().any():
        raise ValueError(
            f"every row has a label: row {int(y.isna().argmax())} of {path} has no {y.name!r}; fill it, or leave the "
            "row out"
        )
    numbers = [column for column in table.columns if column.startswith("Unnamed: ")]
    table = table.drop(columns=numbers)
    texts = [column for column in table.columns if table[column].dtype.kind not in "iufb"]
    if texts:
        raise ValueError(
            f"features are numbers: {len(texts)} columns of {path} are not ({', '.join(texts[:5])}); make numbers of "
            f"them, drop them, or name the label's column with --label (now {y.name!r})"
        )
    if not len(table.columns):
        raise ValueError(
            f"a table has a column of labels and others of features: {path} has {', '.join(columns)} alone"
        )
    notes = (f"A column without a name, which numbers rows, is left out of {path.name}.",) if numbers else ()
    x = table.to_numpy(np.float32 if {str(t) for t in table.dtypes} <= {"float32", "float16"} else np.float64)
    return Raw(path.stem, x, y.to_numpy(object), tuple(table.columns), notes)


def _read_csv(path: Path) -> Any:
    with told_if_missing():
        import pandas as pd
    with tell_damage(path, "a table is text with a line of column names", OSError, ValueError, advice="correct it"):
        with open(path, encoding="utf-8-sig") as file:
            header = file.readline().rstrip("\n")
        sign = max(",;\t", key=header.count)
        cells = [cell.strip().strip('"') for cell in header.split(sign)]
        if len(cells) < 2:
            raise ValueError("its first line names fewer than two columns, parted by a comma, semicolon or tab")
        if data := [cell for cell in cells if _is_number(cell)]:
            raise ValueError(f"its first line has numbers, {', '.join(data[:3])}: put a line of column names above it")
        return pd.read_csv(path, sep=sign, encoding="utf-8-sig")


def _read_parquet(path: Path) -> Any:
    with told_if_missing():
        import pandas as pd
    with tell_damage(path, "a .parquet is a table", OSError, ValueError, advice="write it anew, or save a .csv"):
        try:
            return pd.read_parquet(path)
        except ImportError:
            told = f"pandas reads {path} by pyarrow, which is not here: pip install pyarrow, or save a .csv"
            raise RuntimeError(told) from None


TABLES: dict[str, Callable[[Path], Any]] = {".csv": _read_csv, ".tsv": _read_csv, ".parquet": _read_parquet}


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


@dataclass(frozen=True)
class OneRegion:
    """Rows of a feature file with one region an image, decoded when they are asked for."""

    store: FeatureStore

    @property
    def shape(self) -> tuple[int, ...]:
        return len(self.store.codes), self.store.width

    @property
    def dtype(self) -> np.dtype:
        return np.dtype(np.float32)

    def __getitem__(self, at: Any) -> Float[np.ndarray, "b d"]:
        rows = np.arange(len(self.store.codes))[at] if isinstance(at, slice) else at
        return self.store.gather(torch.from_numpy(rows))[:, 0].numpy()


def read_store(path: Path) -> Raw:
    """The file that `vqabook data features` writes, of one region an image (`--grid 1`), with labels."""
    store = open_features(path)
    if store.labels is None or store.first is not None or store.n_regions != 1:
        raise ValueError(
            f"the arena reads one feature of each image, and its label: {path} has others; extract it with --grid 1, "
            "of a folder with --ids path"
        )
    with h5py.File(path) as file:
        classes = json.loads(file.attrs.get("classes", "[]"))
    y = np.array(classes)[store.labels] if classes else store.labels
    return Raw(path.stem, OneRegion(store), y)


def read_images(folder: Path, out: Path, *, skip_bad: bool) -> Raw:
    """A folder with a folder of images for each class; their features are extracted once, into `out`."""
    from vqabook.data.image_sources import open_images
    from vqabook.features.extract import extract_features

    source = open_images(folder, FILE_PATH)
    if len(source.classes) < 2:
        raise ValueError(
            f"a folder of images has a folder for each class, two or more: {folder} has {', '.join(source.classes)} "
            "alone; give the folder above, or more classes"
        )
    sizes = repr([(folder / name).stat().st_size for name in source.numbers])
    digest = hashlib.sha256(f"{source.digest} {sizes}".encode()).hexdigest()[:10]
    path = out / f"features-{digest}.h5"
    if not path.exists():
        extract_features(source, path, backbone=LITE0, grid=1, dtype="float16", skip_bad=skip_bad)
    raw = read_store(path)
    return Raw(folder.resolve().name, raw.x, raw.y)
