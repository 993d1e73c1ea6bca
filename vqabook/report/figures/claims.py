"""Claims: printed beside measured, how strong the evidence is, and how near the levels are."""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vqabook.report.figures.frame import is_narrow, name_rows, panels
from vqabook.report.figures.marks import mark_of
from vqabook.report.live import Star
from vqabook.report.plain import minus
from vqabook.report.strength import Dot, Level

TICKS = (-50, -20, -10, -5, -2, 0, 2, 5, 10, 20, 50)
FEW_TICKS = (-20, -5, 0, 5, 20, 50)  # a phone has room for


def forest(axes: Axes, stars: Sequence[Star], names: Sequence[str] | None = None) -> None:
    """A row a claim: printed difference (diamond), 95 % intervals of real and embedded data, the live run (star).

    The pale bar is where a new seed was expected in the embedded world. Hollow: the data do not meet the claim's
    conditions. `names`: of the rows; unless given, the claims' statements.
    """
    live, real, embedded, printed = (mark_of(name) for name in ("live", "real", "embedded", "printed"))
    for y, star in enumerate(stars):
        if star.expected and star.value is not None:
            pale: dict[str, Any] = {"color": embedded.color, "linewidth": 7, "alpha": 0.2, "solid_capstyle": "butt"}
            axes.plot(star.expected, (y + 0.16,) * 2, **pale)
        for shift, verdict, mark in ((-0.16, star.real, real), (0.16, star.embedded, embedded)):
            if verdict.interval is not None and verdict.mean is not None:
                met = verdict.kind != "conditions not met"
                look: dict[str, Any] = {"color": mark.color, "linewidth": 2 if met else 1}
                axes.plot(verdict.interval, (y + shift,) * 2, **look)
                face = mark.color if met else "none"
                axes.plot(verdict.mean, y + shift, **mark.dots | {"markersize": 5, "markerfacecolor": face})
        if star.claim.printed is not None:
            axes.plot(star.claim.printed, y, **printed.dots)
        if star.value is not None:
            axes.plot(star.value, y + 0.16, **live.dots)
    _press(axes)
    name_rows(axes, names or [star.claim.statement for star in stars])
    axes.set_xlabel(f"difference ({' or '.join(dict.fromkeys(star.claim.unit for star in stars))})")
    bar = {"linestyle": "-", "linewidth": 2}
    key = {"live run": live.dots, "real data": real.dots | bar, "embedded world": embedded.dots | bar}
    if any(star.claim.printed is not None for star in stars):
        key = {"printed": printed.dots} | key
    for label, style in key.items():
        axes.plot([], [], label=label, **style)
    narrow = is_narrow(axes.figure)
    axes.legend(ncols=2 if narrow else 4, loc="lower center", bbox_to_anchor=(0.5 if narrow else 0.3, 1.0))


def _press(axes: Axes) -> None:
    """Large differences stand nearer: one would press all others together."""
    low, high = axes.get_xlim()
    if high - low > 40:
        axes.set_xscale("symlog", linthresh=5)
        axes.set_xticks([x for x in (FEW_TICKS if is_narrow(axes.figure) else TICKS) if low <= x <= high])
        axes.xaxis.set_major_formatter(_tick)


def _tick(value: Any, _: object) -> str:
    """A difference at an axis: zero has no sign."""
    return minus(f"{value:+g}") if value else "0"


