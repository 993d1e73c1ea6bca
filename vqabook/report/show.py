"""Tables, text and source, shown on a page."""

import inspect
from textwrap import dedent

import pandas as pd


def show(table: pd.DataFrame, *, index: bool = True, classes: str | None = None) -> None:
    """Display a table as the book's HTML; cells may hold HTML of ours."""
    html = table.to_html(escape=False, index=index, border=0, classes=classes)
    show_html(f'<div class="results">{html}</div>')


def show_html(html: str) -> None:
    """Display HTML of ours."""
    from IPython.display import HTML, display

    display(HTML(html))


def say(text: str) -> None:
    """Display Markdown whose numbers come from records."""
    from IPython.display import Markdown, display

    display(Markdown(text))


def show_source(*objects: object) -> None:
    """Display the library's own source of functions or classes, so that text and code cannot drift apart."""
    say("\n".join(f"```python\n{dedent(inspect.getsource(one)).rstrip()}\n```" for one in objects))
