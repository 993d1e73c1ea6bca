"""The pictures of chapter 05 that several of its pages draw, from records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from vqabook.papers.mcl_kd.claims import KS, METRICS, PRINTED, title_of
from vqabook.report import figures
from vqabook.report.verdicts import by_seed, pair

Records = Sequence[Mapping]
AS_LONG = "ie @ as long"
ENDS = (1, 3)  # specialists of each example that are shown
SWEPT = {"beta": "β", "temperature": "T"}
Sweep = dict[float, list[float]]


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


def draw_sweep(figure: Figure, sweeps: Mapping[str, Mapping[str, Sweep]]) -> None:
    """What MCL-KD gains over an ensemble that trains as long, over how many times its own β, or T, is: a panel a
    network, means over seeds in a band of one standard deviation.

    `sweeps`: title -> letter -> what `read_sweep` returns.
    """
    for axes, (title, letters) in zip(figures.panels(figure, len(sweeps), columns=3), sweeps.items(), strict=True):
        for letter, gains in letters.items():
            seeds = list(zip(*gains.values(), strict=True))
            figures.lines(axes, list(gains), seeds, mark=figures.mark_of(letter), label=letter)
        axes.axhline(0, color="gray", linewidth=0.8)
        axes.set(xscale="log", title=title, xlabel="times its own value", ylabel="gain (points)")
        axes.set_xticks([0.1, 1, 10], ["0.1", "1", "10"])
    figures.name_lines(figure)


def read_sweep(records: Records, network: str, k: int, name: str) -> Sweep:
    """MCL-KD over an ensemble as long, one difference a seed, by how many times its own β or T (`name`) is."""
    own, longer = f"{network} mcl_kd k{k}", by_seed(records, {"variant": f"{network} {AS_LONG}"}, "test.overall")
    variants = {run["recipe"]["variant"] for run in records}
    start = f"{own} @ {name} x "
    rows = {1.0: own} | {float(v.removeprefix(start)): v for v in variants if v.startswith(start)}
    gains = {x: pair(by_seed(records, {"variant": row}, "test.overall"), longer) for x, row in sorted(rows.items())}
    seeds = set.intersection(*(set(gain) for gain in gains.values()))
    return {x: [gain[seed] for seed in sorted(seeds)] for x, gain in gains.items()}
