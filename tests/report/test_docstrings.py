"""The reference page: a line a name, and what unfolds below it."""

from __future__ import annotations

import pytest
from docutils import nodes
from docutils.core import publish_doctree
from docutils.utils import new_document
from sphinx import addnodes

from vqabook.report import docstrings


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("Meaning. Eq. 3 says so.", "Meaning."),
        ("As in Eq. (4) and by Ren et al. Then more.", "As in Eq. (4) and by Ren et al. Then more."),
        ("μ, Sec. 3.1. `weight`: its factor.", "μ, Sec. 3.1."),
        ("A pair (one; two), then; the rest. And more.", "A pair (one; two), then."),
        ("One sentence\nover two lines.\n\nAnother paragraph. And more.", "One sentence\nover two lines."),
    ],
)
def test_a_first_sentence_ends_where_it_ends(text, first):
    assert docstrings.split_first(text).partition("\n\n")[0] == first


def define(kind: str, *parameters: tuple[str, str | None]) -> addnodes.desc:
    """What autodoc makes of a function: `parameters` are names with a default or None."""
    listed = addnodes.desc_parameterlist()
    for name, default in parameters:
        listed += addnodes.desc_parameter("", "", addnodes.desc_sig_name("", name))
        if default:
            listed[-1] += nodes.inline("", default, classes=["default_value"])
    signature = addnodes.desc_signature("", "", addnodes.desc_name("", "loss"), listed, ids=["losses.loss"])
    content = addnodes.desc_content("", nodes.paragraph("", "What it is."), nodes.paragraph("", "The rest."))
    return addnodes.desc("", signature, content, objtype=kind)


def test_a_call_is_told_by_what_it_must_be_given():
    given = [("logits", None), ("target", None), ("*", None), ("gamma", None), ("reduction", "none")]
    assert docstrings.tell_call(define("function", *given)[0]) == "loss(logits, target, *, gamma)"
    assert docstrings.tell_call(define("function", *given[:3], given[-1])[0]) == "loss(logits, target)"
    assert docstrings.tell_call(define("class", *given)[0]) == "loss"


def test_a_line_holds_the_first_sentence_and_folds_the_place_with_the_rest():
    document = new_document("page")
    inner, outer = define("method"), define("class")
    outer[-1] += inner
    document += outer
    docstrings.fold(None, document)
    line, rest = document.astext().split("</summary>")
    assert " ".join(line.split()) == '<details class="reference"><summary> loss What it is.'
    assert rest.index("The rest.") < rest.index("What it is.") < rest.index("</details>")  # the method's own, in full
    assert [node["ids"] for node in document.findall(addnodes.desc_signature)] == [["losses.loss"]] * 2


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("the *mean over the batch* is Σ (1 - b)", "the mean over the batch is Σ (1 − b)"),
        ("-log D(μ) - log(1 - D(α)), in [-1, 1]", "−log D(μ) − log(1 − D(α)), in [−1, 1]"),
        ("n_j^(-1/4), `x * -1 - y`, Eqs. 44-46", "n_j^(−1/4), x * -1 - y, Eqs. 44-46"),
        ("Float, *, cross-entropy of 2 * 3 * x", "Float, *, cross-entropy of 2 * 3 * x"),
    ],
)
def test_a_docstring_shows_stress_and_minus_as_they_are_meant(written, shown):
    lines = [written]
    docstrings.make_plain(None, "function", "loss", None, None, lines)
    assert publish_doctree("\n".join(lines), settings_overrides={"report_level": 5}).astext() == shown
