"""What a contest found, as JSON, Markdown and one HTML page: every number is read from its records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vqabook.arena.contest import TOLD, Contest
from vqabook.arena.divide import group_by_rows
from vqabook.arena.heads import TITLES
from vqabook.arena.page import Block, Cells, Code, Heading, Picture, Text, write_html, write_markdown
from vqabook.arena.pictures import NAMED, draw_counts, draw_forest
from vqabook.arena.ranking import (
    SCORE,
    START,
    Ranking,
    Standing,
    compare,
    count_divisions,
    count_rows,
    rank,
    read,
)
from vqabook.arena.snippets import write_code, write_own
from vqabook.arena.summary import summarise, tell_method
from vqabook.evidence.record import write_json
from vqabook.files import written_whole
from vqabook.metrics.classes import groups_of
from vqabook.report.figures.frame import draw_svg
from vqabook.report.plain import clear, minus, sign, span
from vqabook.report.verdicts import MIN_SEEDS, NEAR, BySeed, Verdict

PRIORS = {  # of a test set -> in words
    "uniform": "where all classes are alike",
    "training": "where classes are as frequent as in the data",
    "reversed": "where rare classes are the frequent ones",
}
COLUMNS = {  # of the table -> metric, digits
    "as in the data": ("training", 1), "reversed": ("reversed", 1), "many": ("many", 1), "medium": ("medium", 1),
    "few": ("few", 1), "macro-F1": ("macro_f1", 1), "average precision": ("average_precision", 1), "NLL": ("nll", 2),
    "ECE": ("ece", 1), "picked value": ("picked", 2), "seconds": ("seconds", 2),
}  # fmt: skip
WORDS = {  # of a verdict -> what it says here
    "holds": "the interval lies above zero",
    "fails": "it lies below zero",
    "no difference": f"it holds zero, and lies within ±\u00a0{NEAR:.0f} point",
    "undecided": "it holds zero, and more",
}
OPEN = ("undecided", "no difference")  # kinds of rows that are not told apart


@dataclass(frozen=True)
class Report:
    """A contest with its records: the first says how long to train, the others have a division's rows each."""

    contest: Contest
    pilot: Mapping
    records: Sequence[Mapping]
    ranking: Ranking

    @classmethod
    def of(cls, contest: Contest, records: Sequence[Mapping]) -> Report:
        """The report of what `Contest.hold` gave."""
        return cls(contest, records[0], records[1:], rank(records[1:]))

    @property
    def own(self) -> list[str]:
        """Rows that are the user's."""
        return [loss.row for loss in self.contest.own]

    @property
    def where(self) -> str:
        """What classes occur like where it counts, in words."""
        prior = self.contest.protocol.prior
        return PRIORS[prior] if isinstance(prior, str) else "under the prior that was given"

    @property
    def score(self) -> str:
        """What rows are ranked by."""
        return "balanced accuracy" if self.contest.protocol.prior == "uniform" else "accuracy"

    def title(self, row: str) -> str:
        """A row's name on a page."""
        told = row.endswith(TOLD)
        return f"{TITLES.get(row.removesuffix(TOLD), row)}{TOLD * told}"

    def numbers(self, row: str, metric: str) -> BySeed:
        """A row's number for each division."""
        return read(self.records, row, metric)

    def groups(self) -> dict[str, list[bool]]:
        """Which classes are many, medium and few."""
        counts, bounds = torch.from_numpy(self.contest.examples.counts), self.contest.protocol.bounds
        masks = group_by_rows(counts) if bounds is None else groups_of(counts, *bounds)
        return {name: mask.tolist() for name, mask in masks.items()}


def write(report: Report, folder: Path) -> str:
    """report.json, report.md with its pictures, and report.html in `folder`; the answer as text."""
    blocks, told = list_blocks(report), minus(" ".join(answer(report)).replace("**", ""))
    metrics = [SCORE, "uniform", *(metric for metric, _ in COLUMNS.values())]
    write_json(folder / "report.json", summarise(report, told, metrics))
    write_pages(blocks, folder)
    return told


def write_pages(blocks: Sequence[Block], folder: Path) -> None:
    """report.md with its pictures beside it, and report.html."""
    texts = {"report.md": write_markdown(blocks), "report.html": write_html(blocks)}
    texts |= {block.file: draw_svg(block.draw, size=block.size) for block in blocks if isinstance(block, Picture)}
    for name, text in texts.items():
        with written_whole(folder / name) as partial_:
            partial_.write_text(text, "utf-8")


