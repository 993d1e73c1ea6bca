"""What a contributor, a fork's CI, Binder and a citation rely on names what is there."""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from typer.testing import CliRunner

from vqabook.cli.app import app

ROOT = Path(__file__).parents[1]
README, MAKEFILE, BIB = ((ROOT / name).read_text("utf-8") for name in ("README.md", "Makefile", "book/references.bib"))
PAPERS = ("guo2022loss", "ilievski2017simple", "patro2021self", "mun2018learning", "ren2020activation")
WORKFLOW = {"name", True, "permissions", "concurrency", "env", "jobs"}  # YAML 1.1 reads `on` as true
JOB = {"runs-on", "timeout-minutes", "strategy", "steps"}
PARTS = {  # of an issue form: what its attributes may be, besides label and description
    "input": {"placeholder", "value"},
    "textarea": {"placeholder", "value", "render"},
    "dropdown": {"options", "multiple", "default"},
}
SYSTEM = {"chromium-headless-shell", "chromium", "slurm-wlm", "munge", "make", "python3-venv"}
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
        url = f"https://arxiv.org/abs/{entry['eprint']}" if "eprint" in entry else None
        assert (pages, reference.get("url")) == (entry.get("pages"), url)


def test_the_workflow_makes_targets_that_are_there():
    (job,) = read_yaml(".github/workflows/tests.yml")["jobs"].values()
    targets = job["strategy"]["matrix"]["target"]
    assert targets == re.findall(r"^make (.*)$", (ROOT / ".ci" / "run").read_text("utf-8"), re.MULTILINE)
    assert all(re.search(rf"^{target}:", MAKEFILE, re.MULTILINE) for target in targets)
    assert job["steps"][-1]["run"] == "make ${{ matrix.target }}"


def test_the_workflow_keeps_to_the_schema_and_names_what_is_there():
    """By hand, since the schema lies in the network: keys, triggers, steps, actions, expressions, the cache's files."""
    workflow = read_yaml(".github/workflows/tests.yml")
    (job,) = workflow["jobs"].values()
    assert workflow.keys() == WORKFLOW and job.keys() == JOB
    assert workflow[True].keys() == {"push", "pull_request", "workflow_dispatch"}
    matrix, known = job["strategy"]["matrix"], {"github.workflow", "github.ref", "matrix.target"}
    assert matrix.keys() == {"target"} and set(re.findall(r"\${{ (.*?) }}", yaml.safe_dump(workflow))) <= known
    for step in job["steps"]:
        assert step.keys() <= {"name", "uses", "with", "if", "run", "continue-on-error"}
        assert ("uses" in step) != ("run" in step)
        assert re.fullmatch(r"actions/(checkout|setup-python)@v\d+", step.get("uses", "actions/checkout@v4"))
        assert (
            re.fullmatch(r"matrix\.target == '(.*)'", step.get("if", "matrix.target == 'test'"))[1] in matrix["target"]
        )
        assert not any(list(ROOT.glob(path)) == [] for path in [step.get("with", {}).get("cache-dependency-path", "*")])


def list_scripts() -> list:
    """The shell of the workflow's steps, and the script of continuous integration, which asks for the same."""
    (job,) = read_yaml(".github/workflows/tests.yml")["jobs"].values()
    steps = [step["run"] for step in job["steps"] if "run" in step]
    whole = "\n".join(steps).replace("${{ matrix.target }}", "test")
    return [pytest.param(whole, id="workflow"), pytest.param((ROOT / ".ci" / "run").read_text("utf-8"), id=".ci/run")]


@pytest.mark.parametrize("script", list_scripts())
def test_what_continuous_integration_runs_can_run(script):
    assert subprocess.run(["bash", "-n"], input=script, encoding="utf-8").returncode == 0
    targets = re.findall(r"^make ([\w-]+)$", script, re.MULTILINE)
    asked = {
        name for line in re.findall(r"apt-get install ([^>|\n]*)", script) for name in re.findall(r" (\w[\w-]*)", line)
    }
    assert targets and {"slurm-wlm", "munge"} <= asked <= SYSTEM
    for target in targets:  # what is up to date is not made; the rest is printed
        made = subprocess.run(["make", "--dry-run", target], cwd=ROOT, capture_output=True, encoding="utf-8")
        assert made.returncode == 0 and "pytest" in made.stdout, made.stderr


