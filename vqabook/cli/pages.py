"""Commands of the book's pages: train their records, execute their notebooks, write the ledger."""

import json
import os
import signal
import sys
import tempfile
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from vqabook import files, stop
from vqabook.cli.team import Team
from vqabook.evidence import record
from vqabook.papers import OURS, PAGES, PAPERS, paper_of
from vqabook.progress import start_log

PROFILES = ("smoke", "small", "real", "paper")
Profile = Annotated[
    str,
    typer.Option(
        help="smoke, small, real or paper: the sizes of data, models and schedules", autocompletion=lambda: PROFILES
    ),
]
Runs = Annotated[
    str | None, typer.Option(help="folder of the records; default: $VQABOOK_RUNS, else runs/ where data lies")
]
DataRoot = Annotated[str | None, typer.Option(help="folder of the data sets; default: $VQABOOK_DATA")]
Threads = Annotated[int, typer.Option(help="of a run: runs are small, cores are better used by processes")]
Verbose = Annotated[
    bool, typer.Option("--verbose", "-v", help="a line an epoch and a record on stderr, as VQABOOK_LOG=info")
]
Workers = Annotated[int, typer.Option(min=1, help="processes that share the work, each with a GPU if there are GPUs")]
Done = Annotated[Path | None, typer.Option(help="file to write once all is there: the names of the records")]
Notebook = typer.Argument(exists=True, dir_okay=False)
Set = Annotated[list[str] | None, typer.Option("--set", "-s", help="another parameter of the page, as name=value")]


def run(
    pages: Annotated[list[str], typer.Argument(help=f"pages: {', '.join(PAGES)}", autocompletion=lambda: list(PAGES))],
    profile: Profile = "small",
    runs: Runs = None,
    data_root: DataRoot = None,
    set_: Set = None,
    threads: Threads = 1,
    verbose: Verbose = False,
    shard: Annotated[str, typer.Option(help="K/N: the K-th of N shares of each page's records, for N nodes")] = "1/1",
    workers: Workers = 1,
    done: Done = None,
):
    """Train every record of PAGES that is missing. Start it several times: each process takes the next free record."""
    team, share = Team.of(workers), _share(shard)
    from vqabook.producer import load_or_make_runs

    _log(verbose)
    values = {"profile": profile, "runs": runs, "data_root": data_root, "threads": threads, **_pairs(set_ or [])}
    settings = {page: paper_of(page).setting_of(**values) for page in pages}
    asked = {page: paper_of(page).asked(setting, page) for page, setting in settings.items()}
    with team.at_work():
        made = [load_or_make_runs(page, settings[page], recipes, share) for page, recipes in asked.items()]
    _list_records(done, [record for records in made for record in records])


def make(
    out: Annotated[Path, typer.Option(help="folder of the records made")],
    recipes: Annotated[Path | None, typer.Option(help="JSON list of what to make; default: all of the profile")] = None,
    profile: Profile = "smoke",
    pages: Annotated[list[str] | None, typer.Option("--page", help="only these pages")] = None,
    data_root: DataRoot = None,
    threads: Threads = 1,
    verbose: Verbose = False,
):
    """Make the runs that RECIPES lists, or all of some pages, in a folder of their own; evidence is not read."""
    from vqabook.evidence import runs
    from vqabook.producer import Producer

    _log(verbose)
    if recipes is None:
        papers = {page: paper_of(page) for page in pages or PAGES}
        settings = {page: paper.setting_of(profile=profile, data_root=data_root) for page, paper in papers.items()}
        asked = [recipe for page, paper in papers.items() for recipe in paper.asked(settings[page], page)]
    else:
        asked = json.loads(recipes.read_bytes())
    runs.make(asked, Producer(files.data_root(data_root), threads=threads), out)


def execute(
    notebooks: Annotated[list[Path], Notebook],
    out: Annotated[Path, typer.Option(help="folder for the executed notebooks")],
    profile: Profile = "small",
    runs: Runs = None,
    data_root: DataRoot = None,
    set_: Set = None,
):
    """Execute NOTEBOOKS with papermill into a folder; one that fails is kept in its folder failed/."""
    import papermill

    from vqabook import kernels

    values = {"profile": profile, "runs": runs, "data_root": data_root, **_pairs(set_ or [])}
    given = {name: value for name, value in values.items() if value is not None}
    for notebook in notebooks:
        known = papermill.inspect_notebook(str(notebook))
        if unknown := given.keys() - known.keys():
            raise ValueError(
                f"parameters of {notebook} are {', '.join(known)}; got {', '.join(unknown)}: check the spelling"
            )
    os.environ.update(TQDM_DISABLE="1", VQABOOK_LOG="")  # of the kernels: a page shows neither bars nor a log
    kernels.use_warm_kernels()
    strict = profile == "small" and not set_
    with ProcessPoolExecutor(1, kernels.warm_context(), initializer=_leave_to_parent) as warm:
        for notebook in notebooks:
            failed = out / "failed" / notebook.name
            _execute(notebook, failed, given)
            _hide_parameters(failed)
            warm.submit(_fill, failed, failed, str(notebook), strict=strict).result()
            failed.replace(out / notebook.name)


