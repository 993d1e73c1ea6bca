"""Each kind of file gives the same rows; what is wrong with one is a sentence that says what to do."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest

from vqabook.arena import readers
from vqabook.arena.examples import check
from vqabook.arena.readers import read


def write_table(path: Path, x: np.ndarray, y: np.ndarray, **more) -> Path:
    table = pd.DataFrame(x, columns=[f"f{i}" for i in range(x.shape[1])]) if x.size else pd.DataFrame()
    for name, column in {**more, "kind": y}.items():
        table[name] = column
    table.to_csv(path, index=False)
    return path


def write_store(path: Path, x: np.ndarray, y: np.ndarray) -> Path:
    with h5py.File(path, "w") as file:
        file["features"], file["image_ids"], file["labels"] = x[:, None], np.arange(len(x)), y
        file.attrs["classes"] = json.dumps(["a", "b", "c"])
    return path


@pytest.fixture
def rows(make_rows) -> tuple[np.ndarray, np.ndarray]:
    return make_rows([9, 6, 4])


def test_every_kind_gives_the_same_rows(rows, tmp_path, cache):
    x, y = rows
    np.savez(tmp_path / "named.npz", X=x, y=y, other=np.zeros((2, 2)))
    np.savez(tmp_path / "only.npz", embeddings=x, kinds=y[:, None])
    for folder in ("pair", "."):
        (tmp_path / folder).mkdir(exist_ok=True)
        np.save(tmp_path / folder / "X.npy", x)
        np.save(tmp_path / folder / "y.npy", y)
    write_table(tmp_path / "table.csv", x, y)
    pd.read_csv(tmp_path / "table.csv").to_csv(tmp_path / "semicolon.csv", sep=";", index=False, encoding="utf-8-sig")
    pd.read_csv(tmp_path / "table.csv").to_parquet(tmp_path / "table.parquet")
    write_store(tmp_path / "features.h5", x, y)
    ways = ("named.npz", "only.npz", "pair", "table.csv", "semicolon.csv", "table.parquet", "features.h5")
    asked = [[tmp_path / way] for way in ways] + [[tmp_path / "y.npy", tmp_path / "X.npy"]]
    for paths in asked:
        found = read(paths, tmp_path)
        np.testing.assert_allclose(found.x[np.arange(len(x))], x, rtol=1e-5)
        np.testing.assert_allclose(found.x[3:5], x[3:5], rtol=1e-5)
        labels = ["abc".index(name) for name in found.y] if paths[0].suffix == ".h5" else found.y.tolist()
        assert labels == y.tolist()
    assert isinstance(read([tmp_path / "pair"], tmp_path).x, np.memmap)


def test_a_table_s_label_is_named_or_last_and_a_row_s_number_is_no_feature(rows, tmp_path):
    x, y = rows
    path = write_table(tmp_path / "a.csv", x, y, Target=np.array(["u", "v", "w"])[y])
    assert set(read([path], tmp_path, label="Target").y) == {"u", "v", "w"}
    with pytest.raises(ValueError, match=r"1 columns of .* are not \(kind\).*--label \(now 'Target'\)"):
        pd.read_csv(path).assign(kind="x").to_csv(path, index=False)
        read([path], tmp_path)
    pd.DataFrame({"f": x[:, 0], "kind": y}).to_csv(path)  # with pandas' index
    found = read([path], tmp_path)
    assert found.columns == ("f",) and "without a name" in found.notes[0]
    with pytest.raises(ValueError, match="--label is a column of .*, , f, kind|Unnamed: 0, f, kind: got 'no'"):
        read([path], tmp_path, label="no")


def test_images_by_class_are_extracted_once(tmp_path, cache, monkeypatch):
    from PIL import Image

    rng, folder, out = np.random.default_rng(0), tmp_path / "pets", tmp_path / "out"
    for kind in ("cat", "dog"):
        (folder / kind).mkdir(parents=True)
        for i in range(3):
            Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(folder / kind / f"{i}.png")
    found = check(read([folder], out))
    assert (found.name, found.classes, found.x.shape) == ("pets", ("cat", "dog"), (6, 320))
    monkeypatch.setattr("vqabook.features.extract.extract_features", None)
    assert check(read([folder], out)).digest == found.digest
    monkeypatch.undo()
    (folder / "dog" / "0.png").write_text("no image")
    with pytest.raises(ValueError, match="every image must decode: 1 of 6 do not: dog/0.png"):
        read([folder], out)
    for i in range(3):
        (folder / "dog" / f"{i}.png").unlink()
    with pytest.raises(ValueError, match="a folder for each class, two or more: .* has cat alone"):
        read([folder], out)


BAD = {  # name -> what is written, or None; the sentence
    "absent.npz": (None, "does not exist; check the path"),
    "notes.docx": (b"x", "the arena reads an .npz; .* got .*notes.docx; convert it"),
    "lone.npy": (b"x", "an .npy holds features or labels, not both: give two"),
    "damaged.parquet": (b"PAR1 and no table", "a .parquet is a table"),
    "data.csv": (b"0.5,1.5,2\n0.1,0.2,1\n", "its first line has numbers, 0.5, 1.5, 2: put a line of column names"),
    "one.csv": (b"label\na\n", "its first line names fewer than two columns"),
    "bare.csv": (b"id,label\na,b\n", r"features are numbers: 1 columns of .* are not \(id\)"),
    "empty.csv": (b"f,label\n1,\n2,a\n", "every row has a label: row 0 of .* has no 'label'"),
    "broken.npz": (b"PK\x03\x04garbage", "an .npz holds arrays without pickled objects"),
    "broken.h5": (b"garbage", "a feature file is HDF5"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_read_is_one_sentence(name, tmp_path):
    content, sentence = BAD[name]
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises((ValueError, FileNotFoundError), match=sentence) as told:
        read([tmp_path / name], tmp_path)
    assert "\n" not in str(told.value)


def test_arrays_of_other_names_and_features_of_regions_are_refused(rows, tmp_path):
    x, y = rows
    np.savez(tmp_path / "two.npz", a=x, b=x, y=y)
    with pytest.raises(
        ValueError, match=r"features are a matrix called X.*two.npz has a \[19, 4\], b \[19, 4\], y \[19\]"
    ):
        read([tmp_path / "two.npz"], tmp_path)
    np.savez(tmp_path / "objects.npz", X=x, y=np.array(["a", None], object))
    with pytest.raises(ValueError, match=r"texts are saved as np.array\(labels, dtype=str\)"):
        read([tmp_path / "objects.npz"], tmp_path)
    with h5py.File(tmp_path / "regions.h5", "w") as file:
        file["features"], file["image_ids"] = x[:, None].repeat(2, 1), np.arange(19)
    with pytest.raises(ValueError, match="one feature of each image, and its label"):
        read([tmp_path / "regions.h5"], tmp_path)
    with pytest.raises(ValueError, match="--label names a column of a table"):
        read([tmp_path / "two.npz"], tmp_path, label="y")


def test_without_pyarrow_a_parquet_s_error_says_what_to_do(tmp_path, monkeypatch):
    (path := tmp_path / "a.parquet").touch()

    def lack(_):
        raise ImportError("pyarrow")

    monkeypatch.setattr(pd, "read_parquet", lack)
    with pytest.raises(RuntimeError, match="pip install pyarrow, or save a .csv"):
        read([path], tmp_path)
    assert set(readers.TABLES) == {".csv", ".tsv", ".parquet"}
