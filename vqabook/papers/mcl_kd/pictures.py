"""The pictures of chapter 05 that several of its pages draw, from records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from vqabook.papers.mcl_kd.claims import KS, METRICS, PRINTED, title_of
from vqabook.report import figures
from vqabook.report.verdicts import by_seed

Records = Sequence[Mapping]
AS_LONG = "ie @ as long"
ENDS = (1, 3)  # specialists of each example that are shown


def draw_scores(figure: Figure, network: str, rooms: Mapping[str, Records]) -> None:
    """A row a rule: the answer and the best member, as printed and as measured in each room.

    The control, an independent ensemble that trains as long, stands on a band.
    """
    ks = [k for k in KS[network] if k in ENDS]
    rows = ["base", AS_LONG, *(f"{rule} k{k}" for k in ks for rule in ("mcl", "cmcl", "mcl_kd"))]
    scores = {title_of(row): _read_scores(network, row, rooms) for row in rows}
    figures.joined(figure.add_subplot(), scores, ends=("top-1", "oracle"), marked=title_of(AS_LONG))


def _read_scores(network: str, row: str, rooms: Mapping[str, Records]) -> dict[str, tuple[float, float]]:
    printed = tuple(np.nan if number is None else number for number in PRINTED[network].get(row, ()))
    pairs: dict[str, tuple[float, ...]] = {"printed": printed}
    for room, records in rooms.items():
        read = [by_seed(records, {"variant": f"{network} {row}"}, f"test.{metric}") for metric in METRICS]
        pairs[room] = tuple(float(np.mean(list(seeds.values()))) for seeds in read if seeds)
    return {room: (pair[0], pair[1]) for room, pair in pairs.items() if len(pair) == 2}
