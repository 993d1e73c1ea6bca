"""Trials: the first is the paper's, validation picks, and test rows are not asked."""

from __future__ import annotations

import pytest
import torch

from vqabook.arena.contest import Contest, Protocol
from vqabook.arena.heads import AFTER, RULES, Answers
from vqabook.arena.trials import KNOBS, group_tries, list_tries, list_values, name_try, pick

COUNTS = torch.tensor([90, 30, 5])


def test_every_rule_with_a_knob_has_as_many_tries():
    for row, (_, first, low, high) in KNOBS.items():
        values = list_values(row, 5)
        assert values[0] == first and len(values) == 5 and list_values(row, 1) == [first]
        assert min(values) == pytest.approx(low) and max(values) == pytest.approx(high)
    assert list_values("softmax", 5) == []
    tries = list_tries(COUNTS, 4)
    assert tries.keys() == {name for names in group_tries(4).values() for name in names}
    assert len(tries) == len(RULES) + 3 * len(KNOBS.keys() - set(AFTER))


def test_a_try_is_another_loss():
    torch.manual_seed(0)
    logits, target = torch.randn(90, 3), torch.arange(90) % 3
    tries = list_tries(COUNTS, 3)
    for row in KNOBS.keys() - set(AFTER):
        costs = []
        for i in range(3):
            torch.manual_seed(1)
            costs.append(tries[name_try(row, i)].cost(logits, target, 0.9).sum())
        assert len(set(map(float, costs))) == 3, row


def test_validation_picks_the_first_of_the_best():
    truth, wanted = torch.tensor([0, 1]), torch.tensor([0.5, 0.5], dtype=torch.double)
    right, wrong = (Answers.of(10 * torch.eye(2)[at], truth) for at in (truth, 1 - truth))
    tries = {"focal": wrong, "focal #1": right, "focal #2": right, "softmax": wrong}
    assert pick(tries, truth, wanted, 3) == {
        "focal": ("focal #1", list_values("focal", 3)[1]),
        "softmax": ("softmax", None),
    }


def test_a_contest_with_trials_keeps_what_was_picked(examples, tmp_path):
    records = Contest(examples, Protocol(seeds=(0,), steps=10, trials=2)).hold(tmp_path)
    rows = records[1]["result"]["rows"]
    assert rows.keys() == {*RULES, *AFTER}
    assert {name for name, row in rows.items() if "picked" in row} == set(KNOBS)
    with pytest.raises(ValueError, match="a rule has 1 to 20 trials, got 0"):
        Protocol(trials=0)
