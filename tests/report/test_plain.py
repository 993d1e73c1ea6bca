"""Names and numbers as a reader knows them."""

from __future__ import annotations

import re

import pytest

from vqabook.papers import OURS, PAPERS, paper_of
from vqabook.report.claims import HAS
from vqabook.report.plain import SETS, clear, minus, minus_cells, name_run, name_set, sign


@pytest.mark.parametrize(
    ("variant", "name"),
    [
        ("san mcl_kd k2 @ settled", "SAN MCL-KD (k = 2), settled"),
        ("resnet ie + fs @ as long", "ResNet independent ensemble + feature sharing, trained as long"),
        ("lxmert bce baseline", "LXMERT BCE baseline"),
        ("vqa image mse @ own maps", "VQA image MSE, own maps"),
        ("pool modal", "POOL commonest answer"),
    ],
)
def test_a_run_is_named_in_words(variant, name):
    assert name_run(variant) == name


@pytest.mark.parametrize("name", (*PAPERS, *OURS))
def test_no_run_of_a_claim_is_named_as_code_names_it(name):
    variants = {side.where["variant"] for claim in paper_of(name).claims for side in claim.sides()}
    assert [variant for variant in variants if re.search(r"[_@]|\bk\d", name_run(variant))] == []


def test_every_set_that_can_lack_something_has_a_name():
    assert SETS.keys() >= HAS.keys() - {"digits"}
    assert name_set("a folder of mine") == "a folder of mine"


def test_what_rounds_to_zero_has_no_sign():
    assert [sign(x) for x in (0.004, -0.004, -0.0, -0.006, 1.0)] == ["0.00", "0.00", "0.00", "−0.01", "+1.00"]
    assert [clear(x, 1) for x in (-0.04, 0.04, -1.0)] == ["0.0", "0.0", "−1.0"]


def test_a_negative_number_has_a_minus_and_a_name_its_hyphen():
    for text in ("2026-11-29", "CIFAR-10", "0.5-0.9", "seed 1-9f3a", "-p seeds", "ResNet-18, one in 2-3"):
        assert minus(text) == text
    assert minus("-0.5 [-1.0, -.2] (-3)") == "−0.5 [−1.0, −.2] (−3)"
    cells = '<td id="a-1" style="x: -2">-0.5</td><td><code>-1 <b>-2</b></code> -3</td>'
    assert minus_cells(cells) == '<td id="a-1" style="x: -2">−0.5</td><td><code>-1 <b>-2</b></code> −3</td>'
