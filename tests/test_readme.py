"""What README, the book's prose and its notebooks' text tell a reader to type runs as it is written there."""

from __future__ import annotations

import importlib.util
import json
import re
import shlex
from pathlib import Path

import nbformat
import numpy as np
import pytest
import torch
import typer
import yaml

from vqabook.cli.app import app
from vqabook.data.layout import DataSpec
from vqabook.data.sets import load_task
from vqabook.knobs import from_values
from vqabook.papers import page_of, paper_of

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("book/*.md"), *ROOT.glob("notebooks/*.ipynb")])
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
HAS_TORCHVISION = importlib.util.find_spec("torchvision") is not None


def read_text(path: Path) -> str:
    """A page's text; of a notebook its cells of text."""
    if path.suffix == ".md":
        return path.read_text("utf-8")
    return "\n".join(cell.source for cell in nbformat.read(path, 4).cells if cell.cell_type == "markdown")


def list_blocks(language: str) -> list:
    """The fenced blocks of all pages in a language; each is named by its page and its place there."""
    return [
        pytest.param(found[2], id=f"{path.stem}-{n}")
        for path in PAGES
        for n, found in enumerate(FENCE.finditer(read_text(path)))
        if found[1] == language
    ]


COMMANDS = [
    pytest.param(line, id=line)
    for block in list_blocks("bash")
    for line in block.values[0].replace("\\\n", " ").splitlines()
    if line.startswith(("vqabook ", "papermill "))
]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("block", list_blocks("python"))
def test_a_block_runs_as_it_is_written(block, tmp_path, monkeypatch):
    if "vqabook.detection" in block and not HAS_TORCHVISION:
        pytest.skip("torchvision is in the detector's environment: make test-detection")
    monkeypatch.chdir(tmp_path)
    if "VizWiz" in block:
        write_vizwiz(tmp_path / "VizWiz")
    with torch.random.fork_rng():
        exec(compile(block, "block", "exec"), {"__name__": "block"})


def write_vizwiz(folder: Path) -> None:
    """Files as VizWiz publishes them: no ids of questions, no question types, the image's file name."""
    folder.mkdir()
    for split in ("train", "val"):
        entries = []
        for i, (answer, answer_type) in enumerate([("yes", "yes/no"), ("unanswerable", "unanswerable")] * 20):
            ten = [{"answer_confidence": "yes", "answer": answer}] * 9 + [{"answer_confidence": "no", "answer": "no"}]
            said = {"question": f"Is this {i % 2}?", "answers": ten, "answer_type": answer_type, "answerable": 1}
            entries.append({"image": f"VizWiz_{split}_{i:08d}.jpg"} | said)
        (folder / f"{split}.json").write_text(json.dumps(entries), "utf-8")


def test_own_questions_are_a_data_set_once_written_as_readme_says(tmp_path, monkeypatch, write_features):
    monkeypatch.chdir(tmp_path)
    write_vizwiz(tmp_path / "VizWiz")
    (block,) = (block.values[0] for block in list_blocks("python") if "VizWiz" in block.values[0])
    exec(compile(block, "block", "exec"), {"__name__": "block"})
    images = [f"VizWiz_{split}_{i:08d}.jpg" for split in ("train", "val") for i in range(40)]
    write_features(Path("vizwiz/features.h5"), np.ones((80, 4, 3), np.float32), images)
    task = load_task(DataSpec("vizwiz", "same", min_answer_count=2), None, torch.device("cpu"))
    assert len(task.test) == 40 and task.vocabulary.answers == ("unanswerable", "yes")
    assert set(task.test_questions.answer_type) == {"yes/no", "unanswerable"}
    assert set(task.test_questions.question_type) == {"is this"}
    assert task.test_questions.image_id[1] == "VizWiz_val_00000001.jpg"


def test_readme_shows_blocks_of_the_page_that_runs_them():
    """One loss in ten lines is one source: what README shows of it is what the page's kernel executed."""
    cells = nbformat.read(ROOT / "notebooks/08_ten_lines.ipynb", 4).cells
    blocks = [found[2].rstrip() for found in FENCE.finditer(read_text(ROOT / "README.md")) if found[1] == "python"]
    assert blocks and set(blocks) <= {cell.source for cell in cells if cell.cell_type == "code"}


@pytest.mark.parametrize("line", COMMANDS)
def test_a_command_has_the_arguments_it_is_given(line):
    program, *words = shlex.split(line, comments=True)
    if program == "vqabook":
        command = typer.main.get_command(app)
        while hasattr(command, "commands"):  # a group: the next word names the command
            command, words = command.commands[words[0]], words[1:]
        command.make_context(command.name, words)
        return
    notebook, _, *rest = words
    given = {}
    while rest:
        if rest[0] == "-f":
            _, preset, *rest = rest
            given |= yaml.safe_load((ROOT / preset).read_text("utf-8"))
        else:
            option, name, value, *rest = rest
            assert option == "-p"
            given[name] = value
    page = paper_of(page_of(Path(notebook).stem))
    from_values(page.setting, page.profiles, given)
    cells = nbformat.read(ROOT / notebook, 4).cells
    (known,) = (cell.source for cell in cells if "parameters" in cell.metadata.get("tags", []))
    assert given.keys() <= set(re.findall(r"^(\w+):", known, re.MULTILINE))