def test_hooks_run_the_project_s_own_tools_and_a_test_that_is_there():
    (repo,) = read_yaml(".pre-commit-config.yaml")["repos"]
    entries = [hook["entry"].split() for hook in repo["hooks"]]
    assert repo["repo"] == "local" and [Path(words[0]).name for words in entries] == ["ruff", "ruff", "mypy", "python"]
    for words in entries[:2]:  # each takes the words that follow the tool
        called = [words[0].replace(".venv/bin/", ""), *words[1:], "tests/test_contributing.py"]
        done = subprocess.run([*called, *(["--diff"] if "format" in called else [])], cwd=ROOT, capture_output=True)
        assert shutil.which(called[0]) and done.returncode == 0, done.stderr
    assert all(hook["language"] == "system" for hook in repo["hooks"])
    path, name = entries[-1][entries[-1].index("-q") + 1], entries[-1][-1]
    assert re.search(rf"^def test_{name}", (ROOT / path).read_text("utf-8"), re.MULTILINE)


def test_binder_installs_the_lock_and_the_package():
    lines = (ROOT / ".binder" / "requirements.txt").read_text("utf-8").splitlines()
    assert lines[-2:] == ["-r ../requirements.lock", "-e ."]
    assert re.fullmatch(r"--extra-index-url https://[\w./-]+", lines[-3]) and len(lines) == 4
    lock = (ROOT / ".binder" / lines[-2].removeprefix("-r ")).read_text("utf-8").split()
    assert all(str(Requirement(line).specifier).startswith("==") for line in lock)
    assert (ROOT / ".binder" / "runtime.txt").read_text("utf-8") == "python-3.11\n"


def test_badges_open_pages_that_are_there():
    pages = re.findall(r"(?:mybinder|colab)[^)]*/(notebooks/[\w.]+)\)", README)
    assert len(pages) == 2 and all((ROOT / page).is_file() for page in pages)
    home = read_yaml("book/_config.yml")["repository"]
    here = [f"{home['url']}/blob/{home['branch']}", f"mybinder.org/v2/gh/vqabook/vqabook/{home['branch']}?"]
    assert [here[0].replace("https://github.com", "colab.research.google.com/github") in README, here[1] in README]
    (cell,) = re.findall(r"^```ipython\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
    assert f"{home['url']}\n%cd vqabook\n" in cell
    assert set(re.search(r"'\.\[(.*)\]'", cell)[1].split(",")) <= extras.keys()


@pytest.mark.parametrize("path", FORMS, ids=lambda path: path.stem)
def test_an_issue_form_asks_each_thing_once(path):
    form = yaml.safe_load(path.read_text("utf-8"))
    assert form.keys() == {"name", "description", "body"}
    ids = [part["id"] for part in form["body"]]
    assert len(set(ids)) == len(ids) and all(part["attributes"]["label"] for part in form["body"])
    for part in form["body"]:
        assert part.keys() <= {"type", "id", "attributes", "validations"} and re.fullmatch(r"[\w-]+", part["id"])
        assert part["attributes"].keys() <= {"label", "description"} | PARTS[part["type"]]
        assert part.get("validations", {"required": True}) == {"required": True}


def test_other_issues_are_welcome():
    assert read_yaml(".github/ISSUE_TEMPLATE/config.yml") == {"blank_issues_enabled": True}


def test_commands_that_forms_and_contributors_are_told_are_there():
    texts = [path.read_text("utf-8") for path in (*FORMS, ROOT / "CONTRIBUTING.md")]
    commands = {words for text in texts for words in re.findall(r"`vqabook ((?:data )?[\w-]+)", text)}
    assert commands
    for words in commands:
        words = [words] if words.startswith("--") else [*words.split(), "--help"]
        assert CliRunner().invoke(app, words).exit_code == 0, words
    made = {target for text in texts for target in re.findall(r"`make ([\w-]+)", text)}
    assert made and all(re.search(rf"^{target}:", MAKEFILE, re.MULTILINE) for target in made)


@pytest.mark.parametrize("name", ["CONTRIBUTING.md", "README.md"])
def test_files_that_the_text_names_are_there(name):
    text = (ROOT / name).read_text("utf-8")
    named = re.findall(r"`((?:book|tests|vqabook|notebooks|\.github|profiles)/[\w./-]*\w\.(?:py|md|yml|toml))`", text)
    assert named and all((ROOT / path).exists() for path in named)
