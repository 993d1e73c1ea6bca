"""A drawing on a page: once for light and once for dark, with caption and alt text; on a phone at the phone's width."""

import base64
import io
import itertools
import re
from collections.abc import Callable, Mapping, Sequence
from html import escape
from textwrap import fill
from typing import Any

import matplotlib.pyplot as plt
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import MaxNLocator

from vqabook.report.show import show_html

PHONE = 3.6  # inches: the text's width on a screen of 390 px
SMALLEST = 7.0  # points of a letter: 9 px
INK = "#24292f"  # of a drawing; nothing else in it may have this colour
_INK = {"light": INK, "dark": "#d5dae1"}
_INKED = ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color", "axes.titlecolor")
_LOOK = {
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "patch.edgecolor": "none",
    "font.family": ["sans-serif"],
    "svg.hashsalt": "vqabook",  # the same drawing is the same file, whenever it is drawn
}
_SIZES: dict[Any, Any] = {
    "font.size": 9,
    "axes.titlesize": 9.5,
    "axes.labelsize": 9,
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
}
_LEGEND: dict[Any, Any] = {
    "legend.fontsize": 8,
    "legend.title_fontsize": 8,
    "legend.frameon": False,
    "figure.titlesize": 10,
}
_SMALL = '<source media="(max-width: 600px)" srcset="{}">'
_ONE_THEME = "<style>html:not([data-theme]) .only-dark {display: none}</style>"  # outside the book
_NUMBER = itertools.count()
Draw = Callable[[Figure], object]


def show(
    draw: Draw, *, caption: str, alt: str, size: tuple[float, float] = (7.2, 3.4), phone: float | None = None
) -> None:
    """Display a drawing with its caption: what was found, over how many seeds, on which data.

    `alt` says the finding to those who cannot see it. `size`: inches. `phone`: how high the drawing is on a page that
    is only `PHONE` inches wide, for which it is drawn again; without, it keeps its size there and scrolls sideways.
    """
    show_html(render(draw, caption=caption, alt=alt, size=size, phone=phone))


def render(draw: Draw, *, caption: str, alt: str, size: tuple[float, float], phone: float | None = None) -> str:
    """The HTML of what `show` displays: images, which a reader can keep."""
    wide, narrow = draw_svg(draw, size=size), "" if phone is None else draw_svg(draw, size=(PHONE, phone))
    images = []
    for theme, ink in _INK.items():
        small = _SMALL.format(_as_url(narrow, ink)) if narrow else ""
        told = f'class="only-{theme}" alt="{escape(alt, quote=True)}" width="{round(96 * size[0])}"'
        images.append(f'<picture>{small}<img {told} src="{_as_url(wide, ink)}"></picture>')
    return _frame(_ONE_THEME + "".join(images), caption, alt, fits=phone is not None)


def render_links(
    draw: Draw, titles: Mapping[str, str], *, caption: str, alt: str, size: tuple[float, float], phone: float
) -> str:
    """The same for a drawing with links (`set_urls`): it lies in the page itself, and its ink is that of the text.

    `titles`: address -> what the link is called.
    """
    drawings = []
    for width, inches in (("wide", size), ("narrow", (PHONE, phone))):
        svg = draw_svg(draw, size=inches).replace(INK, "currentColor")
        svg = svg[svg.index("<svg") :]
        svg = re.sub(r'(\bid="|url\(#|href="#)', rf"\1drawing-{next(_NUMBER)}-", svg)
        for address, title in titles.items():
            opening = f'<a xlink:href="{escape(address)}"'
            svg = svg.replace(f'{opening} target="_blank">', f"{opening}><title>{escape(title)}</title>")
        told = f'role="group" aria-label="{escape(alt, quote=True)}"'
        drawings.append(svg.replace("<svg ", f'<svg class="only-{width}" {told} ', 1))
    return _frame("".join(drawings), caption, alt, fits=True)


