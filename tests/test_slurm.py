"""The graph on a cluster: the same Snakefile, by profile, on a one-node Slurm that the test starts and stops.

Two jobs, of ten seconds by the plan, make a page's records, each with a shard and a stand-in for a GPU; one of them is
killed on its first try and goes on from its records.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from vqabook.evidence.runs import find_work
from vqabook.papers import paper_of

ROOT = Path(__file__).parents[1]
DAEMONS = ("munged", "slurmctld", "slurmd")
MISSING = ", ".join(name for name in DAEMONS if shutil.which(name) is None)

pytestmark = [
    pytest.mark.skipif(bool(MISSING), reason=f"Slurm is not installed: no {MISSING} (Debian: slurm-wlm munge)"),
    pytest.mark.skipif(os.geteuid() != 0, reason="a Slurm node can only be started by root"),
]

# The plugin looks after so many seconds, and every time that no job has ended waits ten more: one look is to be enough.
FIRST_LOOK = "12"
TIMEOUT = 400  # half a minute on two free cores

# What the graph calls in a job. The first try of shard 1 is killed by Slurm once a record of its own is there.
KILLED_ONCE = """#!{python}
import json, os, pathlib, subprocess, sys, time
kept, runs, gpus = map(pathlib.Path, ({kept!r}, {runs!r}, {gpus!r}))
(gpus / os.environ["SLURM_JOB_ID"]).write_text(os.environ["CUDA_VISIBLE_DEVICES"], "utf-8")
command = [sys.executable, "-m", "vqabook", *sys.argv[1:]]
if kept.exists() or "1/2" not in sys.argv:
    os.execv(sys.executable, command)
job = subprocess.Popen(command)
while not (made := [path for path in runs.glob("*.json") if path.stem in {names!r}]):
    assert job.poll() is None
    time.sleep(0.02)
kept.write_text(json.dumps({{path.stem: path.stat().st_mtime_ns for path in made}}), "utf-8")
subprocess.run(["scancel", "--signal=KILL", "--full", os.environ["SLURM_JOB_ID"]], check=True)
job.wait()
time.sleep(60)
"""

CONFIGURATION = """
ClusterName=vqabook
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller_port}
SlurmdPort={node_port}
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
ReturnToService=2
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
GresTypes=gpu
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory=8000 Gres=gpu:2
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def write_configuration(folder: Path, host: str) -> Path:
    """A cluster of this one machine, all of whose files lie in `folder`; the path of its slurm.conf."""
    for name in ("state", "spool"):
        (folder / name).mkdir()
    key = folder / "munge.key"
    key.write_bytes(os.urandom(128))
    key.chmod(0o600)
    # Two CPUs are promised even on a machine with one, and two GPUs: their files stand for them.
    cpus = max(2, os.cpu_count() or 1)
    ports = {"controller_port": free_port(), "node_port": free_port()}
    text = CONFIGURATION.format(host=host, folder=folder, cpus=cpus, **ports)
    path = folder / "slurm.conf"
    path.write_text(text)
    (folder / "gres.conf").write_text("Name=gpu File=/dev/null\nName=gpu File=/dev/zero\n")
    return path


def write_srun(folder: Path, configuration: Path) -> None:
    """An srun that finds this cluster: Snakemake clears SLURM_CONF inside a job; a real cluster has /etc/slurm."""
    script = folder / "srun"
    script.write_text(f'#!/bin/sh\nSLURM_CONF={configuration} exec {shutil.which("srun")} "$@"\n')
    script.chmod(0o755)


