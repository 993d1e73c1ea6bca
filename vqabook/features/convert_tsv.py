"""Bottom-up attention features: the released TSVs become a feature file, as a stream.

Anderson et al. 2018, arXiv:1707.07998. Memory does not grow with the files, and an interrupted conversion goes on.
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
from tqdm import tqdm

from vqabook.features.codes import Codes, fit_codes, to_half
from vqabook.features.writer import FeatureWriter, is_whole

if TYPE_CHECKING:
    from jaxtyping import Float

TRAINVAL_IMAGES = 123_287  # COCO train2014 and val2014
SAMPLED = 512  # images whose features decide the range of uint8 codes


class _Conversion:
    """The loop over lines and what it knows: ids seen, the width, the rows left out."""

    def __init__(self, writer: FeatureWriter, codes: Codes | None, adaptive: bool, skip_broken: bool):
        self.writer, self.codes, self.adaptive, self.skip_broken = writer, codes, adaptive, skip_broken
        self.seen = set(writer.rows()[:, 0].tolist())
        at = writer.position or {"source": 0, "byte": 0, "row": 0, "broken": {}, "shape": None}
        self.source, self.byte, self.row, self.shape = at["source"], at["byte"], at["row"], at["shape"]
        self.broken = {int(i): why for i, why in at["broken"].items()}

    def run(self, sources: Sequence[Source]) -> None:
        done = sum(source.n_bytes for source in sources[: self.source]) + self.byte
        total = sum(source.n_bytes for source in sources)
        options = {"unit": "B", "unit_scale": True, "desc": self.writer.out.name, "disable": None}
        with tqdm(total=total, initial=done, **options) as bar:
            for source in sources[self.source :]:
                with source.open(self.byte) as lines:
                    for line in lines:
                        self.take(line, f"row {self.row + 1} of {source.name}")
                        bar.update(len(line))
                self.source, self.byte, self.row = self.source + 1, 0, 0

    def take(self, line: bytes, where: str) -> None:
        """Append one line's image, or leave it out if that was asked for."""
        self.byte, self.row = self.byte + len(line), self.row + 1
        if not line.strip():
            return
        try:
            row = parse_row(line, where)
            self._check(row, where)
        except BadRow as error:
            number = line.split(b"\t", 1)[0]
            if not (self.skip_broken and number.isdigit()):
                raise
            self.broken.setdefault(int(number), str(error))
            return
        self.shape = self.shape or list(row.features.shape)
        self.seen.add(row.image_id)
        features = self._stored(row, where)
        at = {"source": self.source, "byte": self.byte, "row": self.row, "broken": self.broken, "shape": self.shape}
        about = np.array([[row.image_id, *row.size, len(row.boxes)]], np.int64)
        self.writer.append(about, features if self.adaptive else features[None], row.boxes, position=at)

    def _check(self, row: Row, where: str) -> None:
        where += f" (image {row.image_id})"
        if row.image_id in self.seen:
            raise BadRow(
                f"an image has one row: {where} repeats one; skip broken and repeated rows, as the released "
                "test2014 needs, or give each file once"
            )
        o, d = self.shape or row.features.shape
        if row.features.shape[1] != d:
            raise BadRow(f"features are equally wide: {where} has {row.features.shape[1]}, rows before {d}; check it")
        if not self.adaptive and len(row.boxes) != o:
            raise BadRow(
                f"every image has {o} boxes like the first: {where} has {len(row.boxes)}; "
                "convert it as adaptive, or download the file again"
            )

    def _stored(self, row: Row, where: str) -> np.ndarray:
        if self.codes is not None:
            return self.codes.encode(row.features)
        return to_half(row.features, f"{where} (image {row.image_id})")


def convert_tsv(
    sources: Sequence[Path],
    out: Path,
    *,
    adaptive: bool = False,
    dtype: str = "float16",
    n_images: int | None = None,
    skip_broken: bool = False,
) -> int:
    """Convert TSVs, plain or zipped, into the feature file `out`; returns the number of images.

    `dtype`: float16, or uint8 with a range a channel from a sample. `skip_broken`: rows that are broken or repeat an
    image are left out, if every image then still has a row (the released test2014 writes three images twice, the first
    time cut short). `n_images`: how many must come. Memory does not grow with the files. Interrupted, it goes on where
    it stopped when called again.
    """
    if dtype not in ("float16", "uint8"):
        raise ValueError(f"features are stored as float16 or uint8, got {dtype!r}")
    found = find_sources(sources)
    recipe = {
        "sources": [[s.name, s.n_bytes, s.path.stat().st_mtime_ns] for s in found],
        "options": [adaptive, dtype, skip_broken],
    }
    with FeatureWriter(out, recipe, dtype) as writer:
        share = {"float16": 3 / 8, "uint8": 3 / 16}[dtype]  # of base64 of float32
        writer.reserve(int(0.95 * share * sum(source.n_bytes for source in found)))
        codes = fit_codes(_sample(found)) if dtype == "uint8" else None
        conversion = _Conversion(writer, codes, adaptive, skip_broken)
        conversion.run(found)
        if lost := conversion.broken.keys() - conversion.seen:
            raise ValueError(f"every image has one whole row: {len(lost)} have none ({conversion.broken[min(lost)]})")
        if n_images is not None and writer.images != n_images:
            raise ValueError(f"{n_images} images are expected, the TSVs end after {writer.images}; download them again")
        about = {"source": ", ".join(s.name for s in found), "left_out": sorted(conversion.broken)}
        writer.finish(about, **({} if codes is None else {"scale": codes.scale, "offset": codes.offset}))
        return writer.images


def _sample(sources: Sequence[Source]) -> Float[np.ndarray, "n d"]:
    """Features of rows spread evenly over plain files, of the first rows of an archive; rows that do not parse not."""
    rows = []
    for source in sources:
        times = -(-SAMPLED // len(sources))
        for i in range(times if source.member is None else 1):
            with source.open(i * source.n_bytes // times) as lines:
                if i:
                    lines.readline()  # the rest of a row
                for _, line in zip(range(1 if source.member is None else times), lines, strict=False):
                    try:
                        rows.append(np.clip(parse_row(line, "").features, -65504, 65504).astype(np.float16))
                    except BadRow:
                        continue
    return np.concatenate(rows or [np.zeros((1, 1), np.float16)])


def prepare_36(source: Path, target: Path) -> None:
    """`trainval36.h5`: 36 regions for every image of COCO train2014 and val2014."""
    out = target / "trainval36.h5"
    if not is_whole(out):
        convert_tsv(_released(source), out, n_images=TRAINVAL_IMAGES)


def prepare_adaptive(source: Path, target: Path) -> None:
    """`trainval_adaptive.h5`: 10 to 100 regions for every image of COCO train2014 and val2014."""
    out = target / "trainval_adaptive.h5"
    if not is_whole(out):
        convert_tsv(_released(source), out, adaptive=True, n_images=TRAINVAL_IMAGES)


def _released(folder: Path) -> list[Path]:
    found = sorted(path for path in folder.rglob("*") if is_tsv(str(path.relative_to(folder))))
    if not found:
        raise FileNotFoundError(f"bottom-up features come as .tsv files: {folder} has none; unpack the archive there")
    return found


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
