"""What is built is whole: an sdist is the project, and a wheel works far from a checkout, where it writes nothing."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import zipfile
from pathlib import Path

import matplotlib
import pytest

ROOT = Path(__file__).parents[1]
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
BUILD = "from setuptools import build_meta as b; b.build_wheel('dist'), b.build_sdist('dist')"


def list_tracked() -> list[str]:
    """The project's files, of the recorded runs one a paper; an sdist, or a checkout without git, cannot say them."""
    try:
        words = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
        listed = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("git does not say which files are the project's")
    names = sorted(name for name in listed.split("\0") if (ROOT / name).is_file())
    records = {Path(name).parent: name for name in names if name.startswith("book/evidence/")}
    return [name for name in names if not name.startswith("book/evidence/")] + list(records.values())


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    """The folder with the wheel and the sdist of a copy of the project."""
    folder = tmp_path_factory.mktemp("project")
    for name in list_tracked():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, folder / name)
    done = subprocess.run([sys.executable, "-c", BUILD], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder / "dist"


@pytest.fixture(scope="module")
def installed(built, tmp_path_factory) -> Path:
    """A folder of packages with the wheel's files alone."""
    folder = tmp_path_factory.mktemp("site-packages")
    zipfile.ZipFile(built / f"vqabook-{VERSION}-py3-none-any.whl").extractall(folder)
    return folder


@pytest.fixture
def away(installed, tmp_path, monkeypatch):
    """Run Python words in an empty folder, with a home of their own, by the installed package."""
    monkeypatch.chdir(tmp_path)
    own = {"HOME": tmp_path / "home", "XDG_DATA_HOME": tmp_path / "share", "XDG_CACHE_HOME": tmp_path / "cache"}
    own |= {"MPLCONFIGDIR": matplotlib.get_configdir()}  # of this user, whose fonts are listed there
    env = {k: v for k, v in os.environ.items() if not k.startswith("VQABOOK_")} | {k: str(v) for k, v in own.items()}

    def run(*words: str) -> subprocess.CompletedProcess:
        call = [sys.executable, *words]
        return subprocess.run(call, capture_output=True, text=True, env=env | {"PYTHONPATH": str(installed)})

    before = sorted(installed.rglob("*"))
    yield run
    made = {path for path in installed.rglob("*") if "__pycache__" not in path.parts}
    assert made <= {*before}, "beside the package, nothing is written"


def test_an_sdist_is_the_project(built):
    with tarfile.open(built / f"vqabook-{VERSION}.tar.gz") as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert set(list_tracked()) - names == set()
    assert not any(name.startswith(("data/runs", "book/_build", ".venv")) for name in names)


def test_a_wheel_is_the_library(built):
    names = zipfile.ZipFile(built / f"vqabook-{VERSION}-py3-none-any.whl").namelist()
    ours = {name for name in list_tracked() if name.startswith("vqabook/")}
    assert {name for name in names if ".dist-info/" not in name} == ours
    assert {"vqabook/py.typed", "vqabook/arena/style.css", "vqabook/fetch/manifest.toml"} <= ours


def test_version_and_data_sets(away, tmp_path):
    assert away("-m", "vqabook", "--version").stdout == f"vqabook {VERSION}\n"
    listed = away("-m", "vqabook", "data", "list").stdout
    assert "cifar10 " in listed and listed.endswith(f"data root: {tmp_path / 'share' / 'vqabook'}\n")


def test_commands_that_need_the_project_say_so(away, tmp_path):
    for words in (["ledger", "--out", "out"], ["recheck"], ["recheck", "--against", "HEAD"]):
        done = away("-m", "vqabook", *words)
        assert done.returncode == 1 and done.stdout == "" and done.stderr.count("\n") == 1
        assert done.stderr.startswith("vqabook: recorded evidence comes with the project, not with the installed pac")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_page_s_runs_go_to_the_user_s_folder(away, tmp_path):
    done = away("-m", "vqabook", "run", "class_imbalance", "--profile", "smoke", "-s", "vision=[]")
    assert done.returncode == 0, done.stderr
    assert list((tmp_path / "share" / "vqabook" / "runs" / "loss_rescaling").glob("*.json"))
    assert {path.name for path in tmp_path.iterdir()} <= {"share", "cache"}


def test_losses_are_imported_alone(away):
    script = "from vqabook.losses import *; import vqabook; print(vqabook.__file__)"
    done = away("-c", script)
    assert done.returncode == 0 and str(ROOT) not in done.stdout, done.stderr


SCRIPT = """import torch

from vqabook import losses
from vqabook.objectives import long_tail

counts, logits, labels = torch.tensor([50, 5, 1]), torch.zeros(4, 3), torch.tensor([0, 1, 2, 0])
log_n = losses.log_counts(counts)
each: torch.Tensor = losses.balanced_softmax(logits, labels, log_n=log_n)
objective = long_tail("balanced_softmax", counts)
"""
ERRORS = {  # a line more -> what mypy says of it
    "each = losses.balanced_softmax(logits, labels, log_m=log_n)": "call-arg",
    "each = losses.balanced_softmax([0.0, 1.0], labels, log_n=log_n)": "arg-type",
    "mean: str = losses.balanced_softmax(logits, labels, log_n=log_n)": "assignment",
    "objective = long_tail('balanced_softmin', counts)": "arg-type",
}


def test_types_reach_a_user_s_script(installed, tmp_path):
    """mypy finds nothing in a script that uses the wheel as it should, and every error of one that does not."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv"], check=True)
    packages = next((tmp_path / "venv").glob("lib/python*/site-packages"))
    (packages / "wheel.pth").write_text(f"{installed}\n{sysconfig.get_path('purelib')}\n")
    known = ROOT / ".mypy_cache"  # where `make types` left it, what mypy knows of torch is not read anew
    if known.is_dir():
        shutil.copytree(known, tmp_path / "known")
    (tmp_path / "right.py").write_text(SCRIPT)
    (tmp_path / "wrong.py").write_text(SCRIPT + "\n".join(ERRORS) + "\n")
    words = ["--python-executable", tmp_path / "venv" / "bin" / "python", "--cache-dir", tmp_path / "known"]
    words += ["--config-file", ROOT / "pyproject.toml", "--hide-error-context", "right.py", "wrong.py"]
    told = subprocess.run([sys.executable, "-m", "mypy", *words], cwd=tmp_path, capture_output=True, text=True).stdout
    first = len(SCRIPT.splitlines()) + 1
    found = re.findall(r"^(\w+)\.py:(\d+): error: .*\[([\w-]+)\]$", told, re.MULTILINE)
    assert found == [("wrong", str(first + i), kind) for i, kind in enumerate(ERRORS.values())], told
