"""Tables, text and source, shown on a page."""

import pandas as pd

from vqabook.report.source import source_of


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
    say(f"```python\n{source_of(*objects)}\n```")