def printed_measured(figure: Figure, papers: Mapping[str, Sequence[Dot]]) -> None:
    """A panel a paper, a dot a claim that leads to its row: what was measured against what is printed.

    On the line both are the same; below the dotted line the sign differs. Both axes are pressed together beyond 5.
    """
    columns = 2 if is_narrow(figure) else 3
    grid = figure.subplots(-(-(len(papers) + 1) // columns), columns, sharex=True, sharey=True).ravel()
    for axes, (paper, dots) in zip(grid, papers.items(), strict=False):
        for source in ("embedded", "real"):
            _scatter(axes, [dot for dot in dots if dot.source == source], source, "measured")
        for axis, scale in ((axes.xaxis, axes.set_xscale), (axes.yaxis, axes.set_yscale)):
            scale("symlog", linthresh=5)
            axis.set_ticks([-20, 0, 20] if columns == 2 else [-20, -5, 0, 5, 20])
            axis.set_major_formatter(_tick)
        axes.tick_params(labelsize=7)
        axes.plot((-50, 50), (-50, 50), color="gray", linewidth=0.8)
        axes.axhline(0, color="gray", linewidth=0.8, linestyle=":")
        axes.set_title(paper.partition(" (")[0], fontsize=8)
    for axes in grid[len(papers) :]:
        axes.set_axis_off()
    for source in ("real", "embedded"):
        grid[-1].plot([], [], **mark_of(source).dots, label={"real": "real data", "embedded": "embedded world"}[source])
    grid[-1].legend(loc="center")
    figure.supxlabel("printed difference (points)", fontsize=9)
    figure.supylabel("measured difference (points)", fontsize=9)


def strength(figure: Figure, dots: Sequence[Dot]) -> None:
    """Half the width of a claim's interval against the size of its printed effect, a panel a source.

    Below the line the data could have seen the printed effect; above it they could not.
    """
    sources = {"real": "real data", "embedded": "embedded world"}
    for axes, (source, title) in zip(panels(figure, 2, sharex=True, sharey=True), sources.items(), strict=True):
        _scatter(axes, [dot for dot in dots if dot.source == source and dot.half], source, "half")
        axes.set(xscale="log", yscale="log")
        axes.autoscale_view()
        low, high = 0.02, 60
        axes.plot((low, high), (low, high), color="gray", linewidth=1)
        axes.fill_between((low, high), (low, high), low, color="gray", alpha=0.1, linewidth=0)
        axes.text(high * 0.8, low * 1.3, "could have seen it", ha="right", va="bottom", fontsize=8)
        axes.text(low * 1.25, high * 0.75, "could not have seen it", ha="left", va="top", fontsize=8)
        axes.set(xlim=(low, high), ylim=(low, high), title=title, xlabel="printed effect (points)")
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter("{x:g}")
    figure.supylabel("half-width of the 95 % interval (points)", fontsize=9)


def _scatter(axes: Axes, dots: Sequence[Dot], source: str, what: str) -> None:
    """Dots of one source with their links; hollow where the conditions are not met."""
    mark = mark_of(source)
    for hollow in (False, True):
        these = [dot for dot in dots if dot.met is not hollow]
        x, y = ([getattr(dot, name) for dot in these] for name in ("printed" if what == "measured" else "effect", what))
        face = "none" if hollow else mark.color
        points = axes.scatter(x, y, s=16, marker=mark.marker, facecolors=face, edgecolors=mark.color, alpha=0.7)
        points.set_urls([dot.address for dot in these])


def dumbbells(axes: Axes, levels: Sequence[Level]) -> None:
    """A row a baseline: the level that the paper prints, joined with ours in the embedded world and on real data."""
    for y, level in enumerate(levels):
        ours = [value for value in (level.embedded, level.real) if value is not None]
        axes.plot((min(level.printed, *ours), max(level.printed, *ours)), (y, y), color="gray", linewidth=1.5, zorder=1)
        for source, value in (("printed", level.printed), ("embedded", level.embedded), ("real", level.real)):
            if value is not None:
                axes.plot(value, y, **mark_of(source).dots)
    named = {"printed": "printed", "embedded": "embedded world", "real": "real data"}
    for source, label in named.items():
        axes.plot([], [], **mark_of(source).dots, label=label)
    name_rows(axes, [level.name for level in levels], zero=False)
    axes.set_xlabel("level of the baseline (%)")
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2 if is_narrow(axes.figure) else 3)
