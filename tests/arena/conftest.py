"""Made data whose classes are clouds, some rare."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from types import SimpleNamespace

import numpy as np
import pytest

from vqabook import cli
from vqabook.arena.examples import Examples, check
from vqabook.arena.readers import Raw

Make = Callable[..., tuple[np.ndarray, np.ndarray]]


@pytest.fixture(scope="session")
def make_rows() -> Make:
    """Rows of classes of so many rows each, whose centres are `apart` deviations apart."""

    def make(counts: Sequence[int], width: int = 4, apart: float = 2.0, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
        rng = np.random.default_rng(seed)
        centres = rng.normal(size=(len(counts), width))
        centres *= apart / np.linalg.norm(centres, axis=1, keepdims=True)
        y = rng.permutation(np.repeat(np.arange(len(counts)), counts))
        return (centres[y] + rng.normal(size=(len(y), width))).astype(np.float32), y

    return make


@pytest.fixture(scope="session")
def examples(make_rows) -> Examples:
    """A skewed set of three classes."""
    return check(Raw("clouds", *make_rows([300, 80, 20])))


@pytest.fixture
def vqabook(monkeypatch, capsys):
    """Call the command line; exit status, stdout, stderr."""

    def call(*words: object) -> SimpleNamespace:
        monkeypatch.setattr(sys, "argv", ["vqabook", *map(str, words)])
        with pytest.raises(SystemExit) as end:
            cli.main()
        out, error = capsys.readouterr()
        return SimpleNamespace(status=end.value.code or 0, out=out, error=error)

    return call
