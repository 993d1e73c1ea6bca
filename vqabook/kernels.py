"""Kernels that start warm: forked from one process that has imported what pages import, seconds of work a page.

In a process that has called `use_warm_kernels`, Jupyter finds `WarmProvisioner` by its entry point (pyproject.toml):
papermill, nbclient and nbval need not know. Kernels of other Pythons start as ever, and all do where nothing forks.
"""

import multiprocessing
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import entry_points
from multiprocessing import parent_process
from multiprocessing.connection import wait
from multiprocessing.context import BaseContext
from subprocess import Popen
from threading import Thread
from typing import cast

from jupyter_client.connect import KernelConnectionInfo
from jupyter_client.provisioning import KernelProvisionerFactory, LocalProvisioner

NAME = "vqabook-warm"  # of the entry point
IMPORTED = ("ipykernel.kernelapp", "vqabook.page", "torch")
CAN_FORK = "forkserver" in multiprocessing.get_all_start_methods()


def use_warm_kernels() -> None:
    """Have kernels that this process starts forked, if the package is installed, not only on Python's path."""
    if entry_points(group=KernelProvisionerFactory.GROUP_NAME, name=NAME):
        os.environ["JUPYTER_DEFAULT_PROVISIONER_NAME"] = NAME


def warm_context() -> BaseContext:
    """What starts processes that have imported what pages import."""
    if not CAN_FORK:
        return multiprocessing.get_context()
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([*IMPORTED])
    return context


class ForkedKernel:
    """A forked process, with what a provisioner calls of `subprocess.Popen`."""

    stdin = stdout = stderr = None  # those of the process that started it

    def __init__(self, words: Sequence[str], env: Mapping[str, str], cwd: str | None) -> None:
        start = warm_context().Process  # type: ignore[attr-defined]  # every context has it
        self._process = start(target=_become_kernel, args=(words, dict(env), cwd), daemon=True)
        self._process.start()
        self.pid = self._process.pid

    def poll(self) -> int | None:
        """The exit status; None while it runs."""
        return self._process.exitcode

    def wait(self) -> int | None:
        """The exit status, once it has ended."""
        self._process.join()
        return self.poll()

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """Ask it to end."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it."""
        self.send_signal(signal.SIGKILL)


class WarmProvisioner(LocalProvisioner):
    """Forks the kernels of this Python, and starts all others as Jupyter does."""

    async def launch_kernel(self, cmd: list[str], **kwargs) -> KernelConnectionInfo:
        """Start the kernel of a command line."""
        python, *words = cmd
        ours = os.path.realpath(python) == os.path.realpath(sys.executable)
        if not (CAN_FORK and ours and words[:2] == ["-m", "ipykernel_launcher"]):
            return await super().launch_kernel(cmd, **kwargs)
        self.process = cast(Popen, ForkedKernel(words[2:], kwargs["env"], kwargs.get("cwd")))
        self.pid = self.pgid = self.process.pid
        return self.connection_info


def _become_kernel(words: Sequence[str], env: Mapping[str, str], cwd: str | None) -> None:
    """Be, in a session of its own, the kernel that `python -m ipykernel_launcher` would be; end with the parent."""
    from ipykernel.kernelapp import IPKernelApp

    Thread(target=_end_with_parent, daemon=True).start()
    os.setsid()
    os.environ.clear()
    os.environ.update(env)
    os.chdir(cwd or ".")
    sys.path.insert(0, "")
    if "pandas" in sys.modules:  # it took the process that forks for a terminal; this is its own choice in a kernel
        sys.modules["pandas"].set_option("display.max_columns", 20)
    IPKernelApp.launch_instance(list(words), parent_handle=os.getppid())


def _end_with_parent() -> None:
    """The process that forks lives as long as its kernels do, so they watch the one that asked for them."""
    if (parent := parent_process()) is not None:
        wait([parent.sentinel])
        os._exit(1)
