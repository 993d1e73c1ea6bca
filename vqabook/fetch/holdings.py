"""What lies below data_root, judged by the manifest and by the pin that a fetch left. Nothing here writes data.

The pin, `.NAME.fetched.json` in the set's folder, records source, date, and the size and sha256 of every file. It has
the only hash there is of a file whose hash nobody published. A read-only folder that no fetch filled is judged by the
manifest alone.
"""

import json
import zipfile
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import h5py

from vqabook.features.file import check_numbers
from vqabook.fetch.download import sha256
from vqabook.fetch.manifest import DataSet, File, human
from vqabook.files import DAMAGED_ARCHIVE, damage_of, files_below, is_hindrance, tell_damage, written_whole

SMALL = 1 << 16  # bytes that a server's answer may have
DAMAGED_FILE: tuple[type[Exception], ...] = (*DAMAGED_ARCHIVE, ValueError)  # JSON's and HDF5's, too
ANSWER = {"error", "errors", "message", "detail", "fault"}  # a key of its object


def state(entry: DataSet, root: Path) -> str:
    """absent; partial: some of it, or a fetch under way; present: files of the right size, never verified here;
    verified: as a fetch left it, by size; altered: not what the manifest or the pin says.
    """
    folder, pins = root / entry.folder, pins_of(entry, root)
    missing = [file for file in entry.files if find(folder, file) is None]
    if missing:
        begun = len(missing) < len(entry.files) or any(files_below(staging(entry, root)))
        return "partial" if begun else "absent"
    if any(quick(folder, file, pins) for file in entry.files):
        return "altered"
    return "verified" if all(file.path in pins for file in entry.files) else "present"


def measure(entry: DataSet, folder: Path, pins: Mapping[str, dict]) -> tuple[list[str], dict[str, dict]]:
    """Read every file of the set once: what is wrong, and the size and sha256 (a folder's count) of the others.

    A file is compared with its published hash, else with its pin; one that has neither must be whole in its format, no
    server's answer, and not a hundred times smaller than the set's files are. Raises OSError for one that the system
    does not let you read.
    """
    faults, sizes = [], {}
    for file in entry.files:
        path = find(folder, file)
        fault = quick(folder, file, pins) or _is_too_small(entry, folder, file, pins)
        if path is not None and fault is None:
            fault, sizes[file.path] = _read(path, file, pins.get(file.path, {}))
        faults += [fault] if fault else []
    return faults, sizes


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
        n, wanted = count(path), file.count or pin.get("count")
        if n == 0 or (wanted and n != wanted):
            return f"{path} should hold {wanted or 'some'} files, it holds {n}; fetch the set again"
        return None
    size, listed = path.stat().st_size, Path(file.path).name
    pinned = pin.get("bytes") if path.name == pin.get("file", listed) else None  # gzipped since, or unpacked
    wanted = pinned or (file.bytes if path.name == listed else None)
    if size == 0 or (wanted is not None and size != wanted):
        return f"{path} should have {wanted or 'some'} bytes, it has {size}; fetch the set again"
    return None


def _is_too_small(entry: DataSet, folder: Path, file: File, pins: Mapping[str, dict]) -> str | None:
    """Whether a file of which nothing else is known can only be an error page, or some of the file."""
    path, least = find(folder, file), entry.bytes // (100 * len(entry.files))
    if path is None or file.is_folder or path.suffix == ".gz":
        return None
    if file.sha256 or file.bytes is not None or file.path in pins:
        return None
    size = path.stat().st_size
    return (
        f"{path} should have {human(least)} at least, it has {human(size)}; fetch the set again"
        if size < least
        else None
    )


def _read(path: Path, file: File, pin: Mapping) -> tuple[str | None, dict]:
    if file.is_folder:
        return None, {"count": count(path)}
    with tell_damage(path, "a file of the set can be read"):
        open(path, "rb").close()
    wanted, whose = (file.sha256, "the published one") if file.sha256 else (pin.get("sha256"), "the first fetch's")
    fault = None if wanted else structure(path)
    stand_in = {} if path.name == Path(file.path).name else {"file": path.name}
    try:
        digest = sha256(path, unpacked=bool(stand_in))
    except DAMAGED_ARCHIVE as error:
        if is_hindrance(error):
            raise
        return f"{path} is damaged ({error}); fetch the set again", {}
    if wanted and digest != wanted:
        fault = f"{path} has sha256 {digest}, not {whose}, {wanted}; fetch the set again"
    return fault, {"bytes": path.stat().st_size, "sha256": digest, **stand_in}


def structure(path: Path) -> str | None:
    """What is wrong with a file whose hash nobody published: is it whole as zip, gzip, JSON or HDF5?

    Region features must be finite too, and fit each other.
    """
    try:
        if path.suffix == ".gz":
            sha256(path, unpacked=True)
        elif path.suffix == ".zip":
            with zipfile.ZipFile(path) as archive:
                if bad := archive.testzip():
                    raise ValueError(f"its member {bad} does")
        elif path.suffix == ".json":
            _check_json(path)
        elif path.suffix == ".h5":
            with h5py.File(path, "r") as file:
                features = "features" in file
            if features:
                check_numbers(path)
    except DAMAGED_FILE as error:
        if is_hindrance(error):
            raise
        return f"{path} is cut off, damaged or no {path.suffix[1:]} file ({error}); fetch the set again"
    return None


def _check_json(path: Path) -> None:
    """The ends of a JSON file: enough to tell half a file or a web page without 2 GB of memory; all of a small one."""
    with open(path, "rb") as file:
        head = file.read(64).lstrip(b"\xef\xbb\xbf \t\r\n")
        file.seek(max(0, path.stat().st_size - 64))
        tail = file.read().rstrip()
    if head[:1] + tail[-1:] not in (b"{}", b"[]"):
        raise ValueError(f"it begins with {head[:12]!r} and ends with {tail[-12:]!r}")
    if path.stat().st_size < SMALL:
        content = json.loads(path.read_bytes())
        if isinstance(content, dict) and ANSWER & {str(key).lower() for key in content}:
            raise ValueError(f"it is a server's answer: {str(content)[:80]}")


def count(folder: Path) -> int:
    """Files below the folder, hidden ones left out."""
    return sum(not path.name.startswith(".") for path in files_below(folder))


def staging(entry: DataSet, root: Path) -> Path:
    """Where a fetch of the set works."""
    return root / ".fetch" / entry.name


def pin_path(entry: DataSet, root: Path) -> Path:
    """Several sets may share a folder, so the pin carries the set's name."""
    return root / entry.folder / f".{entry.name}.fetched.json"


def pins_of(entry: DataSet, root: Path) -> dict[str, dict]:
    """path -> {"bytes", "sha256"} or {"count"}, as the last fetch left them; empty if none did."""
    path = pin_path(entry, root)
    try:
        pins = json.loads(path.read_bytes())["files"]
    except Exception as error:  # whatever damaged bytes lead to
        damage_of(path, error)  # without it, a file whose hash nobody published would pass whatever it holds
        return {}
    return pins if isinstance(pins, dict) else {}


def write_pin(entry: DataSet, root: Path, origin: str, files: Mapping[str, dict]) -> tuple[str, ...]:
    """Record what lies there now, as `measure` found it; the files of it whose hash nobody published."""
    date = datetime.now(UTC).isoformat(timespec="seconds")
    content = {"set": entry.name, "origin": origin, "date": date, "files": files}
    with written_whole(pin_path(entry, root)) as partial:
        partial.write_text(json.dumps(content, indent=1) + "\n", "utf-8")
    return tuple(file.path for file in entry.files if not file.is_folder and file.sha256 is None)
