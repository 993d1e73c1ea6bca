"""A file or a folder is there whole or not at all, and a full disk is one sentence."""

from __future__ import annotations

import errno
import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from filelock import FileLock

from vqabook import files
from vqabook.files import (
    HOME,
    KEPT,
    PROJECT,
    DiskFull,
    NotWritable,
    advise,
    find_project,
    move,
    save_whole,
    sweep,
    written_whole,
)


def test_a_file_takes_its_place_once_it_is_whole_and_on_the_disk(tmp_path, monkeypatch):
    path, synced = tmp_path / "new" / "folder" / "a.txt", []
    real = os.fsync
    monkeypatch.setattr(os, "fsync", lambda descriptor: (synced.append(path.exists()), real(descriptor)))
    with written_whole(path) as partial:
        assert partial.parent == path.parent and partial.name.startswith(".a.txt.")
        partial.write_text("a")
        assert not path.exists()
    assert path.read_text() == "a" and synced == [False] and list(path.parent.iterdir()) == [path]
    assert path.stat().st_mode == (tmp_path.joinpath("plain").write_text("a") and (tmp_path / "plain").stat().st_mode)


def test_a_folder_takes_its_place_once_it_is_whole(tmp_path):
    folder = tmp_path / "folder"
    with written_whole(folder) as partial:
        (partial / "deep").mkdir(parents=True)
        (partial / "deep" / "a.txt").write_text("a")
        assert not folder.exists()
    assert (folder / "deep" / "a.txt").read_text() == "a" and list(tmp_path.iterdir()) == [folder]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
@pytest.mark.parametrize("kind", ["file", "folder", "nothing"])
def test_who_fails_leaves_what_was_there(tmp_path, kind, error):
    path = tmp_path / "a"
    path.write_text("old")
    with pytest.raises(error), written_whole(path) as partial:
        if kind == "folder":
            partial.mkdir()
        (partial / "b" if kind == "folder" else partial).write_text("new") if kind != "nothing" else None
        raise error
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_a_folder_that_has_something_is_not_replaced(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "mine").touch()
    with pytest.raises(OSError), written_whole(tmp_path / "folder") as partial:
        partial.mkdir()
    assert [path.name for path in tmp_path.rglob("*")] == ["folder", "mine"]


def test_two_writers_of_one_file_do_not_meet(tmp_path):
    with written_whole(tmp_path / "a") as first, written_whole(tmp_path / "a") as second:
        first.write_text("first")
        second.write_text("second")
    assert (tmp_path / "a").read_text() == "first"  # it ended last


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_one_sentence(tmp_path, number):
    rule = "the disk of .*a is full; free space and fetch again$"
    with pytest.raises(DiskFull, match=rule), written_whole(tmp_path / "a", "fetch again") as partial:
        partial.write_text("half")
        raise OSError(number, "no room")
    assert not list(tmp_path.iterdir())


def test_another_error_of_the_system_is_passed_on(tmp_path):
    with pytest.raises(IsADirectoryError), written_whole(tmp_path / "a") as partial:
        partial.mkdir()
        partial.write_text("a")


def test_weights_are_saved_whole_and_their_bytes_know_no_name(tmp_path):
    with pytest.raises(AttributeError):
        save_whole(lambda: None, tmp_path / "a")  # no pickle of it
    assert not list(tmp_path.iterdir())
    for name in ("a", "b"):
        save_whole({"x": torch.ones(2)}, tmp_path / name)
    assert torch.equal(torch.load(tmp_path / "a")["x"], torch.ones(2))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux")
def test_weights_on_a_full_disk(tmp_path, monkeypatch):
    monkeypatch.setattr(files.whole, "partial_of", lambda path: path.with_name(f".{path.name}.0.partial"))
    (tmp_path / ".a.0.partial").symlink_to("/dev/full")
    with pytest.raises(DiskFull, match="the disk of .*a is full; free space and run again"):
        save_whole({"x": torch.ones(10**6)}, tmp_path / "a")
    assert not list(tmp_path.iterdir())


