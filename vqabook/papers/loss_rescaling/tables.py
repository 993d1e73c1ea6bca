"""Guo et al. 2022, "Loss re-scaling VQA", arXiv:2010.16010, Sec. III in tables: what hard and easy mistakes cost."""

from collections.abc import Mapping

import pandas as pd

from vqabook.papers.loss_rescaling.pictures import KINDS, LOSSES, Records, Tasks
from vqabook.papers.loss_rescaling.setting import UNIFORM
from vqabook.report import verdicts as report


def tabulate_types(sources: Mapping[str, Records]) -> pd.DataFrame:
    """How many test questions have a right answer that their question type has in training: any vote, plurality."""
    names = {"by_vote": "by any vote, %", "by_plurality": "by plurality, %", "in_vocabulary": "in the vocabulary, %"}
    rows = {}
    for source, records in sources.items():
        for run in report.matching(records, {"kind": "statistics"}):
            counted = run["result"]
            shares = {title: f"{100 * counted['in_type'][key]:.1f}" for key, title in names.items()}
            asked = {"test questions": f"{counted['sizes']['test']:,}"}
            rows[f"{source}, {run['recipe']['prior']} priors"] = asked | shares
    return pd.DataFrame.from_dict(rows, orient="index")


def tabulate_questions(embedded: Records, real: Records) -> pd.DataFrame:
    """Mean loss of hard and easy mistakes on questions, after the first and the last epoch, for both losses."""
    sources = {
        "embedded world": (embedded, "changing", ""),
        "real data": (real, "changing", ""),
        "control, uniform answers": (embedded, "same", f" @ {UNIFORM}"),
    }
    cells = {}
    for loss, title in LOSSES.items():
        for moment, at in {"first epoch": "history.0", "last epoch": "history.-1"}.items():
            for kind in KINDS:
                cells[f"{title}, {kind}, {moment}"] = {
                    source: report.mean_std(
                        report.by_seed(
                            records,
                            {"prior": prior, "variant": f"{loss} baseline{of}"},
                            f"{at}.mistakes.{kind}_paired",
                        ).values()
                    )
                    for source, (records, prior, of) in sources.items()
                }
    return pd.DataFrame.from_dict(cells, orient="index")


def tabulate_tasks(tasks: Tasks, rows: str) -> pd.DataFrame:
    """Of each image set: mistakes, their mean loss, easy less hard with its 95 % interval. `rows`: held_out, train."""
    cells = {}
    for title, divisions in tasks.items():
        for division, runs in divisions.items():
            read = {
                key: report.by_seed(runs, {}, f"{rows}.mistakes.{key}")
                for key in ("n_hard", "n_easy", "hard", "easy", "sparse_excess", "sparse_excess_paired")
            }
            cells[f"{title}, {division}"] = {
                "mistakes, hard / easy": " / ".join(f"{sum(read[f'n_{kind}'].values()):.0f}" for kind in KINDS),
                **{kind: report.mean_std(read[kind].values()) for kind in KINDS},
                "easy − hard": report.mean_interval(read["sparse_excess"]),
                "the same, confused both ways": report.mean_interval(read["sparse_excess_paired"]),
                "n": len(read["n_hard"]),
            }
    return pd.DataFrame.from_dict(cells, orient="index")
