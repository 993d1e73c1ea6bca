"""GloVe from both of its sources, written here in their layouts; the real vectors where they are."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from vqabook.data import glove
from vqabook.data.glove import WINK, glove_vectors, load_glove, open_glove, prepare_official, prepare_wink

# Words that a careless reader of JSON or of text stumbles over; all are one token without a blank.
WORDS = [
    "the",
    ",",
    ".",
    '"',
    "\\",
    "],",
    '5],"',
    "vectors",
    '":[1,2]',
    "caf\u00e9",
    "non\u00a0break",
    "\u2028",
    "yes",
    "red",
]
OFFICIAL = {  # the first four of 100 numbers, glove.6B.100d.txt
    "the": [-0.038194, -0.24487, 0.72812, -0.39961],
    ",": [-0.10767, 0.11053, 0.59812, -0.54361],
    "of": [-0.1529, -0.24279, 0.89837, 0.16996],
    "hello": [0.26688, 0.39632, 0.6169, -0.77451],
}


def numbers(n: int, dim: int = 100) -> list[list[float]]:
    """Decimals as the official file has them: five to six digits."""
    return np.random.default_rng(0).normal(size=(n, dim)).round(5).tolist()


def write_text(path: Path, words: Sequence[str], vectors: Sequence[Sequence[float]]) -> Path:
    lines = [" ".join([word, *map(str, vector)]) + "\n" for word, vector in zip(words, vectors, strict=True)]
    path.write_bytes("".join(lines).encode())
    return path


def write_wink(folder: Path, words: Sequence[str], vectors: Sequence[Sequence[float]], /, **changes) -> Path:
    """The package's one JSON: a word's vector, its norm and its place; escapes as `JSON.stringify` leaves them."""
    (folder / "package").mkdir(parents=True, exist_ok=True)
    entries = {
        word: [*vector, round(float(np.linalg.norm(vector)), 8), place]
        for place, (word, vector) in enumerate(zip(words, vectors, strict=True))
    }
    dim = len(vectors[0])
    about = {"precision": 8, "l2NormIndex": dim, "wordIndex": dim + 1, "size": len(words), "dimensions": dim}
    content = about | {"words": list(words), "vectors": entries, "unkVector": [0] * (dim + 1) + [-1]} | changes
    text = json.dumps(content, separators=(",", ":"), ensure_ascii=False)
    (folder / "package" / WINK).write_text(text, encoding="utf-8")
    return folder


def test_the_official_text_becomes_a_store(tmp_path):
    vectors = numbers(len(WORDS))
    write_text(tmp_path / "glove.6B.100d.txt", WORDS, vectors)
    (tmp_path / "out").mkdir()
    prepare_official(tmp_path, tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["glove.6B.100d.h5"]
    words, stored = open_glove(tmp_path / "out")
    assert words == WORDS
    assert stored.dtype == np.float32 and isinstance(stored, np.memmap)
    np.testing.assert_array_equal(stored, np.array(vectors, np.float32))


def test_both_sources_give_the_same_bytes(tmp_path):
    words = WORDS + [f"w{i}" for i in range(40)]
    vectors = numbers(len(words))
    write_text(tmp_path / "glove.6B.100d.txt", words, vectors)
    write_wink(tmp_path / "npm", words, vectors)
    for name, prepare in (("npm", prepare_wink), ("", prepare_official)):
        (tmp_path / f"out{name}").mkdir()
        prepare(tmp_path / name, tmp_path / f"out{name}")
    stores = [(tmp_path / out / "glove.6B.100d.h5").read_bytes() for out in ("out", "outnpm")]
    assert stores[0] == stores[1]


def test_every_width_of_the_archive_is_converted(tmp_path):
    for dim in (50, 100, 300):
        write_text(tmp_path / f"glove.6B.{dim}d.txt", WORDS, numbers(len(WORDS), dim))
    (tmp_path / "out").mkdir()
    prepare_official(tmp_path, tmp_path / "out")
    for dim in (50, 100, 300):
        assert load_glove(tmp_path / "out", ["yes"], dim=dim)[0].shape == (1, dim)
    with pytest.raises(FileNotFoundError, match=r"glove.6B.200d.h5 or .txt in .*, which has glove.6B.100d.h5, glove"):
        load_glove(tmp_path / "out", ["yes"], dim=200)


def test_rows_are_those_of_the_words_asked(tmp_path):
    vectors = numbers(len(WORDS))
    write_wink(tmp_path, WORDS, vectors)
    prepare_wink(tmp_path, tmp_path)
    for source in (tmp_path, tmp_path / "glove.6B.100d.h5"):
        rows, found = load_glove(source, ["red", "xyzzy", "the", "red", "Red"])
        assert found.tolist() == [True, False, True, True, False]
        expected = torch.tensor([vectors[-1], [0.0] * 100, vectors[0], vectors[-1], [0.0] * 100])
        assert rows.dtype == torch.float32 and torch.equal(rows, expected)
    rows, found = load_glove(tmp_path, [])
    assert rows.shape == (0, 100) and found.shape == (0,)
    assert not load_glove(tmp_path, ["xyzzy"])[1].any()


def test_a_text_is_converted_once_into_the_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = tmp_path / "set"
    folder.mkdir()
    text = write_text(folder / "glove.6B.100d.txt", WORDS, numbers(len(WORDS)))
    folder.chmod(0o500)
    first = load_glove(folder, ["yes", "no"])
    assert [path.name for path in folder.iterdir()] == [text.name]
    monkeypatch.setattr(glove, "_convert_text", lambda *_, **__: pytest.fail("converted again"))
    again = load_glove(text, ["yes", "no"])
    assert torch.equal(first[0], again[0]) and again[1].tolist() == [True, False]
    folder.chmod(0o700)


def test_a_damaged_converted_text_is_set_aside_and_made_again(damage, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    text = write_text(tmp_path / "mine.txt", ["a"], [[1.0, 2.0]])
    load_glove(text, ["a"], dim=2)
    (kept,) = (tmp_path / "cache" / "vqabook").iterdir()
    damage(kept)
    with pytest.warns(UserWarning, match=rf"{kept.name} cannot .* is now {kept.name}.damaged"):
        assert load_glove(text, ["a"], dim=2)[0].tolist() == [[1.0, 2.0]]


def test_a_text_that_changed_is_converted_again(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    text = write_text(tmp_path / "mine.txt", ["a"], [[1.0, 2.0]])
    assert load_glove(text, ["a"], dim=2)[0].tolist() == [[1.0, 2.0]]
    write_text(text, ["a", "b"], [[3.0, 4.0], [5.0, 6.0]])
    assert load_glove(text, ["a", "b"], dim=2)[0].tolist() == [[3.0, 4.0], [5.0, 6.0]]


LINE = " ".join(["cat", *["0.5"] * 100]) + "\n"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (LINE + LINE.replace("cat", "dog").replace(" 0.5\n", "\n"), "a word and 100 numbers, line 2 of .* has 99"),
        (LINE.replace("cat", "new york"), "line 1 of .* has 101"),
        ("400000 100\n" + LINE, "line 1 of .* has 1; set dim"),
        (LINE + "\n", "line 2 of .* has 0"),
        (LINE.replace("0.5\n", "o.5\n"), "line 1 of .* is damaged .*o.5"),
        (LINE.replace("0.5\n", "nan\n"), "finite numbers, that of 'cat' in .* is not"),
        (LINE.replace("0.5\n", "1e999\n"), "finite numbers, that of 'cat'"),
        (LINE + LINE, "a word has one vector, .* has 'cat' twice"),
        (LINE + LINE[:-3].replace("cat", "dog"), "the last one does not: it is cut off"),
        ("", "the last one does not: it is cut off"),
    ],
)
def test_damaged_texts_get_one_clear_sentence(tmp_path, monkeypatch, text, sentence):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "glove.6B.100d.txt").write_text(text)
    (tmp_path / "out").mkdir()
    with pytest.raises(ValueError, match=sentence):
        prepare_official(tmp_path, tmp_path / "out")
    assert not list((tmp_path / "out").iterdir())
    with pytest.raises(ValueError, match=sentence):
        load_glove(tmp_path, ["cat"])
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"size": 3}, "not laid out as in version 1.1.0"),
        ({"wordIndex": 7}, "not laid out as in version 1.1.0"),
        ({"words": None}, "version 1.1.0 .* does not fit .*words"),
        ({"vectors": {"a": [1, 2, 2.2360680, 0]}}, "announces 2 words and has 1; fetch it again"),
        ({"vectors": {w: [1, 2, 2.2360680, i] for i, w in enumerate("abc")}}, "announces 2 words and has 3"),
        ({"vectors": {"a": [1, 2, 2.2360680, 0], "b": [1, 2, 3, 1]}}, "2 numbers, their norm and its place, 'b'"),
        ({"vectors": {"a": [1, 2, 2.2360680, 0], "b": [1, 2, 2.2360680, 5]}}, "their norm and its place, 'b'"),
        ({"vectors": {"a": [1, 2, 2.2360680, 0], "b": [1, 2, 1]}}, "a word has 4 numbers, one in .* not"),
        ({"vectors": {"a": [1, 2, 2.2360680, 0], "b": [1, None, 2, 1]}}, "a word has 4 numbers, one in .* not"),
    ],
)
def test_another_json_gets_one_clear_sentence(tmp_path, changes, sentence):
    write_wink(tmp_path, ["a", "b"], [[1.0, 2.0], [3.0, 4.0]], **changes)
    (tmp_path / "out").mkdir()
    with pytest.raises(ValueError, match=sentence):
        prepare_wink(tmp_path, tmp_path / "out")
    assert not list((tmp_path / "out").iterdir())


@pytest.mark.parametrize("part", [0.01, 0.5, 0.95])
def test_half_a_json_gets_one_clear_sentence(tmp_path, part):
    write_wink(tmp_path, WORDS, numbers(len(WORDS)))
    path = tmp_path / "package" / WINK
    path.write_bytes(path.read_bytes()[: int(part * path.stat().st_size)])
    with pytest.raises(ValueError, match="must be whole, valid JSON: .*cut off: bring a whole"):
        prepare_wink(tmp_path, tmp_path)
    assert not list(tmp_path.glob("glove*"))


def test_words_start_from_glove_and_others_are_as_wide(tmp_path, cache):
    (tmp_path / "glove").mkdir()
    (tmp_path / "glove" / "glove.6B.3d.txt").write_text("red 1 2 3\nblue -1 -2 -3\n")
    vectors = glove_vectors(("blue", "qqq", "red"), 3, 0, tmp_path)
    assert vectors.shape == (5, 3) and vectors[0].tolist() == [0, 0, 0]
    assert vectors[2].tolist() == [-1, -2, -3] and vectors[4].tolist() == [1, 2, 3]
    assert vectors[3].abs().sum() > 0 and torch.equal(vectors, glove_vectors(("blue", "qqq", "red"), 3, 0, tmp_path))


def test_missing_sources_say_what_to_do(tmp_path):
    with pytest.raises(FileNotFoundError, match=f"the package has {WINK}, .* vqabook data fetch glove"):
        prepare_wink(tmp_path, tmp_path)
    with pytest.raises(FileNotFoundError, match="glove.6B.zip has glove.6B.100d.txt"):
        prepare_official(tmp_path, tmp_path)
    with pytest.raises(
        FileNotFoundError, match="which has nothing of GloVe; check data_root or run: vqabook data fetch"
    ):
        load_glove(tmp_path, ["the"])


def test_damaged_stores_get_one_clear_sentence(tmp_path):
    write_wink(tmp_path, WORDS, numbers(len(WORDS)))
    prepare_wink(tmp_path, tmp_path)
    store = tmp_path / "glove.6B.100d.h5"
    with pytest.raises(ValueError, match="has vectors of 100 numbers, asked for 50; set dim"):
        load_glove(store, ["the"], dim=50)
    whole = store.read_bytes()
    store.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"word vectors are HDF5 .* vqabook data fetch glove"):
        load_glove(tmp_path, ["the"])
    for name, data in (("words", np.zeros(3, np.uint8)), ("vectors", np.zeros((2, 100), np.float32))):
        with h5py.File(store, "w") as file:
            file[name] = data
        with pytest.raises(ValueError, match="with `words` and `vectors` in one piece"):
            load_glove(tmp_path, ["the"])
    with h5py.File(store, "w") as file:
        file["words"] = np.frombuffer(b"a\nb\nc", np.uint8)
        file["vectors"] = np.zeros((2, 100), np.float32)
    with pytest.raises(ValueError, match=r"vectors are \(2, 100\) float32 for 3 words"):
        load_glove(tmp_path, ["the"])


def test_real_vectors_are_the_official_ones(real_data):
    folder = real_data("glove")
    rows, found = load_glove(folder, list(OFFICIAL))
    assert found.all()
    torch.testing.assert_close(rows[:, :4], torch.tensor(list(OFFICIAL.values())), rtol=0, atol=1e-7)
    words, _ = open_glove(folder)
    assert words[:6] == ["the", ",", ".", "of", "to", "and"] and len(words) in (341_479, 400_000)
