"""Records and claims -> verdicts, tables, the ledger. Reads JSON alone: no torch, no GPU, no data set.

The one rule for verdicts: a claim is a comparison, `more` > `less`, made seed by seed. It *holds* when the 95 %
interval of the paired difference lies above zero, *fails* when it lies below, else it is *unclear*; with fewer than
three seeds it is *not run*.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

MIN_SEEDS = 3
BADGE = {"holds": "holds", "fails": "fails", "unclear": "unclear", "not run": "not-run"}


@dataclass(frozen=True)
class Verdict:
    """A comparison's outcome: `mean` paired difference with its 95 % interval over `n` seeds."""

    kind: str
    mean: float | None = None
    std: float | None = None
    low: float | None = None
    high: float | None = None
    n: int = 0


def judge(differences: Sequence[float]) -> Verdict:
    """The verdict on paired differences, one a seed (Student's t)."""
    n = len(differences)
    if n == 0:
        return Verdict("not run")
    mean, std = float(np.mean(differences)), float(np.std(differences, ddof=1)) if n > 1 else None
    if n < MIN_SEEDS:
        return Verdict("not run", mean, std, n=n)
    half = float(stats.t.ppf(0.975, n - 1) * std / np.sqrt(n))
    kind = "holds" if mean - half > 0 else "fails" if mean + half < 0 else "unclear"
    return Verdict(kind, mean, std, mean - half, mean + half, n)


def number(record: Mapping, metric: str) -> float | None:
    """The number at a dotted path of a record's result (`history.-1.valid`: the last epoch's); None if absent."""
    at: Any = record["result"]
    for step in metric.split("."):
        if isinstance(at, list):
            at = at[int(step)] if -len(at) <= int(step) < len(at) else None
        else:
            at = at.get(step) if isinstance(at, Mapping) else None
    return None if at is None else float(at)


def matching(records: Iterable[Mapping], where: Mapping[str, object]) -> list[Mapping]:
    """The records whose recipe has these values."""
    return [r for r in records if all(r["recipe"].get(k) == v for k, v in where.items())]


def by_seed(records: Iterable[Mapping], where: Mapping[str, object], metric: str) -> dict[int, float]:
    """The metric per seed. Two different runs of one seed are an error: a column never mixes data sets or settings."""
    found: dict[int, float] = {}
    for record in matching(records, where):
        value, seed = number(record, metric), record["recipe"]["seed"]
        if value is None:
            continue
        if seed in found:
            raise ValueError(
                f"one column shows one setting: two records of {dict(where)} with seed {seed} differ in other "
                "parameters; select more narrowly"
            )
        found[seed] = value
    return found


def test_claim(claim, records: Sequence[Mapping]) -> Verdict:
    """The verdict on a claim from the records of one data set and profile."""
    more, less = (by_seed(records, side.where, side.metric) for side in (claim.more, claim.less))
    return judge([more[seed] - less[seed] for seed in sorted(more.keys() & less.keys())])


def current(records: Iterable[Mapping]) -> list[Mapping]:
    """One setting's records: of several codes or parameters for the same run, the newest."""
    newest: dict[tuple, Mapping] = {}
    for record in sorted(records, key=lambda r: r["provenance"]["started"]):
        r = record["recipe"]
        newest[r["variant"], r["prior"], r["seed"]] = record
    return list(newest.values())


def mean_std(values: Iterable[float]) -> str:
    """`mean ± std`, or a dash."""
    values = list(values)
    if not values:
        return "–"
    return f"{np.mean(values):.2f}" + (f" ± {np.std(values, ddof=1):.2f}" if len(values) > 1 else "")


