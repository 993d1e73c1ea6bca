"""The tables of chapter 06: rows of Table 1 and its rivals, classifiers of regions, detectors. Best in bold."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd
from jaxtyping import Float

from vqabook.papers.balanced_activation.claims import IN_PRINT, MINE
from vqabook.papers.balanced_activation.printed import DETECTED
from vqabook.papers.balanced_activation.setting import COUNTS_ROWS, DETECTION_ROWS, FURTHER, ROWS, TABLE
from vqabook.papers.balanced_activation.studies import SETS, Records, Study, find_part, name_of
from vqabook.report.tables import embolden, title
from vqabook.report.verdicts import mean_std, pair, table

FREQUENCIES = {"all": "overall", "rare": "r", "common": "c", "frequent": "f"}
ADJUSTED = "softmax, logits adjusted at test"


def tabulate_rivals(study: Study) -> pd.DataFrame:
    """Table 1: accuracy overall and by training rows of a class (%)."""
    printed = {f"printed, {study.in_print}": study.printed_cells}
    return embolden(_tabulate(study, TABLE, _metrics(study), printed if study.printed else None))


def tabulate_learning(studies: Sequence[Study]) -> pd.DataFrame:
    """How much of its training rows each row of Table 1 has learnt, and what choosing its epoch on test reports (%)."""
    rows = [(name_of(row), row) for row in TABLE]
    metrics = {"training rows": "train.overall", "best epoch by test": "best_on_test"}
    cells = {
        (f"{study.name}, {study.imbalance}", title): {
            name: mean_std(study.seeds(row, key).values()) for name, row in rows
        }
        for study in studies
        for title, key in metrics.items()
    }
    return pd.DataFrame(cells).rename_axis("%, imbalance", axis="index")


def tabulate_gaps(study: Study) -> pd.DataFrame:
    """What each row of Table 1 loses from its training rows to test, over groups of classes by their rows (points)."""
    cells = {
        name: {
            name_of(row): mean_std(pair(study.seeds(row, f"train.{group}"), study.seeds(row, f"test.{group}")).values())
            for row in TABLE
        }
        for group, name in study.groups.items()
    }
    return pd.DataFrame(cells).rename_axis(f"{study.name}, imbalance {study.imbalance}, points", axis="columns")


def tabulate_further(study: Study) -> pd.DataFrame:
    """What Table 1 lacks, beside balanced softmax and softmax whose logits are adjusted at test (%)."""
    return _with_shift(study, [MINE, *(row for row in FURTHER if "exponent" not in row)], _metrics(study))


def tabulate_full(study: Study) -> pd.DataFrame:
    """Rows by networks of full size: accuracy, also on the training images, and by training rows of a class (%)."""
    rows = [row for row in ROWS if study.runs(row)]
    return _with_shift(study, rows, _metrics(study) | {"training images": "train.overall"})


def _with_shift(study: Study, rows: Iterable[str], metrics: Mapping[str, str]) -> pd.DataFrame:
    """Rows beside their printed cells, and softmax whose logits are adjusted at test."""
    printed = {f"printed, {study.in_print}": study.printed_cells} if study.printed else {}
    shown = _tabulate(study, rows, metrics, printed)
    adjusted = dict.fromkeys(shown.columns, "–") | {
        name: mean_std(study.seeds("softmax", metric.replace("test.", "adjusted.")).values())
        for name, metric in metrics.items()
        if name in shown.columns and metric.startswith("test.")
    }
    whole = pd.concat([shown, pd.DataFrame(adjusted, index=[ADJUSTED])])
    return embolden(whole.rename_axis(columns=shown.columns.name), but=("training images",))


def tabulate_classifiers(records: Records) -> pd.DataFrame:
    """Classifiers of regions: precision of a region's best score, by frequency, and of all; regions found (%)."""
    mine = find_part(records, "counts")
    metrics = {name: f"ap_top.{key}" for name, key in FREQUENCIES.items()}
    metrics |= {"all scores": "ap.overall", "regions found": "test.overall"}
    rows = {name_of(row): {"variant": f"counts {row}"} for row in COUNTS_ROWS}
    shown = table(rows, {name: (mine, {}, metric) for name, metric in metrics.items()})
    dataset = mine[0]["recipe"]["data"]["dataset"]
    return _group(embolden(title(shown, f"{SETS.get(dataset, dataset)}, %")), "precision")


