"""Warm kernels are kernels: their own process, environment and folder; they can be interrupted, killed and orphaned."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from jupyter_client.manager import KernelManager

from vqabook import kernels

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not kernels.CAN_FORK, reason="nothing forks here")]


def start(**kwargs: object) -> tuple[KernelManager, object]:
    """A warm kernel and its client."""
    manager = KernelManager(kernel_name="python3")
    manager.start_kernel(**kwargs)
    assert isinstance(manager.provisioner, kernels.WarmProvisioner)
    client = manager.client()
    client.start_channels()
    client.wait_for_ready(timeout=600)
    return manager, client


@pytest.fixture
def kernel(monkeypatch, tmp_path) -> Iterator[tuple[KernelManager, object]]:
    kernels.use_warm_kernels()
    manager, client = start(cwd=str(tmp_path), env={**os.environ, "COLOUR": "blue"})
    yield manager, client
    client.stop_channels()
    manager.shutdown_kernel(now=True)


def run(client, code: str) -> str | None:
    """The error that code raises; None if it raises none."""
    reply = client.execute_interactive(code, timeout=600, output_hook=lambda message: None)["content"]
    return f"{reply['ename']}: {reply['evalue']}" if reply["status"] == "error" else None


def test_a_warm_kernel_has_its_own_folder_and_environment_and_what_pages_import(kernel, tmp_path):
    _, client = kernel
    code = f"""
        import os, sys
        assert os.getcwd() == {str(tmp_path)!r} and os.environ["COLOUR"] == "blue", os.getcwd()
        assert "vqabook.page" in sys.modules and __name__ == "__main__", __name__
        import pandas
        assert pandas.get_option("display.max_columns") == 20, "as pandas chooses in a kernel"
    """
    assert run(client, textwrap.dedent(code)) is None
    assert "COLOUR" not in os.environ


def test_it_is_interrupted_and_goes_on(kernel):
    manager, client = kernel
    sent = client.execute("print('begun', flush=True); import time; time.sleep(600)")
    while client.get_iopub_msg(timeout=600)["content"].get("text") != "begun\n":
        pass
    manager.interrupt_kernel()
    reply = client.get_shell_msg(timeout=600)
    while reply["parent_header"].get("msg_id") != sent:
        reply = client.get_shell_msg(timeout=600)
    assert reply["content"]["ename"] == "KeyboardInterrupt"
    assert run(client, "1 + 1") is None


def test_one_that_dies_is_noticed(kernel):
    manager, client = kernel
    assert manager.is_alive()
    client.execute("import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
    manager.provisioner.process.wait()
    assert not manager.is_alive() and manager.provisioner.process.poll() == -signal.SIGKILL


def test_it_ends_with_the_process_that_started_it(tmp_path):
    code = f"""
        import os, sys
        sys.path.insert(0, {str(Path(__file__).parent)!r})
        import test_kernels
        if __name__ == "__main__":  # a forked process imports the module that was started
            test_kernels.kernels.use_warm_kernels()
            manager, client = test_kernels.start()
            print(manager.provisioner.pid, flush=True)
            os._exit(1)
    """
    script = tmp_path / "starts.py"
    script.write_text(textwrap.dedent(code))
    told = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=False)
    pid = int(told.stdout.split()[-1])
    while Path(f"/proc/{pid}/status").exists() and "zombie" not in Path(f"/proc/{pid}/status").read_text():
        time.sleep(0.1)  # pytest's own limit ends this


def test_a_kernel_of_another_python_starts_as_ever(monkeypatch, tmp_path):
    kernels.use_warm_kernels()
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    manager = KernelManager(kernel_name="python3")
    manager.kernel_spec.argv[0] = str(python)
    manager.start_kernel()
    try:
        assert isinstance(manager.provisioner.process, subprocess.Popen)
    finally:
        manager.shutdown_kernel(now=True)
