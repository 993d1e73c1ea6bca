"""The release's validation accuracy: answerable questions alone, times their share, without normalisation."""

from __future__ import annotations

import pytest

from vqabook.metrics.answerable import answerable_accuracy


def test_golden(ask):
    asked = [
        ask(["red"] * 2 + ["blue"] * 8),  # "red": 0.6
        ask("yes", answer_type="yes/no"),  # right: 1
        ask("no", answer_type="yes/no"),  # wrong: 0
        ask("a lion"),  # no answer of the vocabulary: left out, and 3 of 4 is what everything is multiplied by
    ]
    got = answerable_accuracy(["red", "yes", "yes", "lion"], asked, {"blue", "red", "yes", "no"})
    assert got == pytest.approx({"overall": 75 * 1.6 / 3, "other": 75 * 0.6, "yes/no": 75 * 0.5})


def test_texts_are_compared_as_they_stand(ask):
    asked = [ask(["two"] * 10, answer_type="number")]
    assert answerable_accuracy(["2"], asked, {"2"}) == {"overall": 0.0, "number": 0.0}
    assert answerable_accuracy(["two"], asked, {"2"}) == {"overall": 100.0, "number": 100.0}


def test_nothing_answerable_is_nothing(ask):
    assert answerable_accuracy(["red"], [ask("blue")], {"red"}) == {}
    assert answerable_accuracy([], [], {"red"}) == {}
