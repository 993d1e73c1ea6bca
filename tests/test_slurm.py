"""The graph on a cluster: the same Snakefile, by profile, on a one-node Slurm that the test starts and stops."""

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

ROOT = Path(__file__).parents[1]
DAEMONS = ("munged", "slurmctld", "slurmd")
MISSING = ", ".join(name for name in DAEMONS if shutil.which(name) is None)

pytestmark = [
    pytest.mark.skipif(bool(MISSING), reason=f"Slurm is not installed: no {MISSING} (Debian: slurm-wlm munge)"),
    pytest.mark.skipif(os.geteuid() != 0, reason="a Slurm node can only be started by root"),
]

# The plugin looks after so many seconds, and every time that no job has ended waits ten more: one look is to be enough.
FIRST_LOOK = "12"

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
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory=8000
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
    # Two CPUs are promised even on a machine with one: the rule asks for two.
    cpus = max(2, os.cpu_count() or 1)
    ports = {"controller_port": free_port(), "node_port": free_port()}
    text = CONFIGURATION.format(host=host, folder=folder, cpus=cpus, **ports)
    path = folder / "slurm.conf"
    path.write_text(text)
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


def test_a_page_s_records_are_made_by_two_slurm_jobs(cluster, tmp_path: Path):
    """Each makes one shard, in folders whose names have a space and an accent."""
    environment, folder = cluster
    complete = tmp_path / "rüns 1" / ".complete" / "smoke"
    lists = [complete / f"class_imbalance.{k}-of-2" for k in (1, 2)]
    command = [sys.executable, "-m", "snakemake", *map(str, lists), "--profile", "profiles/slurm", "--quiet", "rules"]
    command += ["--nolock", "--drop-metadata", "--latency-wait", "5", "--slurm-logdir", str(tmp_path / "logs")]
    command += ["--slurm-init-seconds-before-status-checks", FIRST_LOOK]
    command += ["--config", "profile=smoke", "shards=2", "workers=1", f"out={tmp_path / 'bóok'}"]
    command += [f"runs={tmp_path / 'rüns 1'}"]
    result = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=150)
    assert result.returncode == 0, result.stdout + result.stderr
    names = [json.loads(path.read_text("utf-8")) for path in lists]
    records = {path.stem for path in (tmp_path / "rüns 1" / "loss_rescaling").glob("*.json")}
    assert all(names) and set(names[0]) | set(names[1]) == records and not set(names[0]) & set(names[1])
    # The scheduler's own word for it: two jobs were placed on the node and ended with status 0.
    said = (folder / "slurmctld.log").read_text("utf-8")
    assert said.count("Allocate JobId=") == 2 and said.count("WEXITSTATUS 0") == 2
