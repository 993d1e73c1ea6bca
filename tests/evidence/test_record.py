"""Records: produced once, written whole or not at all, named by what was asked, stamped with the code that ran."""

from __future__ import annotations

import errno
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from filelock import FileLock, Timeout

from vqabook.evidence import record
from vqabook.evidence.record import key_of, produce_or_load, read_record, read_records, write_json
from vqabook.files import NotReadable

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


def test_a_damaged_record_is_set_aside_and_made_again(damage, tmp_path):
    path, produce = tmp_path / f"{key_of(RECIPE)}.json", Produce()
    for n in (1, 2):
        assert produce_or_load(RECIPE, produce, folder=tmp_path, code="c")["result"] == {"accuracy": 10 * n}
        damage(path)
    with pytest.warns(UserWarning, match=f"a record is whole, .*{path.name} is left out .*; restore it, or remove it"):
        assert read_record(path) is None
    assert path.exists()  # who only reads leaves it where it is
    with pytest.warns(UserWarning, match=f"{path.name} cannot .* is now {path.name}.damaged, and is made again"):
        again = produce_or_load(RECIPE, produce, folder=tmp_path, code="c")
    assert read_record(path) == again and again["result"] == {"accuracy": 30}
    assert path.with_name(f"{path.name}.damaged").exists()


def to_text(change: dict) -> Callable[[dict], str]:
    return lambda record: json.dumps(record | change)


DISTRUSTED: dict[str, Callable[[dict], str]] = {
    "another recipe": to_text({"recipe": RECIPE | {"seed": 1}}),
    "no recipe": to_text({"recipe": None}),
    "no result": to_text({"result": None}),
    "an empty result": to_text({"result": {}}),
    "a result that is a list": to_text({"result": [1.0]}),
    "NaN": to_text({"result": {"deep": [{"accuracy": float("nan")}]}}),
    "infinity": to_text({"result": {"accuracy": -float("inf")}}),
    "a number that is too large": lambda record: json.dumps(record).replace("10", "1e999"),
    "nobody": to_text({"provenance": {}}),
    "no code": lambda record: json.dumps(record | {"provenance": record["provenance"] | {"code": None}}),
    "a byte order mark": lambda record: "\ufeff" + json.dumps(record),
    "more behind it": lambda record: json.dumps(record) * 2,
}


@pytest.mark.parametrize("what", DISTRUSTED)
def test_a_record_is_trusted_if_it_answers_this_recipe_by_finite_numbers(what, tmp_path):
    path, produce = tmp_path / f"{key_of(RECIPE)}.json", Produce()
    record = produce_or_load(RECIPE, produce, folder=tmp_path, code="c")
    path.write_text(DISTRUSTED[what](record), "utf-8")
    with pytest.warns(UserWarning, match=f"{path.name} is left out"):
        assert read_records(tmp_path) == []
    with pytest.warns(UserWarning, match=f"{path.name} cannot .*, and is made again"):
        assert produce_or_load(RECIPE, produce, folder=tmp_path, code="c")["result"] == {"accuracy": 20}


