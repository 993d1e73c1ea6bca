"""Recorded runs beside the same runs made again: digits on one machine kind, the spread of seeds across kinds."""

from collections.abc import Mapping, Sequence
from html import escape

import numpy as np
from scipy import stats

from vqabook.evidence.recheck import difference
from vqabook.evidence.record import EVIDENCE, key_of, kind_of, read_records
from vqabook.report.changes import SAME
from vqabook.report.claims import Claim
from vqabook.report.live import predict_interval
from vqabook.report.plain import fold, sign
from vqabook.report.verdicts import KINDS, evidence, matching, number, verdict_on

METRIC = "test.overall"
OUTSIDE = 0.05  # of runs that fall outside a 95 % prediction interval by chance
TOO_RARE = 0.01  # a chance below it is taken for a change of code

Pairs = Sequence[tuple[Mapping, Mapping]]  # (recorded, made again)


def compare(pairs: Pairs, claims: Mapping[str, Sequence[Claim]]) -> dict:
    """The outcome of a recheck, as JSON: a row a run, how verdicts on a paper's `claims` change, whether it is passed.

    On the machine kind that recorded a run, every digit is the same. On another, its score is that of one more seed: it
    lies outside the other seeds' 95 % prediction interval one time in 20, and a recheck fails where so many do that
    chance explains it with less than 1 %.
    """
    if not pairs:
        raise ValueError("a recheck compares runs that were made again, got none; give the folder that holds them")
    records = {paper: read_records(EVIDENCE / paper) for paper in {old["recipe"]["paper"] for old, _ in pairs}}
    rows = [_compare_run(old, new, records[old["recipe"]["paper"]]) for old, new in pairs]
    expected = [row for row in rows if row.get("expected") and not row["same_machine"]]
    outside = sum(not row["expected"][0] <= row["again"] <= row["expected"][1] for row in expected)
    chance = float(stats.binom.sf(outside - 1, len(expected), OUTSIDE)) if expected else 1.0
    changed = [row["key"] for row in rows if row["same_machine"] and row["differs"]]
    newest = max((again["provenance"] for _, again in pairs), key=lambda stamp: stamp["started"])
    return {
        "made": {key: newest[key] for key in ("commit", "dirty", "started", "machine", "versions")},
        "recorded_on": sorted({kind_of(recorded) for recorded, _ in pairs}),
        "passed": chance >= TOO_RARE and not changed,
        "outside": outside,
        "chance": chance,
        "verdicts": compare_verdicts(pairs, claims),
        "runs": rows,
    }


def _compare_run(recorded: Mapping, again: Mapping, records: Sequence[Mapping]) -> dict:
    """The outcome's row of a run; `records`: all of its paper."""
    row = {"key": key_of(recorded["recipe"]), "same_machine": kind_of(recorded) == kind_of(again)}
    row["differs"] = difference(recorded["result"], again["result"])
    old, new = number(recorded, METRIC), number(again, METRIC)
    if old is not None and new is not None:
        others = _list_other_seeds(recorded, records)
        spread = float(np.std(others, ddof=1)) if len(others) > 1 else None
        row |= {"recorded": old, "again": new, "spread": spread, "expected": predict_interval(others)}
    return row


def _list_other_seeds(record: Mapping, records: Sequence[Mapping]) -> list[float]:
    """The scores of the other recorded seeds of the same run."""

    def what(r: Mapping) -> tuple:
        recipe = r["recipe"]
        return recipe["profile"], recipe["variant"], recipe["prior"], recipe["data"]["dataset"], recipe.get("part")

    same = [r for r in records if what(r) == what(record) and r["recipe"]["seed"] != record["recipe"]["seed"]]
    return [score for r in same if (score := number(r, METRIC)) is not None]


def compare_verdicts(pairs: Pairs, claims: Mapping[str, Sequence[Claim]]) -> dict:
    """How many verdicts read runs that were made again, and which are others with these in place of the recorded ones.

    Both sides of a seed are replaced, or neither.
    """
    again = {key_of(recorded["recipe"]): new for recorded, new in pairs}
    compared, changed = 0, []
    recorded = {paper: evidence(paper, profile="small") for paper in {r["recipe"]["paper"] for r, _ in pairs}}
    for claim, records in ((claim, records) for paper, records in recorded.items() for claim in claims[paper]):
        used = {key_of(r["recipe"]): r for side in claim.sides() for r in matching(records, side.where)}
        kept = {r["recipe"]["seed"] for key, r in used.items() if key not in again}
        replaced = {key: again[key] for key, r in used.items() if r["recipe"]["seed"] not in kept}
        if replaced:
            old, new = (verdict_on(claim, list(runs.values())).kind for runs in (used, used | replaced))
            compared += 1
            if old != new:
                changed.append({"claim": claim.name, "recorded": old, "again": new})
    return {"compared": compared, "changed": changed}


def tell(outcome: Mapping) -> list[str]:
    """The outcome in sentences."""
    here, elsewhere = ([row for row in outcome["runs"] if row["same_machine"] is same] for same in (True, False))
    equal, equal_elsewhere = (sum(row["differs"] is None for row in rows) for rows in (here, elsewhere))
    sentences = []
    if here:
        sentences.append(f"Made again on the machine kind that recorded them: {equal} of {len(here)} equal.")
    if elsewhere:
        sentences.append(f"Made again on another machine kind: {equal_elsewhere} of {len(elsewhere)} equal.")
    scored = [row for row in elsewhere if row.get("spread") is not None]
    if len(scored) > 1:
        moved = np.array([row["again"] - row["recorded"] for row in scored])
        seeds = np.sqrt(np.mean(np.square([row["spread"] for row in scored])))
        sentences.append(
            f"The differences of {len(scored)} test scores have mean {sign(moved.mean())} and standard deviation "
            f"{moved.std(ddof=1):.2f} points; that of seeds is {seeds:.2f}."
        )
    if expected := sum(row.get("expected") is not None for row in elsewhere):
        sentences.append(
            f"{outcome['outside']} of {expected} scores lie outside the other seeds' 95 % prediction interval, where "
            f"chance puts {OUTSIDE * expected:.1f}."
        )
    if verdicts := outcome["verdicts"]["compared"]:
        sentences.append(f"Verdicts that change: {len(outcome['verdicts']['changed'])} of {verdicts}.")
    return sentences


def render_html(outcome: Mapping | None) -> str:
    """The outcome for the protocol page."""
    if outcome is None:
        return "<p>No recheck has been recorded.</p>\n"
    made = outcome["made"]
    where = f"Recorded on {', '.join(outcome['recorded_on'])}; made again on {made['machine']}, "
    where += f"{made['started'][:10]}, commit {made['commit']}."
    changed = "".join(
        f"<li>{escape(row['claim'])}: {row['recorded']} → {row['again']}</li>" for row in outcome["verdicts"]["changed"]
    )
    kinds = {kind for row in outcome["verdicts"]["changed"] for kind in (row["recorded"], row["again"])}
    old = "".join(f"<p>{kind}: then a word for {' or '.join(SAME[kind])}.</p>" for kind in sorted(kinds - KINDS.keys()))
    listed = fold("The verdicts that change", f"{old}<ul>{changed}</ul>") if changed else ""
    return f"<p>{' '.join(map(escape, tell(outcome)))}</p>\n{listed}\n<p><small>{escape(where)}</small></p>\n"
