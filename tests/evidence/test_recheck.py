"""Runs made again: which are chosen, where two results first differ, and what is told of two codes."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from vqabook.evidence import recheck
from vqabook.evidence.recheck import (
    _list_differences,
    choose,
    compare_codes,
    difference,
    find_again,
    make_again,
    pick_cheapest,
    words_for_make,
)
from vqabook.evidence.record import key_of, write_json


def recorded(variant: str, seed: int, seconds: float, dataset: str = "a", **more: object) -> dict:
    """A record whose result says nothing."""
    recipe = {"paper": "p", "profile": "small", "kind": "train", "variant": variant, "prior": "same", "seed": seed}
    recipe |= {"data": {"dataset": dataset}} | more
    stamp = {"code": "c", "commit": "a", "dirty": False, "started": "2026-01-01", "hardware": "h", "versions": {}}
    return {"recipe": recipe, "result": {"loss": 1.0}, "provenance": stamp | {"seconds": seconds}}


@pytest.mark.parametrize(
    ("old", "new", "first"),
    [
        ({"a": [1.0, {"b": 2.0}]}, {"a": [1.0, {"b": 2.0}]}, None),
        ({"seconds": 1.0, "a": 1}, {"seconds": 2.0, "a": 1}, None),
        ({"a": [1.0, {"b": 2.0}]}, {"a": [1.0, {"b": 2.5}]}, "a.1.b from 2.0 to 2.5"),
        ({"history": [{"loss": 1.0}]}, {"history": [{"loss": 2.0}]}, "history.0.loss from 1.0 to 2.0"),
        ({"a": [1.0]}, {"a": [1.0, 2.0]}, "a from [1.0] to [1.0, 2.0]"),
        ({"a": 1, "b": 2}, {"a": 1}, " from {'a': 1, 'b': 2} to {'a': 1}"),
        ({"a": 1}, {"a": 1, "b": 2}, None),
        ({"a": 1.0}, {"a": 1.0 + 2**-52}, "a from 1.0 to 1.0000000000000002"),
    ],
)
def test_the_first_number_that_moved_is_named(old, new, first):
    assert difference(old, new) == first


def test_the_cheapest_run_stands_for_its_method_whatever_its_seed_data_and_sizes():
    cheap, both = recorded("bce", 1, 2.0), recorded("both", 0, 9.0)
    dear = [recorded("bce", 0, 3.0), recorded("bce", 0, 50.0, "b"), recorded("both", 1, 9.5, profile="real")]
    assert pick_cheapest([*dear, both, cheap]) == [cheap, both]


def test_a_method_is_what_a_recipe_says_in_words():
    cheap, loud = recorded("bce", 0, 1.0, width=8, loss="bce"), recorded("bce", 0, 3.0, width=8, loss="ce")
    assert pick_cheapest([cheap, recorded("bce", 0, 2.0, width=64, loss="bce"), loud]) == [cheap, loud]
    stops = [recorded("bce", 0, 4.0, fit={"stop": stop, "sizes": [8, 8]}) for stop in (True, False)]
    assert pick_cheapest(stops) == stops


@pytest.fixture
def evidence(tmp_path, monkeypatch) -> list[dict]:
    """Four methods of a paper, each with two seeds, another profile's run, and one of a part apart."""
    records = [recorded(name, seed, 10.0 * i + seed) for i, name in enumerate("abcd") for seed in (1, 2)]
    records += [recorded("e", 0, 1.0, profile="real"), recorded("f", 0, 1.0, part="detection")]
    for record in records:
        write_json(tmp_path / "evidence" / "p" / f"{key_of(record['recipe'])}.json", record)
    monkeypatch.setattr(recheck, "EVIDENCE", tmp_path / "evidence")
    return records


def names(records: list) -> list[str]:
    return sorted(f"{r['recipe']['variant']}{r['recipe']['seed']}" for r in records)


def test_parts_apart_other_profiles_and_long_runs_are_left_out(evidence):
    assert names(choose(["p", "q"], None)) == ["a1", "a2", "b1", "b2", "c1", "c2", "d1", "d2", "e0"]
    assert names(choose(["p"], None, "small", longest=12.0)) == ["a1", "a2", "b1", "b2"]
    assert names(choose(["p"], None, "real")) == ["e0"]
    assert names(choose(["p"], 9, "small")) == ["a1", "b1", "c1", "d1"]
    assert choose(["p"], 3, "paper") == choose(["q"], 3) == []


def test_another_day_chooses_others_and_every_method_has_its_day(evidence, monkeypatch):
    class Clock:
        day = 1

        @classmethod
        def now(cls, zone: object) -> datetime:
            return datetime(2026, 1, cls.day, tzinfo=UTC)

    monkeypatch.setattr(recheck, "datetime", Clock)
    days = []
    for Clock.day in (1, 2, 3):
        days.append(names(choose(["p"], 2, "small")))
        assert names(choose(["p"], 2, "small")) == days[-1]
    assert sorted(days[0] + days[1]) == ["a1", "b1", "c1", "d1"] and days[2] == days[0]


def test_what_was_made_again_is_found_beside_what_was_recorded(evidence, tmp_path):
    make_again(evidence[:3], lambda recipe, checkpoint: {"by": recipe["variant"]}, tmp_path / "made")
    made = find_again(evidence, tmp_path / "made")
    assert [(old, new["result"]) for old, new in made] == [(r, {"by": r["recipe"]["variant"]}) for r in evidence[:3]]


def test_both_codes_are_asked_for_the_same():
    assert words_for_make("smoke", [], None, None) == ["--profile", "smoke"]
    words = words_for_make("small", ["one", "two"], Path("/r.json"), "/data")
    assert " ".join(words) == "--profile small --page one --page two --recipes /r.json --data-root /data"


def test_differences_of_two_codes_are_a_line_each():
    old = {name: {"result": {"loss": value, "seconds": 1}} for name, value in (("a", 1.0), ("b", 2.0), ("c", 3.0))}
    new = {name: {"result": {"loss": value, "seconds": 2}} for name, value in (("b", 2.5), ("c", 3.0), ("d", 4.0))}
    assert list(_list_differences(old, new)) == [
        "a: only the old code has it", "b: loss from 2.0 to 2.5", "d: only the new code has it",
    ]  # fmt: skip


@pytest.mark.timeout(600)
def test_an_unknown_commit_is_refused_in_a_sentence(tmp_path):
    with pytest.raises(ValueError, match="^a commit of this repository is needed, got 'nowhere'") as refused:
        compare_codes("nowhere", [], tmp_path)
    assert "\n" not in str(refused.value)
    assert list(tmp_path.iterdir()) == []
