"""A set comes whole from the first source that gives it, once, whatever interrupts; nothing of the user's is lost."""

from __future__ import annotations

import errno
import functools
import hashlib
import http.server
import io
import json
import os
import shutil
import subprocess
import sys
import threading
import time
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from vqabook.fetch import fetch as module
from vqabook.fetch.fetch import fetch, place
from vqabook.fetch.holdings import measure, pins_of, staging, state
from vqabook.fetch.manifest import DataSet, Download, File, Origin
from vqabook.files import DiskFull, NotWritable

TEXT = b'[{"question_id": 1}]'
SHA256 = hashlib.sha256(TEXT).hexdigest()


def prepare_upper(source: Path, target: Path) -> None:
    """A preparation for these tests: what came, in capitals."""
    (target / "questions.json").write_bytes((source / "questions.json").read_bytes().upper())


def prepare_plain(source: Path, target: Path) -> None:
    """Another, of a file that comes under another name."""
    shutil.copyfile(source / "plain.json", target / "questions.json")


def prepare_once(source: Path, target: Path) -> None:
    """Another, which keeps what an interrupted call of itself left."""
    if not (target / "questions.json").exists():
        prepare_upper(source, target)


class Counting(http.server.SimpleHTTPRequestHandler):
    """Serves a folder and notes what was asked for."""

    def do_GET(self):
        self.server.asked.append(self.path)
        super().do_GET()

    def log_message(self, *_):
        pass


