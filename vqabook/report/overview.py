"""The pictures of all papers at once, as HTML: headlines, printed beside measured, strength, levels."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from itertools import chain, zip_longest

from matplotlib.figure import Figure

from vqabook.report import figures
from vqabook.report.claims import Claim
from vqabook.report.live import Star, count_inside
from vqabook.report.strength import Dot, Level
from vqabook.report.verdicts import KINDS, UNTESTED, tell_shared

MOST = 12  # rows of the headline forest
SOURCES = {"real": "on real data", "embedded": "in the embedded world"}


def choose_headlines(papers: Sequence[Sequence[Claim]], live: Sequence[str]) -> list[Claim]:
    """Up to `MOST` headline claims, as many of each paper as of any: printed differences in points, live ones first."""
    drawable = [[claim for claim in claims if claim.headline and claim.printed is not None] for claims in papers]
    ordered = [
        sorted((claim for claim in claims if claim.unit == "points"), key=lambda claim: claim.name not in live)
        for claims in drawable
    ]
    chosen = [claim.name for claim in chain(*zip_longest(*ordered)) if claim is not None][:MOST]
    return [claim for claims in ordered for claim in claims if claim.name in chosen]


def render_headlines(stars: Sequence[Star]) -> str:
    """The headline forest: what the papers are cited for, printed, on real data, in the embedded world, and live."""
    kinds = Counter(star.real.kind for star in stars)
    tested = sum(n for kind, n in kinds.items() if kind not in UNTESTED)
    others = ", ".join(f"{kinds[kind]} {kind}" for kind in KINDS if kinds[kind] and kind != "holds")
    found = f"On real data {kinds['holds']} of {tested} tested headline claims hold" + (
        f"; {others}." if others else "."
    )
    n = _tell_range(verdict.n for star in stars for verdict in (star.real, star.embedded))
    caption = (
        f"{found} {count_inside(stars)} Diamonds are printed, bars 95 % intervals ({n}); hollow marks: the data do not "
        "meet the claim's conditions."
        f"{tell_shared(verdict for star in stars for verdict in (star.real, star.embedded))}"
    )
    told = "; ".join(f"{name_of(star.claim)}: {star.real.kind}" for star in stars)

    def draw(figure: Figure) -> None:
        figures.forest(figure.add_subplot(), stars, [name_of(star.claim) for star in stars])

    size, phone = (7.2, 1.2 + 0.42 * len(stars)), 1.4 + 0.62 * len(stars)
    return figures.render(draw, caption=caption, alt=f"{found} {told}", size=size, phone=phone)


def name_of(claim: Claim) -> str:
    """A claim behind its paper's short title."""
    return f"{claim.paper.partition(' (')[0]} · {claim.statement}"


def render_printed(papers: Mapping[str, Sequence[Dot]]) -> str:
    """Printed beside measured, a panel a paper, a dot a claim that leads to its row of the ledger."""
    n = len({dot.address for dot in chain(*papers.values())})
    key = (
        f"Every claim with a printed difference in points ({n}); on the line both are the same, below zero the sign "
        "differs; hollow dots: conditions not met."
    )
    draw = partial(figures.printed_measured, papers=papers)
    alt = "Measured beside printed differences, a panel a paper."
    return _render_dots(draw, papers, _tell_sizes, (key, alt), size=(7.2, 5.4), phone=6.4)


def _render_dots(
    draw: Callable[[Figure], object],
    papers: Mapping[str, Sequence[Dot]],
    tell: Callable[[Sequence[Dot], str], str],
    words: tuple[str, str],
    *,
    size: tuple[float, float],
    phone: float,
) -> str:
    """Dots that lead to their claims. `tell`: the finding, of one source's dots; `words`: how to read it, what it is.

    The finding stands in the caption alone, so that nobody hears it twice.
    """
    dots, (key, alt) = list(chain(*papers.values())), words
    found = " ".join(tell(dots, source) for source in SOURCES)
    caption = f"{found} {key} A dot leads to its claim."
    titles = {dot.address: dot.title for dot in dots}
    return figures.render_links(draw, titles, caption=caption, alt=alt, size=size, phone=phone)


def _tell_sizes(dots: Sequence[Dot], source: str) -> str:
    """How many differences have the printed sign, and how many are smaller than printed."""
    these = [dot for dot in dots if dot.source == source and dot.met]
    same = sum(dot.measured * dot.printed > 0 for dot in these)
    smaller = sum(abs(dot.measured) < dot.effect for dot in these)
    where = SOURCES[source].capitalize()
    return f"{where} {same} of {len(these)} differences have the printed sign; {smaller} are smaller than printed."


def render_strength(papers: Mapping[str, Sequence[Dot]]) -> str:
    """Half the interval's width against the printed effect; a dot leads to its row of the ledger."""
    key = "Below the line half the 95 % interval is narrower than the printed effect. Hollow dots: conditions not met."
    draw = partial(figures.strength, dots=list(chain(*papers.values())))
    alt = "Half the interval's width beside the printed effect, a dot a claim."
    return _render_dots(draw, papers, tell_strength, (key, alt), size=(7.2, 4.0), phone=6.6)


def tell_strength(dots: Sequence[Dot], source: str) -> str:
    """How many claims could have shown an effect as large as the printed one."""
    these = [dot for dot in dots if dot.source == source and dot.met]
    could = sum(dot.could_see for dot in these)
    where = SOURCES[source].capitalize()
    return f"{where} {could} of {len(these)} tested claims could have shown the printed effect."


def render_levels(levels: Sequence[Level]) -> str:
    """The levels of the headlines' baselines, printed and ours."""
    real = [(x.real, x.printed) for x in levels if x.real is not None and x.printed is not None]
    lower = sum(ours < printed for ours, printed in real)
    found = f"On real data {lower} of {len(real)} baselines stand lower than printed."
    n = _tell_range(n for level in levels for n in level.n)
    caption = f"{found} Levels of what the headline claims compare with, means ({n}); data sets differ from print."

    def draw(figure: Figure) -> None:
        figures.dumbbells(figure.add_subplot(), levels)

    size, phone = (7.2, 1.2 + 0.32 * len(levels)), 1.4 + 0.42 * len(levels)
    alt = "The level of each headline claim's baseline, printed and ours."
    return figures.render(draw, caption=caption, alt=alt, size=size, phone=phone)


def _tell_range(seeds: Iterable[int]) -> str:
    """The fewest and the most seeds that numbers come from."""
    counts = sorted({n for n in seeds if n})
    return f"n = {' to '.join(map(str, counts[:1] + counts[1:][-1:]))} seeds" if counts else "no runs"
