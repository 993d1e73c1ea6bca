"""One hash of the code behind local numbers: who edits a loss sees them made again. Evidence does not ask for it."""

import ast
import hashlib
import sys
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

from vqabook.evidence.record import PACKAGE
from vqabook.files import cache_folder, written_whole

NUMERIC = (
    "arena", "core.py", "splits.py", "data", "detection", "features", "losses", "metrics", "models", "objectives",
    "papers", "producer.py", "surrogates", "training", "world",
)  # fmt: skip
NO_NUMBERS = ("__init__", "claims", "printed")  # how the names of files end that move no number


@lru_cache
def code_hash() -> str:
    """Of every numeric room, without comments and docstrings: coarse, since local runs are minutes.

    To read the code so takes a second, and each process asks: the cache folder keeps the hash of these very bytes.
    """
    files = [path for room in NUMERIC for path in sorted((PACKAGE / room).rglob("*.py")) or [PACKAGE / room]]
    sources = [path.read_bytes() for path in files if not path.stem.endswith(NO_NUMBERS)]
    own = [Path(__file__).read_bytes(), sys.version.encode(), *sources]
    key = hashlib.sha256(b"\0".join(own)).hexdigest()
    with suppress(OSError, ValueError):  # no cache folder, or nothing of ours in it
        kept, known = (cache_folder() / "code_hash").read_text("utf-8").split()
        if kept == key:
            return known
    told = hashlib.sha256("".join(map(_essence, sources)).encode()).hexdigest()[:12]
    with suppress(OSError), written_whole(cache_folder() / "code_hash", "") as partial:
        partial.write_text(f"{key} {told}", "utf-8")
    return told


def _essence(source: bytes) -> str:
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
            node.body = node.body[1:]
        if not getattr(node, "type_params", True):  # a field that Python has from 3.12 on
            del vars(node)["type_params"]
    return ast.dump(tree)
