"""Claims and records -> the front page's ledger, a page's verdicts, and the strip that says where numbers come from."""

import re
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from html import escape

import pandas as pd

from vqabook.report.verdicts import Verdict, matching, verdict_on

KINDS = ("holds", "fails", "unclear", "not run")


def badge(kind: str, text: str | None = None) -> str:
    """A verdict's name, or another text, as a label in the verdict's colour."""
    return f'<span class="verdict-{_name(kind)}">{text or kind}</span>'


def _name(kind: str) -> str:
    return kind.replace(" ", "-")


def rows(
    claims: Sequence, local: Sequence[Mapping], recorded: Sequence[Mapping], further: Sequence[Sequence[Mapping]] = ()
) -> list[dict]:
    """One row a claim, for ledger.json. `verdict` is the real data's; the embedded world's never stands for it.

    `further` are records of other real data sets, one sequence each: they get verdicts of their own under "further".
    """
    found = []
    for claim in claims:
        embedded, real = verdict_on(claim, local), verdict_on(claim, recorded)
        printed = {"value": claim.printed, "std": None, "n": 1, "data": claim.data, "commit": None}
        found.append({
            "paper": claim.paper, "name": claim.name, "claim": claim.statement, "where": claim.where,
            "page": claim.page, "unit": claim.unit, "printed": None if claim.printed is None else printed,
            "embedded": _measured(claim, embedded, local), "real": _measured(claim, real, recorded),
            "verdict": real.kind, "verdict_embedded": embedded.kind, "further": _further(claim, further),
        })  # fmt: skip
    return found


def _further(claim, further: Sequence[Sequence[Mapping]]) -> list[dict]:
    judged = [(verdict_on(claim, records), records) for records in further]
    return [_measured(claim, v, records) | {"verdict": v.kind} for v, records in judged if v.mean is not None]


def _measured(claim, verdict: Verdict, records: Sequence[Mapping]) -> dict | None:
    if verdict.mean is None:
        return None
    used = [record for side in claim.sides() for record in matching(records, side.where)]
    numbers = {"value": verdict.mean, "std": verdict.std, "low": verdict.low, "high": verdict.high}
    return {name: None if x is None else round(x, 4) for name, x in numbers.items()} | {
        "n": verdict.n,
        "data": used[0]["recipe"]["data"]["dataset"],
        "commit": ", ".join(sorted({r["provenance"]["commit"] for r in used})),
    }


def html(ledger: Sequence[Mapping]) -> str:
    """The ledger as the front page shows it: a row a claim, under a row for each table or section of the paper.

    The heading rows count the verdicts; the page's script folds the claims away under them.
    """
    papers: dict[str, dict[str, list[Mapping]]] = {}
    for row in ledger:
        papers.setdefault(row["paper"], {}).setdefault(place_of(row), []).append(row)
    body = []
    for paper, places in papers.items():
        name = escape(paper)
        body.append(f'<tr class="paper" data-paper="{name}"><th colspan="4">{name}</th></tr>')
        for place, claims in places.items():
            data = f'data-paper="{name}" data-place="{escape(place)}"'
            sides = "".join(f"<td>{_counts(claims, side)}</td>" for side in ("verdict_embedded", "verdict"))
            n = f"{len(claims)} claim{'s' if claims[1:] else ''}"
            body.append(f'<tr class="place" {data}><th>{escape(place)}</th><td>{n}</td>{sides}</tr>')
            body += [f'<tr {data} data-verdict="{_name(row["verdict"])}">{_columns(row)}</tr>' for row in claims]
    head = "<tr><th>claim</th><th>printed</th><th>embedded world</th><th>real data</th></tr>"
    table = f'<table class="ledger"><thead>{head}</thead><tbody>{"".join(body)}</tbody></table>'
    return f"{table}\n<p><small>{by_chance(ledger)}</small></p>\n"


def place_of(row: Mapping) -> str:
    """The table, figure or section that a claim belongs to: the first thing its `where` names."""
    return re.split("[,;:]", row["where"])[0]


def _columns(row: Mapping) -> str:
    where = f'<a href="pages/{row["page"]}.html">{escape(row["claim"])}</a><br><small>{escape(row["where"])}</small>'
    p = row["printed"]
    printed = f"{p['value']:+.2f}<br><small>{escape(p['data'])}</small>" if p else "–"
    others = [
        f"<br>{_numbers(x['verdict'], x, row['unit'])}, <small>{escape(x['data'])}</small>" for x in row["further"]
    ]
    real = _cell(row, "real", "verdict") + "".join(others)
    return "".join(f"<td>{cell}</td>" for cell in (where, printed, _cell(row, "embedded", "verdict_embedded"), real))


def _counts(claims: Sequence[Mapping], side: str) -> str:
    """How many verdicts of each kind, as labels."""
    counted = Counter(row[side] for row in claims)
    return " ".join(badge(kind, f"{counted[kind]} {kind}") for kind in KINDS if counted[kind])