def _frame(drawing: str, caption: str, alt: str, *, fits: bool) -> str:
    if not caption.strip() or not alt.strip():
        raise ValueError("a figure has a caption and an alt text that say what was found; got an empty one: write it")
    kind = "plot fits" if fits else "plot"
    inside = f'<div class="drawing">{drawing}</div><figcaption>{escape(caption)}</figcaption>'
    return f'<figure class="{kind}">{inside}</figure>'


def draw_svg(draw: Draw, *, size: tuple[float, float]) -> str:
    """A drawing of `size` inches as SVG without a ground; text and axes are in `INK`."""
    style = dict.fromkeys(_INKED, INK) | _LOOK
    with sns.axes_style("ticks", style), plt.rc_context({**_SIZES, **_LEGEND}):
        figure = plt.figure(figsize=size, dpi=72, layout="constrained")
        draw(figure)
        for axes in figure.axes:
            sns.despine(ax=axes)
        engine = figure.get_layout_engine()
        assert engine is not None
        engine.execute(figure)
        figure.set_layout_engine(None)  # to save would lay out twice more, which is half of a drawing's time
        page = io.StringIO()
        figure.savefig(page, format="svg", transparent=True, metadata={"Date": None})
        plt.close(figure)
    return page.getvalue()


def _as_url(svg: str, ink: str) -> str:
    """An address that holds the whole drawing, with its text and axes in another ink."""
    return f"data:image/svg+xml;base64,{base64.b64encode(svg.replace(INK, ink).encode()).decode()}"


def is_narrow(figure: Figure | SubFigure) -> bool:
    """Whether this is the drawing for a phone."""
    return bool(figure.get_figure(root=True).get_figwidth() <= PHONE)


def count_in_ones(axes: Axes) -> None:
    """Ticks of the x axis at whole numbers alone, as epochs are."""
    locator = axes.xaxis.get_major_locator()
    if isinstance(locator, MaxNLocator):
        locator.set_params(integer=True)


def panels(figure: Figure | SubFigure, n: int, *, columns: int | None = None, **more: Any) -> list[Axes]:
    """Axes of `n` panels: `columns` beside each other, by default all; below each other on a phone."""
    across = 1 if is_narrow(figure) else min(columns or n, n)
    engine = figure.get_figure(root=True).get_layout_engine()
    if across == 1 < n and isinstance(engine, ConstrainedLayoutEngine):
        engine.set(h_pad=0.12)  # inches: a title keeps away from the label above it
    down = -(-n // across)
    grid = figure.subplots(down, across, squeeze=False, **more).ravel()
    for axes in grid[n:]:
        axes.set_axis_off()
    return list(grid[:n])


def name_lines(figure: Figure) -> None:
    """One legend above all panels, so that it covers no line: every name once, in the order of the panels."""
    named: dict[str, Any] = {}
    for axes in figure.axes:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            named.setdefault(label, handle)
    if named:
        across = 2 if is_narrow(figure) else min(len(named), 5)
        figure.legend(named.values(), named.keys(), loc="outside upper center", ncols=across)


def name_rows(axes: Axes, names: Sequence[str], *, zero: bool = True) -> None:
    """Rows at 0, 1, ..., the first one highest; names stand at the left, on a phone above their rows.

    `zero`: a dotted line stands at no difference.
    """
    if zero:
        axes.axvline(0, color="gray", linewidth=0.8, linestyle=":")
    narrow = is_narrow(axes.figure)
    axes.set_ylim(len(names) - 0.5, -0.85 if narrow else -0.5)
    if not narrow:
        axes.set_yticks(range(len(names)), [fill(name, 46) for name in names], fontsize=8)
        return
    axes.set_yticks([])
    for y, name in enumerate(names):
        axes.text(
            0,
            y - 0.27,
            fill(name, 58),
            transform=axes.get_yaxis_transform(),
            fontsize=7.5,
            va="bottom",
            linespacing=1.0,
        )
