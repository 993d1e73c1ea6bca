"""Archives from outside, unpacked as if they were hostile: nothing leaves the folder, nothing is larger than said."""

from __future__ import annotations

import gzip
import lzma
import re
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from io import BufferedIOBase
from pathlib import Path, PurePosixPath

from tqdm import tqdm

BLOCK = 1 << 20
HEADER = 1 << 20  # of a long name or of attributes; Python's tarfile reads one into memory whole
_DAMAGE = (zipfile.BadZipFile, tarfile.TarError, gzip.BadGzipFile, zlib.error, lzma.LZMAError, EOFError)


def kind_of(path: Path) -> str | None:
    """zip, tar, tar.gz or gz, told by the content and not by the name; None for anything else."""
    with open(path, "rb") as file:
        head = file.read(512)
    if head[:4] in (b"PK\x03\x04", b"PK\x05\x06"):
        return "zip"
    if head[257:262] == b"ustar":
        return "tar"
    if head[:2] != b"\x1f\x8b":
        return None
    try:
        with gzip.open(path) as file:
            return "tar.gz" if file.read(512)[257:262] == b"ustar" else "gz"
    except _DAMAGE:
        return "gz"


def unpack(
    archive: Path, target: Path, *, members: Sequence[str] = (), strip: str | None = None, limit_bytes: int
) -> list[Path]:
    """Write the members that match one of the patterns `members` (all, if there is none) below `target`; their paths.

    `strip`: a leading folder that their paths lose. A .gz of one file is that file. Raises ValueError for an archive
    with a link, a device, a path out of the folder, a member twice, a password, damage (checksums are verified), or
    more than `limit_bytes` of content, counted while it is written.
    """
    kind = kind_of(archive)
    walk = {"zip": _zip, "tar": _tar, "tar.gz": _tar, "gz": _gz}.get(kind or "")
    if walk is None:
        raise ValueError(f"an archive is zip, tar, tar.gz or gz: {archive.name} is none of them; fetch it again")
    seen: set[str] = set()
    written: list[Path] = []
    left = limit_bytes
    bar = tqdm(desc=f"unpack {archive.name}", unit="B", unit_scale=True, disable=None, leave=False)
    try:
        with bar:
            for name, source in walk(archive):
                path = _checked(archive, name, seen)
                if members and not any(fnmatchcase(path, pattern) for pattern in members):
                    continue
                if strip and path.startswith(f"{strip.strip('/')}/"):
                    path = path[len(strip.strip("/")) + 1 :]
                written.append(target / path)
                left = _write(archive, source, target / path, left, limit_bytes, bar)
    except _DAMAGE as error:
        raise ValueError(
            f"an archive must be whole: {archive.name} is damaged or cut off ({error}); fetch it again"
        ) from error
    if members and not written:
        raise ValueError(
            f"{archive.name} should hold {', '.join(members)}: it has no such member; its layout changed, or it is "
            "another archive"
        )
    return written


def _zip(archive: Path) -> Iterator[tuple[str, BufferedIOBase]]:
    with zipfile.ZipFile(archive) as whole:
        for info in whole.infolist():
            mode = info.external_attr >> 16
            if mode and stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise _refused(archive, f"{info.filename!r} is a link or a device")
            if info.flag_bits & 1:
                raise _refused(archive, f"{info.filename!r} is encrypted")
            if info.filename and info.is_dir():
                _checked(archive, info.filename.rstrip("/"), set())
                continue
            try:
                with whole.open(info) as source:
                    yield info.filename, source
            except NotImplementedError as error:
                raise _refused(archive, f"{info.filename!r} is packed in a way that Python cannot read") from error


class _Member(tarfile.TarInfo):
    """A tar header that is no bomb itself: what describes the next member is small."""

    @classmethod
    def frombuf(cls, buf: bytes, encoding: str, errors: str) -> tarfile.TarInfo:
        """As tarfile's. Raises tarfile.ReadError for a description larger than HEADER."""
        found = super().frombuf(buf, encoding, errors)
        if found.size > HEADER and found.type in _DESCRIPTIONS:
            raise tarfile.ReadError(f"a header of {found.size:,} bytes")
        return found


_DESCRIPTIONS = (
    *(tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE),
    *(tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK),
)


def _tar(archive: Path) -> Iterator[tuple[str, BufferedIOBase]]:
    opener = gzip.open if kind_of(archive) == "tar.gz" else open
    with opener(archive, "rb") as stream:
        # As a stream, so that nothing is trusted before it is read; the rest is read for gzip's checksum at the end.
        with tarfile.open(fileobj=stream, mode="r|", tarinfo=_Member) as whole:
            for member in whole:
                if member.isdir():
                    _checked(archive, member.name, set())
                elif not member.isreg():
                    raise _refused(archive, f"{member.name!r} is a link or a device")
                else:
                    yield member.name, whole.extractfile(member)
        rest = 0
        while block := stream.read(BLOCK):
            rest += len(block)
            if rest > 64 * BLOCK:
                raise _refused(archive, "much follows its end")


def _gz(archive: Path) -> Iterator[tuple[str, BufferedIOBase]]:
    with gzip.open(archive) as source:
        yield archive.name.removesuffix(".gz"), source


def _checked(archive: Path, name: str, seen: set[str]) -> str:
    """The member's path in one form, if it is inside the folder and new."""
    if name.startswith("/") or "\\" in name or "\0" in name or re.match("[A-Za-z]:", name):
        raise _refused(archive, f"{name!r} is an absolute path or not a portable one")
    parts = PurePosixPath(name).parts
    if ".." in parts or (not parts and name not in (".", "./")):
        raise _refused(archive, f"{name!r} climbs out of the folder")
    path = "/".join(parts)
    if path in seen:
        raise _refused(archive, f"{name!r} is in it twice")
    seen.add(path)
    return path


def _write(archive: Path, source: BufferedIOBase, path: Path, left: int, limit: int, bar: tqdm) -> int:
    """Copy at most `left` bytes; how many are left then."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "xb") as out:
            while block := source.read(BLOCK):
                left -= len(block)
                if left < 0:
                    raise _refused(archive, f"it unpacks to more than {limit:,} bytes, the most that this set may take")
                out.write(block)
                bar.update(len(block))
    except (FileExistsError, NotADirectoryError, IsADirectoryError):
        raise _refused(archive, f"{path.name!r} is in it twice, or is a file and a folder") from None
    return left


def _refused(archive: Path, why: str) -> ValueError:
    return ValueError(
        f"archives are unpacked only if every member is a plain file inside the folder: {archive.name}: {why}; "
        "nothing of it is used"
    )


def clear(folder: Path) -> Path:
    """The folder, empty."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder
