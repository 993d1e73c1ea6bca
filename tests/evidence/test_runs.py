"""A page's records: evidence is loaded whatever code made it, what is missing made, both sides on one machine kind."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from filelock import FileLock

from vqabook.evidence import runs
from vqabook.evidence.record import key_of, machine, provenance, read_records, write_json
from vqabook.evidence.runs import find_records, find_work, load_or_make, make, runs_folder
from vqabook.files import KEPT


def recipe_of(variant: str, seed: int = 0) -> dict:
    return {"paper": "p", "variant": variant, "seed": seed, "data": {"dataset": "d"}}


RECIPES = [recipe_of("a"), recipe_of("b"), recipe_of("a", 1), recipe_of("b", 1)]


class Produce:
    """A run that keeps what it was asked."""

    def __init__(self):
        self.asked: list[dict] = []

    def __call__(self, recipe: dict, checkpoint: Path) -> dict:
        self.asked.append(recipe)
        return {"by": "us"}


@pytest.fixture
def record(tmp_path, monkeypatch) -> Callable[..., dict]:
    """Writer of evidence, in place of the book's; local runs lie beside it."""
    monkeypatch.setattr(runs, "EVIDENCE", tmp_path / "evidence")
    monkeypatch.setenv("VQABOOK_RUNS", str(tmp_path / "runs"))

    def write(recipe: dict, *, kind: str | None = None) -> dict:
        stamp = provenance("of long ago", datetime.now(UTC), 1.0) | {"machine": kind or machine()}
        content = {"recipe": recipe, "result": {"by": "evidence"}, "provenance": stamp}
        write_json(tmp_path / "evidence" / "p" / f"{key_of(recipe)}.json", content)
        return content

    return write


def makers(records: list[dict]) -> list[str]:
    """Who made each record."""
    return [record["result"]["by"] for record in records]


def test_evidence_is_loaded_whatever_code_made_it(record):
    written, produce = [record(recipe, kind="another machine") for recipe in RECIPES], Produce()
    assert load_or_make("p", RECIPES, produce, runs=None, label="p") == written
    assert find_records("p", RECIPES, None) == written
    assert produce.asked == []


def test_a_folder_of_ones_own_has_no_evidence(record, tmp_path):
    own, produce = str(tmp_path / "own"), Produce()
    record(RECIPES[0])
    assert find_records("p", RECIPES, own) == []
    made = load_or_make("p", RECIPES[:1], produce, runs=own, label="p")
    assert makers(made) == ["us"] and read_records(tmp_path / "own" / "p") == made == find_records("p", RECIPES, own)


def test_local_runs_of_other_code_are_made_again(record, tmp_path, monkeypatch):
    produce = Produce()
    for code, n in (("c1", 1), ("c1", 1), ("c2", 2)):
        monkeypatch.setattr(runs, "code_hash", lambda code=code: code)
        load_or_make("p", RECIPES[:1], produce, runs=None, label="p")
        assert len(produce.asked) == n
    assert len(read_records(tmp_path / "runs")) == 1


def test_what_is_missing_is_made_beside_evidence_of_this_machine_kind(record):
    record(RECIPES[0])
    produce = Produce()
    assert makers(load_or_make("p", RECIPES, produce, runs=None, label="p")) == ["evidence", "us", "us", "us"]
    assert produce.asked == RECIPES[1:]


def test_a_seed_of_which_a_run_is_made_here_is_made_here_whole(record):
    """Seed 0 lacks b, so that its a, of another machine kind, is made here too; seed 1 is complete."""
    for i in (0, 2, 3):
        record(RECIPES[i], kind="another machine")
    made = load_or_make("p", RECIPES, Produce(), runs=None, label="p")
    assert makers(made) == ["us", "us", "evidence", "evidence"]
    assert [r["recipe"] for r in made] == RECIPES


def test_make_reads_no_evidence_and_makes_a_recipe_once(record, tmp_path):
    record(RECIPES[0])
    produce = Produce()
    made = make([RECIPES[0], RECIPES[1], RECIPES[0]], produce, tmp_path / "made")
    assert produce.asked == RECIPES[:2] and makers(made) == ["us", "us"]


