"""What users get wrong in a page's parameters and a command's options: each is one clear sentence, and nothing runs.

A sentence says the rule, what came, and names the parameter; it is no traceback and no text of a library's own.
"""

from __future__ import annotations

import dataclasses
import json
import sys
import typing
from pathlib import Path

import pytest

from vqabook import cli
from vqabook.knobs import LARGEST
from vqabook.papers import OURS, PAGES, PAPERS, paper_of
from vqabook.papers.paper import Paper
from vqabook.producer import load_or_make_runs

NAN, INF = float("nan"), float("inf")
WRONG = {  # by the type of a parameter: what it cannot be, as Python and as papermill's text
    int: (0.5, "many", True, -INF, NAN, LARGEST + 1, -LARGEST - 1, 10**5000, "1e3", "", [], [1], {"a": 1}, b"1"),
    float: (NAN, INF, "1e999", "-inf", "nan", 10**400, "x", "", True, [], [0.5], None.__class__),
    bool: (1, 0, "yes", "", 2.0, [True], "true"),
    str: (3, 0.5, True, ["a"], {}, b"a", "a\0b", "", " "),
    tuple: (3, "x", "", None.__class__, {"a": 1}, [[1]], "[", "(" * 500, [NAN, NAN], ["\0"]),
}
SETTINGS = {name: paper_of(name).setting for name in (*PAPERS, *OURS)}
FIELDS = [(name, field) for name, setting in SETTINGS.items() for field in dataclasses.fields(setting)]


def kind_of(paper: str, field: dataclasses.Field) -> type:
    hint = typing.get_type_hints(SETTINGS[paper])[field.name]
    return typing.get_origin(hint) if typing.get_origin(hint) is tuple else next((k for k in WRONG if hint == k), str)


def told(paper: str, **values: object) -> str:
    """The sentence in which parameters are refused."""
    with pytest.raises(ValueError) as refused:
        paper_of(paper).setting_of(**{"profile": "smoke", **values})
    return str(refused.value)


def check_sentence(text: str, name: str) -> None:
    assert name in text and "\n" not in text and len(text) < 400, text
    assert any(word in text for word in ("got", "names")) and "Traceback" not in text, text


@pytest.mark.parametrize(("paper", "field"), FIELDS, ids=lambda x: getattr(x, "name", x))
def test_a_value_of_another_kind_is_refused(paper, field):
    for value in WRONG[kind_of(paper, field)]:
        check_sentence(told(paper, **{field.name: value}), field.name)


@pytest.mark.parametrize(("paper", "field"), FIELDS, ids=lambda x: getattr(x, "name", x))
def test_a_value_against_its_rule_is_refused(paper, field):
    rule, listed = field.metadata.get("rule"), kind_of(paper, field) is tuple
    hint = typing.get_type_hints(SETTINGS[paper])[field.name]
    kind = typing.get_args(hint)[0] if listed else kind_of(paper, field)
    n = len(typing.get_args(hint)) if listed and typing.get_args(hint)[-1] is not ... else None
    default = list(field.default) if listed else field.default
    if rule and kind in (int, float):
        low = next(x for x in (0, -1, -0.5, 1e7, LARGEST) if not rule[1](x) and kind(x) == x)
        wrong = [low] * (n or 1) if listed else low
        assert f"{field.name} {rule[0]}, got {kind(low)!r}" in told(paper, **{field.name: wrong})
    elif rule:
        wrong = __file__ if field.name in ("runs", "data_root") else "no such choice"
        assert f"{field.name} {rule[0]}, got {wrong!r}" in told(paper, **{field.name: [wrong] if listed else wrong})
    if n is not None:
        for wrong in (default[:-1], [*default, default[0]], []):
            assert f"{field.name} must be a list of {n} int, got" in told(paper, **{field.name: wrong})
    elif listed:
        once = default or [{str: "digits", int: 3}.get(kind, 0.5)]
        twice = [*once, once[0]]
        assert f"{field.name} lists each value once, got {twice[0]!r} twice" in told(paper, **{field.name: twice})
        if not field.metadata["empty"]:
            assert f"{field.name} lists one or more, got none" in told(paper, **{field.name: []})


