"""The hash of the code behind a number, and whether a recorded run still speaks for today's code."""

from __future__ import annotations

import ast
import hashlib
import json
import sys
from collections.abc import Mapping
from functools import lru_cache

from vqabook.record import EVIDENCE, PACKAGE

REPRODUCED = "reproduced.json"  # beside a paper's records: code that was shown to give the numbers of older code


def is_current(record: Mapping) -> bool:
    """Whether today's code made the record, or was shown to make the same numbers (`vqabook reproduce`)."""
    current = code_of(record["recipe"])
    codes, path = {current}, EVIDENCE / record["recipe"]["paper"] / REPRODUCED
    for entry in reversed(json.loads(path.read_text())) if path.exists() else []:
        if entry["to"] in codes:
            codes |= set(entry["from"])
    return record["provenance"]["code"] in codes


def code_of(recipe: Mapping) -> str:
    """The fingerprint of a current record of `recipe`; the embedded world's generator counts for its own records."""
    embedded = recipe["data"]["dataset"] == "shapes"
    return fingerprint(recipe["paper"], without="" if embedded else f"{PACKAGE.name}.data.shapes")


@lru_cache
def fingerprint(paper: str, *, without: str = "") -> str:
    """Hash of the code that `vqabook.papers.<paper>.produce` reaches: in its file, and in our modules it imports.

    Comments and docstrings do not count, nor do claims, profiles and lists of recipes (a recipe names its record
    already), nor package `__init__`s, which only re-export, nor modules whose name starts with `without`.
    """
    hashes: dict[str, str] = {}
    todo = [f"{PACKAGE.name}.papers.{paper}"]
    while todo:
        name = todo.pop()
        path = PACKAGE.joinpath(*name.split(".")[1:]).with_suffix(".py")
        if name in hashes or not path.exists() or (without and name.startswith(without)):
            continue
        tree = ast.parse(path.read_text())
        body = tree.body[1:] if ast.get_docstring(tree) is not None else tree.body
        nodes = _reached(body, "produce") if not hashes else body
        hashes[name] = hashlib.sha256("".join(ast.dump(_essence(node), **_DUMP) for node in nodes).encode()).hexdigest()
        todo += [module for node in nodes for module in _our_imports(node)]
    return hashlib.sha256(json.dumps(hashes, sort_keys=True).encode()).hexdigest()[:12]


def _reached(body: list[ast.stmt], start: str) -> list[ast.stmt]:
    """The top-level statements that define `start` and, followed by name, what it uses."""
    defines = [
        {n.asname or n.name for n in node.names} if isinstance(node, ast.Import | ast.ImportFrom) else _defined(node)
        for node in body
    ]
    names, kept = {start}, set()
    while new := {i for i, defined in enumerate(defines) if defined & names} - kept:
        kept |= new
        names |= {n.id for i in new for n in ast.walk(body[i]) if isinstance(n, ast.Name)}
    return [node for i, node in enumerate(body) if i in kept]


def _defined(node: ast.stmt) -> set[str]:
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return {node.name}
    return {n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}


def _our_imports(statement: ast.stmt) -> list[str]:
    found = [
        n
        for n in ast.walk(statement)
        if isinstance(n, ast.ImportFrom) and (n.module or "").split(".")[0] == PACKAGE.name
    ]
    return [name for n in found for name in (n.module, *(f"{n.module}.{alias.name}" for alias in n.names))]


_DUMP = {"show_empty": True} if sys.version_info >= (3, 13) else {}  # as before 3.13: the same text on every Python


def _essence(statement: ast.stmt) -> ast.stmt:
    """The statement without its docstrings and without a field that only Python 3.12 and later have."""
    for node in ast.walk(statement):
        if not getattr(node, "type_params", True):
            del node.type_params
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
            node.body = node.body[1:] or [ast.Pass()]
    return statement
