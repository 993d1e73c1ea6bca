"""Official JSON files, plain or gzipped, checked against the fields that a loader reads.

A type says what is wanted; msgspec checks it and skips all else unread. The official files are large for what is not
needed here: LVIS 1.0 train is 1.1 GB, nearly all of it polygons, CLEVR's questions are as large with their programs. A
plain file is mapped and its entries come one by one, so that only what a loader keeps is held.
"""

import gzip
import mmap
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from vqabook.files import DAMAGED_ARCHIVE, advise, tell_damage, without_mark
from vqabook.progress import Bar

RELEASED = 1 << 15  # entries


def plain_or_gz(path: str | os.PathLike) -> Path:
    """`path`, or else `path`.gz. Raises if neither exists."""
    path = Path(path)
    for place in (path, path.with_name(path.name + ".gz")):
        if place.exists():
            return place
    raise FileNotFoundError(
        f"{path} (or the same name with .gz) does not exist; check data_root or the path, or fetch the set"
    )


def read_json(path: str | os.PathLike, kind: Any, rule: str) -> Any:
    """The whole file as a `kind`. `rule`: what such files hold, said where this one does not."""
    path = plain_or_gz(path)
    return _decode(_read(path), kind, path, rule)


def read_entries(path: str | os.PathLike, key: str, kind: Any, rule: str) -> Iterator[Any]:
    """The entries of the list under `key`, or of a file that is a bare list, each a `kind`; at least one."""
    path = plain_or_gz(path)
    text = _read(path)
    content = _decode(text, list[msgspec.Raw] | dict[str, msgspec.Raw], path, rule)
    if isinstance(content, dict):
        content = _decode(content.get(key, b"[]"), list[msgspec.Raw], path, rule)
    if not content:
        raise ValueError(f'{rule}, in a list or under "{key}"; {path} has none: is it the right file?')
    yield from _each(content, kind, text, path, rule)


def stream_json(path: str | os.PathLike) -> Iterator[tuple[str, Any]]:
    """All of a file as (key, entry), one by one, whatever it holds: for a loader of your own, or to see what is in it.

    A list below a top-level key gives a pair for each of its elements, any other value one pair; a bare list has the
    key "". A loader that knows its entries takes `read_entries`, which checks them.
    """
    path, rule = plain_or_gz(path), "official files are a list or an object of lists"
    text = _read(path)
    content = _decode(text, list[msgspec.Raw] | dict[str, msgspec.Raw], path, rule)
    for key, value in content.items() if isinstance(content, dict) else [("", content)]:
        listed = isinstance(value, list) or bytes(memoryview(value)[:64]).lstrip().startswith(b"[")
        entries = _decode(value, list[msgspec.Raw], path, rule) if listed and key else value
        yield from ((key, entry) for entry in _each(entries if listed else [value], Any, text, path, rule))


def _each(entries: Sequence[Any], kind: Any, text: Any, path: Path, rule: str) -> Iterator[Any]:
    """Pieces of the file's `text`, each as a `kind`."""
    decoder = msgspec.json.Decoder(kind)
    for number, entry in enumerate(Bar(entries, desc=path.name, leave=False, delay=2)):
        if number % RELEASED == 0 and isinstance(text, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
            text.madvise(mmap.MADV_DONTNEED)  # out of memory what was read: it is in the file
        try:
            yield decoder.decode(entry)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise _refusal(error, rule, path, f"entry {number} of ") from error


def check_unique(ids: Sequence[int | str], rule: str, path: str | os.PathLike) -> None:
    """Raise, beginning with `rule`, for an id that comes twice."""
    if len(set(ids)) < len(ids):
        twice, times = Counter(ids).most_common(1)[0]
        raise ValueError(f"{rule}: {twice} comes {times} times among {len(ids)} in {path}; {advise(path)}")


def _decode(text: Any, kind: Any, path: Path, rule: str) -> Any:
    try:
        return msgspec.json.decode(text, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _refusal(error, rule, path) from error


def _refusal(error: Exception, rule: str, path: Path, entry: str = "") -> ValueError:
    if isinstance(error, msgspec.ValidationError):
        return ValueError(f"{rule}; {entry}{path} does not fit ({error}): is it the right file?")
    return ValueError(f"{entry}{path} must be whole, valid JSON: {error}; it is probably cut off: {advise(path)}")


def _read(path: Path) -> bytes | mmap.mmap | memoryview:
    """The file's text: unpacked, or mapped. Raises for what a failed download left in its place."""
    text: bytes | mmap.mmap | memoryview
    with tell_damage(path, "official files are whole, valid JSON", *DAMAGED_ARCHIVE):
        if path.suffix == ".gz":
            text = gzip.decompress(path.read_bytes())
        else:
            with path.open("rb") as file:
                text = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if path.stat().st_size else b""
    with tell_damage(path, "JSON is text in UTF-8", UnicodeDecodeError):
        text = without_mark(text)
    start = bytes(text[:512]).lstrip()
    if not start or start.startswith(b"<"):
        kind = "an HTML page, probably a login or error page" if start else "empty"
        raise ValueError(f"{path} must be JSON, it is {kind}; {advise(path)}")
    return text
