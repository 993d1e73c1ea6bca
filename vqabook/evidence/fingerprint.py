"""One hash of the code behind local numbers: who edits a loss sees them made again. Evidence does not ask for it."""

import ast
import hashlib
from functools import lru_cache

from vqabook.evidence.record import PACKAGE

NUMERIC = (
    "core.py", "splits.py", "data", "detection", "features", "losses", "metrics", "models", "objectives", "papers",
    "producer.py", "surrogates", "training", "world",
)  # fmt: skip
NO_NUMBERS = ("__init__", "claims", "printed")  # how the names of files end that move no number


@lru_cache
def code_hash() -> str:
    """Of every numeric room, without comments and docstrings: coarse, since local runs are minutes."""
    files = [path for room in NUMERIC for path in sorted((PACKAGE / room).rglob("*.py")) or [PACKAGE / room]]
    dumps = [_essence(path.read_text("utf-8")) for path in files if not path.stem.endswith(NO_NUMBERS)]
    return hashlib.sha256("".join(dumps).encode()).hexdigest()[:12]


def _essence(source: str) -> str:
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
            node.body = node.body[1:]
        if not getattr(node, "type_params", True):  # a field that Python has from 3.12 on
            del vars(node)["type_params"]
    return ast.dump(tree)
