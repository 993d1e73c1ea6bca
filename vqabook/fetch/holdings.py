"""What lies below data_root, judged by the manifest and by the pin that a fetch left. Nothing here writes data.

The pin, `.NAME.fetched.json` in the set's folder, records source, date, and the size and sha256 of every file. It has
the only hash there is of a file whose hash nobody published. A read-only folder that no fetch filled is judged by the
manifest alone.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import zipfile
import zlib
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import h5py

from vqabook.features.store import check_numbers
from vqabook.fetch.manifest import DataSet, File, pick, read_manifest
from vqabook.fetch.sources import sha256

STATES = ("absent", "partial", "present", "verified", "altered")


def state(name: str, root: Path, *, manifest: Mapping[str, DataSet] | None = None, check: bool = False) -> str:
    """absent; partial: some of it, or a fetch under way; present: files of the right size, never verified here;
    verified: as a fetch left it; altered: not what the manifest or the pin says. `check` reads every byte.
    """
    entry = pick(name, read_manifest() if manifest is None else manifest)
    folder, pins = root / entry.folder, pins_of(entry, root)
    missing = [file for file in entry.files if find(folder, file) is None]
    if missing:
        begun = len(missing) < len(entry.files) or any(path.is_file() for path in staging(entry, root).rglob("*"))
        return "partial" if begun else "absent"
    if any(measure(entry, folder, pins)[0] if check else [quick(folder, file, pins) for file in entry.files]):
        return "altered"
    known = [file.path in pins or (check and file.sha256) for file in entry.files]
    return "verified" if all(known) else "present"


def verify(name: str, root: Path, *, manifest: Mapping[str, DataSet] | None = None) -> list[str]:
    """Read every file of the set; one sentence for each that is not as it should be."""
    entry = pick(name, read_manifest() if manifest is None else manifest)
    return measure(entry, root / entry.folder, pins_of(entry, root))[0]


def measure(entry: DataSet, folder: Path, pins: Mapping[str, dict]) -> tuple[list[str], dict[str, dict]]:
    """Read every file of the set once: what is wrong, and the size and sha256 (a folder's count) of the others.

    A file is compared with its published hash, else with its pin; one that has neither must be whole in its format.
    """
    faults, found = [], {}
    for file in entry.files:
        fault = quick(folder, file, pins)
        if fault is None:
            fault, found[file.path] = _read(find(folder, file), file, pins.get(file.path, {}))
        faults += [fault] if fault else []
    return faults, found


def need_folder(folder: Path) -> None:
    """Fail before the download rather than after it, if what it brings could not be moved into the folder."""
    if (folder.exists() or folder.is_symlink()) and not (folder.is_dir() and os.access(folder, os.W_OK)):
        raise OSError(
            f"the set's files go into {folder}, which is not a folder that you may write to; move it away or give "
            "another --data-root"
        )


def find(folder: Path, file: File) -> Path | None:
    """Where the file lies: under its name, or, as loaders read JSON, gzipped with .gz behind it."""
    path = folder / file.path
    if file.is_folder:
        return path if path.is_dir() else None
    names = (path.name, f"{path.name}.gz") if path.suffix == ".json" else (path.name,)
    return next((p for p in map(path.with_name, names) if p.is_file()), None)


def quick(folder: Path, file: File, pins: Mapping[str, dict]) -> str | None:
    """What is wrong with the file, as far as its size, or a folder's count, tells."""
    path = find(folder, file)
    if path is None:
        return f"{folder / file.path} is missing; fetch the set again"
    pin = pins.get(file.path, {})
    if file.is_folder:
        found, wanted = count(path), file.count or pin.get("count")
        if found == 0 or (wanted and found != wanted):
            return f"{path} should hold {wanted or 'some'} files, it holds {found}; fetch the set again"
        return None
    size, listed = path.stat().st_size, Path(file.path).name
    pinned = pin.get("bytes") if path.name == pin.get("file", listed) else None  # gzipped since, or unpacked
    wanted = pinned or (file.bytes if path.name == listed else None)
    if size == 0 or (wanted is not None and size != wanted):
        return f"{path} should have {wanted or 'some'} bytes, it has {size}; fetch the set again"
    return None


def _read(path: Path, file: File, pin: Mapping) -> tuple[str | None, dict]:
    if file.is_folder:
        return None, {"count": count(path)}
    wanted, whose = (file.sha256, "the published one") if file.sha256 else (pin.get("sha256"), "the first fetch's")
    fault = None if wanted else structure(path)
    try:
        found = content_sha256(path, file)
    except (OSError, EOFError, zlib.error) as error:
        return f"{path} is damaged ({error}); fetch the set again", {}
    if wanted and found != wanted:
        fault = f"{path} has sha256 {found}, not {whose}, {wanted}; fetch the set again"
    stand_in = {} if path.name == Path(file.path).name else {"file": path.name}
    return fault, {"bytes": path.stat().st_size, "sha256": found, **stand_in}


def content_sha256(path: Path, file: File) -> str:
    """sha256 of the file as listed: of a .gz that stands for a plain file, of what is in it."""
    if path.name == Path(file.path).name:
        return sha256(path)
    digest = hashlib.sha256()
    with gzip.open(path) as content:
        while block := content.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def structure(path: Path) -> str | None:
    """What is wrong with a file whose hash nobody published: is it whole as zip, gzip, JSON or HDF5?"""
    try:
        if path.suffix == ".gz":
            with gzip.open(path) as content:
                while content.read(1 << 20):
                    pass
        elif path.suffix == ".zip":
            with zipfile.ZipFile(path) as archive:
                if bad := archive.testzip():
                    raise ValueError(f"its member {bad} does")
        elif path.suffix == ".json":
            _brackets(path)
        elif path.suffix == ".h5":
            _arrays(path)
    except (OSError, EOFError, ValueError, zlib.error, zipfile.BadZipFile) as error:
        return f"{path} is cut off, damaged or no {path.suffix[1:]} file ({error}); fetch the set again"
    return None


def _arrays(path: Path) -> None:
    """An HDF5 file opens; if it holds region features, each of their numbers is finite and fits the others."""
    with h5py.File(path, "r") as file:
        features = "features" in file
    if features:
        check_numbers(path)


def _brackets(path: Path) -> None:
    """The ends of a JSON file: enough to tell half a file or a web page without 2 GB of memory."""
    with open(path, "rb") as file:
        head = file.read(64).lstrip(b"\xef\xbb\xbf \t\r\n")
        file.seek(max(0, path.stat().st_size - 64))
        tail = file.read().rstrip()
    if head[:1] + tail[-1:] not in (b"{}", b"[]"):
        raise ValueError(f"it begins with {head[:12]!r} and ends with {tail[-12:]!r}")


def count(folder: Path) -> int:
    """Files below the folder, hidden ones left out."""
    return sum(not name.startswith(".") for _, _, names in os.walk(folder) for name in names)


def staging(entry: DataSet, root: Path) -> Path:
    """Where a fetch of the set works."""
    return root / ".fetch" / entry.name


def pin_path(entry: DataSet, root: Path) -> Path:
    """Several sets may share a folder, so the pin carries the set's name."""
    return root / entry.folder / f".{entry.name}.fetched.json"


def pins_of(entry: DataSet, root: Path) -> dict[str, dict]:
    """path -> {"bytes", "sha256"} or {"count"}, as the last fetch left them; empty if none did."""
    try:
        pins = json.loads(pin_path(entry, root).read_text())["files"]
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    return pins if isinstance(pins, dict) else {}


def write_pin(entry: DataSet, root: Path, origin: str, files: Mapping[str, dict]) -> tuple[str, ...]:
    """Record what lies there now, as `measure` found it; the files of it whose hash nobody published."""
    pin = pin_path(entry, root)
    partial = pin.with_name(f"{pin.name}.partial")
    date = datetime.now(UTC).isoformat(timespec="seconds")
    content = {"set": entry.name, "origin": origin, "date": date, "files": files}
    partial.write_text(json.dumps(content, indent=1) + "\n")
    partial.replace(pin)
    return tuple(file.path for file in entry.files if not file.is_folder and file.sha256 is None)
