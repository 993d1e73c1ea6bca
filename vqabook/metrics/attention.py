"""Do a model and people attend to the same places? Two answers: rank correlation, and the earth mover's distance.

Patro et al. 2021, "Self Supervision for Attention Networks", WACV, Table 3, on the human maps of Das et al. 2016,
arXiv:1606.05589 (VQA-HAT), who compare ranks of 14 x 14 cells. Maps are rows [n, o]: o regions, or the cells of a grid
in reading order. Everything returns one value a row; a table's number is the mean.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from vqabook.extras import import_extra

_MOST_PIVOTS = 10_000_000  # of the network simplex; two maps of 196 cells take thousands
_SLACK = 1e-3  # a box may end this far outside the image: rounding of its corners


class HumanAgreement(NamedTuple):
    """Per question, the mean over the people who saw it; in the order of the model's questions."""

    question_id: Int[np.ndarray, " q"]
    rank_correlation: Float[np.ndarray, " q"]  # in [-1, 1]; NaN where there is none, so average with nanmean
    earth_movers_distance: Float[np.ndarray, " q"]  # in sides of the image


def agreement_with_humans(
    maps: Float[np.ndarray, "n o"],
    question_id: Int[np.ndarray, " n"],
    human: Float[np.ndarray, "m cells"],
    human_question_id: Int[np.ndarray, " m"],
    *,
    grid: int = 14,
) -> HumanAgreement:
    """The model's one map a question, a square grid, against each human map of that question, `grid` x `grid` cells.

    Of several people's maps of a question, the mean of what each gives counts (ours), so that questions weigh alike.
    Questions without a human map are left out; ValueError if that leaves none.
    """
    if human.shape[1] != grid**2:
        came = f"{human.shape[1]} cells for a grid of {grid}"
        raise ValueError(f"human maps have grid x grid cells, got {came}; read them at that grid")
    for rows, ids in ((maps, question_id), (human, human_question_id)):
        if len(rows) != len(ids):
            raise ValueError(f"a map belongs to one question, got {len(rows)} maps and {len(ids)} ids; pass one a map")
    row_of = {question: row for row, question in enumerate(question_id.tolist())}
    if len(row_of) < len(maps):
        came = f"{len(maps)} maps of {len(row_of)} questions"
        raise ValueError(f"a model has one map a question, got {came}; pass each question once")
    row = np.array([row_of.get(question, -1) for question in human_question_id.tolist()], dtype=np.int64)
    paired = row >= 0
    if not paired.any():
        raise ValueError(
            f"none of the {len(maps)} questions is among those of the {len(human)} human maps; VQA-HAT's ids are those "
            "of VQA v1's train and val questions"
        )
    rows, at = np.unique(row[paired], return_inverse=True)
    side = round(maps.shape[1] ** 0.5)
    if side**2 != maps.shape[1]:
        raise ValueError(f"maps are square grids, got {maps.shape[1]} columns; resize them to one first")
    cells = resize(maps[rows], (side, side), (grid, grid))[at]
    correlation = rank_correlation(cells, human[paired])
    distance = earth_movers_distance(cells, human[paired], grid_distance(grid, grid))
    return HumanAgreement(question_id[rows], _mean_by(at, correlation), _mean_by(at, distance))


def rank_correlation(maps: Float[np.ndarray, "n o"], human: Float[np.ndarray, "n o"]) -> Float[np.ndarray, " n"]:
    """Spearman's correlation of each pair of maps, in [-1, 1]; ties share their mean rank.

    NaN where one of both is the same everywhere, as even attention is, or has one column: it ranks nothing. Average
    with nanmean, and say how many were left out. Float rounding ranks, too: values that should be equal must be.
    """
    rankdata = import_extra("scipy.stats").rankdata
    _check_pairs(maps, human)
    centred = []  # multiples of 1/2, so that all sums are exact
    for name, values in (("maps", maps), ("human", human)):
        _refuse(name, values, ~np.isfinite(values), "a map to rank is finite", "leave it out")
        centred.append(rankdata(values, axis=1) - (maps.shape[1] + 1) / 2)
    own, theirs, both = (np.einsum("no,no->n", a, b) for a, b in (centred[:1] * 2, centred[1:] * 2, centred))
    return np.divide(both, np.sqrt(own * theirs), out=np.full(len(maps), np.nan), where=own * theirs > 0)


