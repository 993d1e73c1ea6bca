"""The layouts of a paper's tables: by answer type, ablation, selection; printed beside ours, cells mean ± std.

A dagger marks p < 0.01 against the row's backbone (`report.significance`), for a gain or a loss, as the paper's do.
`rows` are label -> recipe values; `sources` heading -> (records, recipe values), one block of columns each; a source
without a single number is left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from vqabook.report import DAGGER, SIGNIFICANT, by_seed, mean_std, seeds_of, significance

ANSWER_TYPES = {"Y/N": "yes/no", "Num.": "number", "Other": "other", "All": "overall"}  # heading -> metric
SELECTIONS = {"last epoch": "last", "best on validation": "best_by_valid", "best on test": "best_by_test"}
_PARTS = {"epoch": "epoch", "valid": "validation", "test": "test"}

Rows = Mapping[str, Mapping]
Sources = Mapping[str, tuple[Sequence[Mapping], Mapping]]
BySeed = Mapping[int, float]


def by_answer_type(
    rows: Rows,
    sources: Sources,
    printed: Mapping[str, Mapping[str, Mapping[str, str]]] | None = None,
    *,
    metric: str = "test.",
    against: Mapping[str, str] | None = None,
) -> pd.DataFrame:
    """Tables II to IV: for every source the columns Y/N, Num., Other and All.

    `printed`: heading -> row label -> answer type -> the cell as printed; `metric` is what stands before the answer
    type's name, "test.kappa." for kappa; `against`: row label -> the row that its daggers compare it with.
    """
    cells: dict[tuple[str, str], dict[str, str]] = {}
    for heading, by_row in (printed or {}).items():
        for kind in ANSWER_TYPES:
            cells[heading, kind] = {label: by_row.get(label, {}).get(kind, "–") for label in rows}
    for heading, source in sources.items():
        found = {kind: _cells(rows, source, f"{metric}{name}") for kind, name in ANSWER_TYPES.items()}
        if n := seeds_of(values for column in found.values() for values in column.values()):
            cells |= {(f"{heading} ({n})", kind): _marked(column, against) for kind, column in found.items()}
    return pd.DataFrame(cells, index=list(rows))


def ablation(
    variants: Mapping[str, Mapping[str, str]],
    source: tuple[Sequence[Mapping], Mapping],
    *,
    metric: str = "test.overall",
    against: Mapping[str, str] | None = None,
) -> pd.DataFrame:
    """Table V: modules down, backbones across. `variants`: row label -> column -> the run's variant."""
    columns = dict.fromkeys(column for row in variants.values() for column in row)
    cells = {}
    for column in columns:
        rows = {label: {"variant": row[column]} for label, row in variants.items() if column in row}
        found = _cells(rows, source, metric)
        if n := seeds_of(found.values()):
            marked = _marked(found, against)
            cells[f"{column} ({n})"] = {label: marked.get(label, "–") for label in variants}
    return pd.DataFrame(cells, index=list(variants))


def selection(rows: Rows, source: tuple[Sequence[Mapping], Mapping]) -> pd.DataFrame:
    """What choosing the epoch does: for each row its last, best on validation and best on test.

    Soft scores in percent, as the history has them. The last column is how far above the last epoch's test score a
    choice ends, seed by seed: for "best on test" it is what selecting on the test set adds to a result.
    """
    found = {
        (label, title): {part: _cells({label: row}, source, f"selection.{name}.{part}")[label] for part in _PARTS}
        for label, row in rows.items()
        for title, name in SELECTIONS.items()
    }
    found = {key: parts for key, parts in found.items() if parts["test"]}
    cells = {
        (label, f"{title} ({seeds_of([parts['test']])})"): {
            **{heading: mean_std(parts[part].values()) for part, heading in _PARTS.items()},
            "test, above the last epoch": "–"
            if title == "last epoch"
            else mean_std(_differences(parts["test"], found[label, "last epoch"]["test"]), signed=True),
        }
        for (label, title), parts in found.items()
    }
    return pd.DataFrame.from_dict(cells, orient="index")


def prior_gap(rows: Rows, records: Sequence[Mapping], metric: str = "test.overall") -> pd.DataFrame:
    """Accuracy under the same and under changed priors and their difference, which Sec. VI-A reads as learned bias."""
    same, changing = (_cells(rows, (records, {"prior": prior}), metric) for prior in ("same", "changing"))
    cells = {
        label: {
            f"same priors ({seeds_of(same.values())})": mean_std(same[label].values()),
            f"changed priors ({seeds_of(changing.values())})": mean_std(changing[label].values()),
            "gap": mean_std(_differences(same[label], changing[label]), signed=True),
        }
        for label in rows
        if same[label] and changing[label]
    }
    return pd.DataFrame.from_dict(cells, orient="index")


def p_values(
    rows: Rows, sources: Sources, against: Mapping[str, str], metrics: Sequence[str] = tuple(ANSWER_TYPES.values())
) -> list[float]:
    """The p value of every cell that daggers could mark: the tests behind `by_answer_type`, one after the other."""
    tested = []
    for source in sources.values():
        for metric in metrics:
            found = _cells(rows, source, f"test.{metric}")
            tested += [significance(found[label], found[other]) for label, other in _pairs(found, against)]
    return [p for p in tested if p is not None]


def by_chance(tested: Sequence[float]) -> str:
    """How many of these tests are significant, and how many would be if no difference were there."""
    marked, n = sum(p < SIGNIFICANT for p in tested), len(tested)
    return (
        f"{marked} of {n} tested cells carry {DAGGER}, for a gain or a loss (two-sided paired t-test over seeds, "
        f"p < {SIGNIFICANT}). If every difference were zero, about {SIGNIFICANT * n:.2g} of {n} still would."
    )


def _cells(rows: Rows, source: tuple[Sequence[Mapping], Mapping], metric: str) -> dict[str, dict[int, float]]:
    records, where = source
    return {label: by_seed(records, {**where, **row}, metric) for label, row in rows.items()}


def _marked(column: Mapping[str, BySeed], against: Mapping[str, str] | None) -> dict[str, str]:
    tests = {label: significance(column[label], column[other]) for label, other in _pairs(column, against or {})}
    significant = {label for label, p in tests.items() if p is not None and p < SIGNIFICANT}
    return {label: mean_std(v.values()) + (DAGGER if label in significant else "") for label, v in column.items()}


def _pairs(column: Mapping[str, BySeed], against: Mapping[str, str]) -> list[tuple[str, str]]:
    return [(label, other) for label, other in against.items() if label in column and other in column]


def _differences(more: BySeed, less: BySeed) -> list[float]:
    return [more[seed] - less[seed] for seed in sorted(more.keys() & less.keys())]
