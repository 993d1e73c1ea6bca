"""The library's source as a page shows it: with the imports that it needs, and at most 79 columns wide."""

import ast
import builtins
import inspect
import io
import re
import subprocess
import sys
import tokenize
from collections.abc import Callable, Iterator
from textwrap import dedent, wrap
from types import ModuleType

WIDTH = 79


def source_of(*objects: Callable) -> str:
    """The source of functions, methods or classes as one block that runs when it is pasted; methods stand alone."""
    texts = [dedent(inspect.getsource(one)).rstrip() for one in objects]
    nodes = [node for text in texts for node in ast.parse(text).body]
    shown = {node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    modules = [sys.modules[one.__module__] for one in objects]
    needed = (line for text, module in zip(texts, modules, strict=True) for line in _imports(text, module, shown))
    header = "from __future__ import annotations\n" + "\n".join(dict.fromkeys(needed))
    narrow = (_narrow_comments(_narrow_docstrings(text)) for text in texts)
    lines = _ruff("\n\n\n".join([header, *narrow])).splitlines()
    return "\n".join(part for line in lines for part in _split_string(line))


def _imports(text: str, module: ModuleType, shown: set[str]) -> Iterator[str]:
    """A line for each name that `text` takes from its module, as the module imports or defines it."""
    nodes = list(ast.walk(ast.parse(text)))
    names = [node for node in nodes if isinstance(node, ast.Name)]
    own = {node.id for node in names if isinstance(node.ctx, ast.Store)} | shown
    own |= {node.arg for node in nodes if isinstance(node, ast.arg)}
    lines = {}
    for node in ast.walk(ast.parse(inspect.getsource(module))):
        for alias in node.names if isinstance(node, ast.Import | ast.ImportFrom) else ():
            named = f" as {alias.asname}" if alias.asname else ""
            start = f"from {node.module} " if isinstance(node, ast.ImportFrom) else ""
            lines[alias.asname or alias.name] = f"{start}import {alias.name}{named}"
    for name in sorted({node.id for node in names} - own - set(dir(builtins))):
        if hasattr(module, name) or name in lines:
            yield lines.get(name, f"from {module.__name__} import {name}")


def _indent_of(line: str) -> str:
    return line[: len(line) - len(line.lstrip())]


def _narrow_docstrings(text: str) -> str:
    """`text` with the long paragraphs of its docstrings broken anew."""
    lines = text.splitlines()
    documented = (ast.FunctionDef, ast.ClassDef)
    nodes = [node for node in ast.walk(ast.parse(text)) if isinstance(node, documented) and ast.get_docstring(node)]
    for node in sorted(nodes, key=lambda node: -node.lineno):
        first, last = node.body[0].lineno - 1, node.body[0].end_lineno
        lines[first:last] = _break_paragraphs(lines[first:last])
    return "\n".join(lines)


def _break_paragraphs(lines: list[str]) -> list[str]:
    """Lines with each paragraph that is too wide broken anew; blank lines, lists' signs and the end start another."""
    paragraphs: list[list[str]] = []
    for line in lines:
        if not paragraphs or not paragraphs[-1][-1].strip() or re.match(r'\s*([-*] |"""$|$)', line):
            paragraphs.append([])
        paragraphs[-1].append(line)
    broken = []
    for paragraph in paragraphs:
        if max(map(len, paragraph)) > WIDTH:
            indent, rest = (_indent_of(line) for line in (paragraph[0], paragraph[-1]))
            paragraph = _fold(" ".join(map(str.strip, paragraph)), indent, rest)
        broken += paragraph
    return broken


def _fold(text: str, indent: str, rest: str) -> list[str]:
    return wrap(
        text, WIDTH, initial_indent=indent, subsequent_indent=rest, break_long_words=False, break_on_hyphens=False
    )


def _narrow_comments(text: str) -> str:
    """`text` with a comment behind a long line above it, long comments broken, and none of those for tools."""
    lines = text.splitlines()
    tokens = list(tokenize.generate_tokens(io.StringIO(text).readline))
    for token in reversed([token for token in tokens if token.type == tokenize.COMMENT]):
        row, column = token.start[0] - 1, token.start[1]
        code, comment = lines[row][:column].rstrip(), re.sub(r"#\s*(fmt:|noqa).*", "", token.string).strip()
        if len(lines[row]) > WIDTH or comment != token.string:
            indent = _indent_of(lines[row])
            above = _fold(comment, indent, f"{indent}# ") if comment else []
            lines[row : row + 1] = [*above, code] if code else above
    return "\n".join(lines)


def _ruff(text: str) -> str:
    """`text` in the usual form, its imports sorted."""
    ours = 'lint.isort.known-first-party = ["vqabook"]'
    sort = ["check", "--isolated", "--quiet", "--fix", "--exit-zero", "--select", "I", "--config", ours]
    for words in (sort, ["format", "--isolated", "--line-length", str(WIDTH)]):
        command = [sys.executable, "-m", "ruff", *words, "-"]
        text = subprocess.run(command, input=text, capture_output=True, check=True, encoding="utf-8").stdout
    return text.rstrip()


def _split_string(line: str) -> list[str]:
    """A line that is one long string, as several strings in a row, cut at blanks outside of braces."""
    whole = re.fullmatch(r'(\s*)((?:\w+=)?)(f?)"(.*)"(,?)', line)
    if len(line) <= WIDTH or not whole:
        return [line]
    indent, name, kind, text, comma = whole.groups()
    room = WIDTH - len(f'{indent}{name}{kind}""')
    blanks = [i + 1 for i, letter in enumerate(text[:room]) if letter == " " and _is_outside(text[:i])]
    if not blanks:
        return [line]
    rest = f'{indent}{kind}"{text[blanks[-1] :]}"{comma}'
    return [f'{indent}{name}{kind}"{text[: blanks[-1]]}"', *_split_string(rest)]


def _is_outside(text: str) -> bool:
    return text.count("{") == text.count("}")