def earth_movers_distance(
    maps: Float[np.ndarray, "n o"],
    human: Float[np.ndarray, "n o"],
    distance: Float[np.ndarray, "o o"] | Float[np.ndarray, "n o o"],
) -> Float[np.ndarray, " n"]:
    """Least attention times `distance` that turns one map of a pair into the other (Wasserstein-1), in its units.

    Exact, by POT's network simplex. Maps are divided by their sums; columns that a row lacks hold 0 in both and cost
    nothing. `distance`: of all columns, `grid_distance` or `box_distance`. The paper names none and cites Arjovsky et
    al. 2017 for the metric, so that its numbers (0.42 to 0.35) are in a unit unknown to us.
    """
    _check_pairs(maps, human)
    n, o = maps.shape
    if distance.shape not in ((o, o), (n, o, o)):
        raise ValueError(
            f"distance is between all columns, one matrix {(o, o)} or one a pair {(n, o, o)}, got {distance.shape}; "
            "use grid_distance or box_distance of the maps' own cells"
        )
    if not (np.isfinite(distance) & (distance >= 0)).all():
        raise ValueError(f"distances are finite and at least 0, got {distance.min()} to {distance.max()}; correct them")
    own, theirs = _as_shares("maps", maps), _as_shares("human", human)
    costs = np.broadcast_to(distance.astype(np.float64, order="C"), (n, o, o))
    emd2 = import_extra("ot.lp").emd2  # once: to look for a module takes as long as a small pair
    pairs = zip(own, theirs, costs, strict=True)
    return np.array([_transport(emd2, a, b, cost) for a, b, cost in pairs], dtype=np.float64)


def grid_distance(width: int, height: int) -> Float[np.ndarray, "o o"]:
    """Euclidean distances of the centres of `width` x `height` cells, in reading order; the image is 1 x 1 (ours).

    In sides of the image, so grids of any size compare, and no distance reaches √2. Width and height count alike
    whatever the image's shape, as on a square grid of cells.
    """
    _check_size("a grid", (width, height))
    top, left = np.divmod(np.arange(width * height), width)
    return _centre_distance((left + 0.5) / width, (top + 0.5) / height)


def box_distance(boxes: Float[np.ndarray, "n o 4"]) -> Float[np.ndarray, "n o o"]:
    """Euclidean distances of box centres; boxes are left, top, right, bottom as fractions of the image (1 x 1)."""
    if not ((boxes >= -_SLACK) & (boxes <= 1 + _SLACK)).all():
        came = f"{boxes.min():g} to {boxes.max():g}"
        raise ValueError(f"boxes are fractions of the image, in [0, 1], got {came}; divide by its width and height")
    middle = (boxes[..., :2].astype(np.float64) + boxes[..., 2:]) / 2
    return _centre_distance(middle[..., 0], middle[..., 1])


def resize(
    maps: Float[np.ndarray, "n o"], size: tuple[int, int], to: tuple[int, int]
) -> Float[np.ndarray, "n {to[0]*to[1]}"]:
    """Maps of `size` (width, height) on the grid `to`, by area: a cell takes the attention that lies inside it.

    The choice is ours: it keeps sums, keeps an even map even, misses no cell, and moves the centre of mass by half a
    new cell at most, not at all where `to` is a multiple; human maps are reduced by it, too. Bilinear sampling misses
    cells when it reduces by more than half, and pulls the border's attention inward when it enlarges.
    Reads maps as float32, whose multiples are exact in float64: equal values that are spread stay equal, as ranks need.
    """
    _check_size("a map", size)
    _check_size("a map", to)
    if size[0] * size[1] != maps.shape[1]:
        raise ValueError(f"size is (width, height), width x height = {maps.shape[1]} columns, got {size}; correct it")
    columns, rows = (_overlaps(n, m) for n, m in zip(size, to, strict=True))
    square = maps.astype(np.float32).astype(np.float64).reshape(-1, size[1], size[0])
    return (rows @ square @ columns.T).reshape(len(maps), -1) / (to[0] * to[1])