def answer(report: Report) -> tuple[str, str]:
    """Two sentences: which rule, its gain, and what it costs frequent classes; or that none is seen to beat softmax."""
    ranking, data = report.ranking, report.contest.examples.name
    start, chosen = ranking.row(START), ranking.chosen
    if chosen is None:
        best = next((row for row in ranking.rows if row.name != START), start)
        return (
            f"**No rule is seen to beat softmax** on {data} {report.where}: the first, {report.title(best.name)}, "
            f"gains {tell_gain(best.gain)} points.",
            "Keep softmax, or bring more rows; what would tell the rules apart stands below."
            if best.gain.interval
            else f"There is no interval of fewer than {MIN_SEEDS} divisions: give more (--seeds).",
        )
    level = f"{clear(chosen.mean, 1)} % in place of {clear(start.mean, 1)} %"
    cost = compare(report.numbers(chosen.name, "many"), report.numbers(START, "many"))
    told = {
        "holds": f"Frequent classes gain, too: {tell_gain(cost)} points.",
        "fails": f"Frequent classes pay: {tell_gain(cost)} points.",
    }
    return (
        f"**Take {report.title(chosen.name)}**: on {data}, {report.where}, it gains {tell_gain(chosen.gain)} points of "
        f"{report.score} over softmax ({level}).",
        told.get(cost.kind, f"That frequent classes pay is not seen: {tell_gain(cost)} points."),
    )


def tell_gain(verdict: Verdict) -> str:
    """`+1.20 [+0.80, +1.60]`."""
    return f"{sign(verdict.mean or 0.0)}{span(*(verdict.interval or (None, None)))}"


def list_blocks(report: Report) -> list[Block]:
    """The report in its order."""
    first, second = answer(report)
    name = report.contest.examples.name
    return [
        Heading(f"Which loss for {name}", 1),
        Text(f"{first} {second}", "answer"),
        *_show_rivals(report),
        *_show_classes(report),
        *_show_ranking(report),
        *_show_table(report),
        *_show_priors(report),
        *_show_code(report),
        *_show_open(report),
        *_show_method(report),
    ]


def list_open(report: Report) -> list[Standing]:
    """Rows that are not told apart from the first, or from softmax where nothing beats it."""
    leader = report.ranking.chosen.name if report.ranking.chosen else START
    return [row for row in report.ranking.rows if row.name != leader and row.behind.kind in OPEN]


def _show_rivals(report: Report) -> list[Block]:
    """Who takes another rule of these loses nothing that is seen."""
    rivals = list_open(report) if report.ranking.chosen else []
    named = _name_some([report.title(row.name) for row in rivals], 6)
    return [Text(f"Not told apart from it: {named}.", "note")] if rivals else []


def _show_classes(report: Report) -> list[Block]:
    examples, protocol = report.contest.examples, report.contest.protocol
    counts = examples.counts
    ratio = counts.max() / counts.min()
    by = "thirds of all rows" if protocol.bounds is None else "bounds of {} and {} rows".format(*protocol.bounds)
    few = len(counts) <= NAMED
    most, least = f"{examples.classes[0]!r} has {counts[0]:,} rows", f"{examples.classes[-1]!r} {counts[-1]:,}"
    found = f"{most}, {least}: {ratio:,.1f} times fewer."
    height = 1.1 + 0.22 * len(counts) if few else 2.8
    picture = Picture(
        partial(draw_counts, names=examples.classes, counts=counts.tolist(), groups=report.groups()),
        "counts.svg",
        f"{found} {counts.sum():,} rows of {len(counts):,} classes; many, medium and few by {by}; logarithmic axis.",
        f"Rows of each class, most frequent first: {found}",
        (7.2, height),
        height + 0.5,
    )
    notes = list(examples.notes)
    if left := examples.left_out:
        notes.append(
            f"Classes with fewer than three rows cannot be in training, validation and test: {len(left):,} are left "
            f"out ({_name_some(left)}), {sum(left.values()):,} rows in all."
        )
    if examples.constant:
        notes.append(f"Columns that never change are left out: {_name_some(examples.constant)}.")
    return [Heading("The classes"), picture, *(Text(note, "note") for note in notes)]


def _name_some(names: Any, most: int = 12) -> str:
    shown = [str(name) for name in names]
    return ", ".join(shown[:most]) + (f", and {len(shown) - most} more" if len(shown) > most else "")


def _show_ranking(report: Report) -> list[Block]:
    ranking, n = report.ranking, len(report.contest.protocol.seeds)
    above = [row for row in ranking.rows if row.gain.kind == "holds"]
    below = [row for row in ranking.rows if row.gain.kind == "fails"]
    found = f"{len(above)} of {len(ranking.rows) - 1} rules are seen above softmax, {len(below)} below"
    height = 0.9 + 0.25 * len(ranking.rows)
    picture = Picture(
        partial(
            draw_forest,
            ranking=ranking,
            titles={row.name: report.title(row.name) for row in ranking.rows},
            own=report.own,
        ),
        "gains.svg",
        f"{found}, {report.where}. A dot a division (n = {n}), the mean, and its 95 % interval, which allows for rows "
        "that divisions share. Green: the rule to take; grey: softmax; brown: losses of your own.",
        f"Gain of each rule over softmax: {found}.",
        (7.2, height),
        1.0 + 0.36 * len(ranking.rows),
    )
    return [Heading("The ranking"), picture]


