"""The layouts of a paper's tables: by answer type, selection; printed beside ours, cells mean ± std.

A dagger marks p < 0.01 against the row's backbone (`significance`), for a gain or a loss, as the paper's do.
`rows` are label -> recipe values; `sources` heading -> (records, recipe values), one block of columns each; a source
without a single number is left out.
"""

import re
from collections.abc import Collection, Mapping, Sequence

import pandas as pd
from scipy import stats

from vqabook.report.verdicts import (
    MIN_SEEDS,
    BySeed,
    by_seed,
    matching,
    mean_std,
    pair,
    seeds_of,
    value_at,
)

ANSWER_TYPES = {"Y/N": "yes/no", "Num.": "number", "Other": "other", "All": "overall"}  # heading -> metric
FURTHER = "further_types"  # where `metrics.vqa` keeps the numbers of answer types that a file has besides
SELECTIONS = {"last epoch": "last", "best on validation": "best_by_valid", "best on test": "best_by_test"}

SIGNIFICANT = 0.01  # what the papers' tables mark with a dagger
DAGGER = "†"

Rows = Mapping[str, Mapping]
Sources = Mapping[str, tuple[Sequence[Mapping], Mapping]]


def by_answer_type(
    rows: Rows,
    sources: Sources,
    printed: Mapping[str, Mapping[str, Mapping[str, str]]] | None = None,
    *,
    metric: str = "test.",
    against: Mapping[str, str] | None = None,
) -> pd.DataFrame:
    """Tables II to IV: for every source the columns Y/N, Num., Other and All, then one a further type of its file.

    `printed`: heading -> row label -> answer type -> the cell as printed; `metric` is what stands before the answer
    type's name, "test.kappa." for kappa; `against`: row label -> the row that its daggers compare it with.
    """
    cells: dict[tuple[str, str], dict[str, str]] = {}
    for heading, by_row in (printed or {}).items():
        for kind in ANSWER_TYPES:
            cells[heading, kind] = {label: by_row.get(label, {}).get(kind, "–") for label in rows}
    for heading, source in sources.items():
        names = ANSWER_TYPES | {name: f"{FURTHER}.{name}" for name in _further(rows, source, metric)}
        columns = {kind: _cells(rows, source, f"{metric}{name}") for kind, name in names.items()}
        if n := seeds_of(values for column in columns.values() for values in column.values()):
            cells |= {(f"{heading} ({n})", kind): _mark(column, against or {}) for kind, column in columns.items()}
    return pd.DataFrame(cells, index=list(rows))


def selection(rows: Rows, source: tuple[Sequence[Mapping], Mapping], *, reported: str = "last epoch") -> pd.DataFrame:
    """What choosing the epoch does: each row's test score at its last epoch, best on validation and best on test.

    Soft scores in percent, as the history has them, then the epochs themselves. The last column is how far the best on
    test stands above the `reported` one, seed by seed: what selecting on the test set adds to a result.
    """
    score, epoch = (
        {t: _cells(rows, source, f"selection.{n}.{part}") for t, n in SELECTIONS.items()} for part in ("test", "epoch")
    )
    if not (n := seeds_of(values for column in score.values() for values in column.values())):
        return pd.DataFrame()
    ours, best = score[reported], score["best on test"]
    cells = {f"{title} ({n})": _mark(column, {}) for title, column in score.items()}
    cells |= {f"epoch, {title}": _mark(column, {}) for title, column in epoch.items()}
    added = {row: mean_std(pair(best[row], ours[row]).values(), signed=True) for row in rows}
    cells[f"best on test − {reported.removesuffix(' epoch')}"] = added
    return pd.DataFrame(cells, index=[row for row in rows if ours[row]])


def prior_gap(rows: Rows, records: Sequence[Mapping], metric: str = "test.overall") -> pd.DataFrame:
    """Accuracy under the same and under changed priors and their difference, which Sec. VI-A reads as learned bias."""
    same, changing = (_cells(rows, (records, {"prior": prior}), metric) for prior in ("same", "changing"))
    cells = {
        label: {
            f"same priors ({seeds_of(same.values())})": mean_std(same[label].values()),
            f"changed priors ({seeds_of(changing.values())})": mean_std(changing[label].values()),
            "gap": mean_std(pair(same[label], changing[label]).values(), signed=True),
        }
        for label in rows
        if same[label] and changing[label]
    }
    return pd.DataFrame.from_dict(cells, orient="index")


