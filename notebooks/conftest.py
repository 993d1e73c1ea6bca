"""nbval runs the notebooks that store outputs to compare; the book's build in tests/test_book.py runs them all."""

from pathlib import Path

from vqabook import kernels

kernels.use_warm_kernels()
NOTEBOOKS = Path(__file__).parent.glob("*.ipynb")
collect_ignore = [path.name for path in NOTEBOOKS if "nbval-check-output" not in path.read_text("utf-8")]
