"""What a contributor, a fork's CI, Binder and a citation rely on names what is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
README, MAKEFILE, BIB = ((ROOT / name).read_text("utf-8") for name in ("README.md", "Makefile", "book/references.bib"))
PAPERS = ("guo2022loss", "ilievski2017simple", "patro2021self", "mun2018learning", "ren2020activation")
FORMS = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("[!c]*.yml"))


def read_yaml(name: str) -> dict:
    return yaml.safe_load((ROOT / name).read_text("utf-8"))


def bibtex(key: str) -> dict[str, str]:
    """Title, year, authors and pages of an entry of the book's references."""
    entry = re.search(rf"@\w+{{{key},(.*?)\n}}", BIB, re.DOTALL)[1]
    return {name: text.replace("{", "").replace("}", "") for name, text in re.findall(r"(\w+) *= {(.*)}", entry)}


def test_the_citation_names_the_five_papers_as_the_book_does():
    references = read_yaml("CITATION.cff")["references"]
    for reference, entry in zip(references, map(bibtex, PAPERS), strict=True):
        authors = " and ".join(f"{a['family-names']}, {a['given-names']}" for a in reference["authors"])
        pages = f"{reference['start']}--{reference['end']}" if "start" in reference else None
        assert (reference["title"], str(reference["year"]), authors) == (entry["title"], entry["year"], entry["author"])
        assert (pages, reference.get("url")) == (entry.get("pages"), entry.get("url"))


def test_the_workflow_makes_targets_that_are_there():
    (job,) = read_yaml(".github/workflows/tests.yml")["jobs"].values()
    targets = job["strategy"]["matrix"]["target"]
    assert targets == re.findall(r"^make (.*)$", (ROOT / ".ci" / "run").read_text("utf-8"), re.MULTILINE)
    assert all(re.search(rf"^{target}:", MAKEFILE, re.MULTILINE) for target in targets)
    assert job["steps"][-1]["run"] == "make ${{ matrix.target }}"


def test_hooks_run_the_project_s_own_tools_and_a_test_that_is_there():
    (repo,) = read_yaml(".pre-commit-config.yaml")["repos"]
    entries = [hook["entry"].split() for hook in repo["hooks"]]
    assert repo["repo"] == "local" and [Path(words[0]).name for words in entries] == ["ruff", "ruff", "python"]
    path, name = entries[-1][entries[-1].index("-q") + 1], entries[-1][-1]
    assert re.search(rf"^def test_{name}", (ROOT / path).read_text("utf-8"), re.MULTILINE)


def test_binder_installs_the_lock_and_the_package():
    lines = (ROOT / ".binder" / "requirements.txt").read_text("utf-8").splitlines()
    assert lines[-2:] == ["-r ../requirements.lock", "-e ."]
    assert (ROOT / ".binder" / "runtime.txt").read_text("utf-8") == "python-3.11\n"


def test_badges_open_pages_that_are_there():
    pages = re.findall(r"(?:mybinder|colab)[^)]*/(notebooks/[\w.]+)\)", README)
    assert len(pages) == 2 and all((ROOT / page).is_file() for page in pages)


@pytest.mark.parametrize("path", FORMS, ids=lambda path: path.stem)
def test_an_issue_form_asks_each_thing_once(path):
    form = yaml.safe_load(path.read_text("utf-8"))
    assert form.keys() == {"name", "description", "body"}
    ids = [part["id"] for part in form["body"]]
    assert len(set(ids)) == len(ids) and all(part["attributes"]["label"] for part in form["body"])


@pytest.mark.parametrize("name", ["CONTRIBUTING.md", "README.md"])
def test_files_that_the_text_names_are_there(name):
    text = (ROOT / name).read_text("utf-8")
    named = re.findall(r"`((?:book|tests|vqabook|notebooks|\.github|profiles)/[\w./-]*\w\.(?:py|md|yml|toml))`", text)
    assert named and all((ROOT / path).exists() for path in named)
