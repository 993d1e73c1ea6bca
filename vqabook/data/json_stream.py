"""JSON files larger than memory: one top-level entry at a time, so that only what a loader keeps is held.

The official files (COCO, LVIS, CLEVR) are one dict of long lists. LVIS 1.0 train is 1.1 GB, nearly all of it polygons;
CLEVR's train questions are as large, nearly all of it programs. Neither is needed to make a Table.
"""

from __future__ import annotations

import gzip
import io
import json
import os
import re
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tqdm import tqdm

from vqabook.data.vqa_files import plain_or_gz

CHUNK = 1 << 22  # characters read at a time
LARGEST = 1 << 28  # characters of one entry; text that decodes to nothing for longer is no JSON
_SPACE = re.compile(r"[ \t\n\r]*")
_DECODER = json.JSONDecoder()


def stream_json(path: str | os.PathLike) -> Iterator[tuple[str, Any]]:
    """The entries of a plain or gzipped file as (key, entry), in file order; looks for `path` and then `path`.gz.

    A list below a top-level key gives one pair for each of its elements, any other value one pair; a bare list gives
    its elements under the key "". Memory: a few chunks and the entry itself. Raises when the file is cut off or is no
    JSON, after the entries before the damage.
    """
    path = plain_or_gz(path)
    try:
        with path.open("rb") as raw, _progress(path) as bar:
            binary = gzip.GzipFile(fileobj=raw) if path.suffix == ".gz" else raw
            with io.TextIOWrapper(binary, encoding="utf-8") as file:
                yield from _entries(_Reader(file, lambda: bar.update(raw.tell() - bar.n)))
    except (EOFError, OSError, UnicodeDecodeError, zlib.error, json.JSONDecodeError) as error:
        cause = error.msg if isinstance(error, json.JSONDecodeError) else error
        raise ValueError(
            f"{path} must be whole, valid JSON: {cause}; it is probably cut off, fetch it again"
        ) from error


def _progress(path: Path) -> tqdm:
    """A bar over the file's bytes that shows itself only if reading takes more than two seconds."""
    return tqdm(
        total=path.stat().st_size, unit="B", unit_scale=True, desc=path.name, leave=False, delay=2, disable=None
    )


class _Reader:
    """A window on the text that moves forward and grows only while an entry does not fit."""

    def __init__(self, file: io.TextIOBase, on_read: Callable[[], object]):
        self.file, self.on_read = file, on_read
        self.text, self.at = "", 0

    def more(self) -> bool:
        """Read as much again as is still held, at least a chunk: an entry of n characters costs O(n)."""
        piece = self.file.read(max(CHUNK, len(self.text) - self.at))
        self.text, self.at = self.text[self.at :] + piece, 0
        self.on_read()
        return bool(piece)

    def peek(self) -> str:
        """The next character that is no white space; "" at the end of the file."""
        while True:
            self.at = _SPACE.match(self.text, self.at).end()
            if self.at < len(self.text):
                return self.text[self.at]
            if not self.more():
                return ""

    def take(self, allowed: str) -> str:
        """Step over the next character, which must be one of `allowed`."""
        found = self.peek()
        if not found or found not in allowed:
            raise json.JSONDecodeError(
                f"{' or '.join(allowed)} was expected, {found or 'the end'} came", self.text, self.at
            )
        self.at += 1
        return found

    def value(self) -> Any:
        """Decode the next value. One that reaches the window's end may go on beyond it: `1` of `12`."""
        self.peek()
        while True:
            try:
                value, end = _DECODER.raw_decode(self.text, self.at)
            except json.JSONDecodeError:
                if len(self.text) - self.at > LARGEST or not self.more():
                    raise
                continue
            length = end - self.at
            if end < len(self.text) or not self.more():
                self.at += length
                return value


def _entries(reader: _Reader) -> Iterator[tuple[str, Any]]:
    if reader.peek() == "[":
        for entry in _elements(reader):
            yield "", entry
    else:
        reader.take("{")
        going = reader.peek() != "}" or reader.take("}") != "}"
        while going:
            key = reader.value()
            reader.take(":")
            if reader.peek() == "[":
                for entry in _elements(reader):
                    yield key, entry
            else:
                yield key, reader.value()
            going = reader.take(",}") == ","
    if rest := reader.peek():
        raise json.JSONDecodeError(f"the end was expected, {rest} came", reader.text, reader.at)


def _elements(reader: _Reader) -> Iterator[Any]:
    reader.take("[")
    going = reader.peek() != "]" or reader.take("]") != "]"
    while going:
        yield reader.value()
        going = reader.take(",]") == ","
