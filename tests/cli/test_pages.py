"""The commands do what they say, once; what goes wrong is one sentence on stderr."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import nbformat
import pytest

from vqabook import cli
from vqabook.evidence.record import read_records
from vqabook.papers import PAGES


@pytest.fixture
def vqabook(monkeypatch, capsys):
    """Call the command line; exit status, stdout, stderr."""

    def call(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["vqabook", *map(str, words)])
        with pytest.raises(SystemExit) as end:
            cli.main()
        return (end.value.code or 0, *capsys.readouterr())

    return call


@pytest.fixture(scope="module")
def runs(cache, tmp_path_factory) -> Path:
    """A folder of records that this module's tests share."""
    return tmp_path_factory.mktemp("runs")


def test_run_trains_what_is_missing_and_the_ledger_shows_it(vqabook, runs, tmp_path):
    words = ("run", "class_imbalance", "--profile", "smoke", "--runs", runs)
    assert vqabook(*words)[0] == 0
    folder = runs / PAGES["class_imbalance"]
    before = {path: path.stat().st_mtime_ns for path in folder.glob("*.json")}
    assert {r["recipe"]["variant"].split(" @ ")[0] for r in read_records(runs)} == {
        "statistics", "bce baseline", "ce baseline", "digits imbalanced", "digits balanced",
    }  # fmt: skip
    assert vqabook(*words)[0] == 0
    assert {path: path.stat().st_mtime_ns for path in folder.glob("*.json")} == before
    assert list(folder.glob("*.checkpoint")) == []

    assert vqabook("ledger", "--out", tmp_path, "--runs", runs, "--profile", "smoke")[0] == 0
    rows = {row["name"]: row for row in json.loads((tmp_path / "ledger.json").read_text())}
    assert rows["assumption-2-bce"]["embedded"]["n"] == 1 and rows["assumption-2-bce"]["verdict_embedded"] == "not run"
    assert rows["table-v-bce-both-over-baseline"]["embedded"] is None
    assert '<table class="ledger">' in (tmp_path / "ledger.html").read_text()


def test_fingerprint_prints_a_hash_and_runs_nothing(vqabook, tmp_path):
    status, printed, _ = vqabook("run", "class_imbalance", "--fingerprint", "--runs", tmp_path)
    assert status == 0 and len(printed.strip()) == 12 and int(printed, 16)
    assert vqabook("run", "class_imbalance", "--fingerprint")[1] == printed
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["-s", "epochs=0"], "vqabook: epochs must be positive, got 0; its default is 20\n"),
        (["-s", "seeds=0"], "vqabook: seeds must be tuple, got 0 (int)\n"),
        (["-s", "nonsense"], "vqabook: a parameter is given as name=value, got 'nonsense'\n"),
        (["-s", "epoch=1"], "got epoch: check the spelling\n"),
        (["--profile", "tiny"], "vqabook: profile is one of smoke, small, real, paper; got 'tiny'\n"),
        (["--data-root", "/none", "--profile", "real"], "/none is not a folder; set data_root or VQABOOK_DATA to"),
    ],
)
def test_what_is_wrong_is_one_sentence(words, message, vqabook, tmp_path):
    status, _, said = vqabook("run", "class_imbalance", "--runs", tmp_path, *words)
    assert status == 1 and message in said and said.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_page_is_one_sentence(vqabook):
    for more in ([], ["--fingerprint"]):
        status, _, said = vqabook("run", "css", *more)
        assert status == 1 and f"pages are {', '.join(PAGES)}; got" in said and said.count("\n") == 1


def notebook(path: Path, code: str) -> Path:
    """A notebook with a parameters cell and one more."""
    cells = [nbformat.v4.new_code_cell(source) for source in ("profile = 'small'\nruns = None\ndata_root = None", code)]
    cells[0].metadata.tags = ["parameters"]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3"}, "language_info": {"name": "python"}}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=kernel), path)
    return path


def test_a_parameter_that_the_notebook_lacks_is_refused(vqabook, tmp_path):
    source = notebook(tmp_path / "n.ipynb", "1")
    status, _, said = vqabook("execute", source, tmp_path / "out.ipynb", "-s", "epochz=3")
    assert status == 1 and "are profile, runs, data_root; got epochz: check the spelling" in said
    assert not (tmp_path / "out.ipynb").exists()


@pytest.mark.slow
def test_execute(vqabook, tmp_path):
    source, out = notebook(tmp_path / "n.ipynb", "print(profile, runs)"), tmp_path / "out" / "n.ipynb"
    assert vqabook("execute", source, out, "--profile", "smoke", "--runs", "/r")[0] == 0
    texts = [o["text"] for cell in nbformat.read(out, 4).cells for o in cell.get("outputs", []) if "text" in o]
    assert texts == ["smoke /r\n"]


@pytest.mark.slow
def test_a_notebook_that_fails_is_kept_aside(vqabook, tmp_path):
    source, out = notebook(tmp_path / "n.ipynb", "value = 1\nvalue / 0"), tmp_path / "out" / "n.ipynb"
    status, _, said = vqabook("execute", source, out)
    assert status == 1 and "(value = 1): ZeroDivisionError: division by zero; the notebook with the error is" in said
    assert not out.exists() and (tmp_path / "out" / "failed" / "n.ipynb").exists()
