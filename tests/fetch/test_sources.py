"""Each kind of origin brings verified files or says in a sentence why not. Registries are played by small scripts."""

from __future__ import annotations

import hashlib
import sys
import zipfile
from pathlib import Path

import pytest

from vqabook.fetch import sources
from vqabook.fetch.manifest import Download, Origin
from vqabook.fetch.sources import bring, prepare
from vqabook.files import DiskFull

MB = 1 << 20
URL = Origin("url", (Download("https://example.org/a.zip"),))


@pytest.fixture
def bundle(tmp_path) -> Path:
    """What the registry has: an archive with a package's two files."""
    path = tmp_path / "registry" / "toy-1.0.zip"
    path.parent.mkdir()
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("package/data.json", "[1]")
        archive.writestr("package/README.md", "read me")
    return path


@pytest.fixture
def client(tmp_path, monkeypatch):
    """Put a script in the place of npm (found by PATH) and of pip (found by sys.executable)."""
    folder = tmp_path / "bin"
    folder.mkdir()

    def install(body: str) -> None:
        for name in ("npm", "python"):
            script = folder / name
            script.write_text(f'#!/bin/sh\necho "$@" >> {folder}/asked\nwhile [ $# -gt 1 ]; do case $1 in '
                              f'--pack-destination|--dest) to=$2;; esac; shift; done\n{body}\n')  # fmt: skip
            script.chmod(0o755)
        monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
        monkeypatch.setattr(sys, "executable", str(folder / "python"))

    return install


def package(kind: str, bundle: Path, **more) -> Origin:
    digest = hashlib.sha256(bundle.read_bytes()).hexdigest()
    return Origin(kind, package="toy", version="1.0", file=bundle.name, **{"sha256": digest, **more})


@pytest.fixture
def run(tmp_path, capsys):
    """Bring an origin; the files in its source folder, and what was said."""

    def call(origin: Origin) -> tuple[dict[str, str], list[str]]:
        folder = tmp_path / "work" / "source"
        bring(origin, tmp_path / "work" / "downloads", folder, limit_bytes=MB)
        return {
            p.relative_to(folder).as_posix(): p.read_text() for p in folder.rglob("*") if p.is_file()
        }, capsys.readouterr().err

    return call


@pytest.mark.parametrize("kind", ["npm", "pypi"])
def test_a_package_comes_through_its_ordinary_client(run, client, bundle, tmp_path, kind):
    client(f"cp {bundle} $to/")
    files, said = run(package(kind, bundle, keep=("package/*.json",), bytes=2_000_000))
    assert files == {"package/data.json": "[1]"}
    asked = (tmp_path / "bin" / "asked").read_text()
    expected = {"npm": "pack --ignore-scripts", "pypi": "-m pip download --no-deps --only-binary=:all:"}[kind]
    assert asked.startswith(expected) and asked.strip().endswith({"npm": "toy@1.0", "pypi": "toy==1.0"}[kind])
    assert said == (f"{'npm toy@1.0' if kind == 'npm' else 'pypi toy==1.0'}, 2 MB, through "
                    f"{'npm' if kind == 'npm' else 'pip'} ...\n")  # fmt: skip
    run(package(kind, bundle))  # it is here and right: the client is not asked again
    assert (tmp_path / "bin" / "asked").read_text() == asked


@pytest.mark.parametrize("kind", ["npm", "pypi"])
def test_a_package_comes_below_a_relative_root(client, bundle, tmp_path, monkeypatch, kind):
    client(f"cp {bundle} $to/")
    monkeypatch.chdir(tmp_path)
    work = Path("work")
    bring(package(kind, bundle), work / "downloads", work / "source", limit_bytes=MB)
    assert (tmp_path / "work" / "source" / "package" / "data.json").read_text() == "[1]"


