"""The tables of page 06.4: heads of every rule at every imbalance, other priors at test, calibration."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from vqabook.arena.heads import NO_PROBABILITIES
from vqabook.arena.heads import TITLES as ROWS
from vqabook.papers.balanced_activation.claims import DATA
from vqabook.papers.balanced_activation.head_claims import AT
from vqabook.papers.balanced_activation.printed import PRINTED
from vqabook.papers.balanced_activation.setting import TABLE
from vqabook.papers.balanced_activation.studies import Records, find_part
from vqabook.report.claims import LONGER
from vqabook.report.tables import embolden, title
from vqabook.report.verdicts import BySeed, by_seed, mean_std, pair, seeds_of

KNOWN = {f"{row} @ prior known": f"{row}, told the prior" for row in ("softmax", "balanced softmax")}
PRIORS = {"all alike": "uniform", "as in training": "training", "reversed": "reversed"}
CALIBRATION = {
    "NLL, alike": "nll", "ECE, alike": "ece", "NLL, as in training": "nll_training", "ECE, as in training":
    "ece_training",
}  # fmt: skip


def read(records: Records, classes: int, at: int, row: str, metric: str = "uniform", *, longer: bool = False) -> BySeed:
    """A number of a row of heads for each tail."""
    where = {"variant": f"heads at {at}" + LONGER * longer, "classes": classes, "part": "heads"}
    return by_seed(records, where, f"rows.{row}.{metric}")


def list_imbalances(records: Records, classes: int) -> list[int]:
    """Those that a set's heads were trained at, longest tail first."""
    mine = [r["recipe"] for r in find_part(records, "heads") if r["recipe"]["classes"] == classes]
    return sorted({int(recipe["data"]["imbalance"]) for recipe in mine}, reverse=True)


def list_sets(records: Records) -> list[int]:
    """How many classes each set has that heads were trained on."""
    return sorted({r["recipe"]["classes"] for r in find_part(records, "heads")})


def tabulate_cells(records: Records, classes: int) -> pd.DataFrame:
    """Table 1's column of every imbalance, printed and ours, and rows that it lacks (%)."""
    cells: dict[str, dict[str, str]] = {}
    for at in list_imbalances(records, classes):
        if printed := PRINTED.get((classes, at)):
            cells[f"printed, {at}"] = {ROWS[row]: f"{printed[row]:.2f}" if row in printed else "–" for row in ROWS}
        cells |= _column(f"{at}", {ROWS[row]: read(records, classes, at, row) for row in ROWS})
    shown = pd.DataFrame(cells)
    return embolden(title(shown, f"{DATA[classes]}, by imbalance, %"))


def tabulate_priors(records: Records, classes: int) -> pd.DataFrame:
    """Percent right where classes at test are alike, as in training, and the other way round."""
    return embolden(_tabulate(records, classes, ROWS | KNOWN, PRIORS, "%"))


def tabulate_calibration(records: Records, classes: int) -> pd.DataFrame:
    """Negative log-likelihood and calibration error of rows that give probabilities; lower is better."""
    rows = {row: name for row, name in ROWS.items() if row not in NO_PROBABILITIES}
    return _tabulate(records, classes, rows, CALIBRATION, "nats and points")


def tabulate_groups(records: Records, classes: int) -> pd.DataFrame:
    """Percent right by training rows of a class."""
    recipe = next(r["recipe"] for r in find_part(records, "heads") if r["recipe"]["classes"] == classes)
    many, few = recipe["many"], recipe["few"]
    groups = {f"over {many} rows": "many", f"{few} to {many}": "medium", f"under {few}": "few"}
    return embolden(_tabulate(records, classes, ROWS, groups, "%"))


def find_largest_move(records: Records, classes: int) -> float:
    """How far any row of Table 1 moves, up or down, when it trains twice as long: the largest mean over tails (points).

    0 where nothing was trained as long.
    """
    moves = [
        pair(read(records, classes, at, row, longer=True), read(records, classes, at, row))
        for at in list_imbalances(records, classes)
        for row in TABLE
    ]
    return max((abs(sum(move.values()) / len(move)) for move in moves if move), default=0.0)


def _tabulate(
    records: Records, classes: int, rows: Mapping[str, str], metrics: Mapping[str, str], unit: str
) -> pd.DataFrame:
    cells: dict[str, dict[str, str]] = {}
    for heading, metric in metrics.items():
        cells |= _column(heading, {name: read(records, classes, AT, row, metric) for row, name in rows.items()})
    return title(pd.DataFrame(cells), f"{DATA[classes]}, imbalance {AT}, {unit}")


def _column(heading: str, values: Mapping[str, BySeed]) -> dict[str, dict[str, str]]:
    """A column with its n behind the heading; none without a number."""
    if not (n := seeds_of(values.values())):
        return {}
    return {f"{heading} ({n})": {name: mean_std(seeds.values()) for name, seeds in values.items()}}
