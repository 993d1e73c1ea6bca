"""The hash of the code behind a number, and whether a recorded run still speaks for today's code."""

from __future__ import annotations

import ast
import hashlib
import json
import sys
from collections.abc import Iterator, Mapping
from functools import lru_cache

from vqabook.record import EVIDENCE, PACKAGE

REPRODUCED = "reproduced.json"  # beside a paper's records: code that was shown to give the numbers of older code

ALL = "*"


def is_current(record: Mapping) -> bool:
    """Whether today's code made the record, or was shown to make the same numbers (`vqabook reproduce`)."""
    current = code_of(record["recipe"])
    codes, path = {current}, EVIDENCE / record["recipe"]["paper"] / REPRODUCED
    for entry in reversed(json.loads(path.read_text())) if path.exists() else []:
        if entry["to"] in codes:
            codes |= set(entry["from"])
    return record["provenance"]["code"] in codes


def shown_by(paper: str, code: str) -> str:
    """The newest code that was shown to give the numbers of `code`; itself if none was."""
    path = EVIDENCE / paper / REPRODUCED
    for entry in json.loads(path.read_text()) if path.exists() else []:
        code = entry["to"] if code in entry["from"] else code
    return code


def code_of(recipe: Mapping) -> str:
    """The fingerprint of a current record of `recipe`; the embedded world's generator counts for its own records."""
    embedded = recipe["data"]["dataset"] == "shapes"
    without = "" if embedded else f"{PACKAGE.name}.data.shapes"
    return fingerprint(recipe["paper"], part=recipe.get("part"), without=without)


@lru_cache
def fingerprint(paper: str, *, part: str | None = None, without: str = "") -> str:
    """Hash of the code that `vqabook.papers.<paper>.produce` reaches: in its file, and in our modules it imports.

    Of the room `papers` only what is used counts, name by name: no claims, profiles or lists of recipes (a recipe names
    its record already). Of other rooms whole modules do, without comments, docstrings, package `__init__`s, which only
    re-export, and modules whose name starts with `without`. A `part` adds what `<paper>_<part>.produce` reaches: its
    runs count it, no others.
    """
    papers = f"{PACKAGE.name}.papers."
    used: dict[str, set[str]] = {}  # module -> names used of it; ALL of a module outside `papers`
    hashes: dict[str, str] = {}
    todo = [(papers + name, "produce") for name in (paper, *([f"{paper}_{part}"] if part else []))]
    while todo:
        module, name = todo.pop()
        path = PACKAGE.joinpath(*module.split(".")[1:]).with_suffix(".py")
        known = used.setdefault(module, set())
        if name in known or not path.exists() or (without and module.startswith(without)):
            continue
        known.add(name)
        tree = ast.parse(path.read_text())
        body = tree.body[1:] if ast.get_docstring(tree) is not None else tree.body
        nodes = body if ALL in known else _reached(body, known)
        todo += [
            found for node in nodes for found in _our_imports(node, None if ALL in known else _names(nodes), papers)
        ]
        text = "".join(ast.dump(_essence(node), **_DUMP) for node in nodes if not _imports_ours(node))
        hashes[module] = hashlib.sha256(text.encode()).hexdigest()
    return hashlib.sha256(json.dumps(hashes, sort_keys=True).encode()).hexdigest()[:12]


def _reached(body: list[ast.stmt], start: set[str]) -> list[ast.stmt]:
    """The top-level statements that define the names in `start` and, followed by name, what these use."""
    defines = [
        {n.asname or n.name for n in node.names} if isinstance(node, ast.Import | ast.ImportFrom) else _defined(node)
        for node in body
    ]
    names, kept = set(start), set()
    while new := {i for i, defined in enumerate(defines) if defined & names} - kept:
        kept |= new
        names |= _names([body[i] for i in new])
    return [node for i, node in enumerate(body) if i in kept]


def _defined(node: ast.stmt) -> set[str]:
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return {node.name}
    return {n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}


def _imports_ours(node: ast.AST) -> bool:
    return isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == PACKAGE.name


def _names(nodes: list[ast.stmt]) -> set[str]:
    return {n.id for node in nodes for n in ast.walk(node) if isinstance(n, ast.Name)}


def _our_imports(statement: ast.stmt, names: set[str] | None, papers: str) -> Iterator[tuple[str, str]]:
    """(module, name or ALL) of ours that a statement imports, and that `names`, if not None, has."""
    for node in filter(_imports_ours, ast.walk(statement)):
        for alias in node.names:
            if names is None or (alias.asname or alias.name) in names:
                yield node.module, alias.name if node.module.startswith(papers) else ALL
                yield f"{node.module}.{alias.name}", ALL


_DUMP = {"show_empty": True} if sys.version_info >= (3, 13) else {}  # as before 3.13: the same text on every Python


def _essence(statement: ast.stmt) -> ast.stmt:
    """The statement without its docstrings and without a field that only Python 3.12 and later have."""
    for node in ast.walk(statement):
        if not getattr(node, "type_params", True):
            del node.type_params
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
            node.body = node.body[1:] or [ast.Pass()]
    return statement