@pytest.mark.parametrize("kind", ["npm", "pypi"])
def test_a_package_of_wrong_content_is_thrown_away(run, client, bundle, tmp_path, kind):
    client(f"cp {bundle} $to/")
    with pytest.raises(OSError, match=f"{kind} toy.*wrong content, sha256 [0-9a-f]{{64}} where 0{{64}} is meant"):
        run(package(kind, bundle, sha256="0" * 64))
    assert not (tmp_path / "work" / "downloads" / bundle.name).exists()


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ("echo 'npm error code E404\nnpm error 404 Not Found - GET toy\nnpm error A log is in /x' >&2; exit 1",
         "code E404; 404 Not Found - GET toy$"),
        ("echo 'npm error code ENOTFOUND\nnpm error network request failed' >&2; exit 1",
         "code ENOTFOUND; network request failed$"),
        ("echo 'WARNING: retrying\nERROR: No matching distribution found for toy==1.0' >&2; exit 1",
         "ERROR: No matching distribution found for toy==1.0$"),
        ("echo 'npm ERR! code E404\nnpm ERR! 404 Not Found - GET toy\nnpm ERR!     /x/_logs/debug-0.log' >&2; exit 1",
         "code E404; 404 Not Found - GET toy$"),  # npm 9
        ("echo 'npm error code ECONNREFUSED\nnpm error syscall connect\nnpm error FetchError: request to http://r/toy "
         "failed, reason: refused\nnpm error     at Client (/x.js:1)' >&2; exit 1",
         "code ECONNREFUSED; FetchError: request to http://r/toy failed, reason: refused$"),
        ("echo 'npm error code EACCES\nnpm error path /x\nnpm error Error: EACCES: permission denied' >&2; exit 1",
         "code EACCES; Error: EACCES: permission denied$"),
        ("echo 'WARNING: Retrying after connection broken by X\nERROR: Could not find a version that satisfies the "
         "requirement toy==1.0 (from versions: none)' >&2; exit 1",
         r"the package index cannot be reached \(no network\?\); ERROR: Could not find a version"),
        ("echo 'No module named pip' >&2; exit 1", "No module named pip$"),
        ("exit 3", "exit status 3$"),
        ("exit 0", "the client brought no toy-1.0.zip$"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("kind", ["npm", "pypi"])
def test_what_the_client_complains_of_is_told(run, client, bundle, kind, body, error):
    client(body)
    with pytest.raises(OSError, match=f"{kind} toy.*{error}"):
        run(package(kind, bundle))


def test_a_full_disk_of_the_client_stops_everything(run, client, bundle):
    client("echo 'npm error code ENOSPC' >&2; exit 1")
    with pytest.raises(DiskFull, match="is full"):
        run(package("npm", bundle))


def test_without_npm_it_is_said(run, bundle, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(OSError, match="npm is not installed"):
        run(package("npm", bundle))


def test_manual_is_its_instructions(run):
    with pytest.raises(OSError, match="^ask the authors$"):
        run(Origin("manual", text="ask the authors"))


def test_an_archive_that_its_reader_opens_is_kept_packed(run, bundle, monkeypatch):
    monkeypatch.setattr(sources, "download", lambda *_: bundle)
    packed = Origin("url", URL.downloads, packed="deep/er")
    bring(packed, bundle.parent / "downloads", bundle.parent / "source", limit_bytes=MB)
    assert (bundle.parent / "source" / "deep" / "er" / bundle.name).read_bytes() == bundle.read_bytes()


def test_sklearn_keeps_the_images_and_not_its_cache(run, monkeypatch):
    import sklearn.datasets

    def fetch(*, data_home, min_faces_per_person, n_retries):
        for name in ("joblib/cache", "lfw_funneled/A_B/A_B_0001.jpg", "pairs.txt"):
            path = Path(data_home) / "lfw_home" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(name)

    monkeypatch.setattr(sklearn.datasets, "fetch_lfw_people", fetch)
    assert run(Origin("sklearn", loader="fetch_lfw_people"))[0].keys() == {"lfw_funneled/A_B/A_B_0001.jpg", "pairs.txt"}

    def offline(**_):
        raise OSError("<urlopen error>")

    monkeypatch.setattr(sklearn.datasets, "fetch_lfw_people", offline)
    with pytest.raises(OSError, match="sklearn fetch_lfw_people: scikit-learn's download failed .*urlopen error"):
        run(Origin("sklearn", loader="fetch_lfw_people"))


def test_a_missing_package_says_what_to_install(run, monkeypatch, tmp_path):
    for name in ("sklearn", "requests"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(RuntimeError, match=r"needs the package scikit-learn.*pip install 'vqabook\[data\]'"):
        run(Origin("sklearn", loader="fetch_lfw_people"))
    with pytest.raises(RuntimeError, match=r"needs the package requests.*pip install 'vqabook\[data\]'"):
        run(URL)
    with pytest.raises(RuntimeError, match=r"needs the package no_such_module"):
        prepare("no_such_module:prepare", tmp_path, tmp_path)


def test_several_archives_share_one_limit(run, client, bundle, tmp_path, monkeypatch):
    twin = bundle.with_name("twin.zip")
    with zipfile.ZipFile(twin, "w") as archive:
        archive.writestr("more", bytes(MB))
    monkeypatch.setattr(sources, "download", lambda wanted, *_: twin if wanted is URL.downloads[0] else bundle)
    with pytest.raises(ValueError, match="twin.zip: it unpacks to more than"):
        run(Origin("url", (Download("https://example.org/b.zip"), *URL.downloads)))


def test_a_file_that_is_no_archive_is_taken_as_it_is(run, monkeypatch, tmp_path):
    plain = tmp_path / "vqacp.json"
    plain.write_text("[]")
    monkeypatch.setattr(sources, "download", lambda *_: plain)
    assert run(URL)[0] == {"vqacp.json": "[]"} and plain.exists()


def test_what_an_interrupted_preparation_left_is_kept_only_if_it_can_use_it(run, client, bundle, tmp_path):
    client(f"cp {bundle} $to/")
    for resumes in (False, True):
        run(package("npm", bundle, resumes=resumes))
        mark = tmp_path / "work" / "source" / "mark"
        mark.write_text("unpacked before")
        assert ("mark" in run(package("npm", bundle, resumes=resumes))[0]) == resumes
