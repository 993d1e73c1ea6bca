"""The hash of the code behind a number: what changes it, and when recorded evidence still speaks for the code."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from vqabook.evidence import fingerprint as module
from vqabook.evidence.fingerprint import REPRODUCED, code_of, fingerprint, is_current, shown_by
from vqabook.evidence.recheck import difference, standing_for

PAPER = '''
"""A paper."""
from pack.losses.soft import loss
from pack.papers.paper_claims import CLAIMS

EPOCHS = 3
UNUSED = 1


def recipes():
    """All runs."""
    return [UNUSED]


def produce(recipe):
    """One run."""
    return train(recipe)  # really


def train(recipe):
    return loss(recipe) * EPOCHS
'''
PART = """
from pack.core import ONE
from pack.papers.paper import train
from pack.papers.paper_setting import KNOBS, UNREAD


def produce(recipe):
    return train(recipe) + ONE + KNOBS


def recipes():
    return UNREAD
"""
FILES = {
    "papers/paper.py": PAPER,
    "papers/paper_part.py": PART,
    "papers/paper_setting.py": "KNOBS = 1\nUNREAD = 2\n",
    "papers/paper_claims.py": "CLAIMS = 1\n",
    "losses/soft.py": '"""A loss."""\nfrom pack import core\n\n\ndef loss(x):\n    """Its meaning."""\n    return x\n',
    "core.py": "ONE = 1\n",
    "other.py": "TWO = 2\n",
}


@pytest.fixture
def pack(tmp_path, monkeypatch) -> Path:
    """A package of a paper, a loss that it reaches, and what they import."""
    for name, text in FILES.items():
        path = tmp_path / "pack" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.setattr(module, "PACKAGE", tmp_path / "pack")
    return tmp_path / "pack"


def fresh(paper: str, **options: str) -> str:
    """The fingerprint of the files as they are now."""
    fingerprint.cache_clear()
    return fingerprint(paper, **options)


def edit(path: Path, old: str, new: str) -> None:
    """Replace text that stands there once."""
    text = path.read_text()
    assert text.count(old) == 1
    path.write_text(text.replace(old, new))


CHANGES = {
    "a reached function": ("papers/paper.py", "return loss(recipe) * EPOCHS", "return loss(recipe) + EPOCHS"),
    "a reached constant": ("papers/paper.py", "EPOCHS = 3", "EPOCHS = 4"),
    "an imported module": ("losses/soft.py", "return x", "return -x"),
    "a module that this one imports": ("core.py", "ONE = 1", "ONE = 2"),
}
NO_CHANGES = {
    "a comment": ("papers/paper.py", "# really", "# indeed"),
    "a function's docstring": ("papers/paper.py", "One run.", "A run."),
    "an imported function's docstring": ("losses/soft.py", "Its meaning.", "What it means."),
    "an imported module's docstring": ("losses/soft.py", '"""A loss."""', '"""Losses."""\n'),
    "claims": ("papers/paper_claims.py", "CLAIMS = 1", "CLAIMS = 2"),
    "the list of recipes": ("papers/paper.py", "return [UNUSED]", "return [UNUSED, UNUSED]"),
    "what only the list of recipes uses": ("papers/paper.py", "UNUSED = 1", "UNUSED = 2"),
    "a module that is not imported": ("other.py", "TWO = 2", "TWO = 3"),
    "line breaks": ("papers/paper.py", "EPOCHS = 3", "EPOCHS = (\n    3\n)"),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_fingerprint_changes_with(change, pack):
    before = fresh("paper")
    edit(pack / change[0], *change[1:])
    assert fresh("paper") != before


@pytest.mark.parametrize("change", NO_CHANGES.values(), ids=NO_CHANGES)
def test_fingerprint_does_not_change_with(change, pack):
    before = fresh("paper")
    edit(pack / change[0], *change[1:])
    assert fresh("paper") == before


PART_CHANGES = {  # change -> what it moves: the paper's own runs, the part's
    "the part's own code": (("papers/paper_part.py", "+ ONE", "- ONE"), False, True),
    "what both use": (("papers/paper.py", "return loss(recipe) * EPOCHS", "return loss(recipe) + EPOCHS"), True, True),
    "what the part reads of a setting": (("papers/paper_setting.py", "KNOBS = 1", "KNOBS = 2"), False, True),
    "what it does not read": (("papers/paper_setting.py", "UNREAD = 2", "UNREAD = 3"), False, False),
    "the part's list of recipes": (("papers/paper_part.py", "return UNREAD", "return [UNREAD]"), False, False),
    "a name more imported": (("papers/paper_part.py", "import train", "import UNUSED, train"), False, False),
}


@pytest.mark.parametrize("change", PART_CHANGES.values(), ids=PART_CHANGES)
def test_a_part_counts_for_its_own_runs_alone(change, pack):
    edited, *moved = change
    before = [fresh("paper"), fresh("paper", part="part")]
    assert before[0] != before[1]
    edit(pack / edited[0], *edited[1:])
    assert [fresh("paper") != before[0], fresh("paper", part="part") != before[1]] == moved


@pytest.fixture
def library(tmp_path, monkeypatch) -> Iterator[Path]:
    """A copy of our own package, to edit."""
    copy = shutil.copytree(module.PACKAGE, tmp_path / "vqabook", ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(module, "PACKAGE", copy)
    yield copy
    fingerprint.cache_clear()


def test_a_place_is_no_part_of_the_fingerprint(library, monkeypatch):
    copied = fresh("loss_rescaling")
    monkeypatch.undo()
    assert fresh("loss_rescaling") == copied


def test_the_fingerprint_follows_the_paper_to_its_loss(library):
    before = fresh("loss_rescaling")
    edit(library / "losses" / "rescale.py", "(n.sum(1, keepdim=True) - n)", "(n.sum(1, keepdim=True) + n)")
    assert fresh("loss_rescaling") != before


def test_the_embedded_worlds_generator_counts_for_its_own_records_only(library):
    recipes = [{"paper": "loss_rescaling", "data": {"dataset": name}} for name in ("shapes", "vqacp_v2")]
    assert code_of(recipes[1] | {"part": "backbones"}) != code_of(recipes[1]) != code_of(recipes[0])
    before = [code_of(recipe) for recipe in recipes]
    edit(library / "data" / "shapes.py", "rng = np.random.default_rng(world.seed)", "rng = np.random.default_rng(7)")
    fingerprint.cache_clear()
    after = [code_of(recipe) for recipe in recipes]
    assert (before[0] == after[0], before[1] == after[1]) == (False, True)


@pytest.mark.parametrize(
    ("code", "entries", "current"),
    [
        ("now", [], True),
        ("old", [], False),
        ("old", [{"from": ["old"], "to": "now"}], True),
        ("oldest", [{"from": ["oldest"], "to": "old"}, {"from": ["old"], "to": "now"}], True),
        ("old", [{"from": ["old"], "to": "since gone"}], False),
        ("now", [{"from": ["old"], "to": "since gone"}], True),
    ],
)
def test_a_record_is_current_if_its_code_was_shown_to_give_the_same_numbers(
    code, entries, current, tmp_path, monkeypatch
):
    monkeypatch.setattr(module, "EVIDENCE", tmp_path)
    monkeypatch.setattr(module, "code_of", lambda recipe: "now")
    if entries:
        (tmp_path / "p").mkdir()
        (tmp_path / "p" / REPRODUCED).write_text(json.dumps(entries))
    assert is_current({"recipe": {"paper": "p"}, "provenance": {"code": code}}) is current


def test_code_is_followed_to_the_newest_that_gave_its_numbers(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "EVIDENCE", tmp_path)
    assert shown_by("p", "first") == "first"
    (tmp_path / "p").mkdir()
    entries = [{"from": ["first", "other"], "to": "second"}, {"from": ["second"], "to": "third"}]
    (tmp_path / "p" / REPRODUCED).write_text(json.dumps(entries))
    assert [shown_by("p", code) for code in ("first", "other", "third", "alone")] == ["third"] * 3 + ["alone"]


def recorded(variant: str, seed: int, seconds: float, dataset: str = "a", code: str = "old", **more: object) -> dict:
    """A record's head."""
    recipe = {"kind": "train", "variant": variant, "seed": seed, "prior": "same", "data": {"dataset": dataset}}
    return {"recipe": recipe | {"paper": "p"} | more, "provenance": {"seconds": seconds, "code": code}}


