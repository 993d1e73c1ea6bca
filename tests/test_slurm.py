"""The graph on a cluster: the same Snakefile, by profile, on a one-node Slurm that the test starts and stops."""

from __future__ import annotations

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


def test_the_records_of_a_paper_are_made_by_a_slurm_job(cluster, tmp_path: Path):
    environment, folder = cluster
    stamp = tmp_path / "runs" / ".complete" / "smoke-class_imbalance"
    command = [sys.executable, "-m", "snakemake", str(stamp), "--profile", "profiles/slurm"]
    command += ["--nolock", "--drop-metadata", "--latency-wait", "5", "--slurm-logdir", str(tmp_path / "logs")]
    command += ["--slurm-init-seconds-before-status-checks", "2"]
    command += ["--config", "profile=smoke", f"out={tmp_path / 'book'}", f"runs={tmp_path / 'runs'}"]
    result = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=150)
    assert result.returncode == 0, result.stdout + result.stderr
    assert stamp.exists()
    # The scheduler's own word for it: one job was placed on the node and ended with status 0.
    said = (folder / "slurmctld.log").read_text()
    assert "Allocate JobId=" in said
    assert "WEXITSTATUS 0" in said