def wait_until_idle(environment: dict[str, str], folder: Path) -> None:
    """Return once the node takes jobs; fail with the daemons' logs after 30 seconds."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        state = subprocess.run(["sinfo", "--noheader", "--format=%T"], env=environment, capture_output=True, text=True)
        if state.stdout.strip() == "idle":
            return
        time.sleep(0.3)
    logs = "\n".join(path.read_text() for path in sorted(folder.glob("*.log")))
    pytest.fail(f"the Slurm node did not become idle in 30 s; its logs:\n{logs}")


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[tuple[dict[str, str], Path]]:
    """A running one-node Slurm: (the environment that finds it, its folder). Its daemons end with the test."""
    folder = tmp_path / "slurm"
    folder.mkdir(mode=0o755)
    host = socket.gethostname().split(".")[0]
    configuration = write_configuration(folder, host)
    write_srun(folder, configuration)
    path = os.pathsep.join([str(folder), str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {**os.environ, "PATH": path, "SLURM_CONF": str(configuration)}
    munge = [f"--{name}-file={folder}/munge.{name}" for name in ("key", "log", "pid", "seed")]
    commands = [
        ["munged", "--foreground", "--force", f"--socket={folder}/munge.socket", *munge],
        ["slurmctld", "-D", "-f", str(configuration)],
        ["slurmd", "-D", "-f", str(configuration), "-N", host],
    ]
    with ExitStack() as stack:
        for command in commands:
            log = stack.enter_context((folder / f"{command[0]}.out.log").open("w"))
            daemon = subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT)
            stack.callback(stop, daemon)
            time.sleep(0.5)
        wait_until_idle(environment, folder)
        yield environment, folder


def stop(daemon: subprocess.Popen) -> None:
    daemon.terminate()
    try:
        daemon.wait(timeout=10)
    except subprocess.TimeoutExpired:
        daemon.kill()
        daemon.wait()


def name_shards(page: str, n: int) -> list[set[str]]:
    """The names of a page's records at smoke size, a set a shard."""
    asked = paper_of(page).asked(paper_of(page).setting_of(profile="smoke"), page)
    dealt = find_work(paper_of(page).name, asked, "anew").deal_out(n)
    return [{name for name, k in dealt.items() if k == shard} for shard in range(n)]


def write_vqabook(folder: Path, **values: object) -> None:
    """A `vqabook` before the real one on PATH; see `KILLED_ONCE`."""
    script = folder / "vqabook"
    script.write_text(KILLED_ONCE.format(python=sys.executable, **values), "utf-8")
    script.chmod(0o755)


def test_a_page_s_records_are_made_by_two_slurm_jobs_of_which_one_is_killed(cluster, tmp_path: Path):
    """Each makes one shard, in folders whose names have a space and an accent; the killed one keeps its records."""
    environment, folder = cluster
    complete, runs = tmp_path / "rüns 1" / ".complete" / "smoke", tmp_path / "rüns 1" / "loss_rescaling"
    (gpus := tmp_path / "gpus").mkdir()
    lists = [complete / f"class_imbalance.{k}-of-2" for k in (1, 2)]
    shards = name_shards("class_imbalance", 2)
    write_vqabook(folder, kept=str(tmp_path / "kept"), runs=str(runs), names=shards[0], gpus=str(gpus))
    command = [sys.executable, "-m", "snakemake", "records_class_imbalance", "--profile", "profiles/slurm"]
    command += ["--quiet", "rules", "--nolock", "--drop-metadata", "--latency-wait", "5"]
    command += ["--slurm-logdir", str(tmp_path / "logs")]
    command += ["--slurm-init-seconds-before-status-checks", FIRST_LOOK]
    command += ["--set-resources", "records:gres=gpu:1"]
    command += ["--config", "profile=smoke", "minutes=0.17", "workers=1", f"out={tmp_path / 'bóok'}"]
    command += [f"runs={tmp_path / 'rüns 1'}"]
    result = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=TIMEOUT)
    assert result.returncode == 0 and "Trying to restart" in result.stderr, result.stdout + result.stderr
    assert [set(json.loads(path.read_text("utf-8"))) for path in lists] == shards and all(shards)
    made = {path.stem: path.stat().st_mtime_ns for path in runs.glob("*.json")}
    kept = json.loads((tmp_path / "kept").read_text("utf-8"))
    assert made.keys() == set().union(*shards) and 0 < len(kept) < len(shards[0])
    assert {name: made[name] for name in kept} == kept  # made before the end, and not again
    # The scheduler's own word for it: three jobs were placed on the node, one was killed, two ended with status 0.
    said = (folder / "slurmctld.log").read_text("utf-8")
    assert (
        said.count("Allocate JobId=") == 3 and said.count("REQUEST_KILL_JOB") == 1 and said.count("WEXITSTATUS 0") == 2
    )
    seen = [path.read_text("utf-8") for path in sorted(gpus.iterdir())]
    assert len(seen) == 3 and set(seen) == {"0", "1"}  # the two at a time have one each
