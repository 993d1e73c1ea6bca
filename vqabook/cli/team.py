"""Several processes of one command share its work by the locks of records; where there are GPUs, each has its own."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from vqabook import stop


@dataclass(frozen=True)
class Team:
    """`size` processes of this command, this one among them; `gpus` as CUDA_VISIBLE_DEVICES names them."""

    size: int
    gpus: tuple[str, ...]

    @classmethod
    def of(cls, size: int) -> "Team":
        """Call it before torch looks for GPUs: of several processes this one sees the first GPU alone."""
        team = cls(size, tuple(list_gpus()) if size > 1 else ())
        os.environ.update(team.seen_by(0))
        return team

    def seen_by(self, member: int) -> dict[str, str]:
        """The environment that gives a member its GPU; with fewer GPUs than members they take turns."""
        return {"CUDA_VISIBLE_DEVICES": self.gpus[member % len(self.gpus)]} if self.gpus else {}

    @contextmanager
    def at_work(self, *more: str, quiet: bool = False) -> Iterator[None]:
        """The others do beside the block what this process does in it; they end with it.

        `more`: words for them; `quiet`: they show no bars, since this one counts what they finish.
        """
        words = [sys.executable, "-m", "vqabook", *sys.argv[1:], "--workers", "1", *more]
        bars = {"TQDM_DISABLE": "1"} if quiet else {}
        others = [subprocess.Popen(words, env=os.environ | self.seen_by(i) | bars) for i in range(1, self.size)]
        with stop.together(others):
            yield
        if failed := sum(other.returncode != 0 for other in others):
            raise RuntimeError(f"{self.size} processes share the work; {failed} of them failed, as it says above")


def list_gpus() -> list[str]:
    """What CUDA_VISIBLE_DEVICES names, as a cluster sets it; else every GPU of the machine."""
    if (given := os.environ.get("CUDA_VISIBLE_DEVICES")) is not None:
        return [name for name in given.split(",") if name]
    if shutil.which("nvidia-smi") is None:
        return []
    asked = ("nvidia-smi", "--query-gpu=index", "--format=csv,noheader")
    return subprocess.run(asked, capture_output=True, encoding="utf-8").stdout.split()