def table(
    rows: Mapping[str, Mapping],
    columns: Mapping[str, tuple[Sequence[Mapping], Mapping, str]],
    printed: Mapping[str, Mapping[str, float]] | None = None,
) -> pd.DataFrame:
    """A table of the paper beside ours, cells mean ± std, headings with their n.

    `rows`: label -> recipe values; `columns`: heading -> (records, recipe values, metric); `printed` columns come
    first, heading -> {row label: the paper's number}.
    """
    cells: dict[str, dict[str, str]] = {}
    for heading, values in (printed or {}).items():
        cells[heading] = {label: f"{values[label]:.2f}" if label in values else "–" for label in rows}
    for heading, (records, where, metric) in columns.items():
        found = {label: by_seed(records, {**where, **row}, metric) for label, row in rows.items()}
        sizes = sorted({len(values) for values in found.values() if values})
        title = f"{heading} (n = {' to '.join(map(str, sizes[:1] + sizes[1:][-1:]))})" if sizes else heading
        cells[title] = {label: mean_std(values.values()) for label, values in found.items()}
    return pd.DataFrame(cells, index=list(rows))


def verdicts(claims: Sequence, local: Sequence[Mapping], recorded: Sequence[Mapping]) -> pd.DataFrame:
    """A page's claims with their differences and verdicts, embedded and real apart."""
    rows = []
    for claim in claims:
        printed = f"{claim.printed:+.2f}" if claim.printed is not None else "–"
        both = {name: test_claim(claim, records) for name, records in (("embedded", local), ("real", recorded))}
        badges = {name: badge(verdict) for name, verdict in both.items()}
        rows.append({"claim": claim.statement, "where": claim.where, "printed": printed, **badges})
    return pd.DataFrame(rows)


def badge(v: Verdict) -> str:
    """A verdict as HTML: its name, and the difference with its interval."""
    label = f'<span class="verdict-{BADGE[v.kind]}">{v.kind}</span>'
    if v.mean is None:
        return label
    interval = f" [{v.low:+.2f}, {v.high:+.2f}]" if v.low is not None else ""
    return f"{label}<br>{v.mean:+.2f}{interval}, n = {v.n}"


def ledger(claims: Sequence, local: Sequence[Mapping], recorded: Sequence[Mapping], code: str) -> list[dict]:
    """One row a claim, for ledger.json. `verdict` is the real data's; the embedded world's never stands for it."""
    local, recorded = current(local), current(recorded)
    rows = []
    for claim in claims:
        embedded, real = test_claim(claim, local), test_claim(claim, recorded)
        rows.append({
            "paper": claim.paper, "name": claim.name, "claim": claim.statement,
            "where": claim.where, "page": claim.page, "unit": claim.unit,
            "printed": None if claim.printed is None
            else {"value": claim.printed, "std": None, "n": 1, "data": claim.data, "commit": None},
            "embedded": _measured(claim, embedded, local, code), "real": _measured(claim, real, recorded, code),
            "verdict": real.kind, "verdict_embedded": embedded.kind,
        })  # fmt: skip
    return rows


def _measured(claim, verdict: Verdict, records: Sequence[Mapping], code: str) -> dict | None:
    used = matching(records, claim.more.where) + matching(records, claim.less.where)
    if verdict.mean is None or not used:
        return None
    shown = {
        k: None if v is None else round(v, 3)
        for k, v in (("value", verdict.mean), ("std", verdict.std), ("low", verdict.low), ("high", verdict.high))
    }
    commits, codes = ({r["provenance"][k] for r in used} for k in ("commit", "code"))
    return {
        **shown,
        "n": verdict.n,
        "data": used[0]["recipe"]["data"]["dataset"],
        "commit": ", ".join(sorted(commits)),
        "stale": codes != {code},
    }


