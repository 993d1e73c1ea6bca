"""A table and code on a page: open, or folded under a line of words."""

from __future__ import annotations

import pandas as pd
import pytest

from vqabook.losses.longtail import balanced_softmax
from vqabook.report.show import show, show_source


@pytest.fixture
def shown(monkeypatch) -> list:
    """What is displayed, in order."""
    outputs: list = []
    monkeypatch.setattr("IPython.display.display", outputs.append)
    return outputs


def test_a_table_is_folded_under_its_words(shown):
    table = pd.DataFrame({"%": [1.0]}, index=["a <b>x</b> row"])
    show(table)
    show(table, folded="all rows < 2")
    plain, folded = (output.data for output in shown)
    assert folded == f"<details><summary>all rows &lt; 2</summary>{plain}</details>"
    assert "<b>x</b>" in plain


def test_code_is_coloured_where_it_is_folded(shown):
    show_source(balanced_softmax)
    show_source(balanced_softmax, folded="balanced softmax in the library")
    plain, folded = (output.data for output in shown)
    assert plain.startswith("```python\n") and "def balanced_softmax(" in plain
    assert folded.startswith("<details><summary>balanced softmax in the library</summary>")
    assert '<span class="nf">balanced_softmax</span>' in folded and 'class="highlight"' in folded