def spread(
    maps: Float[np.ndarray, "n o"], boxes: Float[np.ndarray, "n o 4"], grid: int = 14
) -> Float[np.ndarray, "n {grid*grid}"]:
    """Attention to boxes (left, top, right, bottom as fractions of the image) as `grid` x `grid` cells.

    Each box's attention is spread evenly over its area; boxes may overlap, and one without area is left out. Ours:
    VQA-HAT's protocol knows grids alone.
    """
    edges, boxes = np.arange(grid + 1) / grid, boxes.astype(np.float64).clip(0, 1)
    shares = []
    for low, high in ((boxes[..., i, None], boxes[..., i + 2, None]) for i in (0, 1)):
        inside = (np.minimum(high, edges[1:]) - np.maximum(low, edges[:-1])).clip(min=0)
        shares.append(np.divide(inside, high - low, out=np.zeros_like(inside), where=high > low))
    cells = np.einsum("no,nox,noy->nyx", maps.astype(np.float64), *shares).reshape(len(maps), -1)
    return cells.round(9)  # cells of one box share a rank: what rounding made of them must not tell them apart


def _overlaps(n: int, m: int) -> Float[np.ndarray, "{m} {n}"]:
    """How much of each of `n` equal parts of a line lies in each of `m`, in whole 1/(n m) of the line."""
    new, old = np.arange(m)[:, None] * n, np.arange(n) * m
    return (np.minimum(new + n, old + m) - np.maximum(new, old)).clip(min=0).astype(np.float64)


def _transport(
    emd2: Callable, a: Float[np.ndarray, " o"], b: Float[np.ndarray, " o"], cost: Float[np.ndarray, "o o"]
) -> float:
    moved, log = emd2(a, b, cost, numItermax=_MOST_PIVOTS, log=True)
    if log["warning"] is not None:
        raise RuntimeError(f"the cheapest transport between two maps was not found: {log['warning']}")
    return float(moved)


def _mean_by(at: Int[np.ndarray, " m"], values: Float[np.ndarray, " m"]) -> Float[np.ndarray, " q"]:
    """Mean of the values that are numbers, by their place `at`; NaN where none is."""
    there = ~np.isnan(values)
    n = np.bincount(at, there)
    return np.divide(np.bincount(at, np.where(there, values, 0)), n, out=np.full(len(n), np.nan), where=n > 0)


def _as_shares(name: str, values: Float[np.ndarray, "n o"]) -> Float[np.ndarray, "n o"]:
    """Rows of sum 1."""
    bad = ~(np.isfinite(values) & (values >= 0))
    _refuse(name, values, bad, "attention to move is finite and at least 0", "pass what the softmax gives")
    total = values.sum(1, keepdims=True, dtype=np.float64)
    if not total.all():
        row = np.flatnonzero(total == 0)[0]
        raise ValueError(f"a map has attention somewhere, row {row} of {name} is 0 everywhere; leave it out")
    return values / total


def _centre_distance(x: Float[np.ndarray, "... o"], y: Float[np.ndarray, "... o"]) -> Float[np.ndarray, "... o o"]:
    return np.hypot(x[..., :, None] - x[..., None, :], y[..., :, None] - y[..., None, :])


def _check_pairs(maps: np.ndarray, human: np.ndarray) -> None:
    if maps.shape != human.shape or maps.ndim != 2:
        came = f"shapes {maps.shape} and {human.shape}"
        raise ValueError(f"two maps of a pair have the same columns, rows are pairs, got {came}; resize one of them")


def _check_size(what: str, size: tuple[int, int]) -> None:
    if min(size) < 1:
        raise ValueError(f"{what} is at least 1 cell wide and high, got {size[0]} x {size[1]}; give both sides")


def _refuse(name: str, values: np.ndarray, bad: np.ndarray, rule: str, remedy: str) -> None:
    if bad.any():
        row, column = np.argwhere(bad)[0]
        raise ValueError(f"{rule}, got {values[row, column]} in row {row} of {name}; {remedy}")
