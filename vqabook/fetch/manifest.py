"""`manifest.toml` as dataclasses: every data set's files, licence, and where it can be had, in order of trust.

A download's `sha256` is there only where someone published it; what nobody published is pinned by the first fetch.
"""

import tomllib
from collections.abc import Mapping
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import PurePosixPath
from typing import Annotated, Literal

from pydantic import AfterValidator, ConfigDict, Field, StrictBool, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from vqabook.files import tell_damage, without_mark

MANIFEST = resources.files("vqabook.fetch") / "manifest.toml"
Kind = Literal["url", "pypi", "npm", "sklearn", "manual"]
# kind of origin -> the keys that it must have
KINDS: dict[Kind, tuple[str, ...]] = {
    "url": ("downloads",),
    "pypi": ("package", "version", "file"),
    "npm": ("package", "version", "file"),
    "sklearn": ("loader",),
    "manual": ("text",),
}


def _inside(path: str) -> str:
    parts = PurePosixPath(path).parts
    if not parts or path.startswith("/") or ".." in parts or "\\" in path:
        raise ValueError("a path stays below its folder")
    return path


Text = Annotated[str, Field(min_length=1)]
Inside = Annotated[str, AfterValidator(_inside)]
Count = Annotated[int, Field(strict=True, ge=0)]
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
Function = Annotated[str, Field(pattern=r"^[\w.]+:\w+$")]  # module:function
STRICT = ConfigDict(extra="forbid")


@dataclass(frozen=True, config=STRICT)
class File:
    """A file of a set where its loader looks for it, or, if `path` ends in "/", a folder with `count` files.

    A file without `sha256` differs from one fetch to the next (made here), or nobody published its hash.
    """

    path: Inside
    sha256: Sha256 | None = None
    bytes: Count | None = None
    count: Count | None = None

    def __post_init__(self):
        if self.count is not None and not self.is_folder:
            raise ValueError(f"count belongs to a folder, whose path ends in /, not to {self.path!r}")
        if self.sha256 is not None and self.is_folder:
            raise ValueError(f"sha256 belongs to a file, not to the folder {self.path!r}")

    @property
    def is_folder(self) -> bool:
        return self.path.endswith("/")


@dataclass(frozen=True, config=STRICT)
class Download:
    """One file to be brought by HTTP. `bytes` is exact where given."""

    url: Annotated[str, Field(pattern="^https?://[^/]+/.*[^/]$")]
    sha256: Sha256 | None = None
    bytes: Count | None = None

    @property
    def file(self) -> str:
        return self.url.split("?")[0].rsplit("/", 1)[-1]


@dataclass(frozen=True, config=STRICT)
class Origin:
    """One way to a set. Of its archives the members that match `keep` are unpacked, without the leading folder `strip`;
    `packed`: a folder of the set where they are kept as they come.

    `unpacked` caps what an archive may write, in bytes; `prepare` ("module:function") turns the unpacked files into the
    set's own; with `resumes` it finds in its target what an interrupted call of itself left there.
    """

    kind: Kind
    downloads: tuple[Download, ...] = ()
    package: str = ""
    version: str = ""
    file: Inside | None = None
    sha256: Sha256 | None = None
    bytes: Count | None = None
    loader: str = ""
    text: str = ""
    keep: tuple[str, ...] = ()
    strip: str | None = None
    unpacked: Count | None = None
    prepare: Function | None = None
    resumes: StrictBool = False
    packed: Inside | None = None

    def __post_init__(self):
        if missing := [key for key in KINDS[self.kind] if not getattr(self, key)]:
            raise ValueError(f"{' and '.join(missing)} must be there for kind {self.kind!r}")

    @property
    def label(self) -> str:
        """Short, for people: what is asked for where."""
        hosts = dict.fromkeys(download.url.split("/")[2] for download in self.downloads)
        version = f"{'==' if self.kind == 'pypi' else '@'}{self.version}" if self.version else ""
        return f"{self.kind} {', '.join(hosts) or self.package + version or self.loader}".strip()


@dataclass(frozen=True, config=STRICT)
class DataSet:
    """An entry of the manifest. `folder` lies below data_root; `download` and `bytes` (on disk) are about right.

    `describe` ("module:function") gives the set's description.
    """

    name: Annotated[str, Field(pattern="^[a-z0-9_]+$")]
    title: Text
    what: Text
    licence: Text
    homepage: Text
    folder: Inside
    download: Count
    bytes: Count
    files: Annotated[tuple[File, ...], Field(min_length=1)]
    origins: Annotated[tuple[Origin, ...], Field(min_length=1)]
    papers: tuple[str, ...] = ()
    note: str = ""
    subset_of: str | None = None
    describe: Function | None = None

    def __post_init__(self):
        paths = [file.path for file in self.files]
        if len(set(paths)) < len(paths):
            raise ValueError(f"files has every path once, got {', '.join(paths)}")

    @property
    def size(self) -> str:
        """For people: what is downloaded, and what then lies on the disk."""
        return f"{human(self.download)} -> {human(self.bytes)}"


def human(n: int) -> str:
    """Bytes for people: 184 MB."""
    power = min(3, (len(str(n)) - 1) // 3)
    short = n / 1000**power
    return f"{short:.{int(power > 0 and short < 9.95)}f} {('B', 'kB', 'MB', 'GB')[power]}"


def read_manifest(path: Traversable = MANIFEST) -> dict[str, DataSet]:
    """Every set of the manifest by name. Raises ValueError naming the set and the key of a malformed entry."""
    if not path.is_file():
        raise FileNotFoundError(
            f"the data sets are listed in {path}, which does not exist; it comes with the package: install it again"
        )
    damage = (tomllib.TOMLDecodeError, UnicodeDecodeError)
    with tell_damage(str(path), "the manifest is TOML", *damage, advice="correct it or install vqabook anew"):
        content = tomllib.loads(bytes(without_mark(path.read_bytes())).decode())
    named = {name: {"name": name} | entry if isinstance(entry, dict) else entry for name, entry in content.items()}
    try:
        sets = TypeAdapter(dict[str, DataSet]).validate_python(named)
    except ValidationError as error:
        raise ValueError(_sentence(**error.errors()[0])) from None
    for name, entry in sets.items():
        if entry.name != name:
            raise ValueError(_sentence((name, "name"), "is the table's own", entry.name))
        if entry.subset_of not in {None, *sets}:
            raise ValueError(_sentence((name, "subset_of"), "names another set of the manifest", entry.subset_of))
    return sets


def _sentence(loc: tuple, msg: str, input: object, **_: object) -> str:
    """One error of pydantic's: the set, the key, the rule and, if it is short, what came."""
    name, *keys = loc
    key = f"{'.'.join(map(str, keys))}: " if keys else ""
    came = "" if isinstance(input, dict) else f", got {input!r}"
    return f"manifest, set {name!r}: {key}{msg.removeprefix('Value error, ')}{came}; correct fetch/manifest.toml"


def pick(name: str, sets: Mapping[str, DataSet]) -> DataSet:
    """The set called `name`. Raises ValueError with the known names."""
    if name not in sets:
        raise ValueError(f"data sets are {', '.join(sets)}; got {name!r}: check the spelling")
    return sets[name]