def test_two_hundred_bad_inputs_are_more():
    assert sum(len(WRONG[kind_of(*field)]) for field in FIELDS) > 200


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"profile": None}, "profile is one of smoke, small, real, paper; got None"),
        ({"profile": ["smoke"]}, r"profile is one of .*; got \['smoke'\]"),
        ({"profile": "tiny"}, "profile is one of smoke, small, real, paper; got 'tiny'"),
        ({"sedes": [0]}, "parameters of this page are profile, .*; got sedes: check the spelling"),
        ({"device": "cuda:7"}, "^device cuda:7 is not here, torch sees . of cuda; use auto or cpu$"),
        ({"device": "tpu"}, "^device is auto, cpu, cuda, cuda:N or mps, got 'tpu'; choose one$"),
        ({"threads": 0}, r"^threads must be in \[1, 4096\], got 0; its default is 1$"),
        ({"runs": "~no-such-user-here/x"}, "^~NAME is the home folder of a user here, got ~no-such-user-here/x"),
        ({"data_root": __file__}, "^data_root names a folder, got '.*test_bad_parameters.py'"),
    ],
)
def test_what_all_pages_have_is_refused_alike(page, values, message):
    with pytest.raises(ValueError, match=message):
        paper_of(page).setting_of(**{"profile": "smoke", **values})


@pytest.mark.parametrize(
    ("page", "values", "message"),
    [
        ("loss_rescaling", {"world_objects": [4, 2]}, "1 <= fewest <= most objects"),
        ("loss_rescaling", {"lxmert_hidden": 56}, "lxmert_hidden has heads of 16"),
        ("loss_rescaling", {"dataset": "vqa_v9"}, "vqa_v9"),
        ("loss_rescaling", {"dataset": "no such set"}, "no such set"),
        ("soft_cross_entropy", {"dataset": "vqa_v2", "data_root": "/none"}, "/none is not a folder; set data_root"),
        ("attention_supervision", {"image_train": 10**6}, "image_train is below the .* got 1000000; lower it"),
        ("attention_supervision", {"text_data": "trec", "data_root": "/none"}, "/none"),
        ("mcl_kd", {"members": 2, "specialists": [3]}, "1 <= k <= 2, got .*; lower k or raise members"),
        ("mcl_kd", {"image_train": 10**6}, "image_train is at most .* got 1000000; lower it"),
        ("mcl_kd", {"reasoning_data": "clevr", "data_root": "/none"}, "/none"),
        (
            "loss_rescaling",
            {"min_votes": 10**6},
            r"min_votes votes or more .* got 1000000, and no .* more than",
        ),
        ("loss_rescaling", {"hidden": 1}, "hidden must be in .2, 100000., got 1"),
        ("loss_rescaling", {"cap": 0.5}, "cap must be in .1, 1000000000.0., got 0.5"),
        ("loss_rescaling", {"mask_dropouts": [1.0]}, r"mask_dropouts must be in \[0, 1\), got 1.0"),
        ("attention_supervision", {"vqa_scale": 2}, "2 x 2 neighbours is drawn on a grid, and .* set vqa_scale to 1"),
        ("attention_supervision", {"vqa_masks": 10**9}, "vqa_masks must be in .1, 100000., got 1000000000"),
        ("balanced_activation", {"warmup": 13}, "warmup is at most steps, 12, got 13; lower it or raise steps"),
        ("balanced_activation", {"few": 50}, "few is at most many, 40, got 50; lower it or raise many"),
        ("balanced_activation", {"imbalances": [1e6]}, "use an imbalance of at most"),
        ("balanced_activation", {"counts": "lvis_v1", "data_root": "/none"}, "/none.* does not exist; check data_root"),
    ],
)
def test_rules_that_combine_are_told_before_anything_runs(page, values, message, cache, tmp_path, monkeypatch):
    monkeypatch.setattr(Paper, "produce", lambda *_, **__: pytest.fail("something ran"))
    with pytest.raises((ValueError, OSError), match=message) as refused:
        load_or_make_runs(page, paper_of(page).setting_of(profile="smoke", runs=str(tmp_path), **values))
    assert "\n" not in str(refused.value) and list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("shard", [(0, 1), (0, 1000)], ids=["all runs", "the first alone"])
