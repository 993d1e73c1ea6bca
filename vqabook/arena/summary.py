"""A report for machines, and how its contest was done: in words and numbers, read from records."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from vqabook import __version__
from vqabook.arena.contest import LIBRARY
from vqabook.arena.heads import NO_PROBABILITIES
from vqabook.arena.ranking import Standing, count_divisions, count_rows
from vqabook.report.verdicts import Verdict

if TYPE_CHECKING:
    from vqabook.arena.report import Report


def tell_method(report: Report) -> dict[str, str]:
    """Rows, divisions, steps, machine and versions, in words."""
    examples, protocol = report.contest.examples, report.contest.protocol
    record = next(r for r in report.records if r["recipe"]["variant"] == LIBRARY)
    sizes, stamp, recipe = record["result"]["sizes"], record["provenance"], record["recipe"]
    pilot = report.pilot["result"]
    words = {True: "settled", False: "not settled: give more --steps", None: "as asked"}
    settled, (train, _, test) = words[pilot["settled"]], recipe["shares"]
    seconds = sum(r["provenance"]["seconds"] for r in report.records)
    tried, decays = ("; ".join(f"{x}: {cost:.4f}" for x, cost in pilot[part].items()) for part in ("costs", "valid"))
    return {
        "data": f"{examples.name}, {len(examples.labels):,} rows, {record['result']['width']:,} columns, "
        f"{len(examples.classes):,} classes, digest {examples.digest}",
        "divisions": f"seeds {', '.join(map(str, protocol.seeds))}; by class, {sizes['train']:,} rows of training, "
        f"{sizes['valid']:,} of validation, {sizes['test']:,} of test",
        "features": "standardised by mean and deviation of training rows",
        "training": f"{recipe['steps']} steps of Adam in batches of {protocol.batch_size} or a quarter of the rows, "
        "cosine schedule",
        "trials": f"{protocol.trials} of each rule's own value"
        if protocol.trials > 1
        else "none: values are the papers'",
        "steps": f"{settled}{f' (softmax training cost by steps: {tried})' if tried else ''}",
        "decay": f"{recipe['decay']:g}, {f'picked by softmax validation cost ({decays})' if decays else 'as asked'}",
        "prior at test": protocol.prior if isinstance(protocol.prior, str) else str(dict(protocol.prior)),
        "intervals": f"95 %, Student's t, paired by division; variance s² (1/n + {test / train:.2f})",
        "machine": f"{stamp['hardware']}; {seconds:,.0f} s in all",
        "made by": f"vqabook {__version__}, torch {stamp['versions']['torch']}, code {stamp['code']}",
    }


def summarise(report: Report, answer: str, metrics: Sequence[str]) -> dict:
    """The report for machines: its answer, and of every row all metrics of each division."""
    examples = report.contest.examples
    groups = {i: name for name, mask in report.groups().items() for i, yes in enumerate(mask) if yes}
    return {
        "answer": answer,
        "recommended": report.ranking.chosen.name if report.ranking.chosen else None,
        "data": {
            "name": examples.name,
            "digest": examples.digest,
            "classes": [
                {"name": name, "rows": int(n), "group": groups[i]}
                for i, (name, n) in enumerate(zip(examples.classes, examples.counts, strict=True))
            ],
            "left_out": dict(examples.left_out),
            "constant": list(examples.constant),
            "notes": list(examples.notes),
        },
        "protocol": asdict(report.contest.protocol) | {"told": tell_method(report)},
        "rows": [_summarise_row(report, row, metrics) for row in report.ranking.rows],
    }


def _summarise_row(report: Report, row: Standing, metrics: Sequence[str]) -> dict:
    numbers = {metric: {str(k): v for k, v in report.numbers(row.name, metric).items()} for metric in metrics}
    return {
        "row": row.name,
        "name": report.title(row.name),
        "own": row.name in report.own,
        "probabilities": not row.name.startswith(NO_PROBABILITIES),
        "mean": row.mean,
        "gain_over_softmax": _tell_verdict(row.gain),
        "lead_of_first": _tell_verdict(row.behind)
        | {"divisions": count_divisions(row.behind), "rows": count_rows(row.behind)},
        "numbers": {metric: by for metric, by in numbers.items() if by},
    }


def _tell_verdict(verdict: Verdict) -> dict:
    return {"kind": verdict.kind, "mean": verdict.mean, "low": verdict.low, "high": verdict.high, "n": verdict.n}