def test_runs_of_another_machine_kind_are_made_again_where_they_should_be_made_here(tmp_path, monkeypatch):
    produce = Produce()
    for kind, here, n in (("x", True, 1), ("x", True, 1), ("y", True, 2), ("y", False, 3), ("x", False, 3)):
        monkeypatch.setattr(runs, "machine", lambda kind=kind: kind)
        make(RECIPES[:1], produce, tmp_path, here=here)
        assert len(produce.asked) == n


def test_where_runs_lie(monkeypatch):
    monkeypatch.setenv("VQABOOK_RUNS", "/shared")
    assert (runs_folder("own"), runs_folder(None)) == (Path("own"), Path("/shared"))
    monkeypatch.delenv("VQABOOK_RUNS")
    assert runs_folder(None) == runs.HOME / "runs"


def test_the_home_folder_may_be_spelt_short(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert runs_folder("~/runs") == tmp_path / "runs"
    monkeypatch.setenv("VQABOOK_RUNS", "~/others")
    assert runs_folder(None) == tmp_path / "others"


def test_evidence_is_no_work_but_for_a_seed_that_misses_a_run_or_for_a_folder_of_ones_own(record, tmp_path):
    for i in (0, 2, 3):
        record(RECIPES[i])
    assert set(find_work("p", RECIPES, None).names) == {key_of(recipe) for recipe in RECIPES[:2]}
    assert len(find_work("p", RECIPES, str(tmp_path)).names) == 4
    assert find_work("p", RECIPES[2:], None).names == ()


@pytest.mark.parametrize("n", [1, 2, 3, 5])
def test_the_nodes_make_a_page_between_them(n, tmp_path):
    produce = Produce()
    made = [
        load_or_make("p", RECIPES, produce, runs=str(tmp_path), label="p", share=(k, n))[:] for k in reversed(range(n))
    ]
    assert sorted(map(key_of, produce.asked)) == sorted(map(key_of, RECIPES))
    assert sum(map(len, made)) == len(RECIPES)
    assert load_or_make("p", RECIPES, produce, runs=str(tmp_path), label="p") and len(produce.asked) == len(RECIPES)


def test_a_node_knows_what_evidence_the_others_lack(record):
    """Node 0 has a alone, which is recorded elsewhere; node 1's b is missing: the seed is made here whole."""
    record(RECIPES[0], kind="another machine")
    made = [load_or_make("p", RECIPES[:2], Produce(), runs=None, label="p", share=(k, 2)) for k in (0, 1)]
    assert makers([*made[0], *made[1]]) == ["us", "us"]


@pytest.mark.timeout(300)
def test_another_process_s_runs_are_waited_for_last(tmp_path):
    recipes, made = [recipe_of(name) for name in "abc"], []
    other = FileLock(tmp_path / f"{key_of(recipes[1])}.lock", thread_local=False)
    at_last = threading.Timer(60, other.release)  # not kept for ever

    def produce(recipe: dict, checkpoint: Path) -> dict:
        made.append(recipe["variant"])
        if made == ["a"]:
            other.acquire()
            at_last.start()
        elif recipe["variant"] == "c":
            at_last.cancel()
            other.release()
        return {"variant": recipe["variant"]}

    records = make(recipes, produce, tmp_path)
    assert made == ["a", "c", "b"]
    assert [record["result"]["variant"] for record in records] == ["a", "b", "c"]
    assert make(recipes, produce, tmp_path) == records and len(made) == 3


@pytest.mark.parametrize("kind", ["stage", "damaged", "lock"])
def test_what_runs_leave_is_kept_for_other_pages_and_processes_and_not_for_ever(tmp_path, kind):
    old, young = (tmp_path / f"{name}.{kind}" for name in ("old", "young"))
    for path in (old, young):
        path.write_bytes(b"state")
    os.utime(old, (0, time.time() - 1.1 * KEPT))
    make(RECIPES[:1], Produce(), tmp_path)
    assert (old.exists(), young.exists()) == (False, True)
