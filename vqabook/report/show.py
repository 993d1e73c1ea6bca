"""Tables, text and source, shown on a page."""

from collections.abc import Callable, Sequence
from html import escape

import pandas as pd
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import PythonLexer

from vqabook.report.plain import fold, minus_cells
from vqabook.report.source import source_of


def show(table: pd.DataFrame, *, index: bool = True, classes: str | None = None, folded: str = "") -> None:
    """Display a table as the book's HTML; cells may hold HTML of ours. `folded`: words that unfold it."""
    cells = minus_cells(table.to_html(escape=False, index=index, border=0, classes=classes))
    html = f'<div class="results">{cells}</div>'
    show_html(fold(escape(folded), html) if folded else html)


def show_folded(tables: Sequence[pd.DataFrame], words: str) -> None:
    """Display tables below each other, which a line of `words` unfolds; nothing without a table."""
    html = "".join(f'<div class="results">{minus_cells(t.to_html(escape=False, border=0))}</div>' for t in tables)
    if html:
        show_html(fold(escape(words), html))


def show_source(*objects: Callable, folded: str = "") -> None:
    """Display the library's own source of functions or classes, so that text and code cannot drift apart.

    `folded`: words that unfold it.
    """
    show_code(source_of(*objects), folded=folded)


def show_code(code: str, *, folded: str = "") -> None:
    """Display lines of Python. `folded`: words that unfold them."""
    if folded:
        lines = highlight(code, PythonLexer(), HtmlFormatter())
        show_html(fold(escape(folded), f'<div class="highlight-python notranslate">{lines}</div>'))
    else:
        say(f"```python\n{code}\n```")


def show_html(html: str) -> None:
    """Display HTML of ours."""
    from IPython.display import HTML, display

    display(HTML(html))


def say(text: str) -> None:
    """Display Markdown whose numbers come from records."""
    from IPython.display import Markdown, display

    display(Markdown(text))