def _leave_to_parent() -> None:
    """Ctrl-C reaches this process too; the one that asked for it ends it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _execute(notebook: Path, out: Path, given: Mapping[str, object]) -> None:
    import papermill
    from papermill.exceptions import PapermillExecutionError

    out.parent.mkdir(parents=True, exist_ok=True)
    try:
        papermill.execute_notebook(
            str(notebook), str(out), dict(given), kernel_name="python3", progress_bar=sys.stderr.isatty()
        )
    except PapermillExecutionError as error:
        first = error.source.strip().splitlines()[0]
        raise RuntimeError(
            f"{notebook} failed in cell {error.cell_index} ({first}): {error.ename}: {error.evalue}; "
            f"the notebook with the error is {out}"
        ) from None


def tell(
    texts: Annotated[list[Path], typer.Argument(exists=True, dir_okay=False)],
    out: Annotated[Path, typer.Option(help="folder for the texts with their numbers")],
    profile: Profile = "small",
):
    """Fill in what TEXTS tell of claims: Markdown files, or notebooks that papermill executed.

    Fails where a sentence needs a verdict that the records do not give; with another profile than small it does not.
    """
    files.need_writable(out, "give another folder (--out)")
    for path in texts:
        _fill(path, out / path.name, str(path), strict=profile == "small")


def _hide_parameters(notebook: Path) -> None:
    """The website leaves out the parameters and what papermill put below them: a page tells them at its end."""
    import nbformat

    content = nbformat.read(notebook, as_version=4)
    for cell in content.cells:
        if {"parameters", "injected-parameters"} & set(cell.metadata.get("tags", [])):
            cell.metadata["tags"] += ["remove-cell"]
    nbformat.write(content, notebook)


def freeze(notebooks: Annotated[list[Path], Notebook]):
    """Execute NOTEBOOKS at smoke size and store the outputs that nbval compares: of cells tagged nbval-check-output."""
    import nbformat

    out = files.HOME / "runs" / "frozen"
    execute(notebooks, out, profile="smoke")
    for path in notebooks:
        source, executed = (nbformat.read(p, as_version=4) for p in (path, out / path.name))
        ran = {cell.id: cell for cell in executed.cells}
        for cell in source.cells:
            if cell.cell_type == "code":
                checked = "nbval-check-output" in cell.metadata.get("tags", [])
                cell.outputs = ran[cell.id].outputs if checked else []
                cell.execution_count = ran[cell.id].execution_count if checked else None
        nbformat.write(source, path)


def live(
    pages: Annotated[list[str] | None, typer.Argument(help="only papers of these pages")] = None,
    profile: Profile = "small",
    runs: Runs = None,
    data_root: DataRoot = None,
    threads: Threads = 1,
    verbose: Verbose = False,
    workers: Workers = 1,
    done: Done = None,
):
    """Train the live comparisons that today's code has not made on this machine. Start it several times to share."""
    team = Team.of(workers)
    from vqabook.page import list_live_recipes, make_live_runs

    _log(verbose)
    papers = {paper_of(page).name: paper_of(page) for page in pages or PAGES}
    asked = {name: list_live_recipes(paper, profile, data_root) for name, paper in papers.items()}
    with team.at_work():
        make = partial(make_live_runs, runs=runs, data_root=data_root, threads=threads)
        made = [make(name, recipes) for name, recipes in asked.items()]
    _list_records(done, [record for records in made for record in records])


def ledger(
    out: Annotated[Path, typer.Option(help="folder for ledger.json, ledger.csv and parts of the book's pages")],
    runs: Runs = None,
    profile: Profile = "small",
    data_root: DataRoot = None,
    pages: Annotated[
        Path | None, typer.Option(help="folder of executed notebooks: a claim leads to where it is")
    ] = None,
):
    """Write every claim with its verdict: JSON and CSV for machines, HTML for the book, with the live runs."""
    record.need_evidence()
    how = {"profile": profile, "runs": runs, "data_root": data_root}
    settings = {name: paper_of(name).setting_of(**how) for name in (*PAPERS, *OURS)}
    files.need_writable(out, "give another folder (--out)")
    from vqabook import page
    from vqabook.evidence.recheck import read_outcome
    from vqabook.report import ledger, ledger_page, live, overview, rechecked, strength, survived

    rows, stars, levels = [], [], []
    for name, setting in settings.items():
        paper = paper_of(name)
        further = page.read_further(paper, runs)
        rows += ledger.rows(paper.claims, page.read_embedded(paper, setting), page.read_real(paper), further)
        stars += page.read_stars(paper, profile, runs)
        levels += page.read_levels(paper, profile)
    rows = ledger_page.find_places(rows, pages)
    dots = strength.list_dots(rows)
    shown = [star for star in stars if star.claim.unit == "points"]
    record.write_json(out / "ledger.json", rows)
    record.write_json(out / "live.json", [live.as_row(star) for star in stars])
    for file, text in {
        "ledger.csv": ledger_page.render_csv(rows),
        "ledger.html": ledger_page.render_html(rows),
        "datatables.js": ledger_page.load_library(),
        "live.html": f"{page.draw_forest(shown)}\n",
        "headlines.html": overview.render_headlines(page.read_headlines(profile, runs)),
        "printed_measured.html": overview.render_printed(dots),
        "strength.html": overview.render_strength(dots),
        "levels.html": overview.render_levels(levels),
        "recheck.html": rechecked.render_html(read_outcome()),
        "survived.html": survived.render_html(survived.read_survived(), survived.read_questions()),
    }.items():
        (out / file).write_text(text, "utf-8")


