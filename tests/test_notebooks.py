"""The pages: their notebooks have the agreed form, run at smoke size and refuse bad parameters; numbers stay put.

pytest runs the notebooks themselves through nbval (see `addopts` in pyproject.toml): the stored output of cells tagged
`nbval-check-output` must come out again. Every cell must run in the book's build (tests/test_book.py). What follows is
what these two cannot see.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import papermill
import pytest
from papermill.exceptions import PapermillExecutionError

from vqabook.catalogue import page as catalogue
from vqabook.page import read_title
from vqabook.papers import PAGES, page_of, paper_of
from vqabook.producer import load_or_make_runs
from vqabook.report.verdicts import number

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("[0-9]*.ipynb"))
EVIDENCE = [path for path in NOTEBOOKS if re.match(r"\d+_\d", path.stem)]  # 02_1_loss_rescaling_tables
STORIES = {path.stem[:2]: path for path in NOTEBOOKS if path not in EVIDENCE}
WHOLE = "08_ten_lines"  # shows what a training loop of one's own takes, each in one piece
GOLDEN = Path(__file__).parent / "golden_smoke.json"
LOSSES = ("history.0.loss", "history.-1.loss", "history.-1.grad_question")
SCORES = ("valid", "test.overall", "test.kappa.overall", "rows.uniform.balanced softmax.wanted")


def cells(path: Path) -> list:
    return nbformat.read(path, as_version=4).cells


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_notebook_is_short_typed_and_has_no_training_loop(path: Path):
    code = [c for c in cells(path) if c.cell_type == "code"]
    parameters = [c for c in code if "parameters" in c.metadata.get("tags", [])]
    assert len(parameters) == 1 and all(":" in line and "#" in line for line in parameters[0].source.splitlines())
    for cell in code if path.stem != WHOLE else ():
        shown = "ten-lines" in cell.metadata.get("tags", [])
        assert "class " not in cell.source and (shown or ".backward" not in cell.source)
        assert cell in parameters or len(cell.source.splitlines()) <= 20, cell.source


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_stored_outputs_are_those_that_nbval_compares(path: Path):
    checked = [c for c in cells(path) if "nbval-check-output" in c.metadata.get("tags", [])]
    assert checked or path in EVIDENCE or page_of(path.stem) is None, (
        "a story computes something before the reader's eyes: tag its cell"
    )
    assert all(c.outputs for c in checked), "run `make notebooks`: nothing stored is nothing checked"
    assert not any(c.get("outputs") for c in cells(path) if c not in checked), "run `make notebooks`"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_parameters_are_the_settings_fields(path: Path):
    known = papermill.inspect_notebook(str(path)).keys()
    page = page_of(path.stem)
    setting = paper_of(page).setting_of(profile="smoke") if page else catalogue.Setting("smoke")
    assert known <= vars(setting).keys()


@pytest.mark.parametrize("path", STORIES.values(), ids=lambda p: p.stem)
def test_the_loss_in_ten_lines_fits_the_page_and_runs_by_itself(path: Path):
    snippets = [c.source for c in cells(path) if "ten-lines" in c.metadata.get("tags", [])]
    assert len(snippets) <= 1
    for snippet in snippets:
        lines = snippet.splitlines()
        assert len([line for line in lines if line.strip()]) <= 10 and max(map(len, lines)) <= 79
        exec(compile(snippet, path.stem, "exec"), {"__name__": "pasted"})


@pytest.mark.parametrize("path", EVIDENCE, ids=lambda p: p.stem)
def test_evidence_opens_its_storys_page_with_its_storys_parameters(path: Path):
    story, code = STORIES[path.stem[:2]], [c.source for c in cells(path) if c.cell_type == "code"]
    assert page_of(path.stem) == page_of(story.stem), "a chapter's notebooks have one number"
    assert code[0] == cells(story)[1].source, "one papermill command runs either: copy the parameters cell"
    assert any(f'Page.open("{page_of(path.stem)}", globals())' in source for source in code)
    assert code[-1] == f'page.strip(notebook="{path.stem}")'
    assert "import torch" not in "\n".join(code), "nothing is trained on a page of evidence"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_title_has_the_number_that_its_file_has(path: Path):
    """Chapters are cited by number: 02, and 02.1 for its first page of evidence."""
    chapter, part = re.match(r"(\d\d)_(?:(\d)_)?", path.name).groups()
    assert read_title(path).startswith(f"{chapter}.{part} · " if part else f"{chapter} · ")


def test_every_page_has_its_notebook():
    assert {page_of(path.stem) for path in NOTEBOOKS} == PAGES.keys() | {None}


@pytest.mark.parametrize("path", NOTEBOOKS[:2], ids=lambda p: p.stem)
def test_papermill_refuses_an_unknown_parameter_before_anything_runs(path: Path, tmp_path: Path):
    with pytest.raises(PapermillExecutionError, match="got colour: check the spelling"):
        given = {"colour": 1, "runs": str(tmp_path / "runs")}
        papermill.execute_notebook(str(path), str(tmp_path / "out.ipynb"), given, progress_bar=False)
    assert not (tmp_path / "runs").exists()


def test_a_crashed_notebook_names_its_cell_and_is_kept(tmp_path: Path):
    crashing = nbformat.v4.new_notebook(cells=[
        nbformat.v4.new_code_cell("profile = 'smoke'", metadata={"tags": ["parameters"]}),
        nbformat.v4.new_code_cell("fine = 1"),
        nbformat.v4.new_code_cell("wrong = 1 / 0"),
    ], metadata={"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}})  # fmt: skip
    nbformat.write(crashing, tmp_path / "page.ipynb")
    vqabook = str(Path(sys.executable).parent / "vqabook")
    command = [vqabook, "execute", "page.ipynb", "--out", "out", "--profile", "smoke"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert result.returncode == 1
    assert "page.ipynb failed in cell 3 (wrong = 1 / 0): ZeroDivisionError: division by zero" in result.stderr
    assert (tmp_path / "out/failed/page.ipynb").exists() and not (tmp_path / "out/page.ipynb").exists()


@pytest.fixture(scope="module")
def smoke() -> dict[str, dict]:
    """The smoke records of the pages, by paper but for the first, variant and prior."""
    settings = {page: paper_of(page).setting_of(profile="smoke") for page in PAGES}
    records = [record for page, setting in settings.items() for record in load_or_make_runs(page, setting)]
    first = "loss_rescaling"
    named = [(r["recipe"]["paper"], f"{r['recipe']['variant']}, {r['recipe']['prior']}", r) for r in records]
    return {name if paper == first else f"{paper}: {name}": record for paper, name, record in named}


def test_no_number_moved(smoke: dict[str, dict]):
    """Training is exact on one machine; between machines sums differ in the last digits, hence the tolerances."""
    now = {}
    for name, record in smoke.items():
        if record["recipe"]["kind"] == "statistics":
            counted = record["result"]
            shares = counted.get("in_type") or counted.get("shares") or counted["test"]
            now[name] = counted["sizes"] | {k: v for k, v in shares.items() if v is not None}
        else:
            found = {metric: number(record, metric) for metric in LOSSES + SCORES}
            now[name] = {metric: value for metric, value in found.items() if value is not None}
    if os.environ.get("VQABOOK_UPDATE_GOLDEN"):
        GOLDEN.write_text(json.dumps(now, indent=1) + "\n")
    golden = json.loads(GOLDEN.read_text())
    assert now.keys() == golden.keys()
    for name, numbers in golden.items():
        for metric, value in numbers.items():
            close = pytest.approx(value, rel=0.02, abs=3 if metric in SCORES else 1e-6)
            assert now[name][metric] == close, (name, metric)
