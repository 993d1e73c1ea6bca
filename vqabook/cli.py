"""`vqabook`: train a page's records, execute its notebook, write the ledger. A command's --help says what it takes."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path
from typing import Annotated

import typer

from vqabook import record
from vqabook.papers import PAGES, paper_of

app = typer.Typer(help=__doc__, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)

Profile = Annotated[str, typer.Option(help="smoke, small, real or paper: the sizes of data, models and schedules")]
Runs = Annotated[str | None, typer.Option(help="folder of the records; default: data/runs of the project")]
DataRoot = Annotated[str | None, typer.Option(help="folder of the data sets; default: $VQABOOK_DATA")]
Set = Annotated[list[str] | None, typer.Option("--set", "-s", help="another parameter of the page, as name=value")]


@app.command()
def run(
    pages: Annotated[list[str], typer.Argument(help=f"pages: {', '.join(PAGES)}")],
    profile: Profile = "small",
    runs: Runs = None,
    data_root: DataRoot = None,
    set_: Set = None,
    fingerprint: Annotated[
        bool, typer.Option(help="only print a hash of the code and presets behind these pages")
    ] = False,
):
    """Train every record of PAGES that is missing. Start it several times: each process takes the next free record."""
    if fingerprint:
        files = [record.PACKAGE / "papers" / f"{PAGES[page]}.py" for page in pages]
        parts = [record.fingerprint(path.stem).encode() + path.read_bytes() for path in files]
        print(hashlib.sha256(b"".join(parts)).hexdigest()[:12])
        return
    from vqabook.runs import records

    for page in pages:
        values = {"profile": profile, "runs": runs, "data_root": data_root, **_pairs(set_ or [])}
        records(page, paper_of(page).setting(**values))


@app.command()
def execute(
    notebook: Path,
    out: Path,
    profile: Profile = "small",
    runs: Runs = None,
    data_root: DataRoot = None,
    set_: Set = None,
):
    """Execute NOTEBOOK with papermill into OUT; a notebook that fails is kept in OUT's folder under failed/."""
    import papermill
    from papermill.exceptions import PapermillExecutionError

    known = papermill.inspect_notebook(str(notebook))
    values = {"profile": profile, "runs": runs, "data_root": data_root, **_pairs(set_ or [])}
    given = {name: value for name, value in values.items() if value is not None}
    if unknown := given.keys() - known.keys():
        raise ValueError(
            f"parameters of {notebook} are {', '.join(known)}; got {', '.join(unknown)}: check the spelling"
        )
    failed = out.parent / "failed" / out.name
    failed.parent.mkdir(parents=True, exist_ok=True)
    try:
        papermill.execute_notebook(
            str(notebook), str(failed), given, kernel_name="python3", progress_bar=sys.stderr.isatty()
        )
    except PapermillExecutionError as error:
        first = error.source.strip().splitlines()[0]
        raise RuntimeError(
            f"{notebook} failed in cell {error.cell_index} ({first}): {error.ename}: {error.evalue}; "
            f"the notebook with the error is {failed}"
        ) from None
    failed.replace(out)


@app.command()
def ledger(
    out: Annotated[Path, typer.Option(help="folder for ledger.json and ledger.html")],
    runs: Runs = None,
    evidence: Annotated[Path | None, typer.Option(help="folder of the recorded evidence")] = None,
    profile: Profile = "small",
):
    """Write every claim with its verdict: ledger.json for machines, ledger.html for the front page."""
    from vqabook import report
    from vqabook.runs import runs_folder

    evidence = evidence or record.PACKAGE.parent / "book" / "evidence"
    rows = [
        row
        for module in dict.fromkeys(PAGES.values())
        for row in report.ledger(
            paper_of(next(p for p in PAGES if PAGES[p] == module)).CLAIMS,
            local=[r for r in record.read_records(runs_folder(runs) / module) if r["recipe"]["profile"] == profile],
            recorded=record.read_records(evidence / module),
            code=record.fingerprint(module),
        )
    ]
    record.write_json(out / "ledger.json", rows)
    (out / "ledger.html").write_text(report.ledger_html(rows))


def _pairs(texts: list[str]) -> dict[str, str]:
    """`name=value` texts as a dict."""
    for text in texts:
        if "=" not in text:
            raise ValueError(f"a parameter is given as name=value, got {text!r}")
    return dict(text.split("=", 1) for text in texts)


def main() -> None:
    """Entry point: an error of the user's or the data's is one sentence, not a traceback."""
    try:
        app(standalone_mode=True)
    except (ValueError, OSError, RuntimeError, ArithmeticError) as error:
        print(f"vqabook: {error}", file=sys.stderr)
        sys.exit(1)
