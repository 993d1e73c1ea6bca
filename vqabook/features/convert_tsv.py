"""Bottom-up attention features: the released TSVs become a feature file, as a stream.

Anderson et al. 2018, arXiv:1707.07998. Memory does not grow with the files, and an interrupted conversion goes on.
"""

import binascii
import io
import os
import re
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import islice
from pathlib import Path
from typing import BinaryIO, NamedTuple, cast

import numpy as np
from jaxtyping import Float

from vqabook.features.convert import SAMPLED, BadRow, Conversion, Row
from vqabook.features.writer import FeatureWriter, is_whole
from vqabook.files import DAMAGED_ARCHIVE, files_below, portable, tell_damage, without_mark
from vqabook.progress import Bar

TRAINVAL_IMAGES = 123_287  # COCO train2014 and val2014
UNPACK = "unpack it with another program, or download it again"
COLUMNS = ("image_id", "image_w", "image_h", "num_boxes", "boxes", "features")


class Source(NamedTuple):
    """One TSV: a file, or a member of a zip archive."""

    path: Path
    member: str | None
    n_bytes: int

    @property
    def name(self) -> str:
        return self.member or portable(self.path.name)

    @contextmanager
    def open(self, at: int = 0) -> Iterator[BinaryIO]:
        """The lines from byte `at` on; in an archive what comes before is unpacked and dropped."""
        if self.member is None:
            with open(self.path, "rb", buffering=1 << 20) as file:
                file.seek(at)
                yield file
        else:
            with (
                tell_damage(self.path, "an archive is a whole zip file", *DAMAGED_ARCHIVE, advice=UNPACK),
                zipfile.ZipFile(self.path) as archive,
                archive.open(self.member) as packed,
            ):
                packed.seek(at)
                yield io.BufferedReader(cast(io.RawIOBase, packed), 1 << 20)  # of zipfile, which says IO[bytes]


def convert_tsv(
    paths: Sequence[str | os.PathLike],
    out: str | os.PathLike,
    *,
    adaptive: bool = False,
    dtype: str = "float16",
    n_images: int | None = None,
    skip_broken: bool = False,
) -> int:
    """Convert TSVs, plain or zipped, into the feature file `out`; returns the number of images.

    `dtype`: float16, or uint8 with a range a channel from a sample. `skip_broken`: rows that are broken or repeat an
    image are left out, if every image then still has a row (the released test2014 writes three images twice, the first
    time cut short). `n_images`: how many must come.
    """
    sources, out = find_sources(paths), Path(out)
    recipe = {
        "sources": [[s.name, s.n_bytes, s.path.stat().st_mtime_ns] for s in sources],
        "options": [adaptive, dtype, skip_broken],
    }
    with FeatureWriter(out, recipe, dtype) as writer:
        share = 3 / 4 * writer.dtype.itemsize / 4  # of base64 of float32
        writer.reserve(int(0.95 * share * sum(source.n_bytes for source in sources)))
        conversion = Conversion(writer, adaptive, _sample(sources))
        broken = _convert_lines(sources, conversion, skip_broken)
        if lost := broken.keys() - conversion.seen:
            raise ValueError(f"every image has one whole row: {len(lost)} have none ({broken[min(lost)]})")
        if n_images is not None and writer.images != n_images:
            raise ValueError(f"{n_images} images are expected, the TSVs end after {writer.images}; download them again")
        return conversion.finish(source=", ".join(s.name for s in sources), left_out=sorted(broken))


def _convert_lines(sources: Sequence[Source], conversion: Conversion, skip_broken: bool) -> dict[int, str]:
    """Append the image of every line, from where an interrupted run stopped; image id -> why a row was left out."""
    at = {"source": 0, "byte": 0, "row": 0, "broken": {}} | conversion.position
    broken = {int(image_id): why for image_id, why in at["broken"].items()}
    sizes = [source.n_bytes for source in sources]
    options = {"unit": "B", "unit_scale": True, "desc": conversion.writer.out.name}
    with Bar(total=sum(sizes), initial=sum(sizes[: at["source"]]) + at["byte"], **options) as bar:
        for line, where, position in _lines(sources, at["source"], at["byte"], at["row"]):
            try:
                conversion.append(parse_row(line, where), **position, broken=broken)
            except BadRow as error:
                number = line.split(b"\t", 1)[0]
                if not (skip_broken and number.isdigit()):
                    raise
                broken.setdefault(int(number), str(error))
            bar.update(len(line))
    return broken


