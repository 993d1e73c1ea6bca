"""A Sphinx extension for the reference page: docstrings as they are written, each folded under a line that names it."""

import re
from typing import Any

from docutils import nodes
from sphinx import addnodes

# A sentence's end: a stop before a capital, a name or a bracket, but not that of "Eq. (3)" or "et al. `x`".
_END = re.compile(r"(?<!\bEq)(?<!\bEqs)(?<!\bSec)(?<!\bal)(?<!\be\.g)(?<!\bi\.e)\.\s+(?=[A-Z`\"(\[])")

# What stands before the first semicolon that is in no brackets, and the letter that then begins a sentence.
_CLAUSE = re.compile(r"^([^;()]*(?:\([^()]*\)[^;()]*)*);\s+([a-z](?=[a-z]))?")

# Of formulas: between blanks, or before a number or a name that nothing precedes.
_MINUS = re.compile(r"(?<= )-(?= )|(?<![\w\-)\]}'\"])-(?=[\w.Σ(‖½])")


def setup(app: Any) -> dict[str, bool]:
    """What Sphinx calls."""
    app.connect("autodoc-process-docstring", make_plain)
    app.connect("doctree-read", fold)
    return {"parallel_read_safe": True}


def make_plain(app: Any, what: str, name: str, thing: object, options: object, lines: list[str]) -> None:
    """Turn a docstring into reStructuredText that shows it as written: `names` are code, other signs are themselves.

    *Stress* is shown, and a hyphen that stands for a minus becomes one. The first sentence becomes a paragraph of its
    own.
    """
    parts = re.split(r"(`[^`]+`|(?<![\w*])\*[^\W\d_][^*`]*\*(?![\w*]))", split_first("\n".join(lines)))
    lines[:] = "".join(map(_mark_up, parts)).split("\n")


def _mark_up(part: str) -> str:
    if part[:1] == "`":
        return rf"\ `{part}`\ "
    if part[:1] == "*" and part[-1:] == "*" and len(part) > 2:
        return rf"\ *{_escape(part[1:-1])}*\ "
    return _escape(_MINUS.sub("−", part))


def _escape(text: str) -> str:
    return re.sub(r"([*_|\\])", r"\\\1", text)


def split_first(text: str) -> str:
    """The text with a blank line behind its first sentence, or behind what that says before a semicolon."""
    first, blank, rest = text.partition("\n\n")
    sentence, stop, more = _END.sub(".\n\n", first, count=1).partition("\n\n")
    sentence = _CLAUSE.sub(lambda clause: f"{clause[1]}.\n\n{(clause[2] or '').upper()}", sentence, count=1)
    return sentence + stop + more + blank + rest


def fold(app: Any, doctree: nodes.document) -> None:
    """Fold every function and class of a page: a line with its first sentence unfolds the signature and the rest.

    A link to its name opens it, since the name's place is inside.
    """
    for entry in list(doctree.findall(addnodes.desc)):
        content = entry[-1]
        if isinstance(entry.parent, addnodes.desc_content):  # a method stays inside its class
            continue
        line = [nodes.literal("", tell_call(entry[0])), nodes.Text(" ")]
        if content.children and isinstance(content[0], nodes.paragraph):
            line += content[0].children
            content.pop(0)
        place = entry.parent.index(entry)
        entry.parent[place:place] = [_html('<details class="reference"><summary>'), *line, _html("</summary>")]
        entry.parent.insert(entry.parent.index(entry) + 1, _html("</details>"))


def tell_call(signature: addnodes.desc_signature) -> str:
    """The name with what a call must give: `focal(logits, target, *, gamma)`; a class by its name alone."""
    name = signature.next_node(addnodes.desc_name).astext()
    if signature.parent["objtype"] == "class":
        return name
    given = []
    for parameter in signature.findall(addnodes.desc_parameter):
        if not any("default_value" in part["classes"] for part in parameter.findall(nodes.inline)):
            given.append(re.split("[:=]", parameter.astext())[0].strip())
    return f"{name}({', '.join(given[:-1] if given[-1:] == ['*'] else given)})"


def _html(text: str) -> nodes.raw:
    return nodes.raw("", text, format="html")