def test_the_project_is_where_the_code_lies_or_around_the_current_folder_or_nowhere(tmp_path, monkeypatch):
    checkout, installed, elsewhere = tmp_path / "ru ns \u00e9", tmp_path / "site-packages", tmp_path / "elsewhere"
    for folder in (checkout / "book", checkout / "notebooks", checkout / "vqabook", installed / "vqabook", elsewhere):
        folder.mkdir(parents=True)
    (checkout / "book" / "_toc.yml").touch()
    for folder in (checkout, checkout / "notebooks"):
        monkeypatch.chdir(folder)
        assert find_project(installed) == checkout
    monkeypatch.chdir(elsewhere)
    assert find_project(checkout) == checkout and find_project(installed) is None
    elsewhere.rmdir()
    assert find_project(checkout) == checkout and find_project(installed) is None
    assert Path(__file__).parents[1] == PROJECT and HOME == PROJECT / "data"


KILLED = """
import os, signal, sys
from pathlib import Path
from vqabook.files import written_whole
with written_whole(Path(sys.argv[1])) as partial:
    partial.mkdir() if sys.argv[2] == "folder" else None
    (partial / "b" if sys.argv[2] == "folder" else partial).write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def kill(path: Path, kind: str = "file") -> Path:
    """What a process leaves that is killed while it writes `path`."""
    done = subprocess.run([sys.executable, "-c", KILLED, str(path), kind])
    assert done.returncode == -signal.SIGKILL
    return next(path.parent.glob(f".{path.name}.*.partial"))


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_what_a_killed_process_was_writing_goes_with_the_next_file_of_the_folder(tmp_path, kind):
    kill(tmp_path / "a", kind)
    with written_whole(tmp_path / "another") as partial:
        partial.write_text("whole")
    assert [path.name for path in tmp_path.iterdir()] == ["another"]


def test_what_others_still_write_stays(tmp_path):
    other = files.partial_of(tmp_path / "a")  # of this process, which is alive
    far = tmp_path / ".a.00000000-1-00000000.partial"  # of another machine
    mine = tmp_path / "out.h5.partial"  # goes on where it stopped
    for path in (other, far, mine):
        path.write_text("half")
    sweep(tmp_path)
    assert sorted(tmp_path.iterdir()) == sorted((other, far, mine))
    for path in (other, far, mine):
        os.utime(path, (0, time.time() - 1.1 * KEPT))
    sweep(tmp_path)
    assert sorted(tmp_path.iterdir()) == sorted((other, mine))


def test_locks_and_damaged_files_go_after_a_day_but_no_lock_that_is_held(tmp_path):
    names = ("old.lock", "held.lock", "old.stage", "old.checkpoint.damaged", "old.json", "young.lock", "young.damaged")
    for name in names:
        (tmp_path / name).touch()
        if not name.startswith("young"):
            os.utime(tmp_path / name, (0, time.time() - 1.1 * KEPT))
    with FileLock(tmp_path / "held.lock"):
        sweep(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["held.lock", "old.json", "young.damaged", "young.lock"]
    sweep(tmp_path / "nowhere")  # nothing to do
    (tmp_path / "old.damaged" / "a").mkdir(parents=True)  # a folder lay in the place of a file
    os.utime(tmp_path / "old.damaged", (0, 0))
    sweep(tmp_path)
    assert not (tmp_path / "old.damaged").exists()


def test_many_files_are_synced_together(tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(files.whole, "MANY", 2)
    monkeypatch.setattr(os, "sync", lambda: calls.append("all"))
    monkeypatch.setattr(os, "fsync", lambda _: calls.append("one"))
    for n in (2, 3):
        (tmp_path / f"{n}").mkdir()
        for i in range(n):
            (tmp_path / f"{n}" / str(i)).touch()
        move(tmp_path / f"{n}", tmp_path / f"moved{n}")
    assert calls == ["one", "one", "all"] and (tmp_path / "moved3" / "2").exists()


@pytest.mark.parametrize("way", ["file in the way", "read-only"])
def test_a_folder_that_takes_no_files_is_told_before_the_work_with_the_way_out(tmp_path, monkeypatch, way):
    (tmp_path / "file").touch()
    folder = tmp_path / "file" / "folder"
    if way == "read-only":
        folder = tmp_path / "folder"

        def refuse(*_, **__):
            raise OSError(errno.EROFS, "Read-only file system")

        monkeypatch.setattr(Path, "write_bytes", refuse)
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
    monkeypatch.setenv("VQABOOK_DATA", str(folder / "data"))
    ways = {"cache/vqabook": "set XDG_CACHE_HOME to", "data/toy": "set VQABOOK_DATA to", "out": "give"}
    for below, advice in ways.items():
        told = f"files are written to {folder / below}: .*; {advice} a folder that you may write to"
        with pytest.raises(NotWritable, match=told) as error, written_whole(folder / below / "a"):
            raise AssertionError("the work began")
        assert error.value.errno in (errno.ENOTDIR, errno.EROFS) and error.value.strerror


def test_a_user_without_a_home_is_told_how_to_name_a_cache(monkeypatch):
    def nobody():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", nobody)
    with pytest.raises(NotWritable, match="this user has none; set XDG_CACHE_HOME to a folder"):
        files.cache_folder()


def test_a_whole_copy_comes_from_where_the_file_came(tmp_path):
    """What `vqabook data fetch` brought is fetched again, also gzipped since or in a folder or archive of the set."""
    pins = {"vqa_v2": ["train.json"], "lfw": ["lfw_funneled/"], "trec": ["corpora/qc.zip"]}
    for name, listed in pins.items():
        (tmp_path / f".{name}.fetched.json").write_text(json.dumps({"files": dict.fromkeys(listed, {})}))
    (tmp_path / ".bad.fetched.json").write_text("{")
    fetched = {"train.json": "vqa_v2", "train.json.gz": "vqa_v2", "lfw_funneled/A/A_1.jpg": "lfw"}
    fetched |= {"corpora/qc.zip/qc/train.txt": "trec"}
    for path, name in fetched.items():
        assert advise(tmp_path / path) == f"fetch it again: vqabook data fetch {name}"
    own = "bring a whole copy of it from where it came, or write it anew"
    assert {advise(tmp_path / path) for path in ("my_train.json", "mine/train.json", "train.json2")} == {own}


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_disk_that_is_full_already_is_told_before_the_work(tmp_path, monkeypatch, number):
    def refuse(*_, **__):
        raise OSError(number, "no room")

    monkeypatch.setattr(Path, "write_bytes", refuse)
    with (
        pytest.raises(DiskFull, match="is full; free space and fetch again$"),
        written_whole(tmp_path / "a", "fetch again"),
    ):
        raise AssertionError("the work began")
    with pytest.raises(DiskFull, match="is full; free space and run again$"):
        files.need_writable(tmp_path)
    assert not list(tmp_path.iterdir())


class Small(io.FileIO):
    """A file on a disk that has room for some bytes."""

    room = 0

    def write(self, content: bytes) -> int:
        if self.tell() + len(content) > self.room:
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().write(content)


@pytest.mark.parametrize("room", [0, 10, 100, 500, 700, 1000, 5000, 100_000])
def test_a_disk_that_fills_up_while_weights_are_saved_is_one_sentence(tmp_path, monkeypatch, room):
    """torch raises a RuntimeError of its own, of positions in the file, once some bytes were written."""
    monkeypatch.setattr(Small, "room", room)
    monkeypatch.setattr(files.whole, "open", lambda path, mode: Small(path, mode), raising=False)
    with pytest.raises(DiskFull, match="^the disk of .*a is full; free space and run again$"):
        save_whole({str(i): torch.ones(1000) for i in range(50)}, tmp_path / "a")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("error", "full"), [
    (RuntimeError("Can't decrement id ref count (file write failed: errno = 28, error message = 'No space'"), True),
    (RuntimeError("Can't decrement id ref count (file write failed: errno = 5, error message = 'I/O error'"), False),
    (OSError("Can't write data (errno = 122, error message = 'Disk quota exceeded')"), True),
    (RuntimeError("out of memory"), False),
    (PermissionError(errno.EACCES, "Permission denied"), False),
])  # fmt: skip
def test_a_full_disk_that_hdf5_tells_is_told_from_other_errors(tmp_path, error, full):
    with pytest.raises(DiskFull if full else type(error)) as told, written_whole(tmp_path / "a"):
        raise error
    assert isinstance(told.value, DiskFull) == full
