"""A job that dies is tried again, and goes on from the records that it had made."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# What the graph calls: its first try is killed, as by a node that is taken away, once a record is there.
DIES_ONCE = """#!{python}
import json, os, pathlib, signal, subprocess, sys, time
again = pathlib.Path({folder!r}, "again")
command = [sys.executable, "-m", "vqabook", *sys.argv[1:]]
if again.exists():
    os.execv(sys.executable, command)
again.touch()
job = subprocess.Popen(command)
while not list(pathlib.Path({runs!r}).rglob("*-*.json")):
    assert job.poll() is None
    time.sleep(0.01)
job.kill()
job.wait()
made = {{str(path): path.stat().st_mtime_ns for path in pathlib.Path({runs!r}).rglob("*-*.json")}}
again.write_text(json.dumps(made), "utf-8")
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.slow
def test_a_job_that_dies_by_a_signal_goes_on_from_its_records(tmp_path):
    runs, done = tmp_path / "rüns 1", tmp_path / "rüns 1" / ".complete" / "smoke" / "class_imbalance.1-of-1"
    runs.mkdir()
    called = tmp_path / "bin" / "vqabook"
    called.parent.mkdir()
    called.write_text(DIES_ONCE.format(python=sys.executable, folder=str(tmp_path), runs=str(runs)), "utf-8")
    called.chmod(0o755)
    path = os.pathsep.join([str(called.parent), str(Path(sys.executable).parent), os.environ["PATH"]])
    command = [sys.executable, "-m", "snakemake", str(done), "--cores", "1", "--retries", "1", "--nolock"]
    command += ["--drop-metadata", "--config", "profile=smoke", "workers=1", f"runs={runs}", f"out={tmp_path / 'out'}"]
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT)}
    job = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, encoding="utf-8")
    assert job.returncode == 0 and "Trying to restart" in job.stderr, job.stderr
    listed, first = json.loads(done.read_bytes()), json.loads((tmp_path / "again").read_bytes())
    records = {str(path): path.stat().st_mtime_ns for path in runs.rglob("*-*.json")}
    assert len(records) == len(set(listed)) > len(first) > 0
    assert {path: records[path] for path in first} == first  # made before the end, and kept
