"""nbval runs the notebooks that store outputs to compare, up to the last of these.

The book's build in tests/test_book.py runs all notebooks, to their end.
"""

from pathlib import Path

import pytest

from vqabook import kernels

kernels.use_warm_kernels()
COMPARED = "nbval-check-output"
NOTEBOOKS = Path(__file__).parent.glob("*.ipynb")
collect_ignore = [path.name for path in NOTEBOOKS if COMPARED not in path.read_text("utf-8")]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the cells behind a notebook's last compared one: pictures, for the most part."""
    cells = [item for item in items if item.path.suffix == ".ipynb"]
    last = {item.path: item.cell_num for item in cells if COMPARED in item.cell.metadata.get("tags", ())}
    behind = [item for item in cells if item.cell_num > last[item.path]]
    config.hook.pytest_deselected(items=behind)
    items[:] = [item for item in items if item not in set(behind)]
