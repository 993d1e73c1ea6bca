"""Archives from outside, unpacked as if they were hostile: nothing leaves the folder, nothing is larger than said."""

import contextlib
import gzip
import re
import shutil
import stat
import tarfile
import zipfile
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from io import BufferedIOBase
from pathlib import Path, PurePosixPath
from typing import cast

from vqabook.files import DAMAGED_ARCHIVE, is_hindrance
from vqabook.progress import Bar

BLOCK = 1 << 20
HEADER = 1 << 20  # of a long name or of attributes; Python's tarfile reads one into memory whole
TRAILER = 64 << 20  # what may follow the end of a tar
MEMBERS = 1_000_000  # the most, and no more than files of 512 bytes would fit, but FEW always may
FEW = 10_000
NAMED = (".zip", ".whl", ".tar", ".tgz", ".tar.gz", ".tar.bz2", ".tar.xz", ".7z", ".rar")
NAME, PATH, DEPTH = 255, 1000, 64  # bytes of a name and of a path, folders on it
Members = Iterator[tuple[str, BufferedIOBase | None]]  # name and content; folders have none


def is_archive(path: Path) -> bool:
    """Whether it is to be unpacked: an archive, or what its name says is one."""
    return kind_of(path) is not None or path.name.lower().endswith(NAMED)


def kind_of(path: Path) -> str | None:
    """zip or tar.gz, told by the content and not by the name; None for anything else."""
    with open(path, "rb") as file:
        head = file.read(4)
    if head in (b"PK\x03\x04", b"PK\x05\x06"):
        return "zip"
    if head[:2] != b"\x1f\x8b":
        return None
    try:
        with gzip.open(path) as file:
            return "tar.gz" if file.read(512)[257:262] == b"ustar" else None
    except DAMAGED_ARCHIVE as error:
        if is_hindrance(error):
            raise
        return "tar.gz"  # whatever it is, unpacking it says what is wrong