def tabulate_detectors(records: Records) -> pd.DataFrame:
    """Table 2: precision of masks, by frequency, and of boxes, printed for LVIS beside ours (%)."""
    mine = find_part(records, "detection")
    backbone = mine[0]["recipe"]["backbone"]
    rows = {name_of(row): {"variant": f"detector {row}"} for row in DETECTION_ROWS}
    metrics = {name: f"test.{key}" for name, key in FREQUENCIES.items()} | {"boxes": "box.overall"}
    printed = {
        f"printed, {name}": {name_of(row): f"{values[metric]:.1f}" for row, values in DETECTED[IN_PRINT].items()}
        for name, metric in metrics.items()
    }
    shown = table(rows, {name: (mine, {}, metric) for name, metric in metrics.items()}, printed)
    return _group(embolden(title(shown, f"{backbone}, %")), "masks")


def tabulate_detectors_in_print() -> pd.DataFrame:
    """All of Table 2: both backbones and the row on test-dev (%)."""
    titles = {
        "masks": "test.overall",
        "frequent": "test.f",
        "common": "test.c",
        "rare": "test.r",
        "boxes": "box.overall",
    }
    cells = {
        f"{name_of(row)}, {backbone}{'' if split == 'val' else f', {split}'}": {
            name: f"{values[metric]:.1f}" if metric in values else "–" for name, metric in titles.items()
        }
        for (backbone, split), rows in DETECTED.items()
        for row, values in rows.items()
    }
    return pd.DataFrame.from_dict(cells, orient="index").rename_axis("LVIS 1.0, printed, %", axis="columns")


def _metrics(study: Study) -> dict[str, str]:
    """Where the columns of a table on images are read: over all classes, and over groups of classes by their rows."""
    return {"overall": "test.overall"} | {name: f"test.{group}" for group, name in study.groups.items()}


def _group(shown: pd.DataFrame, what: str) -> pd.DataFrame:
    """The table with `what` above its columns by frequency, printed ones apart, and its title above its rows."""
    names = [(name.removeprefix("printed, "), name.startswith("printed, ")) for name in shown.columns]
    kinds = [what if name in FREQUENCIES else "" for name, _ in names]
    above = [
        ", ".join(filter(None, (kind, "printed" * is_print))) for kind, (_, is_print) in zip(kinds, names, strict=True)
    ]
    grouped = shown.set_axis([above, [name for name, _ in names]], axis=1)
    return grouped.rename_axis(shown.columns.name, axis="index")


def _tabulate(
    study: Study, rows: Iterable[str], metrics: Mapping[str, str], printed: Mapping | None = None
) -> pd.DataFrame:
    where = {name_of(row): study.where(row) for row in rows}
    shown = table(where, {name: (study.records, {}, metric) for name, metric in metrics.items()}, printed)
    return title(shown, f"{study.name}, imbalance {study.imbalance}, %")


def tabulate_offsets(errors: Mapping[str, Float[np.ndarray, "n c"]]) -> pd.DataFrame:
    """`theory.offset_errors` of each case: mean ± standard deviation over test rows, a column a class.

    An offset that is right at every row has an error of 0, without a spread.
    """
    cells = {name: {j: _tell_error(e) for j, e in enumerate(of_rows.T, start=1)} for name, of_rows in errors.items()}
    return pd.DataFrame.from_dict(cells, orient="index").fillna("").rename_axis("class", axis="columns")


def _tell_error(errors: Float[np.ndarray, " n"]) -> str:
    return "0" if np.allclose(errors, 0, atol=1e-4) else mean_std(errors.tolist(), signed=True)
