"""Processes that share a command's work: each has a GPU where there are any, and all of them must have done well."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from vqabook.cli.team import Team, list_gpus

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("given", "gpus"), [("0,1", ["0", "1"]), ("GPU-a,MIG-b", ["GPU-a", "MIG-b"]), ("3", ["3"]), ("", [])]
)
def test_a_cluster_says_which_gpus_a_job_has(given, gpus, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", given)
    assert list_gpus() == gpus


def test_the_gpus_of_a_machine_of_ones_own(tmp_path, monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert list_gpus() == []
    driver = tmp_path / "nvidia-smi"
    driver.write_text("#!/bin/sh\necho 0\necho 1\n")
    driver.chmod(0o755)
    assert list_gpus() == ["0", "1"]


def test_members_take_turns_and_one_alone_sees_what_there_is(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,7")
    Team.of(1)
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "4,7"
    team = Team.of(3)
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "4"
    assert [team.seen_by(i)["CUDA_VISIBLE_DEVICES"] for i in range(3)] == ["4", "7", "4"]
    assert Team(3, ()).seen_by(1) == {}


SCRIPT = """
import os, sys
from pathlib import Path
folder, status = sys.argv[3:5]
Path(folder, os.environ["CUDA_VISIBLE_DEVICES"]).write_text(" ".join(sys.argv[5:]))
sys.exit(int(status))
"""


@pytest.mark.parametrize("status", [0, 1])
def test_the_others_do_the_same_and_are_awaited(status, tmp_path, monkeypatch):
    """A stand-in for Python writes down its GPU and the words that it was called with."""
    python = tmp_path / "python"
    (tmp_path / "script.py").write_text(SCRIPT)
    python.write_text(f'#!/bin/sh\nexec {sys.executable} {tmp_path}/script.py "$@"\n')
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    monkeypatch.setattr(sys, "argv", ["vqabook", str(tmp_path), str(status), "--workers", "3"])
    team = Team(3, ("4", "7", "9"))
    if status:
        with pytest.raises(RuntimeError, match="3 processes share the work; 2 of them failed"), team.at_work():
            pass
    else:
        with team.at_work():
            pass
    files = {name: Path(tmp_path, name) for name in "479"}
    assert [name for name, path in files.items() if path.exists()] == ["7", "9"]
    assert files["7"].read_text() == "--workers 3 --workers 1"


# Python starts every process with it: which GPUs a process sees as it imports torch, and as it has made a record.
WATCH = """
import os, pathlib, sys
def watch(event, words):
    made = event == "os.rename" and str(words[1]).endswith(".json")
    if made or event == "import" and words[0] == "torch":
        what = pathlib.Path(words[1]).stem if made else "torch"
        with open({log!r} + str(os.getpid()), "a") as log:
            log.write(what + " " + os.environ["CUDA_VISIBLE_DEVICES"] + "\\n")
sys.addaudithook(watch)
"""


@pytest.mark.slow
def test_workers_of_one_job_have_a_gpu_each_and_make_a_page_between_them(tmp_path):
    """Stand-ins for the three GPUs of a node: what is there is the CPU, whatever CUDA_VISIBLE_DEVICES names."""
    (tmp_path / "sitecustomize.py").write_text(WATCH.format(log=f"{tmp_path}/log "), "utf-8")
    words = ["run", "class_imbalance", "--profile", "smoke", "--runs", tmp_path / "runs", "--done", tmp_path / "done"]
    path = os.pathsep.join([str(tmp_path), str(ROOT)])
    environment = {**os.environ, "PYTHONPATH": path, "CUDA_VISIBLE_DEVICES": "4,GPU-7,9"}
    command = [sys.executable, "-m", "vqabook", *map(str, words), "--workers", "3"]
    subprocess.run(command, env=environment, check=True)
    logs = [path.read_text("utf-8").splitlines() for path in tmp_path.glob("log *")]
    seen = [{line.split(" ")[1] for line in log} for log in logs]
    assert sorted(map(sorted, seen)) == [["4"], ["9"], ["GPU-7"]], "one a process, from before torch is imported"
    made = sorted(name for log in logs for name in (line.split(" ")[0] for line in log) if name != "torch")
    assert made == sorted(json.loads((tmp_path / "done").read_text("utf-8"))), "each by one process"
