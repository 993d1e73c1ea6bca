"""A Sphinx extension: the library's docstrings, plain text with names in backticks, for the reference page."""

import re
from typing import Any


def setup(app: Any) -> dict[str, bool]:
    """What Sphinx calls."""
    app.connect("autodoc-process-docstring", make_plain)
    return {"parallel_read_safe": True}


def make_plain(app: Any, what: str, name: str, thing: object, options: object, lines: list[str]) -> None:
    """Turn a docstring into reStructuredText that shows it as written: `names` are code, other signs are themselves."""
    parts = re.split(r"(`[^`]+`)", "\n".join(lines))
    plain = (rf"\ `{part}`\ " if part[:1] == "`" else re.sub(r"([*_|\\])", r"\\\1", part) for part in parts)
    lines[:] = "".join(plain).split("\n")
