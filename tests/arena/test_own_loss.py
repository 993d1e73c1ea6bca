"""A loss of one's own is a row like any other; one that is none is told before anything is trained."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from vqabook.arena.own_loss import load

IMPORTS = "import torch\nfrom torch.nn import functional as F\nfrom vqabook.objectives.base import Objective\n"
FUNCTION = "def mine(logits, target, counts):\n    return "
CE = "F.cross_entropy(logits, target, reduction='none')"


@pytest.fixture
def write(tmp_path):
    def file(body: str, name: str = "mine.py") -> str:
        (tmp_path / name).write_text(IMPORTS + body)
        return f"{tmp_path / name}:mine"

    return file


def test_a_function_a_class_and_an_instance_are_losses(write):
    logits, target, counts = torch.randn(6, 3), torch.arange(6) % 3, torch.tensor([9, 5, 2])
    objective = (
        "class Rule(Objective):\n"
        "    def __init__(self, counts=None):\n        super().__init__()\n"
        "    def steps(self, model, batch, progress):\n        yield self.cost(model(*batch.inputs), batch.target)\n"
        f"    def cost(self, logits, target, progress=0.0):\n        return {CE}\n"
    )
    for body in (FUNCTION + CE, objective + "mine = Rule", objective + "mine = Rule()"):
        loss = load(write(body))
        assert loss.row == "mine.py:mine"
        got = loss.rule(counts).cost(logits, target, 0.5)
        torch.testing.assert_close(got, F.cross_entropy(logits, target, reduction="none"))


def test_an_edited_file_is_another_loss_and_may_import_its_neighbours(write, tmp_path):
    (tmp_path / "beside.py").write_text("POWER = 1.0\n")
    first = load(write("import beside\n" + FUNCTION + CE + " * beside.POWER"))
    assert load(write(FUNCTION + CE)).digest != first.digest


BAD = {
    "a mean": (
        FUNCTION + CE + ".mean()",
        r"not reduced, the arena averages: .*mine.py:mine gave a scalar in place of \[8\]; r",
    ),
    "a matrix": (FUNCTION + "logits", r"a value for each example: .*mine gave \[8, 4\] for \[8\]; return one value"),
    "a number": (FUNCTION + "1.0", r"a loss is a tensor \[b\]: .* gave float; return one value an example"),
    "nan": (FUNCTION + CE + " * float('nan')", "a loss is finite: .* gave nan"),
    "no gradient": (FUNCTION + CE + ".detach()", "a loss has a gradient: .* gave one without; .*detach"),
    "another's gradient": (FUNCTION + "torch.ones(8).requires_grad_() * 1", "none of .*mine reaches the logits"),
    "an endless gradient": (FUNCTION + "(logits * 0).sum(1).sqrt() + " + CE, "has a finite gradient: .* is not"),
    "an error": (FUNCTION + "logits[:, 99]", r"takes logits \[8, 4\], target \[8\].*that fails \(IndexError"),
    "no import": ("import nosuchthing\n", "mine.py is imported: that fails .ModuleNotFoundError.*; mend it"),
    "an exit": ("raise SystemExit(3)\n", "mine.py is imported: that fails .SystemExit"),
    "no syntax": ("def mine(:\n", "mine.py is imported: that fails .SyntaxError"),
    "another name": ("yours = 1\n", "has no 'mine'; check the name"),
    "no function": ("mine = 3\n", "a loss of your own is FILE.py:NAME.*mine is int; name such a one"),
    "no cost": (
        "class mine(Objective):\n    def steps(self, model, batch, progress):\n        yield 0\n",
        r"an objective of the arena has cost\(logits, target, progress\)",
    ),
}


@pytest.mark.parametrize("kind", BAD)
def test_what_is_no_loss_is_one_sentence(kind, write):
    body, sentence = BAD[kind]
    with pytest.raises(ValueError, match=sentence) as told:
        load(write(body))
    assert "\n" not in str(told.value)


def test_the_word_is_a_file_and_a_name(tmp_path):
    for word in ("mine", "mine.txt:loss", "mine.py:", "mine.py:a b"):
        with pytest.raises(ValueError, match="a loss of your own is FILE.py:NAME.* got"):
            load(word)
    with pytest.raises(FileNotFoundError, match="is not a file; check the path"):
        load(f"{Path(tmp_path)}/mine.py:loss")