def _show_table(report: Report) -> list[Block]:
    rows = [row.name for row in report.ranking.rows]
    shown = {heading: how for heading, how in COLUMNS.items() if _has(report, how[0])}
    cells = [
        [
            report.title(row.name),
            tell_cell(row.scores, 1),
            "" if row.name == START else row.gain.kind,
            *(tell_cell(report.numbers(row.name, metric), digits) for metric, digits in shown.values()),
        ]
        for row in report.ranking.rows
    ]
    marked = [i for i, name in enumerate(rows) if report.ranking.chosen and name == report.ranking.chosen.name]
    words = "; ".join(f"{kind}: {meaning}" for kind, meaning in WORDS.items() if _is_used(report, kind))
    return [
        Heading("All numbers"),
        Text(
            f"Mean ± standard deviation over {len(report.contest.protocol.seeds)} divisions, in percent; NLL in nats "
            f"and ECE in points, {report.where}; seconds are of the loss alone, in all steps. Verdicts are on the gain "
            f"over softmax. {words}.",
            "note",
        ),
        Cells(["rule", report.score, "verdict", *shown], cells, marked),
    ]


def _has(report: Report, metric: str) -> bool:
    return any(report.numbers(row.name, metric) for row in report.ranking.rows)


def _is_used(report: Report, kind: str) -> bool:
    return any(row.gain.kind == kind for row in report.ranking.rows if row.name != START)


def tell_cell(numbers: BySeed, digits: int) -> str:
    """`80.4 ± 4.1`; a dash where a rule has no such number."""
    if not numbers:
        return "–"
    values = list(numbers.values())
    spread = f"\u00a0±\u00a0{np.std(values, ddof=1):.{digits}f}" if len(values) > 1 else ""
    return f"{clear(float(np.mean(values)), digits)}{spread}"


def _show_priors(report: Report) -> list[Block]:
    columns = {"all classes alike": "uniform", "as in the data": "training", "reversed": "reversed"}
    if not isinstance(report.contest.protocol.prior, str):
        columns = {"as you say": SCORE} | columns
    start = {metric: report.numbers(START, metric) for metric in columns.values()}
    cells = []
    for row in report.ranking.rows:
        gains = [compare(report.numbers(row.name, m), start[m]) for m in columns.values()]
        cells.append([report.title(row.name), *map(tell_gain, gains)])
    cells = [line for line in cells if line[0] != report.title(START)]
    best = {
        heading: max(report.ranking.rows, key=lambda row: np.mean(list(report.numbers(row.name, metric).values())))
        for heading, metric in columns.items()
    }
    told = "; ".join(f"{heading}: {report.title(row.name)}" for heading, row in best.items())
    return [
        Heading("Where classes at test are others"),
        Text(
            "Gain over softmax in points, with its 95 % interval: test rows weigh as their class would occur. "
            f"Highest mean: {told}. Whoever knows the prior at test adds its logarithm to balanced scores.",
            "note",
        ),
        Cells(["rule", *columns], cells),
    ]


def _show_code(report: Report) -> list[Block]:
    row = report.ranking.chosen.name if report.ranking.chosen else START
    own = {loss.row: loss for loss in report.contest.own}
    values = list(report.numbers(row, "picked").values())  # of several trials, by division
    code = write_own(own[row]) if row in own else write_code(row, float(np.median(values)) if values else None)
    given = "`model`, `optimizer`, `batches` and your rows are yours"
    return [Heading(f"The lines of {report.title(row)}"), Text(f"In a loop of your own; {given}.", "note"), Code(code)]


def _show_open(report: Report) -> list[Block]:
    leader = report.ranking.chosen or report.ranking.row(START)
    undecided = list_open(report)
    heading = Heading("What would tell the undecided apart")
    if not undecided:
        return [heading, Text(f"Nothing is open: {report.title(leader.name)} is told apart from every other rule.")]
    cells = [[report.title(row.name), tell_gain(row.behind), *tell_needs(row.behind)] for row in undecided]
    return [
        heading,
        Text(
            f"{len(undecided)} rules are not told apart from {report.title(leader.name)}. More divisions of the same "
            "rows help only so far, for they share rows: an interval never shrinks below what these rows vary. More "
            "rows help further.",
        ),
        Cells(["rule", f"lead of {report.title(leader.name)}", "divisions in all", "or times as many rows"], cells),
    ]


def tell_needs(lead: Verdict) -> tuple[str, str]:
    """Divisions in all, and times as many rows, at which a lead would be seen if it is as large as it looks."""
    n, times = count_divisions(lead), count_rows(lead)
    return (f"{n}" if n else "none suffices"), ("–" if times is None or times > 1e4 else f"{max(times, 1):,.1f}")


def _show_method(report: Report) -> list[Block]:
    picks = report.contest.protocol.trials > 1
    chosen = "Validation rows pick each rule's own value." if picks else "Validation rows choose nothing."
    return [
        Heading("How it was done"),
        Cells(["", "this contest"], [[name, value] for name, value in tell_method(report).items()], kind="facts"),
        Text(
            "Every rule trains a linear classifier on the same fixed features, on the same rows in the same order. "
            f"{chosen} A network that learns its features by these losses may "
            "rank them otherwise.",
            "note",
        ),
        Text(
            f"{len(report.ranking.rows) - 1} rules are compared with softmax: of twenty such intervals one misses by "
            "chance, and the gain of the best of many looks larger than it is.",
            "note",
        ),
    ]