def _lines(sources: Sequence[Source], source: int, byte: int, row: int) -> Iterator[tuple[bytes, str, dict]]:
    """Every line from a position on, its name for messages, and the position after it."""
    for i in range(source, len(sources)):
        with sources[i].open(byte) as lines:
            for line in lines:
                byte, row = byte + len(line), row + 1
                if line.strip():
                    yield line, f"row {row} of {sources[i].name}", {"source": i, "byte": byte, "row": row}
        byte, row = 0, 0


def _sample(sources: Sequence[Source]) -> Iterator[Float[np.ndarray, "n d"]]:
    """Features of rows spread evenly over plain files, of the first rows of an archive; rows that do not parse not."""
    times = -(-SAMPLED // len(sources))
    for source in sources:
        pieces, each = (times, 1) if source.member is None else (1, times)
        for i in range(pieces):
            with source.open(i * source.n_bytes // pieces) as lines:
                if i:
                    lines.readline()  # the rest of a row
                for line in islice(lines, each):
                    try:
                        yield parse_row(line, "").features
                    except BadRow:
                        continue


def _prepare(source: str | os.PathLike, target: str | os.PathLike, *, name: str, adaptive: bool) -> None:
    """The feature file `name` of all images of COCO train2014 and val2014, from the TSVs below `source`."""
    source, target = Path(source), Path(target)
    if is_whole(target / name):
        return
    paths = sorted(path for path in files_below(source) if is_tsv(str(path.relative_to(source))))
    if not paths:
        raise FileNotFoundError(f"bottom-up features come as .tsv files: {source} has none; unpack the archive there")
    convert_tsv(paths, target / name, adaptive=adaptive, n_images=TRAINVAL_IMAGES)


prepare_36 = partial(_prepare, name="trainval36.h5", adaptive=False)  # 36 regions an image
prepare_adaptive = partial(_prepare, name="trainval_adaptive.h5", adaptive=True)  # 10 to 100 regions


def find_sources(paths: Sequence[str | os.PathLike]) -> list[Source]:
    """The TSVs behind files and zip archives, in the order given, an archive's by name."""
    sources = []
    for path in map(Path, paths):
        if not path.is_file():
            raise FileNotFoundError(f"features are converted from TSV files or zips of them: {path} is not a file")
        if not zipfile.is_zipfile(path):
            sources.append(Source(path, None, path.stat().st_size))
            continue
        with zipfile.ZipFile(path) as archive:
            inside = [m for m in archive.infolist() if is_tsv(m.filename)]
        sources += [Source(path, m.filename, m.file_size) for m in sorted(inside, key=lambda m: m.filename)]
        if not inside:
            raise ValueError(f"an archive of features holds .tsv files: {path} has none; give the right file")
    if not sources:
        raise ValueError("features are converted from at least one TSV file, got none; name one")
    return sources


def is_tsv(name: str) -> bool:
    """Whether a path names one: x.tsv, or x.tsv.0 where a release is cut in pieces."""
    return bool(re.search(r"\.tsv(\.\d+)?$", name)) and "__MACOSX" not in name and not Path(name).name.startswith("._")


def parse_row(line: bytes, where: str) -> Row:
    """Decode one line. Raises BadRow, naming `where` and the image."""
    parts = bytes(without_mark(line)).rstrip(b"\r\n").split(b"\t")
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
    boxes, features = (_decode(text, name, where, again) for text, name in zip(parts[4:], COLUMNS[4:], strict=True))
    if len(boxes) != 4 * n:
        raise BadRow(f"a box is four numbers: {where} says {n} boxes and has {len(boxes)} numbers; {again}")
    if not len(features) or len(features) % n:
        raise BadRow(f"every box has as many features: {where} has {len(features)} for {n} boxes; {again}")
    if not (np.isfinite(features).all() and np.isfinite(boxes).all()):
        raise BadRow(f"features and boxes are finite numbers: {where} holds NaN or infinity; extract the image again")
    return Row(image_id, features.reshape(n, -1), boxes.reshape(n, 4), (w, h), where)


def _decode(text: bytes, name: str, where: str, again: str) -> Float[np.ndarray, " k"]:
    try:
        raw = binascii.a2b_base64(text, strict_mode=True)
    except binascii.Error as error:
        raise BadRow(f"`{name}` is base64: in {where} it is broken ({error}); {again}") from None
    if len(raw) % 4:
        raise BadRow(f"`{name}` is float32, four bytes a number: {where} has {len(raw)} bytes; {again}")
    return np.frombuffer(raw, "<f4")
