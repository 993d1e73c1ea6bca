"""Nothing measured is typed: the text of the book names claims and values, and the build fills in the numbers."""

from __future__ import annotations

import json
import re
from pathlib import Path

import nbformat
import pytest

from vqabook.page import teller_of
from vqabook.report import told

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("[0-9]*.ipynb"))
PROSE = sorted((ROOT / "book").glob("*.md"))
EXEMPT = {"printed", "setup"}  # tags: the paper's numbers, with their table; sizes and hyper-parameters
NOT_TEXT = re.compile(
    r"(?m:^# \d\d\.\d · )|```.*?```|``.*?``|`[^`]*`|\$\$.*?\$\$|\$[^$]*\$|\]\([^)]*\)|<[^>]*>|"
    r"\b(?:Secs?|Tables?|Figs?|Eqs?)\.?\s[\dIVX]+(?:\.\d+)*|\b95\s%\s(?:prediction\s)?intervals?|\bpoints?\s(?:to|at|up)\b",
    re.DOTALL,
)
TYPED = re.compile(r"(?<![\w.])\d+\.\d+|\d[\d,.]*\s?%|\[\s*[-−+]?\d[\d.]*\s*,\s*[-−+]?\d[^]]*\]|\bpoints?\b")


def find_typed(markdown: str) -> list[str]:
    """Numbers that look measured: decimals, percentages, intervals, points; not those of code, formulas or tables."""
    return TYPED.findall(NOT_TEXT.sub(" ", markdown))


@pytest.mark.parametrize(
    ("text", "typed"),
    [
        ("The 95 % interval; the 95 % prediction interval; an arrow points to it.", []),
        ("It gains 1.2 points.", ["1.2", "points"]),
        ("It gains 8 points [7, 9], or 20 %.", ["points", "[7, 9]", "20 %"]),
        ("a fraction of a point [−0.1, 2]", ["point", "[−0.1, 2]"]),
        ("It gains {told}`claim`, as Sec. 4.2, Table 2.1 and `0.5` say; $p < 0.01$, [in print](a-1.5.html).", []),
        ("ten of 11,727 questions, seeds 0 to 4, VQA v2, ```\n0.5\n```", []),
    ],
)
def test_what_counts_as_typed(text: str, typed: list[str]):
    assert find_typed(text) == typed


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_no_measured_number_is_typed_in_a_notebook(path: Path):
    typed = [
        (cell.id, found)
        for cell in nbformat.read(path, as_version=4).cells
        if cell.cell_type == "markdown" and not EXEMPT & set(cell.metadata.get("tags", []))
        for found in find_typed(cell.source)
    ]
    assert typed == [], "let the text tell it ({told}`claim`), or tag the cell as printed or setup"


@pytest.mark.parametrize("path", PROSE, ids=lambda path: path.stem)
def test_no_measured_number_is_typed_in_the_prose(path: Path):
    """A paragraph of settings or printed numbers has the line `% setup` or `% printed` above it, which is not shown."""
    paragraphs = path.read_text("utf-8").split("\n\n")
    free = tuple(f"% {tag}\n" for tag in EXEMPT)
    typed = [found for text in paragraphs if not text.lstrip().startswith(free) for found in find_typed(text)]
    assert typed == [], "let the text tell it ({told}`claim`), or put `% setup` or `% printed` above the paragraph"


@pytest.fixture(scope="module")
def teller() -> told.Teller:
    return teller_of()


@pytest.mark.parametrize("path", [*NOTEBOOKS, *PROSE], ids=lambda path: path.stem)
def test_every_sentence_has_the_evidence_that_it_needs(path: Path, teller: told.Teller):
    """What `make book` would fail with, without a notebook executed: unknown names, and verdicts that changed."""
    text = path.read_text("utf-8")
    if path.suffix == ".ipynb":
        code = "\n".join("".join(c["source"]) for c in json.loads(text)["cells"] if c["cell_type"] == "code")
        values = dict.fromkeys(re.findall(r"""measure\(\s*["']([\w-]+)["']""", code), "")
        assert values.keys() <= set(re.findall(r"\{told\}`([^`\s]+)`", text)), "measured, and told nowhere"
        left = {"cell_type": "code", "source": [], "outputs": [{"data": {told.MEASURED: values}}]}
        content = json.loads(text)
        text = json.dumps(content | {"cells": [left, *content["cells"]]})
    fill = told.fill_notebook if path.suffix == ".ipynb" else told.fill_text
    assert list(map(str, fill(text, teller, path.name)[1])) == []


def test_a_formula_has_a_number_only_where_a_text_cites_it():
    """The book's numbers beside a formula would be taken for the paper's."""
    texts = {path: path.read_text("utf-8") for path in (*NOTEBOOKS, *PROSE)}
    cited = set(re.findall(r"\{(?:eq|numref)\}`([\w-]+)`", "".join(texts.values())))
    numbered = {(path.stem, name) for path, text in texts.items() for name in re.findall(r"\$\$ \(([\w-]+)\)", text)}
    assert {(page, name) for page, name in numbered if name not in cited} <= {("05_mcl_kd", "eq-choice")}
