"""Records: produced once, written whole or not at all, named by what was asked, stamped with the code that ran."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from filelock import FileLock, Timeout

from vqabook.evidence import record
from vqabook.evidence.record import key_of, produce_or_load, read_record, read_records, write_json

ROOT = Path(__file__).resolve().parents[2]
RECIPE = {"paper": "p", "profile": "smoke", "variant": "bce both @ mask dropout 0.2", "seed": 0, "lr": 0.1}


class Produce:
    """A run that counts how often it is made."""

    def __init__(self):
        self.recipes, self.scratch = [], []

    def __call__(self, recipe, scratch: Path) -> dict:
        self.recipes.append(recipe)
        self.scratch.append(scratch)
        return {"accuracy": 10 * len(self.recipes)}


def test_produces_once(tmp_path):
    produce = Produce()
    first = produce_or_load(RECIPE, produce, folder=tmp_path, code="c1")
    again = produce_or_load(dict(reversed(RECIPE.items())), produce, folder=tmp_path, code="c1")
    assert first == again and produce.recipes == [RECIPE]
    assert first["recipe"] == RECIPE and first["result"] == {"accuracy": 10}
    assert {"code", "commit", "dirty", "started", "seconds", "hardware", "machine", "versions"} == first[
        "provenance"
    ].keys()
    produce_or_load(RECIPE | {"lr": 0.2}, produce, folder=tmp_path, code="c1")
    assert len(read_records(tmp_path)) == len(produce.recipes) == 2


def test_other_code_produces_anew(tmp_path):
    produce = Produce()
    produce_or_load(RECIPE, produce, folder=tmp_path, code="c1")
    assert produce_or_load(RECIPE, produce, folder=tmp_path, code="c2")["result"] == {"accuracy": 20}
    assert len(read_records(tmp_path)) == 1
    assert produce.scratch[0] != produce.scratch[1]  # nor does it go on from the other code's checkpoint


def test_the_name_says_what_was_asked():
    name = key_of(RECIPE)
    assert name.startswith("p-smoke-bce-both-mask-dropout-0-2-0-")
    assert name == key_of(json.loads(json.dumps(dict(reversed(RECIPE.items())))))
    assert len({name, key_of(RECIPE | {"seed": 1}), key_of(RECIPE | {"lr": 0.2}), key_of(RECIPE | {"new": None})}) == 4


@pytest.mark.parametrize("content", [b"", b'{"recipe": {}, "resu', b"[1, 2]", b'{"recipe": {}}', b"\x93\xff\x00"])
def test_a_file_that_is_no_record_is_none(content, tmp_path):
    path, produce = tmp_path / f"{key_of(RECIPE)}.json", Produce()
    path.write_bytes(content)
    assert read_record(path) is None and read_records(tmp_path) == []
    assert produce_or_load(RECIPE, produce, folder=tmp_path, code="c")["result"] == {"accuracy": 10}
    assert read_record(path)["result"] == {"accuracy": 10}


def test_a_failed_run_leaves_no_record(tmp_path):
    def fail(recipe, scratch):
        raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError, match="out of memory"):
        produce_or_load(RECIPE, fail, folder=tmp_path, code="c")
    assert read_records(tmp_path) == []
    again = produce_or_load(RECIPE, Produce(), folder=tmp_path, code="c")  # the lock is free
    assert again["result"] == {"accuracy": 10}


TWO_AT_ONCE = """
import sys, time
from pathlib import Path
from filelock import Timeout
sys.path.insert(0, sys.argv[1])
from vqabook.evidence.record import produce_or_load
folder = Path(sys.argv[2])
def produce(recipe, scratch):
    with open(folder / "made.txt", "a") as made:
        made.write("x")
    time.sleep(0.5)
    return {"by": "one of us"}
(folder / f"ready{sys.argv[3]}").touch()
while not all((folder / f"ready{i}").exists() for i in "01"):
    time.sleep(0.01)
