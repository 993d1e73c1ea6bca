"""A bar where someone watches, and a log that is silent until it is asked for."""

from __future__ import annotations

import io
import logging
import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from vqabook import progress
from vqabook.progress import Bar, start_log, tell

ROOT = Path(__file__).parents[1]
CALL = "from vqabook.progress import Bar; print(sum(Bar(range(5), desc='counted')))"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def nothing_asked(monkeypatch):
    """Neither bars nor the log are set up by the environment, and the log is as it was, afterwards."""
    for name in ("TQDM_DISABLE", "VQABOOK_LOG"):
        monkeypatch.delenv(name, raising=False)
    yield
    progress.LOG.setLevel(logging.NOTSET)
    progress.LOG.handlers.clear()


@pytest.mark.parametrize(
    ("stream", "off", "shown"), [(Terminal, "", True), (Terminal, "1", False), (io.StringIO, "", False)]
)
def test_a_bar_is_shown_on_a_terminal_unless_it_is_switched_off(stream, off, shown, monkeypatch):
    monkeypatch.setenv("TQDM_DISABLE", off)
    out = stream()
    assert list(Bar(range(3), desc="counted", file=out)) == [0, 1, 2]
    assert ("counted: 100%" in out.getvalue()) is shown


@pytest.mark.slow
@pytest.mark.parametrize("off", ["0", "1"])
def test_a_notebook_shows_a_bar_unless_it_is_switched_off(off, monkeypatch):
    monkeypatch.setenv("TQDM_DISABLE", off)
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(CALL)])
    NotebookClient(notebook, kernel_name="python3", resources={"metadata": {"path": str(ROOT)}}).execute()
    told = str(notebook.cells[0].outputs)
    assert ("counted" in told) is (off == "0") and "10\\n" in told and "Warning" not in told


def test_the_log_is_silent_until_it_is_asked_for(monkeypatch, capsys):
    monkeypatch.setattr(progress.LOG, "propagate", False)  # pytest listens at the root
    tell("epoch %d of %d", 1, 2)
    assert capsys.readouterr() == ("", "")
    monkeypatch.setenv("VQABOOK_LOG", "info")
    tell("epoch %d of %d", 2, 2)
    out, told = capsys.readouterr()
    assert out == "" and told.endswith(f" {os.getpid()} epoch 2 of 2\n")


def test_a_program_s_own_logging_gets_the_lines(caplog):
    with caplog.at_level(logging.INFO):
        tell("record %d of %d", 1, 3)
    start_log("info")
    assert [r.getMessage() for r in caplog.records] == ["record 1 of 3"] and progress.LOG.handlers == []


def test_an_unknown_level_is_told_before_anything_is_done():
    words = [sys.executable, "-m", "vqabook", "run", "mcl_kd"]
    done = subprocess.run(words, cwd=ROOT, env=os.environ | {"VQABOOK_LOG": "loud"}, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr == "vqabook: VQABOOK_LOG is one of debug, info, warning, error; got 'loud'\n"
