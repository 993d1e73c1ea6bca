"""The book's pictures: what a page draws with.

Every function takes plain data and draws on axes or a figure; `show` puts the drawing on the page.
"""

from vqabook.report.figures.answers import distribution, matrix, weights
from vqabook.report.figures.claims import dumbbells, forest, printed_measured, strength
from vqabook.report.figures.compare import bars, gain, gains, interval, joined, slopes, stacked, trade
from vqabook.report.figures.curves import accuracy_by_count, lines
from vqabook.report.figures.frame import (
    PHONE,
    count_in_ones,
    is_narrow,
    name_lines,
    name_rows,
    panels,
    render,
    render_links,
    show,
)
from vqabook.report.figures.images import (
    attention_map,
    frame_regions,
    light_up,
    looks,
    mask_to_target,
    picture,
    readings,
    strip,
)
from vqabook.report.figures.marks import MARKS, MEANINGS, OTHERS, Mark, mark_of
from vqabook.report.figures.matrices import families, shares

__all__ = [
    "MARKS", "MEANINGS", "OTHERS", "PHONE", "Mark", "accuracy_by_count", "attention_map", "bars",
    "count_in_ones", "distribution", "dumbbells", "families", "forest", "frame_regions", "gain", "gains", "interval",
    "is_narrow", "joined", "light_up", "lines", "looks", "mark_of", "mask_to_target", "matrix", "name_lines",
    "name_rows", "panels", "picture", "printed_measured", "readings", "render", "render_links", "shares", "show",
    "slopes", "stacked", "strength", "strip", "trade", "weights",
]  # fmt: skip
