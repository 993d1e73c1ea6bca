"""The arena's tables: all rules on all tasks, which to take, and debiasing rules beside a model that is blind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from vqabook.arena.heads import NO_PROBABILITIES, PLAIN, TITLES
from vqabook.arena.snippets import write_code
from vqabook.papers.arena.studies import RARE, REVERSED, RULES, TRAINING, UNIFORM, Records, Study, gain_of
from vqabook.report.claims import LONGER
from vqabook.report.plain import sign
from vqabook.report.tables import embolden, title
from vqabook.report.verdicts import BySeed, Verdict, mean_std, seeds_of

PRIORS = {
    UNIFORM: "all classes alike",
    TRAINING: "as in training",
    REVERSED: "rare classes frequent",
}
COLUMNS = {  # of a tail's two tables -> metric
    "where it is right": {
        "balanced accuracy": "wanted", "frequent": "many", "medium": "medium", "rare": "few", "macro-F1": "macro_f1",
    },
    "how sure, how it ranks, what it takes": {
        "NLL": "nll", "ECE": "ece", "average precision": "average_precision", "F1": "f1",
    },
}  # fmt: skip


def tabulate_task(study: Study, task: str, part: str) -> pd.DataFrame:
    """A `part` of all that is measured of each rule on a tail, mean ± standard deviation; classes alike at test."""
    cells: dict[str, dict[str, str]] = {}
    for heading, metric in COLUMNS[part].items():
        without = NO_PROBABILITIES if metric in ("nll", "ece") else ()
        rows = [row for row in study.rows if row not in without]
        cells |= _column(heading, {TITLES.get(row, row): study.numbers(task, row, metric) for row in rows})
    if "nll" not in COLUMNS[part].values():
        return title(embolden(pd.DataFrame(cells)), task)
    seconds = {TITLES.get(row, row): _seconds(study, task, row) for row in study.rows}
    cells["seconds of the loss"] = {row: "–" if x is None else f"{x:.2f}" for row, x in seconds.items()}
    return title(pd.DataFrame(cells).fillna("–"), task)


def compare_seconds(study: Study, task: str) -> float:
    """Seconds of the dearest loss over those of softmax."""
    seconds = [x for row in study.rows if (x := _seconds(study, task, row)) is not None]
    plain = _seconds(study, task, PLAIN)
    return max(seconds) / plain if plain else 1.0


def _seconds(study: Study, task: str, row: str) -> float | None:
    """What the loss takes in all steps, by the median run of those that are not trained twice as long."""
    short = [r for r in study.records if not r["recipe"]["variant"].endswith(LONGER)]
    found = [r["result"]["seconds"].get(row) for r in short if r["recipe"]["variant"].partition(" @ ")[0] == task]
    kept = [x for x in found if x is not None]
    return float(np.median(kept)) if kept else None


def tabulate_gains(study: Study, prior: str, sets: Sequence[str]) -> pd.DataFrame:
    """The gain of every rule over softmax on all tails of some sets, bold where its interval excludes zero (points)."""
    cells: dict[tuple[str, str], dict[str, str]] = {}
    for task in (task for task in study.tasks if task.split(" ")[0] in sets):
        name, _, at = task.partition(" ")
        found = {TITLES.get(row, row): study.gain(task, row, prior=prior) for row in study.rows if row != PLAIN}
        cells[name, at.removeprefix("at ")] = {row: _embolden(verdict) for row, verdict in found.items()}
    return pd.DataFrame(cells)


def _embolden(verdict: Verdict) -> str:
    mean = tell_mean(verdict)
    return f"<b>{mean}</b>" if verdict.kind in ("holds", "fails") else mean


def tabulate_rare(study: Study, task: str) -> pd.DataFrame:
    """Two classes, as frequent at test as in training: how rows are ranked, and what a threshold makes of it (%)."""
    columns = {"average precision": "average_precision", "F1": "f1"}
    cells: dict[str, dict[str, str]] = {}
    for heading, metric in columns.items():
        values = {TITLES.get(row, row): study.numbers(task, row, metric, TRAINING) for row in study.rows}
        cells |= _column(heading, values)
    gains = {TITLES.get(row, row): tell(study.gain(task, row, "average_precision", TRAINING)) for row in study.rows}
    cells["precision gained over softmax"] = gains | {TITLES[PLAIN]: ""}
    return title(pd.DataFrame(cells), task)


def tabulate_debiasing(records: Records) -> pd.DataFrame:
    """Rules against changed priors: the gain where they change, of a blind model by the same rule, and elsewhere."""
    lines = {}
    for rule in RULES:
        gain = gain_of(records, rule.rule, rule.start)
        if gain.mean is None:
            continue
        lines[rule.name] = {
            "priors changed": tell(gain),
            "the same, without image": tell(gain_of(records, *blind)) if (blind := rule.sides.get("no image")) else "–",
            "priors the same": tell(gain_of(records, rule.rule, rule.start, prior="same")),
            "validation": tell(gain_of(records, rule.rule, rule.start, "valid")),
            "n": str(gain.n),
        }
    return pd.DataFrame.from_dict(lines, orient="index").rename_axis("gain over the plain loss, points", axis="columns")


def list_cases() -> list[tuple[str, bool, bool]]:
    """(prior at test, whether the rarest class is below `RARE` rows, whether nothing may be trained): all of them."""
    return [(prior, rare, after) for prior in PRIORS for rare in (True, False) for after in (False, True)]


def tabulate_choices(study: Study, prior: str) -> pd.DataFrame:
    """What to take by the rarest class and by whether anything may be trained, where classes are as `prior` says."""
    lines = []
    for rare, after in ((rare, after) for which, rare, after in list_cases() if which == prior):
        case = {"rarest class": f"under {RARE} rows" if rare else f"{RARE} rows or more"}
        case["may you train?"] = "no" if after else "yes"
        best = study.choose(prior, rare=rare, after=after)
        for i, choice in enumerate(best):
            lines.append(
                (case if not i else dict.fromkeys(case, ""))
                | {
                    "take": TITLES[choice.row],
                    "mean gain": tell_mean(choice.gain),
                    "better, worse for sure": f"{choice.better}, {choice.worse} of {choice.tails} tails",
                    "if classes are as in training": tell_mean(choice.elsewhere),
                    "asks for": choice.price,
                }
            )
        if not best:
            lines.append(case | {"take": "softmax as it is"})
    return pd.DataFrame(lines).fillna("")


def tell(verdict: Verdict) -> str:
    """`+3.2 [1.0, 5.4]`, the mean with its interval."""
    if verdict.mean is None:
        return "–"
    ends = (
        f" [{sign(verdict.low, 1)}, {sign(verdict.high, 1)}]"
        if verdict.low is not None and verdict.high is not None
        else ""
    )
    return f"{sign(verdict.mean, 1)}{ends}"


def tell_mean(verdict: Verdict) -> str:
    """`+3.2`, the mean alone."""
    return "–" if verdict.mean is None else sign(verdict.mean, 1)


def _column(heading: str, values: Mapping[str, BySeed]) -> dict[str, dict[str, str]]:
    if not (n := seeds_of(values.values())):
        return {}
    return {f"{heading} ({n})": {name: mean_std(seeds.values()) for name, seeds in values.items()}}


def list_code(study: Study) -> dict[str, str]:
    """The lines of each rule that some case takes, by its name."""
    rows = {choice.row for prior, rare, after in list_cases() for choice in study.choose(prior, rare=rare, after=after)}
    return {TITLES[row]: write_code(row) for row in TITLES if row in rows}
