"""The TSV in which bottom-up attention features were released: where its lines are, and what one says.

Anderson et al. 2018, arXiv:1707.07998. A line has six columns: image_id, image_w, image_h, num_boxes, boxes (base64 of
float32 [o, 4]), features (base64 of float32 [o, 2048]); o is 36, or 10 to 100 by detection score ("adaptive").
"""

from __future__ import annotations

import binascii
import io
import re
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from jaxtyping import Float

COLUMNS = ("image_id", "image_w", "image_h", "num_boxes", "boxes", "features")


class Source(NamedTuple):
    """One TSV: a file, or a member of a zip archive."""

    path: Path
    member: str | None
    n_bytes: int

    @property
    def name(self) -> str:
        return self.member or self.path.name

    @contextmanager
    def open(self, at: int = 0) -> Iterator[BinaryIO]:
        """The lines from byte `at` on; in an archive what comes before is unpacked and dropped."""
        if self.member is None:
            with open(self.path, "rb", buffering=1 << 20) as file:
                file.seek(at)
                yield file
        else:
            try:
                with zipfile.ZipFile(self.path) as archive, archive.open(self.member) as packed:
                    packed.seek(at)
                    yield io.BufferedReader(packed, 1 << 20)
            except (zipfile.BadZipFile, NotImplementedError, EOFError, zlib.error) as error:
                raise ValueError(
                    f"an archive is a whole zip file: {self.path} is not ({error}); "
                    "unpack it with another program, or download it again"
                ) from error


class Row(NamedTuple):
    """One image of a TSV."""

    image_id: int
    size: tuple[int, int]
    boxes: Float[np.ndarray, "o 4"]
    features: Float[np.ndarray, "o d"]


class BadRow(ValueError):
    """A line that breaks the format, told in one sentence."""


def find_sources(paths: Sequence[Path]) -> list[Source]:
    """The TSVs behind files and zip archives, in the order given, an archive's by name."""
    found = []
    for path in paths:
        if not path.is_file():
            raise FileNotFoundError(f"features are converted from TSV files or zips of them: {path} is not a file")
        if not zipfile.is_zipfile(path):
            found.append(Source(path, None, path.stat().st_size))
            continue
        with zipfile.ZipFile(path) as archive:
            inside = [m for m in archive.infolist() if is_tsv(m.filename)]
        found += [Source(path, m.filename, m.file_size) for m in sorted(inside, key=lambda m: m.filename)]
        if not inside:
            raise ValueError(f"an archive of features holds .tsv files: {path} has none; give the right file")
    if not found:
        raise ValueError("features are converted from at least one TSV file, got none; name one")
    return found


def is_tsv(name: str) -> bool:
    """Whether a path names one: x.tsv, or x.tsv.0 where a release is cut in pieces."""
    return bool(re.search(r"\.tsv(\.\d+)?$", name)) and "__MACOSX" not in name and not Path(name).name.startswith("._")


def parse_row(line: bytes, where: str) -> Row:
    """Decode one line. Raises BadRow, naming `where` and the image."""
    parts = line.rstrip(b"\r\n").split(b"\t")
    try:
        image_id, w, h, n = (int(part) for part in parts[:4])
        where += f" (image {image_id})"
    except ValueError:
        raise BadRow(
            f"a row begins with four integers ({', '.join(COLUMNS[:4])}): {where} begins {line[:40]!r}; "
            "give the TSV as it was released"
        ) from None
    again = "download the file again" if line.endswith(b"\n") else "the file ends in it, so download it again"
    if len(parts) != len(COLUMNS):
        raise BadRow(f"a row has {len(COLUMNS)} columns, {where} has {len(parts)}; {again}")
    if n < 1:
        raise BadRow(f"an image has at least one box, {where} says {n}; {again}")
    boxes, features = (_floats(text, name, where, again) for text, name in zip(parts[4:], COLUMNS[4:], strict=True))
    if len(boxes) != 4 * n:
        raise BadRow(f"a box is four numbers: {where} says {n} boxes and has {len(boxes)} numbers; {again}")
    if not len(features) or len(features) % n:
        raise BadRow(f"every box has as many features: {where} has {len(features)} for {n} boxes; {again}")
    if not (np.isfinite(features).all() and np.isfinite(boxes).all()):
        raise BadRow(f"features and boxes are finite numbers: {where} holds NaN or infinity; extract the image again")
    return Row(image_id, (w, h), boxes.reshape(n, 4), features.reshape(n, -1))


def _floats(text: bytes, name: str, where: str, again: str) -> Float[np.ndarray, " k"]:
    try:
        raw = binascii.a2b_base64(text, strict_mode=True)
    except binascii.Error as error:
        raise BadRow(f"`{name}` is base64: in {where} it is broken ({error}); {again}") from None
    if len(raw) % 4:
        raise BadRow(f"`{name}` is float32, four bytes a number: {where} has {len(raw)} bytes; {again}")
    return np.frombuffer(raw, "<f4")
