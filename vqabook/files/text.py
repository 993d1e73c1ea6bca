"""Text that is the same under every locale and from every editor."""

import mmap
import os


def without_mark(text: bytes | memoryview | mmap.mmap) -> bytes | memoryview | mmap.mmap:
    """UTF-8 of a text without its byte order mark; a UTF-16 one, as PowerShell writes, is converted."""
    if text[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return bytes(text).decode("utf-16").encode()
    return memoryview(text)[3:] if text[:3] == b"\xef\xbb\xbf" else text


def portable(path: str | os.PathLike) -> str:
    """A path or name as UTF-8 has it: the same text under every locale, for hashes and for what is kept in files."""
    return os.fsencode(path).decode("utf-8", "replace")
