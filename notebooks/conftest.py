"""nbval runs the notebooks that store outputs to compare: of each the cells with such outputs, and what these need.

The book's build in tests/test_book.py runs all cells of all notebooks.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from pathlib import Path

import pytest

from vqabook import kernels

kernels.use_warm_kernels()
COMPARED = "nbval-check-output"
KEPT = {COMPARED, "parameters"}  # `globals()` reads these
NOTEBOOKS = Path(__file__).parent.glob("*.ipynb")
collect_ignore = [path.name for path in NOTEBOOKS if COMPARED not in path.read_text("utf-8")]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what no compared cell reads: pictures, for the most part."""
    notebooks: dict[Path, list[pytest.Item]] = defaultdict(list)
    for item in items:
        if item.path.suffix == ".ipynb":
            notebooks[item.path].append(item)
    unread = {item for cells in notebooks.values() for item in _find_unread(cells)}
    config.hook.pytest_deselected(items=list(unread))
    items[:] = [item for item in items if item not in unread]


def _find_unread(cells: list) -> list:
    """The cells of a notebook but those of `KEPT` and those that make a name which a kept cell after them reads."""
    unread, wanted = [], set()
    for item in reversed(cells):
        made, read = _find_names(item.cell.source)
        if made & wanted or KEPT.intersection(item.cell.metadata.get("tags", ())):
            wanted |= read
        else:
            unread.append(item)
    return unread


def _find_names(source: str) -> tuple[set[str], set[str]]:
    """The names that a cell makes and those that it reads, wherever in it."""
    made, read = set(), set()
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Name(id=name, ctx=ast.Load()):
                read.add(name)
            case ast.Name(id=name) | ast.FunctionDef(name=name):
                made.add(name)
            case ast.alias(name=name, asname=short):
                made.add(short or name.partition(".")[0])
    return made, read
