"""A report as blocks, and what makes Markdown or one self-contained HTML page of them: no network, light and dark."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from importlib import resources

from matplotlib.figure import Figure
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import PythonLexer

from vqabook.report.figures import render
from vqabook.report.plain import minus, minus_cells


@dataclass(frozen=True)
class Heading:
    """A heading; the first of a report is its title."""

    text: str
    level: int = 2


@dataclass(frozen=True)
class Text:
    """A paragraph; `**bold**` and `` `code` `` as in Markdown. `kind`: its class on the page."""

    text: str
    kind: str = ""


@dataclass(frozen=True)
class Cells:
    """A table: rows of cells, the first of each its heading; `marked`: rows that stand out."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    marked: Sequence[int] = ()
    kind: str = ""  # its class on the page


@dataclass(frozen=True)
class Code:
    """Lines of Python."""

    text: str


@dataclass(frozen=True)
class Picture:
    """A drawing; `file`: what it is called beside the Markdown."""

    draw: Callable[[Figure], object]
    file: str
    caption: str
    alt: str
    size: tuple[float, float]
    phone: float


Block = Heading | Text | Cells | Code | Picture


def write_markdown(blocks: Sequence[Block]) -> str:
    """The report as Markdown; pictures are files beside it."""
    return "\n\n".join(map(_as_markdown, blocks)) + "\n"


def _as_markdown(block: Block) -> str:
    match block:
        case Heading(text, level):
            return f"{'#' * level} {text}"
        case Text(text):
            return minus(text)
        case Cells(columns, rows, marked, _):
            bold = [[f"**{cell}**" for cell in row] if i in marked else row for i, row in enumerate(rows)]
            lines = [columns, ["---", *["---:"] * (len(columns) - 1)], *bold]
            return "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in line)} |" for line in lines)
        case Code(text):
            return f"```python\n{text}\n```"
        case Picture(_, file, caption, alt):
            return f"![{alt}]({file})\n\n*{minus(caption)}*"


def write_html(blocks: Sequence[Block]) -> str:
    """The report as one page: styles and pictures are inside, and nothing else is asked for."""
    title = next(block.text for block in blocks if isinstance(block, Heading))
    style = resources.files(__package__).joinpath("style.css").read_text("utf-8")
    body = "\n".join(map(_as_html, blocks))
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{escape(title)}</title>\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<style>\n{style}</style>\n</head>\n<body>\n<main>\n{body}\n</main>\n</body>\n</html>\n"
    )


def _as_html(block: Block) -> str:
    match block:
        case Heading(text, level):
            return f"<h{level}>{escape(text)}</h{level}>"
        case Text(text, kind):
            return f"<p{f' class={kind!r}' if kind else ''}>{_mark_up(text)}</p>"
        case Cells():
            return _as_table(block)
        case Code(text):
            return highlight(text, PythonLexer(), HtmlFormatter(cssclass="code"))
        case Picture(draw, _, caption, alt, size, phone):
            return render(draw, caption=minus(caption), alt=alt, size=size, phone=phone)


def _as_table(block: Cells) -> str:
    head = "".join(f'<th scope="col">{escape(column)}</th>' for column in block.columns)
    body = "".join(
        f'<tr{" class=marked" * (i in block.marked)}><th scope="row">{_mark_up(row[0])}</th>'
        + "".join(f"<td>{_mark_up(cell)}</td>" for cell in row[1:])
        + "</tr>\n"
        for i, row in enumerate(block.rows)
    )
    kind = block.kind or ("wide" if len(block.columns) > 6 else "")
    table = f"<table{f' class={kind}' if kind else ''}>"
    return f"<div class=table>{table}<thead><tr>{head}</tr></thead>\n<tbody>{body}</tbody></table></div>"


def _mark_up(text: str) -> str:
    html = re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text))
    return minus_cells(re.sub(r"\*\*([^*]+)\*\*", r"<strong>\1</strong>", html))