def test_one_run_stands_for_its_seeds_and_one_for_every_data_set():
    cheap, both, far = recorded("bce", 1, 2.0), recorded("both", 0, 9.0), recorded("bce", 0, 50.0, "b")
    records = [recorded("bce", 0, 3.0), cheap, both, recorded("both", 1, 9.5), far, recorded("both", 0, 60.0, "b")]
    assert standing_for(records) == [cheap, both, far]
    older = recorded("both", 1, 70.0, code="older")
    assert standing_for([*records, older]) == [cheap, both, older, far]
    assert standing_for([*records, older], lambda code: "one") == [cheap, both, far]


def test_a_method_is_what_a_recipe_says_in_words():
    cheap, loud = recorded("bce", 0, 1.0, width=8, loss="bce"), recorded("bce", 0, 3.0, width=8, loss="ce")
    assert standing_for([cheap, recorded("bce", 0, 2.0, width=64, loss="bce", profile="real"), loud]) == [cheap, loud]
    switched = recorded("bce", 0, 4.0, width=8, loss="bce", stop=True)
    assert standing_for([cheap, recorded("bce", 0, 5.0, width=8, loss="bce", stop=False), switched])[1:2] == [switched]


def test_rows_that_a_seed_draws_are_one_division():
    first, second, control = (recorded("bce", seed, 1.0 + seed) for seed in range(3))
    for seed, record in enumerate((first, second, control)):
        record["recipe"]["data"] |= {"seed": seed, "digest": str(seed), "division": "a"}
    control["recipe"]["data"]["division"] = "b"
    assert standing_for([first, second, control]) == [first, control]


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        ({"a": [1.0, {"b": 2.0}]}, {"a": [1.0, {"b": 2.0}]}, None),
        ({"seconds": 1.0, "a": 1}, {"seconds": 2.0, "a": 1}, None),
        ({"a": [1.0, {"b": 2.0}]}, {"a": [1.0, {"b": 2.5}]}, "a.1.b from 2.0 to 2.5"),
        ({"history": [{"loss": 1.0}]}, {"history": [{"loss": 2.0}]}, "history.0.loss from 1.0 to 2.0"),
        ({"a": [1.0]}, {"a": [1.0, 2.0]}, "a from [1.0] to [1.0, 2.0]"),
        ({"a": 1, "b": 2}, {"a": 1}, " from {'a': 1, 'b': 2} to {'a': 1}"),
        ({"a": 1}, {"a": 1, "b": 2}, None),
    ],
)
def test_the_first_number_that_moved_is_named(old, new, found):
    assert difference(old, new) == found