def test_a_record_that_may_not_be_read_is_not_damaged(tmp_path, monkeypatch):
    def refuse(*_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    path, produce = tmp_path / f"{key_of(RECIPE)}.json", Produce()
    produce_or_load(RECIPE, produce, folder=tmp_path, code="c")
    monkeypatch.setattr(Path, "read_bytes", refuse)
    for read in (read_record, lambda _: produce_or_load(RECIPE, produce, folder=tmp_path, code="c")):
        with pytest.raises(NotReadable, match="cannot be read here .Permission denied., it may be whole"):
            read(path)
    assert path.exists() and len(produce.recipes) == 1


def test_a_checkpoint_goes_once_the_record_is_written(tmp_path, monkeypatch):
    """Whatever fails between the training and its record costs no training; older code's goes, too."""

    def train(recipe: dict, scratch: Path) -> dict:
        scratch.write_text(f"trained, {scratch.exists()} before")
        return {"accuracy": 1}

    old, other = (tmp_path / f"{key_of(recipe)}.c0.checkpoint" for recipe in (RECIPE, RECIPE | {"seed": 1}))
    for path in (old, other):
        path.touch()
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(record, "write_json", full_of(KeyboardInterrupt()))
        produce_or_load(RECIPE, train, folder=tmp_path, code="c1")
    scratch = tmp_path / f"{key_of(RECIPE)}.c1.checkpoint"
    assert scratch.read_text() == "trained, False before" and old.exists()
    produce_or_load(RECIPE, train, folder=tmp_path, code="c1")
    assert not scratch.exists() and not old.exists() and other.exists()


def full_of(error: BaseException) -> Callable:
    def fail(*_: object, **__: object) -> None:
        raise error

    return fail


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
    with pytest.raises(
        OSError, match=r"the disk of .*record.json is full; free space and .* folder \(runs=.*; finished"
    ):
        write_json(path, {"accuracy": 2})
    monkeypatch.undo()
    assert json.loads(path.read_text()) == {"accuracy": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["record.json"]


def test_a_folder_that_cannot_be_written_fails_before_the_work(tmp_path, monkeypatch):
    def refuse(self: Path, **_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    produce = Produce()
    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(OSError, match=r"files are written to .*new: Permission denied; give another folder \(runs="):
        produce_or_load(RECIPE, produce, folder=tmp_path / "new", code="c")
    assert produce.recipes == []


def test_a_file_in_place_of_the_folder(tmp_path):
    (tmp_path / "file").touch()
    produce = Produce()
    with pytest.raises(OSError, match=r"files are written to .*file: .*; give another folder \(runs="):
        produce_or_load(RECIPE, produce, folder=tmp_path / "file", code="c")
    assert produce.recipes == []


def test_a_full_disk_fails_before_the_work(tmp_path, monkeypatch):
    produce = Produce()
    monkeypatch.setattr(Path, "write_bytes", full_disk)
    with pytest.raises(
        OSError, match=r"the disk of .* is full; free space and run again, or give another folder \(runs="
    ):
        produce_or_load(RECIPE, produce, folder=tmp_path, code="c")
    assert produce.recipes == []


def test_nan_is_no_result(tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        produce_or_load(RECIPE, lambda *_: {"accuracy": float("nan")}, folder=tmp_path, code="c")
    assert read_records(tmp_path) == []


def git(folder: Path, *words: str) -> None:
    who = ("-c", "user.name=them", "-c", "user.email=them@example.org", "-c", "init.defaultBranch=main")
    subprocess.run(["git", "-C", str(folder), *who, *words], check=True, capture_output=True)


@pytest.fixture
def commit_of(tmp_path, monkeypatch) -> Iterator[Callable[[Path], str]]:
    """What the stamp says of a package in a folder."""
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))

    def ask(package: Path) -> str:
        monkeypatch.setattr(record, "PACKAGE", package)
        record.commit.cache_clear()
        return record.commit()["commit"]

    yield ask
    record.commit.cache_clear()


def make_repository(folder: Path, *, package: str) -> Path:
    """A repository that has a package in a folder, and a book at its root; the package's folder."""
    for file in (folder / "book" / "_toc.yml", folder / package / "__init__.py"):
        file.parent.mkdir(parents=True)
        file.touch()
    git(folder, "init")
    git(folder, "add", ".")
    git(folder, "commit", "-m", "all")
    return folder / package


def test_a_package_in_somebody_else_s_repository_does_not_name_their_commit(commit_of, tmp_path, monkeypatch):
    ours = make_repository(tmp_path / "ours", package="vqabook")
    assert re.fullmatch("[0-9a-f]{12}", commit_of(ours))
    theirs = make_repository(tmp_path / "theirs", package="theirs").parent
    installed = theirs / ".venv" / "lib" / "python3" / "site-packages" / "vqabook"  # ignored there
    at_root = theirs / "vqabook"  # pip install --target .
    for package in (installed, at_root):
        package.mkdir(parents=True)
        (package / "__init__.py").touch()
        assert commit_of(package) == "unknown"
    assert commit_of(make_repository(tmp_path / "monorepo", package="libs/vqabook")) == "unknown"
    monkeypatch.setenv("GIT_DIR", str(theirs / ".git"))  # run from a hook of theirs
    assert commit_of(installed) == commit_of(tmp_path) == "unknown"
    assert re.fullmatch("[0-9a-f]{12}", commit_of(ours))


def test_no_git_is_no_error(commit_of, tmp_path, monkeypatch):
    assert commit_of(tmp_path / "vqabook") == "unknown"
    monkeypatch.setenv("PATH", str(tmp_path))
    assert commit_of(record.PACKAGE) == "unknown"