def unpack(
    archive: Path, target: Path, *, members: Sequence[str] = (), strip: str | None = None, limit_bytes: int
) -> list[Path]:
    """Write the members that match one of the patterns `members` (all, if there is none) below `target`; their paths.

    `strip`: a leading folder that their paths lose. Raises ValueError, and leaves nothing, for an archive with a link,
    a device, a path out of the folder, an over-long or unprintable name, a member twice, a password, damage (checksums
    are verified), too many members, or more than `limit_bytes` of content, counted while it is written.
    """
    kind = kind_of(archive)
    if kind is None:
        with open(archive, "rb") as file:
            begin = file.read(24)
        raise ValueError(
            f"an archive is zip or tar.gz: {archive.name} is neither, it begins with {begin!r}; fetch it again"
        )
    written: list[Path] = []
    left, most = limit_bytes, min(MEMBERS, max(FEW, limit_bytes // 512))
    bar = Bar(desc=f"unpack {archive.name}", unit="B", unit_scale=True, leave=False)
    try:
        if _bytes_of_list(archive) > most * (46 + NAME):  # a line of a zip's list is 46 bytes and a name
            raise ValueError(f"it has more than {most:,} members and folders")
        with bar, _all_or_none(written, target):
            for path, source in _check(WALKS[kind](archive, target), most):
                if members and not any(fnmatchcase(path, pattern) for pattern in members):
                    continue
                path = path.removeprefix(f"{strip.strip('/')}/") if strip else path
                left = _write(source, target / path, left, bar, written)
                if left < 0:
                    raise ValueError(f"it unpacks to more than {limit_bytes:,} bytes, the most that this set may take")
    except (ValueError, NotImplementedError, tarfile.FilterError) as error:  # zipfile raises the second
        raise ValueError(
            f"archives are unpacked only if every member is a plain file inside the folder: {archive.name}: {error}; "
            "nothing of it is used"
        ) from error
    except DAMAGED_ARCHIVE as error:
        if is_hindrance(error):
            raise
        raise ValueError(
            f"an archive must be whole: {archive.name} is damaged or cut off ({error}); fetch it again"
        ) from error
    if members and not written:
        raise ValueError(
            f"{archive.name} should hold {', '.join(members)}: it has no such member; its layout changed, or it is "
            "another archive"
        )
    return written


@contextlib.contextmanager
def _all_or_none(written: Sequence[Path], target: Path) -> Iterator[None]:
    """If the block fails, remove the files that it wrote, and the folders that they leave empty, `target` too."""
    try:
        yield
    except BaseException:
        for path in written:
            path.unlink()
        for folder in sorted({folder for path in written for folder in path.parents}, reverse=True):
            if folder.is_relative_to(target):
                with contextlib.suppress(OSError):  # it has other files
                    folder.rmdir()
        raise


def _bytes_of_list(archive: Path) -> int:
    """How long a zip says that its list of members is, which Python's zipfile reads into memory whole; 0 for a tar."""
    with open(archive, "rb") as file:
        file.seek(max(0, archive.stat().st_size - (1 << 16) - 98))
        tail = file.read()
    end = tail.rfind(b"PK\x05\x06")
    if end < 0:
        return 0
    long = tail[max(0, end - 76) : end]  # zip64: a record of 56 bytes, then 20 that say where it is
    at, size = (long, slice(40, 48)) if long.startswith(b"PK\x06\x06") else (tail[end:], slice(12, 16))
    return int.from_bytes(at[size], "little")


def _walk_zip(archive: Path, target: Path) -> Members:
    with zipfile.ZipFile(archive) as whole:
        for info in whole.infolist():
            if stat.S_IFMT(info.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise ValueError(f"{info.filename!r} is a link or a device")
            if info.flag_bits & 1:
                raise ValueError(f"{info.filename!r} is encrypted")
            yield info.filename, None if info.filename.endswith("/") else cast(BufferedIOBase, whole.open(info))


class _Member(tarfile.TarInfo):
    """A tar header that is no bomb itself: what describes the next member is small."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> "_Member":
        """As tarfile's. Raises tarfile.ReadError for a description larger than HEADER."""
        member = super().frombuf(buf, encoding, errors)
        if member.size > HEADER and not member.isreg():
            raise tarfile.ReadError(f"a header of {member.size:,} bytes")
        return member


def _walk_tar(archive: Path, target: Path) -> Members:
    with gzip.open(archive) as stream:
        # As a stream, so that nothing is trusted before it is read; the rest is read for gzip's checksum at the end.
        with tarfile.open(fileobj=stream, mode="r|", tarinfo=_Member) as whole:
            for member in whole:
                _check_name(member.name)
                tarfile.data_filter(member, str(target))  # refuses devices, and what ends outside the folder
                if member.issym() or member.islnk():
                    raise ValueError(f"{member.name!r} is a link")
                yield member.name, cast(BufferedIOBase | None, whole.extractfile(member))
        rest = 0
        while block := stream.read(BLOCK):
            rest += len(block)
            if rest > TRAILER:
                raise ValueError("much follows its end")


def _check(members: Members, most: int) -> Iterator[tuple[str, BufferedIOBase]]:
    """The files, each path in one form, if it is a portable one inside the folder, and new."""
    seen: set[str] = set()
    folders: set[PurePosixPath] = set()
    for n, (name, source) in enumerate(members, start=1):
        _check_name(name)
        path = PurePosixPath(name)
        folders.update(path.parents)
        if n + len(folders) - 1 > most:  # without the folder itself
            raise ValueError(f"it has more than {most:,} members and folders")
        if ".." in path.parts or (source and not path.parts):
            raise ValueError(f"{name!r} climbs out of the folder")
        if str(path) in seen:
            raise ValueError(f"{name!r} is in it twice")
        if source:
            seen.add(str(path))
            yield str(path), source


def _check_name(name: str) -> None:
    """Raise ValueError for what is no relative, printable path that every file system takes."""
    parts = [part.encode(errors="surrogateescape") for part in PurePosixPath(name).parts]
    if len(parts) > DEPTH or max(map(len, parts), default=0) > NAME or sum(map(len, parts)) + len(parts) > PATH:
        raise ValueError(f"{name[:60]!r}... is over-long: a name has {NAME} bytes at most, a path {PATH}, {DEPTH} deep")
    if not name.isprintable():
        raise ValueError(f"{name!r} has control or other characters that cannot be shown")
    if name.startswith("/") or "\\" in name or re.match("[A-Za-z]:", name):
        raise ValueError(f"{name!r} is an absolute path or not a portable one")


def _write(source: BufferedIOBase, path: Path, left: int, bar: Bar, written: list[Path]) -> int:
    """Copy at most `left` bytes; how many are left then, less than none if there were more. `written` gets the path."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "xb") as out:
            written.append(path)
            while left >= 0 and (block := source.read(BLOCK)):
                out.write(block[:left])
                left -= len(block)
                bar.update(len(block))
    except (FileExistsError, NotADirectoryError, IsADirectoryError):
        raise ValueError(f"{path.name!r} is in it twice, or is a file and a folder") from None
    return left


WALKS = {"zip": _walk_zip, "tar.gz": _walk_tar}  # by `kind_of`


def clear(folder: Path) -> Path:
    """The folder, empty."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder
