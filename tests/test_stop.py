"""Ctrl-C and SIGTERM: a command ends within five seconds with one sentence, and goes on to the same numbers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from vqabook import stop
from vqabook.evidence import runs
from vqabook.evidence.recheck import difference
from vqabook.evidence.record import read_records, write_json
from vqabook.papers import paper_of
from vqabook.producer import Producer

ROOT = Path(__file__).resolve().parents[1]
SIGNALS = [(signal.SIGINT, 130, "Ctrl-C"), (signal.SIGTERM, 143, "SIGTERM")]
KEPT = "what is finished is kept"
SOON = 5.5 if (os.getloadavg()[0] < (os.cpu_count() or 1)) else 15.0  # seconds; others may keep the processors busy
STOP_IN_EPOCH = """
import os, time, vqabook.training.fit as fit
tell, epochs = fit.tell, []
def stop_here(*told):
    epochs.append(tell(*told))
    if len(epochs) == {epoch}:
        print(time.time(), flush=True)
        os.kill(os.getpid(), {number})
fit.tell = stop_here
"""


def start(*words: object, first: str = "") -> subprocess.Popen:
    """A command in a process of its own; SIGINT is not ignored, as it is in what a shell puts in the background.

    `first`: Python that runs before the command.
    """
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    script = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    script += f"{first}\nfrom vqabook.__main__ import main; main()"
    command = [sys.executable, "-c", script, *map(str, words)]
    if first:
        return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)


def end(process: subprocess.Popen, number: int) -> tuple[int, str, float]:
    """(exit status, what it said, seconds) of a process that gets a signal."""
    process.send_signal(number)
    began = time.monotonic()
    told = process.communicate(timeout=30)[1]
    return process.returncode, told, time.monotonic() - began


def wait_for(process: subprocess.Popen, what: Callable[[], object]) -> None:
    """Until the process has come so far."""
    while not what():
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.02)


def maps(process: subprocess.Popen, library: str) -> bool:
    """Whether a process has loaded a library."""
    return library in Path(f"/proc/{process.pid}/maps").read_text("utf-8")


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="what a process is importing is read from /proc")
@pytest.mark.parametrize(("number", "status", "name"), SIGNALS)
@pytest.mark.parametrize("library", ["_ctypes", "libtorch_cpu"])
def test_imports_are_stopped_with_one_sentence(number, status, name, library, tmp_path):
    process = start("run", "class_imbalance", "--profile", "smoke", "--runs", tmp_path)
    wait_for(process, lambda: maps(process, library))
    ended, told, seconds = end(process, number)
    assert (ended, told.count("\n")) == (status, 1), told
    assert told.startswith(f"vqabook: stopped by {name}; {KEPT}") and seconds < SOON


@pytest.mark.slow
def test_a_training_is_stopped_and_goes_on_to_the_same_numbers(tmp_path):
    paper = paper_of("class_imbalance")
    asked = paper.asked(paper.setting_of(profile="smoke"), "class_imbalance")
    recipe = {**next(recipe for recipe in asked if recipe["variant"] == "digits imbalanced"), "epochs": 12}
    write_json(tmp_path / "asked.json", [recipe])
    words = ("make", "--recipes", tmp_path / "asked.json", "--out")
    runs.make([recipe], Producer(None), tmp_path / "whole")
    for epoch, (number, status, name) in enumerate(SIGNALS, start=3):  # the second stop is after the first's epochs
        process = start(*words, tmp_path / "stopped", first=STOP_IN_EPOCH.format(epoch=epoch, number=int(number)))
        sent, told = process.communicate()
        assert (process.returncode, told.count("\n")) == (status, 1), told
        assert told.startswith(f"vqabook: stopped by {name}; {KEPT}") and time.time() - float(sent) < SOON
        assert read_records(tmp_path / "stopped") == []
    runs.make([recipe], Producer(None), tmp_path / "stopped")
    (record,), (other,) = (read_records(tmp_path / folder) for folder in ("stopped", "whole"))
    assert difference(other["result"], record["result"]) is None
    assert [path.name for path in (tmp_path / "stopped").iterdir() if path.suffix not in (".json", ".lock")] == []


def test_what_takes_too_long_is_ended(tmp_path):
    """A loop that never comes to its end holds a signal back; the process ends all the same."""
    script = "import time; from vqabook import stop; stop.GRACE = 0.3; stop.listen()\n"
    script += "with stop.held():\n    print(1, flush=True); time.sleep(60)"
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    process = subprocess.Popen([sys.executable, "-c", script], text=True, **pipes)
    assert process.stdout.readline() == "1\n"
    status, told, seconds = end(process, signal.SIGTERM)
    assert status == 143 and told.startswith("vqabook: stopped by SIGTERM;") and seconds < SOON


LOST = """
import os, signal, time, weakref
from vqabook import stop
stop.GRACE = 60
stop.listen()
class Thing: pass
def callback(_):
    os.kill(os.getpid(), signal.SIGTERM)
    sum(range(10))
thing = Thing()
reference = weakref.ref(thing, callback)
try:
    del thing
    time.sleep(60)
except stop.Stopped as error:
    stop.tell(error)
    raise
"""


def test_a_signal_in_a_callback_whose_errors_python_drops_is_not_lost():
    began = time.monotonic()
    done = subprocess.run([sys.executable, "-c", LOST], capture_output=True, text=True, timeout=50)
    assert (done.returncode, done.stderr.count("\n")) == (143, 1), done.stderr
    assert done.stderr.startswith("vqabook: stopped by SIGTERM;") and time.monotonic() - began < SOON


def test_a_signal_waits_for_the_end_of_what_holds_it(monkeypatch):
    done = []
    with pytest.raises(stop.Stopped), stop.held():
        with stop.held():
            monkeypatch.setattr(stop, "_asked", signal.SIGTERM)
        done.append("the inner block does not raise")
    assert len(done) == 1
    with pytest.raises(stop.Stopped) as stopped:
        stop.here()
    assert stopped.value.code == 143


def test_processes_end_with_the_block():
    sleeper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    with pytest.raises(ZeroDivisionError), stop.together([sleeper]):
        1 / 0  # noqa: B018
    assert sleeper.returncode == -signal.SIGTERM
    with stop.together([subprocess.Popen([sys.executable, "-c", ""])]) as none:
        assert none is None