@pytest.mark.parametrize("page", ["class_imbalance", "loss_rescaling"])
def test_a_set_too_small_for_changed_priors_is_told_before_anything_runs(page, shard, write_own, tmp_path, monkeypatch):
    own = write_own(tmp_path / "own", train=40, val=20)
    for path in own.glob("*_annotations.json"):  # one answer, so one group, which would move whole
        one = {"question_type": "is it", "multiple_choice_answer": "yes", "answers": [{"answer": "yes"}] * 10}
        rows = [row | one for row in json.loads(path.read_bytes())["annotations"]]
        path.write_text(json.dumps({"annotations": rows}), "utf-8")
    monkeypatch.setattr(Paper, "produce", lambda *_, **__: pytest.fail("something ran"))
    setting = paper_of(page).setting_of(
        profile="smoke", runs=str(tmp_path / "runs"), dataset=str(own), min_answer_count=1, vision=[]
    )
    with pytest.raises(ValueError, match="cannot be divided so that priors change: .*; or ask for the prior 'same'"):
        load_or_make_runs(page, setting, share=shard)


@pytest.mark.parametrize("paper", (*PAPERS, *OURS))
def test_every_part_says_before_it_runs_what_it_would_end_with(paper):
    """But the study of classifiers, whose tail is read with its recipes, and what has an environment of its own."""
    parts = paper_of(paper).parts
    assert {name for name, part in parts.items() if not part.ready and not part.apart} <= {"counts"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("run", "mcl_kd", "--threads", "0"), "threads must be in [1, 4096], got 0"),
        (
            ("run", "mcl_kd", "--runs", ""),
            "words of a command are not empty, got '' after --runs; is a variable unset?",
        ),
        (("run", "mcl_kd", "--data-root="), "words of a command are not empty, got '--data-root=' after mcl_kd"),
        (("run", "mcl_kd", "-s", "device=cuda:9"), "device cuda:9 is not here, torch sees"),
        (("run", "mcl_kd", "-s", "networks=san"), "networks must be a list of str, got 'san' (str)"),
        (("run", "mcl_kd", "-s", "seeds=[0, 0]"), "seeds lists each value once, got 0 twice"),
        (("run", "mcl_kd", "-s", "lr=1e999"), "lr must be a finite number, got inf"),
        (("run", "mcl_kd", "-s", "=3"), "check the spelling"),
        (("run", "mcl_kd", "-s", "lr="), "lr must be float, got '' (str)"),
        (("run", "mcl_kd", "-s", "runs="), "runs is text, not empty and without NUL, got ''"),
        (("run", "mcl_kd", "soft"), "pages are class_imbalance, loss_rescaling,"),
        (("run", "mcl_kd", "--shard", "0/2"), "a shard is K/N with K from 1 to N"),
        (("ledger", "--out", "", "--runs", "r"), "words of a command are not empty, got '' after --out"),
        (("ledger", "--out", "o", "--profile", "tiny"), "profile is one of smoke, small, real, paper; got 'tiny'"),
        (("make", "--out", " ", "--profile", "smoke"), "words of a command are not empty, got ' ' after --out"),
        (("data", "features", "i", "o.h5", "--size", "0"), "sizes are positive: batch_size 32, grid 7, size 0"),
        (("data", "features", "i", "o.h5", "--grid", "0"), "sizes are positive: batch_size 32, grid 0"),
        (("data", "features", "i", "o.h5", "--levels", "1"), "uint8 codes have 2 to 256 levels, got 1"),
    ],
)
def test_options_of_commands(words, message, monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Paper, "produce", lambda *_, **__: pytest.fail("something ran"))
    monkeypatch.setattr(sys, "argv", ["vqabook", *words, *(("--profile", "smoke") if words[0] == "run" else ())])
    with pytest.raises(SystemExit) as end:
        cli.main()
    printed = capsys.readouterr().err
    assert end.value.code == 1 and message in printed and printed.count("\n") == 1, printed
    assert list(Path().iterdir()) == []
