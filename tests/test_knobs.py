"""A page's parameters: everything wrong is refused in one sentence, and what papermill does to text is undone."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from vqabook.knobs import Checked, folder, from_page, from_values, knob, one_of, positive, read_meanings, within


@dataclass(frozen=True)
class Page(Checked):
    profile: str
    epochs: int = knob(20, rule=positive())
    lr: float = knob(2e-3, rule=positive())
    dropout: float = knob(0.5, rule=within(0, 1))
    loss: str = knob("bce", rule=one_of("bce", "ce"))
    seeds: tuple[int, ...] = knob((0, 1, 2), rule=within(0, 2**31))
    priors: tuple[str, ...] = knob(("changing", "same"), rule=one_of("changing", "same"))
    levels: tuple[float, ...] = knob((0.5,), rule=within(0, 1), empty=True)
    pair: tuple[int, int] = knob((2, 4), rule=within(1, 10))
    data_root: str | None = knob(None, rule=folder())
    bf16: bool = False


PROFILES = {"smoke": {"epochs": 1, "seeds": (0,)}, "small": {}}


def page(**values: object) -> Page:
    return from_values(Page, PROFILES, {"profile": "smoke", **values})


def test_a_profile_is_overridden_by_what_is_given():
    assert page() == Page("smoke", epochs=1, seeds=(0,))
    assert page(epochs=3, lr=None) == Page("smoke", epochs=3, seeds=(0,))
    assert page(profile="small") == Page("small")


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("seeds", "[0]", (0,)),
        ("seeds", "(1, 2)", (1, 2)),
        ("seeds", [3, 4], (3, 4)),
        ("seeds", ["1", 2], (1, 2)),
        ("seeds", " [0] ", (0,)),
        ("levels", "[]", ()),
        ("pair", "[2, 4]", (2, 4)),
        ("pair", [3, 3], (3, 3)),
        ("priors", "['same']", ("same",)),
        ("lr", "0.5", 0.5),
        ("lr", "1", 1.0),
        ("lr", 1, 1.0),
        ("dropout", "0", 0.0),
        ("epochs", "7", 7),
        ("epochs", "None", 1),
        ("data_root", "None", None),
        ("data_root", "/data/1", "/data/1"),
        ("data_root", Path("/data/1"), "/data/1"),
        ("bf16", "True", True),
        ("loss", "ce", "ce"),
    ],
)
def test_text_from_papermill_is_read(name, text, value):
    got = getattr(page(**{name: text}), name)
    assert got == value and type(got) is type(value)


def test_a_setting_is_checked_however_it_is_made():
    with pytest.raises(ValueError, match="^lr must be a finite number, got inf; give a large one"):
        Page("smoke", lr=float("inf"))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"epoch": 3}, r"parameters of this page are profile, epochs, .*; got epoch: check the spelling"),
        ({"profile": "tiny"}, r"profile is one of smoke, small; got 'tiny'"),
        ({"profile": None}, r"profile is one of smoke, small; got None"),
        ({"epochs": 0}, r"epochs must be positive, got 0; its default is 20"),
        ({"epochs": 2.5}, r"epochs must be int, got 2.5 \(float\)"),
        ({"epochs": True}, r"epochs must be int, got True \(bool\)"),
        ({"epochs": "many"}, r"epochs must be int, got 'many' \(str\)"),
        ({"lr": float("nan")}, r"lr must be a finite number, got nan; give a large one"),
        ({"lr": "1e999"}, r"lr must be a finite number, got inf"),
        ({"lr": 10**400}, r"lr must be float, got 1000\d{,80}\.\.\. \(int\)$"),
        ({"lr": True}, r"lr must be float, got True \(bool\)"),
        ({"lr": "1e-3x"}, r"lr must be float, got '1e-3x' \(str\)"),
        ({"epochs": 10**30}, r"epochs must be at most 2147483648, got 10{30}; give a smaller one"),
        ({"epochs": 10**5000}, r"epochs must be at most 2147483648, got a number of thousands of digits"),
        ({"epochs": "1" * 5000}, r"epochs must be int, got '1{70,80}\.\.\. \(str\)"),
        ({"dropout": 1.1}, r"dropout must be in \[0, 1\], got 1.1; its default is 0.5"),
        ({"loss": "hinge"}, r"loss is one of bce, ce, got 'hinge'"),
        ({"loss": 3}, r"loss must be str, got 3 \(int\)"),
        ({"loss": ["bce"]}, r"loss must be str, got \['bce'\] \(list\)"),
        ({"seeds": 0}, r"seeds must be a list of int, got 0 \(int\)"),
        ({"seeds": "0"}, r"seeds must be a list of int, got 0 \(int\)"),
        ({"seeds": "0, 1]"}, r"seeds must be a list of int, got '0, 1\]' \(str\)"),
        ({"seeds": "(" * 300}, r"seeds must be a list of int, got '\({70,80}\.\.\. \(str\)"),
        ({"seeds": (0, -1)}, r"seeds must be in \[0, 2147483648\], got -1"),
        ({"seeds": ["1", "a"]}, r"item 2 of seeds must be int, got 'a' \(str\)"),
        ({"seeds": [0, 1.5]}, r"item 2 of seeds must be int, got 1.5 \(float\)"),
        ({"seeds": []}, r"seeds lists one or more, got none; leave it out for its default, \(0, 1, 2\)"),
        ({"seeds": [0, 1, 0]}, r"seeds lists each value once, got 0 twice: leave one out"),
        ({"seeds": ["0", 0]}, r"seeds lists each value once, got 0 twice"),
        ({"levels": [float("nan")]}, r"item 1 of levels must be a finite number, got nan"),
        ({"pair": [3]}, r"pair must be a list of 2 int, got \[3\] \(list\)"),
        ({"pair": [1, 2, 3]}, r"pair must be a list of 2 int, got \[1, 2, 3\]"),
        ({"priors": ["other"]}, r"priors is one of changing, same, got 'other'"),
        ({"priors": "same"}, r"priors must be a list of str, got 'same' \(str\)"),
        ({"data_root": ""}, r"data_root is text, not empty and without NUL, got ''; leave it out for its default"),
        ({"data_root": "/a\0b"}, r"data_root is text, not empty and without NUL, got '/a\\x00b'"),
        ({"data_root": __file__}, r"data_root names a folder, got '.*test_knobs.py'"),
        ({"data_root": "~no-one-of-this-name/x"}, r"~NAME is the home folder of a user here, got ~no-one"),
        ({"profile": ["smoke"]}, r"profile is one of smoke, small; got \['smoke'\]"),
        ({"bf16": 1}, r"bf16 must be bool, got 1 \(int\)"),
    ],
)
def test_refusals(values, message):
    with pytest.raises(ValueError, match=message):
        page(**values)


def test_a_notebooks_namespace_is_read():
    namespace = {
        "__name__": "__main__", "_i1": "x", "In": [""], "Out": {}, "get_ipython": print, "pytest": pytest, "Page": Page,
        "profile": "smoke", "epochs": 4, "seeds": None, "page": page,
    }  # fmt: skip
    assert from_page(Page, PROFILES, namespace) == Page("smoke", epochs=4, seeds=(0,))
    with pytest.raises(ValueError, match="got epoch: check the spelling"):
        from_page(Page, PROFILES, namespace | {"epoch": 4})


def test_what_a_parameters_cell_says_of_its_names_is_read():
    cell = 'profile: str = "smoke"  # smoke: seconds; small: this book\nlr: float = None  # 2e-3, "Adamax"'
    meanings = {"profile": "smoke: seconds; small: this book", "lr": '2e-3, "Adamax"'}
    assert read_meanings({"In": ["", cell, "x = 1"]}) == meanings
    assert read_meanings({}) == read_meanings({"In": [""]}) == {}
