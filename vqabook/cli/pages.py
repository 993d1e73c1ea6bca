"""Commands of the book's pages: train their records, execute their notebooks, write the ledger."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from vqabook.evidence import record
from vqabook.papers import PAGES, paper_of, producer

Profile = Annotated[str, typer.Option(help="smoke, small, real or paper: the sizes of data, models and schedules")]
Runs = Annotated[str | None, typer.Option(help="folder of the records; default: data/runs of the project")]
DataRoot = Annotated[str | None, typer.Option(help="folder of the data sets; default: $VQABOOK_DATA")]
Threads = Annotated[int, typer.Option(help="of this process: runs are small, cores are better used by processes")]
Set = Annotated[list[str] | None, typer.Option("--set", "-s", help="another parameter of the page, as name=value")]


def run(
    pages: Annotated[list[str], typer.Argument(help=f"pages: {', '.join(PAGES)}")],
    profile: Profile = "small",
    runs: Runs = None,
    data_root: DataRoot = None,
    set_: Set = None,
    threads: Threads = 1,
):
    """Train every record of PAGES that is missing. Start it several times: each process takes the next free record."""
    import torch

    from vqabook.page import load_or_make_runs

    torch.set_num_threads(threads)
    for page in pages:
        values = {"profile": profile, "runs": runs, "data_root": data_root, **_pairs(set_ or [])}
        load_or_make_runs(page, paper_of(page).setting_of(**values))


def make(
    out: Annotated[Path, typer.Option(help="folder of the records made")],
    recipes: Annotated[Path | None, typer.Option(help="JSON list of what to make; default: all of the profile")] = None,
    profile: Profile = "smoke",
    pages: Annotated[list[str] | None, typer.Option("--page", help="only these pages")] = None,
    data_root: DataRoot = None,
    threads: Threads = 1,
):
    """Make the runs that RECIPES lists, or all of some pages, in a folder of their own; evidence is not read."""
    import json

    import torch

    from vqabook.evidence import runs
    from vqabook.files import data_root as root_of

    torch.set_num_threads(threads)
    if recipes is None:
        papers = {page: paper_of(page) for page in pages or PAGES}
        settings = {page: paper.setting_of(profile=profile, data_root=data_root) for page, paper in papers.items()}
        asked = [recipe for page, paper in papers.items() for recipe in paper.asked(settings[page], page)]
    else:
        asked = json.loads(recipes.read_text("utf-8"))
    runs.make(asked, producer(root_of(data_root)), out)


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


def freeze(notebooks: list[Path]):
    """Execute NOTEBOOKS at smoke size and store the outputs that nbval compares: of cells tagged nbval-check-output."""
    import nbformat

    for path in notebooks:
        out = record.PACKAGE.parent / "data" / "runs" / "frozen" / path.name
        execute(path, out, profile="smoke")
        source, executed = (nbformat.read(p, as_version=4) for p in (path, out))
        ran = {cell.id: cell for cell in executed.cells}
        for cell in source.cells:
            if cell.cell_type == "code":
                checked = "nbval-check-output" in cell.metadata.get("tags", [])
                cell.outputs = ran[cell.id].outputs if checked else []
                cell.execution_count = ran[cell.id].execution_count if checked else None
        nbformat.write(source, path)


def ledger(
    out: Annotated[Path, typer.Option(help="folder for ledger.json and ledger.html")],
    runs: Runs = None,
    profile: Profile = "small",
    data_root: DataRoot = None,
):
    """Write every claim with its verdict: ledger.json for machines, ledger.html for the front page."""
    from vqabook.evidence.runs import existing
    from vqabook.report import ledger
    from vqabook.report import verdicts as report

    rows = []
    for module in dict.fromkeys(PAGES.values()):
        pages = [page for page in PAGES if PAGES[page] == module]
        paper = paper_of(pages[0])
        local = existing(pages, paper.setting(profile=profile, runs=runs, data_root=data_root))
        local = report.with_parts(local, module, paper.APART, profile=profile)
        further = [report.evidence(module, dataset=name) for name in paper.FURTHER]
        recorded = report.evidence(module, **paper.RECORDED | {"dataset": (paper.RECORDED["dataset"], *paper.BESIDE)})
        rows += ledger.rows(paper.CLAIMS, local, recorded, further)
    record.write_json(out / "ledger.json", rows)
    (out / "ledger.html").write_text(ledger.html(rows))


def recheck(
    against: Annotated[str, typer.Option(help="commit whose code makes the same runs on this machine")],
    recipes: Annotated[Path | None, typer.Option(help="JSON list of what to make; default: all of the profile")] = None,
    profile: Profile = "smoke",
    pages: Annotated[list[str] | None, typer.Option("--page", help="only these pages")] = None,
    out: Annotated[Path | None, typer.Option(help="folder that keeps the records of both; default: none")] = None,
    data_root: DataRoot = None,
):
    """Make runs by today's code and by an older commit's, compare every digit, and exit with 1 if one differs."""
    import tempfile

    from vqabook.evidence import recheck

    asked = ["--profile", profile, *(word for page in pages or () for word in ("--page", page))]
    asked += ["--recipes", str(recipes.resolve())] if recipes else []
    asked += ["--data-root", data_root] if data_root else []
    with tempfile.TemporaryDirectory() as folder:
        n, differences = recheck.compare_codes(against, asked, (out or Path(folder)).resolve())
    for line in differences:
        print(line)
    print(f"{n} runs made by both codes, {n - len(differences)} of them equal to the last digit.")
    if differences:
        raise typer.Exit(1)


def _pairs(texts: list[str]) -> dict[str, str]:
    """`name=value` texts as a dict."""
    for text in texts:
        if "=" not in text:
            raise ValueError(f"a parameter is given as name=value, got {text!r}")
    return dict(text.split("=", 1) for text in texts)
