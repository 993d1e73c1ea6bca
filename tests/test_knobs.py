"""A page's parameters: everything wrong is refused in one sentence, and what papermill does to text is undone."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from vqabook.knobs import from_page, from_values, knob, one_of, positive, within


@dataclass(frozen=True)
class Page:
    profile: str
    epochs: int = knob(20, rule=positive())
    lr: float = knob(2e-3, rule=positive())
    dropout: float = knob(0.5, rule=within(0, 1))
    loss: str = knob("bce", rule=one_of("bce", "ce"))
    seeds: tuple[int, ...] = knob((0, 1, 2), rule=within(0, 2**31))
    priors: tuple[str, ...] = knob(("changing", "same"), rule=one_of("changing", "same"))
    data_root: str | None = None
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
        ("seeds", "[]", ()),
        ("priors", "['same']", ("same",)),
        ("lr", "0.5", 0.5),
        ("lr", "1", 1.0),
        ("lr", 1, 1.0),
        ("dropout", "0", 0.0),
        ("epochs", "7", 7),
        ("epochs", "None", 1),
        ("data_root", "None", None),
        ("data_root", "/data/1", "/data/1"),
        ("bf16", "True", True),
        ("loss", "ce", "ce"),
    ],
)
def test_text_from_papermill_is_read(name, text, value):
    got = getattr(page(**{name: text}), name)
    assert got == value and type(got) is type(value)


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
        ({"lr": float("nan")}, r"lr must be positive, got nan"),
        ({"lr": True}, r"lr must be float, got True \(bool\)"),
        ({"lr": "1e-3x"}, r"lr must be float, got '1e-3x' \(str\)"),
        ({"dropout": 1.1}, r"dropout must be in \[0, 1\], got 1.1; its default is 0.5"),
        ({"loss": "hinge"}, r"loss is one of bce, ce, got 'hinge'"),
        ({"loss": 3}, r"loss must be str, got 3 \(int\)"),
        ({"seeds": 0}, r"seeds must be tuple\[int, \.\.\.\], got 0 \(int\)"),
        ({"seeds": "0"}, r"seeds must be tuple\[int, \.\.\.\], got 0 \(int\)"),
        ({"seeds": (0, -1)}, r"seeds must be in \[0, 2147483648\], got -1"),
        ({"seeds": ["a"]}, r"seeds must be tuple\[int, \.\.\.\], got \['a'\] \(list\)"),
        ({"priors": ["other"]}, r"priors is one of changing, same, got 'other'"),
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
