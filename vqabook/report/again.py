"""The end of a page, *Run it again*: its command, its parameters, and where its numbers come from.

A page that was run with other parameters than the book's says so at its top.
"""

import shlex
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from vqabook.report.plain import fold


def run_again(records: Sequence[Mapping], setting: object, *, notebook: str, meanings: Mapping[str, str]) -> str:
    """The command that makes a page again, its parameters with their meanings, and who made its runs, as HTML.

    `notebook`: the page's, without its suffix; `meanings`: what each parameter of its cell is (`knobs.read_meanings`).
    """
    return (
        f'<section class="provenance"><h2>Run it again</h2><pre>{escape(_command(setting, notebook))}</pre>'
        f"{_parameters(setting, meanings)}{_provenance(records)}</section>"
    )


def notice(setting: object) -> str:
    """What a page says at its top when its runs are not those of the book's text."""
    asked = ", ".join(f"{name} = {getattr(setting, name)}" for name in ("profile", "dataset", "seeds"))
    return (
        f'<div class="own-runs"><p>Run with other parameters than the book\'s ({escape(asked)}): figures and tables '
        "show these runs, sentences tell the recorded ones.</p></div>"
    )


def _command(setting: Any, notebook: str) -> str:
    seeds = shlex.quote(str(list(setting.seeds)))
    options = f"-p profile {setting.profile} -p dataset {shlex.quote(setting.dataset)} -p seeds {seeds}"
    return f"papermill notebooks/{notebook}.ipynb out.ipynb {options}"


def _parameters(setting: object, meanings: Mapping[str, str]) -> str:
    """A row a parameter, folded away: name, value here, meaning."""
    places = ("data_root", "runs")  # where files lie is the builder's own
    rows = [
        f"<tr><th><code>{name}</code></th><td>{'–' if name in places else escape(_show(getattr(setting, name)))}</td>"
        f"<td>{escape(meaning)}</td></tr>"
        for name, meaning in meanings.items()
    ]
    if not rows:
        return ""
    head = "<thead><tr><th>name</th><th>value here</th><th>meaning</th></tr></thead>"
    table = f'<div class="table-scroll"><table>{head}<tbody>{"".join(rows)}</tbody></table></div>'
    return fold(f"{len(rows)} parameters: <code>-p name value</code> changes one", table)


def _show(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    return str(list(value)) if isinstance(value, tuple) else str(value)


def _provenance(records: Sequence[Mapping]) -> str:
    stamps = [r["provenance"] for r in records]
    commits, codes, machines = (sorted({s[key] for s in stamps}) for key in ("commit", "code", "hardware"))
    versions = sorted({", ".join(f"{k} {v}" for k, v in s["versions"].items()) for s in stamps})
    dirty = " (with local changes)" if any(s["dirty"] for s in stamps) else ""
    trained = sorted({r["recipe"]["seed"] for r in records if r["recipe"]["kind"] == "train"})
    days = sorted({s["started"][:10] for s in stamps})
    seconds = f"{sum(map(_seconds, records)):,.0f} s if each had trained alone"
    facts = {
        "Runs": f"{len(records):,}; {seconds}, {' to '.join(days[:1] + days[1:][-1:])}",
        "Seeds": ", ".join(map(str, trained)),
        "Code": f"commit {', '.join(commits)}{dirty}; hash of the code: {', '.join(codes)}",
        "Hardware": "; ".join(machines),
        "Versions": "; ".join(versions),
    }
    return f"<dl>{''.join(f'<div><dt>{name}</dt> <dd>{escape(text)}</dd></div>' for name, text in facts.items())}</dl>"


def _seconds(record: Mapping) -> float:
    """What a run took; a resumed one's stamp knows only its last part, its history all epochs."""
    epochs = sum(row.get("seconds", 0) for row in record["result"].get("history", []))
    return max(epochs, record["provenance"]["seconds"])