while True:
    try:
        print(produce_or_load({"variant": "v"}, produce, folder=folder, code="c")["provenance"]["started"])
        break
    except Timeout:
        time.sleep(0.01)
"""


@pytest.mark.timeout(600)
def test_two_processes_at_once_produce_once(tmp_path):
    words = [sys.executable, "-c", TWO_AT_ONCE, str(ROOT), str(tmp_path)]
    both = [subprocess.Popen([*words, i], stdout=subprocess.PIPE, text=True) for i in "01"]
    started = {process.communicate(timeout=500)[0] for process in both}
    assert [process.returncode for process in both] == [0, 0]
    assert len(started) == 1 and (tmp_path / "made.txt").read_text() == "x"


def test_what_another_process_makes_is_not_waited_for(tmp_path):
    produce = Produce()
    with FileLock(tmp_path / f"{key_of(RECIPE)}.lock"), pytest.raises(Timeout):
        produce_or_load(RECIPE, produce, folder=tmp_path, code="c")
    assert produce.recipes == []


def full_disk(self: Path, *_: object) -> None:
    self.touch()
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk_keeps_what_was_there(tmp_path, monkeypatch):
    path = tmp_path / "record.json"
    write_json(path, {"accuracy": 1})
    monkeypatch.setattr(Path, "write_text", full_disk)
    with pytest.raises(OSError, match=r"the disk is full; free space or give another folder \(runs=\.\.\.\), finished"):
        write_json(path, {"accuracy": 2})
    monkeypatch.undo()
    assert json.loads(path.read_text()) == {"accuracy": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["record.json"]


def test_a_folder_that_cannot_be_written_fails_before_the_work(tmp_path, monkeypatch):
    def refuse(self: Path, **_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    produce = Produce()
    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(OSError, match=r"results are written to .*new: Permission denied; give a folder that you may"):
        produce_or_load(RECIPE, produce, folder=tmp_path / "new", code="c")
    assert produce.recipes == []


def test_a_file_in_place_of_the_folder(tmp_path):
    (tmp_path / "file").touch()
    produce = Produce()
    with pytest.raises(OSError, match=r"results are written to .*file: .*; give a folder that you may write to"):
        produce_or_load(RECIPE, produce, folder=tmp_path / "file", code="c")
    assert produce.recipes == []


def test_a_full_disk_fails_before_the_work(tmp_path, monkeypatch):
    produce = Produce()
    monkeypatch.setattr(Path, "write_bytes", full_disk)
    with pytest.raises(OSError, match="No space left on device; give a folder"):
        produce_or_load(RECIPE, produce, folder=tmp_path, code="c")
    assert produce.recipes == []


def test_nan_is_no_result(tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        produce_or_load(RECIPE, lambda *_: {"accuracy": float("nan")}, folder=tmp_path, code="c")
    assert read_records(tmp_path) == []


def test_no_git_is_no_error(tmp_path, monkeypatch):
    monkeypatch.setattr(record, "PACKAGE", tmp_path)
    monkeypatch.setitem(os.environ, "GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    record.commit.cache_clear()
    assert record.commit() == {"commit": "unknown", "dirty": False}
    record.commit.cache_clear()


def test_a_repository_that_does_not_track_the_package_is_not_ours(tmp_path, monkeypatch):
    package = tmp_path / ".venv" / "site-packages" / "vqabook"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (tmp_path / "theirs.txt").touch()
    who = ("-c", "user.name=a", "-c", "user.email=a@example.org")
    for words in (("init", "-q"), ("add", "theirs.txt"), (*who, "commit", "-q", "-m", "theirs")):
        subprocess.run(("git", *words), cwd=tmp_path, check=True)
    monkeypatch.setattr(record, "PACKAGE", package)
    record.commit.cache_clear()
    assert record.commit() == {"commit": "unknown", "dirty": False}
    subprocess.run(("git", "add", "-f", str(package)), cwd=tmp_path, check=True)
    record.commit.cache_clear()
    assert record.commit()["commit"] != "unknown" and record.commit()["dirty"]
    record.commit.cache_clear()
