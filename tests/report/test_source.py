"""Source on a page is as wide as its column, and runs when it is pasted."""

from __future__ import annotations

import ast
import builtins
import symtable
from pathlib import Path

import nbformat
import pytest

from vqabook.objectives.css import Css
from vqabook.report import source
from vqabook.report.source import WIDTH, source_of

ROOT = Path(__file__).parents[2]


def shown_by_notebooks() -> list:
    """What each `show_source(...)` of a notebook shows: the words of its call, and the imports before it."""
    calls = []
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        code = "\n".join(cell.source for cell in nbformat.read(path, 4).cells if cell.cell_type == "code")
        nodes = list(ast.walk(ast.parse(code)))
        imports = "\n".join(ast.unparse(node) for node in nodes if isinstance(node, ast.Import | ast.ImportFrom))
        for node in nodes:
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "show_source":
                words = ", ".join(map(ast.unparse, node.args))
                calls.append(pytest.param(imports, words, id=f"{path.stem}: {words}"))
    return calls


@pytest.mark.parametrize(("imports", "words"), shown_by_notebooks())
def test_what_a_notebook_shows_fits_and_runs_when_it_is_pasted(imports, words):
    namespace: dict = {}
    exec(imports, namespace)
    text = source_of(*eval(f"({words},)", namespace))
    assert max(map(len, text.splitlines())) <= WIDTH
    pasted = {"__name__": "pasted"}
    exec(compile(text, "pasted", "exec"), pasted)
    unbound = set(globals_of(symtable.symtable(text, "pasted", "exec"))) - pasted.keys() - set(dir(builtins))
    assert unbound == set()


def globals_of(table: symtable.SymbolTable) -> list[str]:
    """The names that functions and classes of a block take from around them."""
    inner = [name for child in table.get_children() for name in globals_of(child)]
    return inner + [symbol.get_name() for symbol in table.get_symbols() if symbol.is_global()]


def test_imports_are_those_of_the_module_and_its_own_names():
    text = source_of(Css.steps)
    assert text.startswith(
        "from __future__ import annotations\n\nfrom collections.abc import Iterator\n\nimport torch\n"
    )
    assert "from vqabook.objectives.css import _answers, remove_answers\n" in text


def test_long_text_is_broken_and_nothing_else_is_changed():
    long = "word " * 20
    code = (
        f'def f(x):  # {long}\n    """{long}\n\n    Short.\n    """\n    y = x  # fmt: skip\n'
        f'    return dict(\n        said=f"{long}{{x!r}} {long}",\n        name="{long}",\n    )'
    )
    narrow = source._narrow_comments(source._narrow_docstrings(code))
    lines = [part for line in narrow.splitlines() for part in source._split_string(line)]
    assert max(map(len, lines)) <= WIDTH and "    y = x" in lines and "    Short." in lines
    assert lines[0].startswith("# word") and "def f(x):" in lines[:3]
    before, after = ({}, {})
    for text, namespace in ((code, before), ("\n".join(lines), after)):
        exec(text, namespace)
    assert before["f"](3) == after["f"](3)
    assert before["f"].__doc__.split() == after["f"].__doc__.split()


def test_a_string_without_a_blank_stays_whole():
    line = f'    "{"x" * 90}",'
    assert source._split_string(line) == [line]
