"""The rooms and what each may import; names, sizes and docstrings of the house style."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "vqabook"
FILES = sorted(PACKAGE.rglob("*.py"))
NAMES = [path.relative_to(PACKAGE).as_posix() for path in FILES]
ROOMS = {path.relative_to(PACKAGE).parts[0].removesuffix(".py") for path in FILES} - {"__init__"}
MAY_IMPORT = {  # room -> rooms
    "core": set(),
    "losses": set(),
    "metrics": set(),
    "record": set(),
    "fingerprint": {"record"},
    "knobs": set(),
    "claims": set(),
    "figures": set(),
    "drawings": {"figures"},
    "data": {"core", "metrics"},
    "models": {"core"},
    "objectives": {"core", "losses"},
    "whole": set(),
    "schedule": set(),
    "fit": {"core", "objectives", "schedule", "whole"},
    "surrogates": {"core", "whole"},
    "teachers": {"core"},
    "best": {"whole"},
    "detection": {"core", "data", "objectives"},
    "evaluate": {"core", "data", "fit", "losses", "metrics"},
    "report": {"record"},
    "tables": {"report"},
    "ledger": {"fingerprint", "report"},
    "papers": ROOMS - {"report", "tables", "ledger", "figures", "drawings", "catalogue", "runs", "cli"},
    "catalogue": {"data", "drawings", "figures", "knobs", "record"},
    "runs": {"fingerprint", "papers", "record"},
    "cli": ROOMS,
}
LIBRARY = ("core", "data", "models", "losses", "objectives", "schedule", "whole", "fit", "metrics", "record")
DEPENDENCIES = ("torch", "numpy", "h5py", "tqdm", "filelock")
each_file = pytest.mark.parametrize("path", FILES, ids=NAMES)


def module_of(path: Path) -> list[str]:
    """`vqabook/data/vqa.py` -> vqabook, data, vqa; a package's `__init__` is the package."""
    parts = list(path.relative_to(ROOT).with_suffix("").parts)
    return parts[:-1] if parts[-1] == "__init__" else parts


def our_imports(path: Path) -> set[str]:
    """Dotted names of ours that a file imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name} imports relatively"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {name for name in found if name.split(".")[0] == "vqabook"}


def test_every_room_is_in_the_table():
    assert MAY_IMPORT.keys() == ROOMS


@each_file
def test_imports_keep_to_the_table(path):
    room = module_of(path)[1:2]
    for name in our_imports(path):
        other = name.split(".")[1]
        assert other in ROOMS, f"{name} is a re-export of the package"
        assert room == [other] or other in MAY_IMPORT[room[0]], f"{room[0]} may not import {name}"


@pytest.mark.parametrize("path", sorted((PACKAGE / "papers").glob("[!_]*.py")), ids=lambda path: path.stem)
def test_a_paper_imports_no_other_paper(path):
    stems = {other.stem for other in (PACKAGE / "papers").glob("[!_]*.py")}
    own = min(
        (stem for stem in stems if path.stem.startswith(stem)), key=len
    )  # loss_rescaling of loss_rescaling_claims
    papers = {name.split(".")[2] for name in our_imports(path) if name.startswith("vqabook.papers.")} & stems
    assert {paper for paper in papers if not paper.startswith(own)} == set()


def test_the_library_needs_its_dependencies_alone():
    script = f"""
import importlib, importlib.abc, pkgutil, sys
for name in {DEPENDENCIES}:
    importlib.import_module(name)  # with all that they need themselves
known = {{name.split(".")[0] for name in sys.modules}} | sys.stdlib_module_names | {{"vqabook"}}
class Blocked(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] not in known:
            raise ModuleNotFoundError(f"{{name}} is blocked")
sys.meta_path.insert(0, Blocked())
try:
    import pandas
except ModuleNotFoundError:
    pass
else:
    sys.exit("the block does not hold")
for room in {LIBRARY}:
    module = importlib.import_module(f"vqabook.{{room}}")
    for part in pkgutil.iter_modules(getattr(module, "__path__", [])):
        importlib.import_module(f"vqabook.{{room}}.{{part.name}}")
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_record_and_report_cost_no_torch():
    light = ("record", "report", "tables", "ledger", "figures", "claims", "knobs")
    rooms = ", ".join(f"vqabook.{room}" for room in light)
    script = f"import sys, {rooms}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], cwd=ROOT).returncode == 0


def test_nothing_is_nobodys():
    nobodys = {"utils", "util", "helpers", "helper", "common", "misc"}
    assert not nobodys & {part.removesuffix(".py") for name in NAMES for part in name.split("/")}


@each_file
def test_files_fit_in_the_head(path):
    lines = path.read_text().splitlines()
    assert len(lines) <= 250
    assert max(map(len, lines), default=0) <= 120


@each_file
def test_functions_fit_on_a_screen(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef):
            assert node.end_lineno - node.lineno < 60, node.name


@each_file
def test_no_device_is_presumed(path):
    assert ".cuda()" not in path.read_text()


@each_file
def test_public_things_have_docstrings(path):
    tree = ast.parse(path.read_text())
    if path.stat().st_size:
        assert ast.get_docstring(tree), "the module"
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            assert ast.get_docstring(node), node.name