def ledger_html(rows: Sequence[Mapping]) -> str:
    """The ledger as the front page shows it."""
    body, paper = [], None
    for row in rows:
        if row["paper"] != paper:
            paper = row["paper"]
            name = escape(PAPERS[paper])
            body.append(f'<tr class="paper" data-paper="{name}"><th colspan="5">{name}</th></tr>')
        p = row["printed"]
        printed = f"{p['value']:+.2f}<br><small>{escape(p['data'])}</small>" if p else "–"
        cells = [_cell(row["embedded"], row["verdict_embedded"]), _cell(row["real"], row["verdict"])]
        link = f'<a href="pages/{row["page"]}.html">{escape(row["claim"])}</a><br><small>{escape(row["where"])}</small>'
        columns = "".join(f"<td>{c}</td>" for c in (link, printed, *cells))
        body.append(f'<tr data-paper="{name}" data-verdict="{BADGE[row["verdict"]]}">{columns}</tr>')
    head = "<tr><th>claim</th><th>printed</th><th>embedded world</th><th>real data</th></tr>"
    table = f'<table class="ledger"><thead>{head}</thead><tbody>{"".join(body)}</tbody></table>'
    return f"{table}\n<p><small>{by_chance(rows)}</small></p>\n"


PAPERS = {"loss_rescaling": "Loss re-scaling (Guo et al. 2021)"}


def _cell(measured: Mapping | None, kind: str) -> str:
    label = f'<span class="verdict-{BADGE[kind]}">{kind}</span>'
    if not measured:
        return label
    interval = f" [{measured['low']:+.2f}, {measured['high']:+.2f}]" if measured["low"] is not None else ""
    stale = " <em>other code</em>" if measured["stale"] else ""
    return f"{label}{stale}<br><small>{measured['value']:+.2f}{interval}, n = {measured['n']}</small>"


def by_chance(rows: Sequence[Mapping]) -> str:
    """How many of these verdicts would come out "holds" if no claim were true of anything."""
    tested = sum(row["verdict"] != "not run" for row in rows)
    holding = sum(row["verdict"] == "holds" for row in rows)
    return (
        f"On real data {holding} of {tested} tested claims hold. If every difference were zero, each would still hold "
        f"with a chance of 2.5 %: about {0.025 * tested:.1f} of {tested}."
    )


def provenance(
    records: Sequence[Mapping], setting: object, *, code: str, notebook: str, parameters: Mapping[str, object]
) -> str:
    """The strip at the end of a page: commit, seeds, hardware, seconds, versions, and the command that re-runs it."""
    stamps = [r["provenance"] for r in records]
    dirty = " with local changes" if any(s["dirty"] for s in stamps) else ""
    seeds = sorted({r["recipe"]["seed"] for r in records if r["recipe"]["kind"] == "train"})
    stale = sum(s["code"] != code for s in stamps)
    versions = ", ".join(f"{k} {v}" for k, v in stamps[-1]["versions"].items())
    facts = {
        "Runs": f"{len(records)} records, {sum(s['seconds'] for s in stamps):.0f} s of computing in all, "
        f"the last on {max(s['started'] for s in stamps)[:10]}",
        "Code": f"commit {', '.join(sorted({s['commit'] for s in stamps}))}{dirty}, "
        f"code {', '.join(sorted({s['code'] for s in stamps}))}"
        + (f"; {stale} records are of other code than this page's ({code})" if stale else ""),
        "Seeds": ", ".join(map(str, seeds)),
        "Hardware": "; ".join(sorted({s["hardware"] for s in stamps})),
        "Versions": versions,
    }
    options = (f"-p {k} {_shell(v)}" for k, v in parameters.items() if v is not None)
    command = " ".join(["papermill", f"notebooks/{notebook}.ipynb", "out.ipynb", *options])
    listed = "".join(f"<div><dt>{k}</dt> <dd>{escape(v)}</dd></div>" for k, v in facts.items())
    knobs = escape(", ".join(f"{k} = {v}" for k, v in vars(setting).items() if k not in ("data_root", "runs")))
    again = f"<p>Run this page again, with other parameters:</p><pre>{escape(command)}</pre>"
    return f'<div class="provenance"><dl>{listed}<div><dt>Parameters</dt> <dd>{knobs}</dd></div></dl>{again}</div>'


def _shell(value: object) -> str:
    return shlex.quote(str(list(value)) if isinstance(value, tuple) else str(value))