@pytest.fixture
def server(tmp_path):
    """A server of tmp_path/served with toy.zip (questions.json and two images) and other.zip (something else)."""
    folder = tmp_path / "served"
    folder.mkdir()
    members = {"top/questions.json": TEXT, "top/images/0.png": b"0", "top/images/1.png": b"1", "top/README": b"no"}
    for name, content in {"toy": members, "other": {"top/questions.json": b"[]"}}.items():
        with zipfile.ZipFile(folder / f"{name}.zip", "w") as archive:
            for member, text in content.items():
                archive.writestr(member, text)
    handler = functools.partial(Counting, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        running.asked, running.folder = [], folder
        threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        running.url = f"http://127.0.0.1:{running.server_port}"
        yield running
        running.shutdown()


@pytest.fixture
def toy(server):
    """The set, as it comes from these files of the server in turn."""

    def make(*names: str, files=None, **more) -> dict[str, DataSet]:
        values = {"keep": ("top/questions.json", "top/images/*"), "strip": "top", "unpacked": 1000} | more
        origins = tuple(Origin("url", (Download(f"{server.url}/{name}"),), **values) for name in names)
        files = files or (File("questions.json", sha256=SHA256), File("images/", count=2))
        return {"toy": DataSet("toy", "Toy", "a toy", "MIT", "-", "toy", 1000, 100, files, origins)}

    return make


@pytest.fixture
def root(tmp_path):
    return tmp_path / "data"


def tree(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*")
            if p.is_file() and not p.name.startswith(".")}  # fmt: skip


WHOLE = {"questions.json": TEXT, "images/0.png": b"0", "images/1.png": b"1"}


def test_a_set_is_fetched_once(toy, server, root):
    sets = toy("toy.zip")
    got = fetch("toy", root, manifest=sets)
    assert (got.name, got.bytes, got.pinned, got.aside) == ("toy", len(TEXT) + 2, (), ())
    assert got.origin == f"url 127.0.0.1:{server.server_port}"
    assert tree(root / "toy") == WHOLE and state(sets["toy"], root) == "verified"
    assert not staging(sets["toy"], root).exists()
    assert fetch("toy", root, manifest=sets).origin == "already there"
    assert fetch("toy", root, manifest=sets, check=True).origin == "already there"
    assert server.asked == ["/toy.zip"]


def test_the_next_source_is_tried(toy, server, root, capsys):
    got = fetch("toy", root, manifest=toy("missing.zip", "other.zip", "toy.zip"))
    assert tree(root / "toy") == WHOLE and got.bytes == len(TEXT) + 2
    told = capsys.readouterr().err
    assert "missing.zip: the server answers 404" in told
    assert "has sha256" in told and "it did not bring what was meant" in told


def test_if_none_gives_it_every_reason_is_told(toy, server, root):
    sets = toy("missing.zip", "other.zip")
    manual = Origin("manual", text="by hand: ask the authors")
    sets["toy"] = DataSet(**{**vars(sets["toy"]), "origins": (*sets["toy"].origins, manual)})
    with pytest.raises(RuntimeError) as error:
        fetch("toy", root, manifest=sets)
    first, *reasons, last = str(error.value).splitlines()
    assert first == "toy could not be fetched; every source was tried:"
    assert [word in line for word, line in zip(("404", "sha256", "ask the authors"), reasons, strict=True)] == [
        True
    ] * 3
    assert "(questions.json, images/; archives unpacked)" in last
    assert last.endswith("vqabook data verify toy") and str(root / "toy") in last
    assert not (root / "toy").exists()


def test_no_network(toy, server, root):
    server.shutdown()
    server.server_close()
    with pytest.raises(RuntimeError, match=r"(?s)toy.zip: the connection was refused.*other.zip: the connection was"):
        fetch("toy", root, manifest=toy("toy.zip", "other.zip"))


def test_a_set_without_published_hash_is_pinned(toy, server, root):
    sets = toy("toy.zip", files=(File("questions.json"), File("images/")))
    assert fetch("toy", root, manifest=sets).pinned == ("questions.json",)
    pins = pins_of(sets["toy"], root)
    assert pins == {"questions.json": {"bytes": len(TEXT), "sha256": SHA256}, "images/": {"count": 2}}
    (root / "toy" / "questions.json").write_bytes(TEXT.replace(b"1", b"2"))
    assert len(measure(sets["toy"], root / "toy", pins_of(sets["toy"], root))[0]) == 1


def test_a_preparation_makes_the_files(toy, root, monkeypatch):
    monkeypatch.setitem(sys.modules, "toy_preparation", sys.modules[__name__])
    files = (File("questions.json", sha256=hashlib.sha256(TEXT.upper()).hexdigest()),)
    fetch("toy", root, manifest=toy("toy.zip", files=files, prepare="toy_preparation:prepare_upper"))
    assert tree(root / "toy") == {"questions.json": TEXT.upper()}


def test_a_users_own_file_in_the_way_is_kept_aside(toy, root):
    (root / "toy" / "images").mkdir(parents=True)
    (root / "toy" / "questions.json").write_text("mine")
    (root / "toy" / "images" / "mine.png").write_text("mine")
    (root / "toy" / "notes.txt").write_text("mine")
    sets = toy("toy.zip", files=(File("questions.json", sha256=SHA256, bytes=len(TEXT)), File("images/")))
    got = fetch("toy", root, manifest=sets)
    assert got.aside == (root / "toy" / "questions.json.old",)
    mine = {"questions.json.old": b"mine", "images/mine.png": b"mine", "notes.txt": b"mine"}
    assert tree(root / "toy") == WHOLE | mine


def test_what_someone_put_there_is_adopted(toy, server, root):
    (root / "toy" / "images").mkdir(parents=True)
    for name, content in WHOLE.items():
        (root / "toy" / name).write_bytes(content)
    sets = toy("toy.zip")
    assert state(sets["toy"], root) == "present"
    assert fetch("toy", root, manifest=sets).origin == "already there"
    assert state(sets["toy"], root) == "verified" and server.asked == []


def test_an_altered_set_is_brought_anew(toy, root, capsys):
    sets = toy("toy.zip")
    fetch("toy", root, manifest=sets)
    (root / "toy" / "questions.json").write_bytes(TEXT.replace(b"1", b"2"))
    assert fetch("toy", root, manifest=sets).origin == "already there"  # the size alone does not tell
    fetch("toy", root, manifest=sets, check=True)
    assert tree(root / "toy") == WHOLE | {"questions.json.old": TEXT.replace(b"1", b"2")}
    assert "is not as it should be; bringing it anew" in capsys.readouterr().err


@pytest.mark.parametrize("after", range(4))
def test_a_crash_while_files_are_moved_is_repaired(toy, root, monkeypatch, after):
    real, moved = module._rename, []

    def crashes(entry, goal):
        if len(moved) == after:
            raise KeyboardInterrupt
        moved.append(goal)
        return real(entry, goal)

    sets = toy("toy.zip", files=(File("questions.json", sha256=SHA256), File("images/0.png"), File("images/1.png")))
    (root / "toy" / "images").mkdir(parents=True)
    with monkeypatch.context() as patch:
        patch.setattr(module, "_rename", crashes)
        if after < 3:
            with pytest.raises(KeyboardInterrupt):
                fetch("toy", root, manifest=sets)
            assert state(sets["toy"], root) == "partial"
    fetch("toy", root, manifest=sets)
    assert tree(root / "toy") == WHOLE and state(sets["toy"], root) == "verified"


def test_after_ctrl_c_the_archives_are_not_downloaded_again(toy, server, root, monkeypatch, capsys):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    sets = toy("toy.zip")
    with monkeypatch.context() as patch:
        patch.setattr(module, "measure", interrupted)
        with pytest.raises(KeyboardInterrupt):
            fetch("toy", root, manifest=sets)
    assert "interrupted; what has come is kept, fetch again to continue" in capsys.readouterr().err
    assert state(sets["toy"], root) == "partial"
    fetch("toy", root, manifest=sets)
    assert tree(root / "toy") == WHOLE and server.asked == ["/toy.zip"]


def test_what_was_prepared_is_kept_while_it_is_verified_and_made_anew_if_wrong(toy, server, root, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    right = hashlib.sha256(TEXT.upper()).hexdigest()
    monkeypatch.setitem(sys.modules, "toy_preparation", sys.modules[__name__])
    more = {"prepare": "toy_preparation:prepare_once", "resumes": True}
    sets = toy("toy.zip", files=(File("questions.json", sha256=right),), **more)
    with monkeypatch.context() as patch:
        patch.setattr(module, "measure", interrupted)
        with pytest.raises(KeyboardInterrupt):
            fetch("toy", root, manifest=sets)
    damaged = next(staging(sets["toy"], root).rglob("target")) / "questions.json"
    damaged.write_bytes(b"[")
    with pytest.raises(RuntimeError, match="it did not bring what was meant"):
        fetch("toy", root, manifest=sets)
    fetch("toy", root, manifest=sets)
    assert (root / "toy" / "questions.json").read_bytes() == TEXT.upper() and server.asked == ["/toy.zip"]


def test_archives_are_kept_if_asked(toy, root):
    sets = toy("toy.zip")
    fetch("toy", root, manifest=sets, keep_archives=True)
    assert list(tree(staging(sets["toy"], root))) == ["1-url/downloads/toy.zip"]
    assert state(sets["toy"], root) == "verified"


def test_a_bomb_a_climbing_path_and_a_half_file_bring_nothing(toy, server, root):
    half = (server.folder / "toy.zip").read_bytes()[:200]
    (server.folder / "half.zip").write_bytes(half)
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("../../../evil", "evil")
    (server.folder / "evil.zip").write_bytes(content.getvalue())
    with zipfile.ZipFile(server.folder / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("top/questions.json", bytes(1 << 20))
    with pytest.raises(RuntimeError, match=r"(?s)more than 1,000 bytes.*climbs out.*damaged or cut off"):
        fetch("toy", root, manifest=toy("bomb.zip", "evil.zip", "half.zip"))
    assert not list(root.parent.rglob("evil")) and not (root / "toy").exists()


@pytest.mark.parametrize("bad", ["half", "other"])
def test_what_was_wrong_and_has_no_hash_is_asked_for_again(toy, server, root, bad):
    good = (server.folder / "toy.zip").read_bytes()
    wrong = good[:200] if bad == "half" else (server.folder / "other.zip").read_bytes()
    (server.folder / "toy.zip").write_bytes(wrong)
    with pytest.raises(RuntimeError, match="could not be fetched"):
        fetch("toy", root, manifest=toy("toy.zip"))
    (server.folder / "toy.zip").write_bytes(good)
    fetch("toy", root, manifest=toy("toy.zip"))
    assert tree(root / "toy") == WHOLE and server.asked == ["/toy.zip"] * 2


def test_too_little_space_is_told_before_the_download(toy, server, root, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10**9, 10**9, 1500))
    with pytest.raises(RuntimeError, match=r"this needs 0.0 GB more, the disk of .* has 0.0 GB free"):
        fetch("toy", root, manifest=toy("toy.zip"))
    assert server.asked == []


def test_a_disk_that_fills_meanwhile_stops_at_once(toy, server, root, monkeypatch):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("vqabook.fetch.sources.unpack", full)
    with pytest.raises(DiskFull, match="is full; free space and fetch again"):
        fetch("toy", root, manifest=toy("toy.zip", "other.zip"))
    assert server.asked == ["/toy.zip"]


def test_a_root_that_cannot_be_written_is_told(toy, tmp_path):
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(OSError, match="data sets are fetched into .*file.*--data-root"):
        fetch("toy", tmp_path / "file", manifest=toy("toy.zip"))


@pytest.mark.parametrize("way", ["file", "dangling link", "read-only"])
def test_what_is_in_the_way_of_the_folder_is_told_before_the_download(toy, server, root, monkeypatch, way):
    root.mkdir()
    if way == "file":
        (root / "toy").write_text("mine")
    elif way == "dangling link":
        (root / "toy").symlink_to(root / "nowhere")
    else:
        (root / "toy").mkdir()
        monkeypatch.setattr("os.access", lambda path, mode: False)
    with pytest.raises(OSError, match="go into .*toy, which is not a folder that you may write to.*--data-root"):
        fetch("toy", root, manifest=toy("toy.zip"))
    assert server.asked == []


def test_a_complete_set_in_a_read_only_root_is_taken(toy, root, monkeypatch):
    (root / "toy" / "images").mkdir(parents=True)
    for name, content in WHOLE.items():
        (root / "toy" / name).write_bytes(content)
    monkeypatch.setattr("os.access", lambda path, mode: False)
    assert fetch("toy", root, manifest=toy("toy.zip")).origin == "already there"
    assert [p.name for p in root.iterdir()] == ["toy"] and tree(root / "toy") == WHOLE


def test_two_processes_fetch_once(server, root, tmp_path):
    files = f'[{{ path = "questions.json", sha256 = "{SHA256}" }}, {{ path = "images/", count = 2 }}]'
    (tmp_path / "manifest.toml").write_text(
        f'[toy]\ntitle = "Toy"\nwhat = "toy"\nlicence = "MIT"\nhomepage = "-"\nfolder = "toy"\ndownload = 1000\n'
        f'bytes = 100\nfiles = {files}\n[[toy.origins]]\nkind = "url"\nstrip = "top"\n'
        f'keep = ["top/questions.json", "top/images/*"]\ndownloads = [{{ url = "{server.url}/toy.zip" }}]\n'
    )
    script = (
        "import os, sys; from pathlib import Path; from vqabook.fetch.fetch import fetch;"
        "from vqabook.fetch.manifest import read_manifest;"
        "os.fork();"  # two processes, by which all is imported once
        "origin = fetch('toy', Path(sys.argv[1]), manifest=read_manifest(Path(sys.argv[2]))).origin;"
        "os.write(1, f'{origin}\\n'.encode())"  # at once: a text and its end would mix with the other's
    )
    words = [sys.executable, "-c", script, str(root), str(tmp_path / "manifest.toml")]
    both = subprocess.run(words, capture_output=True, text=True, timeout=60)  # until both have closed their pipes
    assert sorted(both.stdout.splitlines()) == ["already there", f"url 127.0.0.1:{server.server_port}"]
    assert server.asked == ["/toy.zip"] and tree(root / "toy") == WHOLE


def test_the_second_process_says_that_it_waits(toy, root, capsys):
    from filelock import FileLock

    sets = toy("toy.zip")
    (root / ".fetch").mkdir(parents=True)
    held = threading.Event()

    def hold():
        with FileLock(root / ".fetch" / "toy.lock"):
            held.set()
            time.sleep(0.3)

    threading.Thread(target=hold).start()
    held.wait()
    fetch("toy", root, manifest=sets)
    assert "toy: another process is fetching it; waiting for it to end" in capsys.readouterr().err


def test_place_onto_another_disk_copies(tmp_path, monkeypatch):
    def across(self, goal):
        raise OSError(errno.EXDEV, "cross-device link")

    for name in ("a", "deep/b"):
        (tmp_path / "staged" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "staged" / name).write_text(name)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", across)
        assert list(place(tmp_path / "staged", tmp_path / "goal")) == []
    assert tree(tmp_path / "goal") == {"a": b"a", "deep/b": b"deep/b"}


def test_the_pin_names_its_source(toy, server, root):
    fetch("toy", root, manifest=toy("toy.zip"))
    pin = json.loads((root / "toy" / ".toy.fetched.json").read_text())
    assert pin["origin"] == f"url 127.0.0.1:{server.server_port}"


def test_what_is_refused_leaves_nothing_whatever_its_hash(toy, server, root):
    with zipfile.ZipFile(server.folder / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("top/images/0.png", b"0")
        archive.writestr("top/questions.json", bytes(1 << 20))
    (server.folder / "page.zip").write_text("Quota exceeded")
    digest = hashlib.sha256((server.folder / "bomb.zip").read_bytes()).hexdigest()
    sets = toy("bomb.zip", "page.zip", "missing.zip")
    hashed = replace(sets["toy"].origins[0], downloads=(Download(f"{server.url}/bomb.zip", digest),))
    sets["toy"] = replace(sets["toy"], origins=(hashed, *sets["toy"].origins[1:]))
    with pytest.raises(RuntimeError, match=r"(?s)more than 1,000 bytes.*page.zip is neither, it begins with b'Quota"):
        fetch("toy", root, manifest=sets)
    assert [p.name for p in root.rglob("*")] == [".fetch", "toy.lock"] and state(sets["toy"], root) == "absent"


def test_an_error_page_with_status_200_is_not_pinned(toy, server, root, monkeypatch):
    for name, page in {"plain.json": '{"error": "quota"}', "questions.json": "<!-- x --><html>404</html>"}.items():
        (server.folder / name).write_text(page)
    sets = toy("questions.json", "plain.json", files=(File("questions.json"),), keep=(), strip=None)
    renamed = replace(sets["toy"].origins[1], prepare="toy_preparation:prepare_plain")
    sets["toy"] = replace(sets["toy"], origins=(sets["toy"].origins[0], renamed))
    monkeypatch.setitem(sys.modules, "toy_preparation", sys.modules[__name__])
    with pytest.raises(RuntimeError, match="(?s)got an HTML page.*it is a server's answer: .*quota"):
        fetch("toy", root, manifest=sets)
    assert not (root / "toy").exists()


def test_a_set_is_on_the_disk_before_it_is_moved_into_place(toy, root, monkeypatch):
    synced = []
    monkeypatch.setattr(os, "fsync", lambda _: synced.append((root / "toy" / "questions.json").exists()))
    fetch("toy", root, manifest=toy("toy.zip"))
    assert synced.count(False) >= 4  # the archive and its three files


def test_a_staging_folder_that_cannot_be_written_is_told_at_once(toy, server, root):
    (root / ".fetch").mkdir(parents=True)
    (root / ".fetch" / "toy").write_text("in the way")
    with pytest.raises(NotWritable, match="files are written to .*toy: File exists; give a folder .*--data-root"):
        fetch("toy", root, manifest=toy("toy.zip", "other.zip"))
    assert server.asked == []


def test_old_locks_go_with_the_next_fetch(toy, root):
    (root / ".fetch").mkdir(parents=True)
    (root / ".fetch" / "other.lock").touch()
    os.utime(root / ".fetch" / "other.lock", (0, 0))
    fetch("toy", root, manifest=toy("toy.zip"))
    assert [p.name for p in (root / ".fetch").iterdir()] == ["toy.lock"]
