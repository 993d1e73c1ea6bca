"""The package's types are right, as `make types` says: here, so that they are checked beside the other tests."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def test_the_types_are_right():
    done = subprocess.run([sys.executable, "-m", "mypy"], cwd=Path(__file__).parents[1], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