def p_values(
    rows: Rows, sources: Sources, against: Mapping[str, str], metrics: Sequence[str] | None = None
) -> list[float]:
    """The p value of every cell that daggers could mark: the tests behind `by_answer_type`, one after the other."""
    tested: list[float] = []
    for source in sources.values():
        further = [f"{FURTHER}.{name}" for name in _further(rows, source, "test.")]
        for metric in metrics or (*ANSWER_TYPES.values(), *further):
            tested += _test(_cells(rows, source, f"test.{metric}"), against).values()
    return tested


def by_chance(tested: Sequence[float]) -> str:
    """How many of these tests are significant, and how many would be if no difference were there."""
    marked, n = sum(p < SIGNIFICANT for p in tested), len(tested)
    return (
        f"{marked} of {n} tested cells carry {DAGGER}, gain or loss (two-sided paired t-test over seeds, "
        f"p < {SIGNIFICANT}); by chance about {SIGNIFICANT * n:.2g} of {n} would."
    )


def title(table: pd.DataFrame, text: str) -> pd.DataFrame:
    """The table under a title. The number of seeds goes there from the headings, if all that say it say the same."""
    said = {match[0] for name in table.columns if (match := re.search(r" \((n = .*)\)$", name))}
    if len(said) == 1:
        (seeds,) = said
        table = table.rename(columns=lambda name: name.removesuffix(seeds))
        text = f"{text},{seeds.replace('(', '').replace(')', '')}"
    return table.rename_axis(text, axis="columns")


def embolden(table: pd.DataFrame, *, but: Collection[str] = ()) -> pd.DataFrame:
    """The table with the highest mean of each column in bold, `but` for some; cells are as `mean_std` writes them."""
    return table.apply(lambda cells: cells if cells.name in but else _embolden(cells))


def _embolden(cells: pd.Series) -> pd.Series:
    means = cells.str.extract(r"^([+−]?\d+\.?\d*)", expand=False).str.replace("−", "-").astype(float)
    return cells.where(means.isna() | (means != means.max()), "<b>" + cells + "</b>")


def _cells(rows: Rows, source: tuple[Sequence[Mapping], Mapping], metric: str) -> dict[str, BySeed]:
    records, where = source
    return {label: by_seed(records, {**where, **row}, metric) for label, row in rows.items()}


def _further(rows: Rows, source: tuple[Sequence[Mapping], Mapping], metric: str) -> list[str]:
    """The answer types besides the official ones that any of the records has, by name."""
    records, where = source
    of_rows = (record for row in rows.values() for record in matching(records, {**where, **row}))
    return sorted({name for record in of_rows for name in value_at(record, f"{metric}{FURTHER}") or ()})


def _mark(column: Mapping[str, BySeed], against: Mapping[str, str]) -> dict[str, str]:
    significant = {label for label, p in _test(column, against).items() if p < SIGNIFICANT}
    return {label: mean_std(v.values()) + (DAGGER if label in significant else "") for label, v in column.items()}


def _test(column: Mapping[str, BySeed], against: Mapping[str, str]) -> dict[str, float]:
    """The p value of each row of the column that can be tested against another."""
    pairs = {label: other for label, other in against.items() if label in column and other in column}
    tests = {label: significance(column[label], column[other]) for label, other in pairs.items()}
    return {label: p for label, p in tests.items() if p is not None}


def significance(more: BySeed, less: BySeed) -> float | None:
    """The p value of a two-sided paired t-test over the seeds that both have; None with fewer than three.

    Guo et al. 2022 do not say whether theirs is paired; ours is, since a seed fixes the data's order and the start.
    Differences that are all the same leave no variance: p is 1 if they are zero, else 0, the limit of both cases.
    """
    differences = pair(more, less)
    if len(differences) < MIN_SEEDS:
        return None
    if len(unique := set(differences.values())) == 1:
        return float(unique == {0})
    return float(stats.ttest_rel([more[seed] for seed in differences], [less[seed] for seed in differences]).pvalue)