def recheck(
    papers: Annotated[list[str] | None, typer.Option("--paper", help="only these papers")] = None,
    sample: Annotated[
        int, typer.Option(min=1, help="records a paper, the cheapest of a method each; another day, others")
    ] = 3,
    every: Annotated[bool, typer.Option("--all", help="every record")] = False,
    against: Annotated[str | None, typer.Option(help="commit: its code and today's make the same runs")] = None,
    recipes: Annotated[Path | None, typer.Option(help="with --against: JSON list of what to make")] = None,
    profile: Annotated[str | None, typer.Option(help="only this profile; with --against: smoke")] = None,
    runs: Annotated[Path | None, typer.Option(help="folder that keeps what is made; default: temporary")] = None,
    made: Annotated[bool, typer.Option(help="make nothing: compare what --runs holds")] = False,
    keep: Annotated[bool, typer.Option("--record", help="write the outcome for the book's protocol page")] = False,
    data_root: DataRoot = None,
    threads: Threads = 1,
    verbose: Verbose = False,
):
    """Make recorded runs again and compare: digits where the machine kind is the same, else with the spread of seeds.

    Exits with 1 if a digit differs, or if differences are larger than seeds explain.
    """
    record.need_evidence()
    from vqabook.evidence import recheck
    from vqabook.producer import Producer
    from vqabook.report import rechecked

    with _folder_of_again(runs) as folder:
        if against:
            pages = [page for name in papers or () for page in paper_of(name).pages]
            asked = recheck.words_for_make(profile or "smoke", pages, recipes, data_root)
            n, lines = recheck.compare_codes(against, asked, folder)
            print("\n".join([*lines, f"{n} runs made by both codes; {len(lines)} differ or are of one code alone."]))
            raise typer.Exit(int(bool(lines)))
        _log(verbose)
        chosen = recheck.choose(papers or (*PAPERS, *OURS), None if every or made else sample, profile)
        if not made:
            recheck.make_again(chosen, Producer(files.data_root(data_root), threads=threads), folder)
        pairs = recheck.find_again(chosen, folder)
    outcome = rechecked.compare(pairs, {name: paper_of(name).claims for name in papers or (*PAPERS, *OURS)})
    print("\n".join(rechecked.tell(outcome)))
    if keep:
        record.write_json(recheck.OUTCOME, outcome)
    raise typer.Exit(int(not outcome["passed"]))


@contextmanager
def _folder_of_again(runs: Path | None) -> Iterator[Path]:
    """The folder of what a recheck makes."""
    if runs is not None:
        yield runs.resolve()
        return
    with tempfile.TemporaryDirectory() as temporary:
        try:
            yield Path(temporary).resolve()
        except stop.Stopped:
            raise stop.Stopped("but nothing of a recheck without --runs") from None


def _fill(text: Path, out: Path, where: str, *, strict: bool) -> None:
    """Write a text to `out` with numbers for names; `strict`: raise where a sentence is not supported any more."""
    content = text.read_text("utf-8")
    from vqabook.report import told

    if told.says_something(content):
        from vqabook.page import teller_of

        fill = told.fill_notebook if text.suffix == ".ipynb" else told.fill_text
        content, unmet = fill(content, teller_of(), where)
        if strict and unmet:
            record.need_evidence()
            raise RuntimeError("\n".join(map(str, unmet)))
    out.write_text(content, "utf-8")


def _share(shard: str) -> tuple[int, int]:
    """`2/8` as (1, 8): counted from 0."""
    k, _, n = shard.partition("/")
    if not (k.isdecimal() and n.isdecimal() and 1 <= int(k) <= int(n)):
        raise ValueError(f"a shard is K/N with K from 1 to N, such as 2/8, got {shard!r}")
    return int(k) - 1, int(n)


def _list_records(path: Path | None, records: list[dict]) -> None:
    """Say in a file that these records are there."""
    if path is not None:
        record.write_json(path, [record.key_of(made["recipe"]) for made in records])


def _log(verbose: bool) -> None:
    if verbose:
        start_log("info")


def _pairs(texts: list[str]) -> dict[str, str]:
    """`name=value` texts as a dict."""
    for text in texts:
        if "=" not in text:
            raise ValueError(f"a parameter is given as name=value, got {text!r}")
    return dict(text.split("=", 1) for text in texts)