def summary(claims: Sequence, local: Sequence[Mapping], recorded: Sequence[Mapping], *, dataset: str) -> pd.DataFrame:
    """How many claims of each table or section hold, on this page's runs (`dataset`) and on the recorded real ones."""
    places: dict[str, list[dict]] = {}
    for row in rows(claims, local, recorded):
        places.setdefault(place_of(row), []).append(row)
    sides = {f"here: {dataset}": "verdict_embedded", "recorded, real": "verdict"}
    cells = {
        escape(place): {"claims": len(some), **{title: _counts(some, side) for title, side in sides.items()}}
        for place, some in places.items()
    }
    return pd.DataFrame.from_dict(cells, orient="index", columns=["claims", *sides])


def _cell(row: Mapping, side: str, verdict: str) -> str:
    return _numbers(row[verdict], row[side], row["unit"])


def _numbers(kind: str, measured: Mapping | None, unit: str) -> str:
    if not measured:
        return badge(kind)
    low, high = measured["low"], measured["high"]
    interval = f" [{low:+.2f}, {high:+.2f}]" if low is not None else ""
    return f"{badge(kind)}<br><small>{measured['value']:+.2f}{interval} {unit}, n = {measured['n']}</small>"


def by_chance(ledger: Sequence[Mapping]) -> str:
    """How many of these verdicts would come out "holds" if no claim were true of anything."""
    told = []
    for where, side in (("On real data", "verdict"), ("in the embedded world", "verdict_embedded")):
        kinds = Counter(row[side] for row in ledger)
        tested = len(ledger) - kinds["not run"]
        told.append(
            f"{where} {kinds['holds']} of {tested} tested claims hold and {kinds['fails']} fail "
            f"(by chance about {0.025 * tested:.1f} of each)"
        )
    return f"{'; '.join(told)}. By chance: if every difference were zero, a claim holds or fails with 2.5 % each."


def verdicts(claims: Sequence, local: Sequence[Mapping], recorded: Sequence[Mapping], *, dataset: str) -> pd.DataFrame:
    """A page's claims with their verdicts on this page's runs (`dataset`) and on the recorded real ones."""
    found = []
    for row in rows(claims, local, recorded):
        printed = f"{row['printed']['value']:+.2f}" if row["printed"] else "–"
        sides = {
            f"here: {dataset}": _cell(row, "embedded", "verdict_embedded"),
            "recorded, real": _cell(row, "real", "verdict"),
        }
        claim = f"{escape(row['claim'])}<br><small>{escape(row['where'])}</small>"
        found.append({"claim": claim, "printed": printed, **sides})
    return pd.DataFrame(found)


def provenance(records: Sequence[Mapping], setting: object, *, notebook: str) -> str:
    """The strip at the end of a page: commit, seeds, hardware, seconds, versions, and the command that re-runs it."""
    stamps = [r["provenance"] for r in records]
    every = {key: sorted({str(s[key]) for s in stamps}) for key in ("commit", "code", "hardware")}
    versions = sorted({", ".join(f"{k} {v}" for k, v in s["versions"].items()) for s in stamps})
    dirty = " (with local changes)" if any(s["dirty"] for s in stamps) else ""
    trained = sorted({r["recipe"]["seed"] for r in records if r["recipe"]["kind"] == "train"})
    days = sorted({s["started"][:10] for s in stamps})
    asked = {k: v for k, v in vars(setting).items() if k not in ("data_root", "runs", "device")}
    seconds = f"{sum(map(_seconds, records)):.0f} s if each had trained alone"
    facts = {
        "Runs": f"{len(records)}, {seconds}, {' to '.join(days[:1] + days[1:][-1:])}",
        "Seeds": ", ".join(map(str, trained)),
        "Code": f"commit {', '.join(every['commit'])}{dirty}; hash of the code: {', '.join(every['code'])}",
        "Hardware": "; ".join(every["hardware"]),
        "Versions": "; ".join(versions),
        "Parameters": ", ".join(f"{k} = {list(v) if isinstance(v, tuple) else v}" for k, v in asked.items()),
    }
    listed = "".join(f"<div><dt>{name}</dt> <dd>{escape(text)}</dd></div>" for name, text in facts.items())
    seeds = shlex.quote(str(list(setting.seeds)))
    options = f"-p profile {setting.profile} -p dataset {setting.dataset} -p seeds {seeds}"
    command = f"papermill notebooks/{notebook}.ipynb out.ipynb {options}"
    return (
        f'<div class="provenance"><dl>{listed}</dl><p>This page again; -p changes any parameter:</p>'
        f"<pre>{escape(command)}</pre></div>"
    )


def _seconds(record: Mapping) -> float:
    """What a run took; a resumed one's stamp knows only its last part, its history all epochs."""
    epochs = sum(row.get("seconds", 0) for row in record["result"].get("history", []))
    return max(epochs, record["provenance"]["seconds"])
