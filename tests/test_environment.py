"""One exact set of packages: the lock, pyproject.toml, what conda users get, and what is installed agree."""

from __future__ import annotations

import os
import re
import runpy
import subprocess
import sys
import tomllib
from importlib.metadata import distributions
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

import vqabook

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
LOCK_LINES = (ROOT / "requirements.lock").read_text().split()
DETECTION_LINES = re.findall(r"^\w.*==.*$", (ROOT / "requirements-detection.txt").read_text(), re.MULTILINE)
EXTRAS = PROJECT["optional-dependencies"]


def pins(lines: list[str]) -> dict[str, Version]:
    """The release of each package."""
    return {canonicalize_name(name): Version(pin) for name, _, pin in (line.partition("==") for line in lines)}


LOCK = pins(LOCK_LINES)
ASKED = PROJECT["dependencies"] + [line for name, extra in EXTRAS.items() if name != "detection" for line in extra]

# What an environment holds beside the lock: itself, its installer, and the wheels that a GPU build of torch brings.
BESIDE = re.compile(r"vqabook|pip|wheel|triton|(nvidia|cuda)-.*")


@pytest.mark.parametrize("line", LOCK_LINES + DETECTION_LINES)
def test_a_pin_names_one_public_release(line: str):
    # A local version (+cpu) or a file URL would bind the lock to one machine.
    assert re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][0-9A-Za-z.]*", line)


@pytest.mark.parametrize("line", ASKED)
def test_the_lock_lies_in_the_ranges_of_pyproject(line: str):
    requirement = Requirement(line)
    assert LOCK[canonicalize_name(requirement.name)] in requirement.specifier


@pytest.mark.parametrize("line", PROJECT["dependencies"] + EXTRAS["detection"])
def test_the_detector_s_environment_lies_in_them_too(line: str):
    requirement = Requirement(line)
    assert (LOCK | pins(DETECTION_LINES))[canonicalize_name(requirement.name)] in requirement.specifier


@pytest.mark.parametrize("line", PROJECT["dependencies"])
def test_what_the_library_needs_has_a_floor_and_no_cap(line: str):
    # A cap would take back the torch of whoever imports a loss, under the torchvision beside it.
    assert [part.operator for part in Requirement(line).specifier] == [">="]


def test_what_is_installed_is_the_lock():
    installed = {canonicalize_name(d.name): Version(Version(d.version).public) for d in distributions()}
    assert {name: pin for name, pin in installed.items() if not BESIDE.fullmatch(name)} == LOCK


def test_conda_users_get_the_same_set():
    # environment.yml points at the lock and the package and adds no pin of its own.
    *from_conda, pip = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    assert from_conda == [f"python{PROJECT['requires-python']}", "pip"]
    assert pip == {"pip": ["-r requirements.lock", "-e ."]}


def test_the_citation_and_the_package_name_this_version():
    assert vqabook.__version__ == PROJECT["version"]
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert (cited["version"], cited["date-released"]) == (vqabook.__version__, vqabook.__released__)
    assert f"## {vqabook.__version__} - {vqabook.__released__}\n" in (ROOT / "CHANGELOG.md").read_text()


def test_no_page_types_the_version():
    pages = {path.name: path.read_text("utf-8") for path in (ROOT / "book").glob("*.md")}
    assert [name for name, text in pages.items() if vqabook.__version__ in text] == []


def test_what_killed_tests_left_goes_with_the_next(tmp_path: Path):
    make = runpy.run_path(str(ROOT / "tests" / "conftest.py"))["make_runs_folder"]
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    for name in (f"vqabook-runs-{ended.pid}-ab", "vqabook-runs-old", f"vqabook-runs-{os.getpid()}-cd", "another"):
        (tmp_path / name / "record").mkdir(parents=True)
    made = make(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {made.name, f"vqabook-runs-{os.getpid()}-cd", "another"}
