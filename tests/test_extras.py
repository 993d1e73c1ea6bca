"""A package that is missing is told with the extra that brings it."""

from __future__ import annotations

import subprocess
import sys

import pytest

from vqabook.extras import find_extras, told_if_missing


@pytest.mark.parametrize(
    ("package", "extras"),
    [
        ("typer", {"book"}),
        ("pydantic", {"book", "data"}),
        ("pot", {"data"}),
        ("pyyaml", {"book"}),
        ("torchvision", {"detection"}),
        ("sphinx", set()),  # sphinx-book-theme is another package
        ("torch", set()),  # no extra's: the library needs it
    ],
)
def test_the_extras_that_bring_a_package(package, extras):
    assert set(find_extras(package)) >= extras and (extras or not find_extras(package))


def test_a_module_may_have_another_name_than_its_package():
    said = r"this needs the package pillow, which is not installed: .*'vqabook\[data\]'"
    with pytest.raises(RuntimeError, match=said), told_if_missing():
        raise ModuleNotFoundError("no PIL", name="PIL.Image")
    said = "this needs the package no_such, which is not installed: pip install 'no_such'"
    with pytest.raises(RuntimeError, match=said), told_if_missing():
        import no_such  # noqa: F401


def test_a_package_that_does_not_load_says_why():
    said = r"the package scikit-learn, which does not load \(no libgomp\): pip install 'vqabook\[data\]'"
    with pytest.raises(RuntimeError, match=said), told_if_missing():
        raise ImportError("no libgomp", name="sklearn")


def test_a_module_of_ours_that_is_not_there_is_our_fault():
    with pytest.raises(ModuleNotFoundError), told_if_missing():
        import vqabook.no_such  # noqa: F401


@pytest.mark.parametrize(
    ("missing", "words"),
    [("typer", ["data", "list"]), ("pydantic", ["data", "list"]), ("pandas", ["ledger", "--out", "x"])],
)
def test_the_command_line_says_so_in_one_sentence(missing, words, tmp_path):
    script = (
        f"import sys; sys.modules[{missing!r}] = None; sys.argv[1:] = {words}; from vqabook.cli import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    assert done.stderr.startswith(f"vqabook: this needs the package {missing}, which is not installed: pip install 'vq")


def test_a_paper_s_recipes_say_so_too(tmp_path):
    script = "import sys; sys.modules['pydantic'] = None; from vqabook.papers import paper_of; paper_of('mcl_kd')"
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True)
    assert "RuntimeError: this needs the package pydantic, which is not installed: pip install 'vqabook[" in done.stderr
