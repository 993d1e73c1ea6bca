"""The contest: balanced softmax must win where classes are alike at test and lose where they are as in training."""

from __future__ import annotations

import itertools
import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn import metrics

from vqabook.arena import contest as module
from vqabook.arena.contest import Contest, Protocol, Training, cost_of, draw_round, start, train
from vqabook.arena.divide import divide
from vqabook.arena.examples import check
from vqabook.arena.heads import AFTER, MINE, PLAIN, RULES, Answers, average_classes, list_rules
from vqabook.arena.own_loss import load
from vqabook.arena.ranking import rank
from vqabook.arena.readers import Raw
from vqabook.metrics.classes import average_precision, macro_f1
from vqabook.metrics.priors import priors_of, weigh_rows

QUICK = Protocol(seeds=(0, 1, 2), steps=40)


def numbers(records: list[dict]) -> list:
    """What is measured, without clocks."""
    rows = [record["result"].get("rows", record["result"]) for record in records]
    return json.loads(
        json.dumps(rows, default=str), object_hook=lambda d: {k: v for k, v in d.items() if k != "seconds"}
    )


@pytest.fixture(scope="module")
def held(examples, tmp_path_factory) -> tuple[list[dict], object]:
    folder = tmp_path_factory.mktemp("records")
    return Contest(examples, QUICK).hold(folder), folder


def test_every_rule_is_a_row_with_all_that_is_measured(held, examples):
    records, _ = held
    assert [record["recipe"]["variant"] for record in records] == ["steps", "rules", "rules", "rules"]
    for record in records[1:]:
        assert list(record["result"]["rows"].keys() - {*RULES, *AFTER}) == []
        assert record["result"]["sizes"] == {"train": 240, "valid": 80, "test": 80}
        for name, row in record["result"]["rows"].items():
            assert row["wanted"] == row["uniform"] and 0 <= row["macro_f1"] <= 100 and row["seconds"] >= 0
            assert ("nll" in row) == (name not in ("ncm", "tau-normalised"))


def test_balanced_softmax_wins_where_classes_are_alike_and_loses_where_they_are_not(held):
    """The control: the same classifiers, other weights of the test rows."""
    alike, skewed = (rank(held[0][1:], metric) for metric in ("uniform", "training"))
    assert alike.row(MINE).mean > alike.row(PLAIN).mean + 3
    assert skewed.row(MINE).mean < skewed.row(PLAIN).mean
    assert alike.row(MINE).gain.shared == pytest.approx(1 / 3)


def test_a_killed_contest_goes_on_to_the_same_numbers(held, examples, tmp_path, monkeypatch):
    records, folder = held
    real, calls = module.judge_all, []

    def stop(*words):
        calls.append(words)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(*words)

    monkeypatch.setattr(module, "judge_all", stop)
    two = Contest(examples, replace(QUICK, seeds=(0, 1)))
    with pytest.raises(KeyboardInterrupt):
        two.hold(tmp_path)
    assert len(list(tmp_path.glob("*.json"))) == 2
    assert numbers(two.hold(tmp_path)) == numbers(records[:3])
    assert len(calls) == 3  # the one that was done is not judged again


def test_other_data_or_options_are_other_records(examples, held):
    _, folder = held
    before = set(folder.glob("*.json"))
    names = {
        json.dumps(Contest(other, protocol)._asked(module.LIBRARY, 0, steps=40), sort_keys=True)
        for other in (examples, check(Raw("clouds", np.random.rand(9, 2), np.repeat([0, 1], [5, 4]))))
        for protocol in (QUICK, Protocol(prior="training"), Protocol(bounds=(9, 3)), Protocol(decay=0.1))
    }
    assert len(names) == 8 and set(folder.glob("*.json")) == before


def test_a_loss_of_one_s_own_is_trained_alone_from_softmax_start(held, examples, tmp_path):
    """Cross-entropy of one's own is softmax' row, and the library's records stay as they are."""
    records, folder = held
    shutil.copytree(folder, tmp_path / "records")
    (tmp_path / "mine.py").write_text(
        "from torch.nn.functional import cross_entropy\n"
        "def plain(logits, target, counts):\n    return cross_entropy(logits, target, reduction='none')\n"
    )
    own = load(f"{tmp_path / 'mine.py'}:plain")
    found = Contest(examples, QUICK, [own]).hold(tmp_path / "records")
    assert found[1]["provenance"] == records[1]["provenance"]
    ranking = rank(found[1:])
    mine, softmax = ranking.row("mine.py:plain"), ranking.row(PLAIN)
    assert len(ranking.rows) == len(RULES) + len(AFTER) + 1
    assert mine.scores == pytest.approx(softmax.scores)


def test_a_loss_that_breaks_in_training_is_named(examples, tmp_path):
    (tmp_path / "mine.py").write_text(
        "from torch.nn.functional import cross_entropy\n"
        "def bad(logits, target, counts):\n"
        "    return cross_entropy(logits, target, reduction='none') * (1.0 if len(target) == 8 else float('nan'))\n"
    )
    own = load(f"{tmp_path / 'mine.py'}:bad")
    with pytest.raises(
        ValueError, match="mine.py:bad trains a classifier: that fails .FloatingPointError: the loss must stay finite"
    ):
        Contest(examples, Protocol(seeds=(0,), steps=20), [own]).hold(tmp_path)
    with pytest.raises(ValueError, match="losses of your own have different names"):
        Contest(examples, QUICK, [own, own]).check()


def test_steps_double_until_softmax_settles(examples, monkeypatch):
    monkeypatch.setattr(module, "FIRST", 25)
    division = divide(examples, 0)
    found = module.find_steps(division, Protocol(), 3e-3, 0)[1]
    costs = {int(steps): cost for steps, cost in found["costs"].items()}
    assert found["settled"] and 2 * found["steps"] == max(costs)
    assert costs[2 * found["steps"]] > (1 - module.SETTLED) * costs[found["steps"]]
    monkeypatch.setattr(module, "FIRST", 2)
    monkeypatch.setattr(module, "LAST", 4)
    unsettled = module.find_steps(division, Protocol(), 3e-3, 0)[1]
    assert (unsettled["steps"], unsettled["settled"]) == (4, False)
    assert module.find_steps(division, Protocol(steps=7), 3e-3, 0)[1]["steps"] == 7
    asked = module.find_training(division, Protocol(steps=7, decay=0.1), 0)
    assert asked == {"steps": 7, "decay": 0.1, "costs": {}, "settled": None, "valid": {}}


def test_decay_falls_as_long_as_validation_rows_cost_less_by_it():
    """Of many classes that lie well apart a decay of 0.003 lets softmax learn half; of noise less decay costs more."""
    rng = np.random.default_rng(0)
    many = np.repeat(np.arange(200), 12)
    apart, noise = 3 * rng.normal(size=(200, 32))[many] + rng.normal(size=(2400, 32)), rng.normal(size=(300, 16))
    quick, found = Protocol(steps=200), {}
    for name, x, labels in (("apart", apart, many), ("noise", noise, np.repeat([0, 1, 2], [200, 70, 30]))):
        found[name] = module.find_training(divide(check(Raw(name, x, labels)), 0), quick, 0)
        valid = list(found[name]["valid"].values())
        picked = found[name]["valid"][f"{found[name]['decay']:g}"]
        assert picked == min(valid) and all(b < a for a, b in itertools.pairwise(valid[:-1]))
    assert found["apart"]["decay"] < found["noise"]["decay"] == module.DECAYS[0]


def test_training_takes_as_many_steps_as_are_asked_for(examples):
    division = divide(examples, 0)
    drawn = draw_round(5, 12)(torch.Generator().manual_seed(0))
    assert drawn[:5].sort().values.tolist() == drawn[5:10].sort().values.tolist() == list(range(5)) and len(drawn) == 12
    heads = start(division, {"plain": [PLAIN]}, 0)
    before = cost_of(heads, division, "train")
    train(heads, {PLAIN: list_rules(division.counts)[PLAIN]}, division, Protocol(), Training(20, 0.0), 0, label="")
    assert cost_of(heads, division, "train") < before


@pytest.mark.parametrize("counts", [[90, 12], [4] * 300], ids=["2 classes", "300 classes"])
def test_few_and_many_classes(counts, make_rows, tmp_path):
    examples = check(Raw("clouds", *make_rows(counts, width=8)))
    records = Contest(examples, Protocol(seeds=(0,), steps=8, prior="training")).hold(tmp_path)
    rows = records[1]["result"]["rows"]
    assert ("average_precision" in rows[MINE]) == (len(counts) == 2)
    assert f"{MINE}{module.TOLD}" in rows and rows[MINE]["wanted"] == rows[MINE]["training"]


def test_a_prior_of_one_s_own_weighs_the_test_rows(examples, tmp_path):
    protocol = Protocol(seeds=(0,), steps=20, prior={"2": 1.0})
    row = Contest(examples, protocol).hold(tmp_path)[1]["result"]["rows"]
    assert row[f"adjusted{module.TOLD}"]["wanted"] == 100.0 and row[f"adjusted{module.TOLD}"]["nll"] == 0
    with pytest.raises(ValueError, match="a prior at test is of the classes that take part: 'fox'"):
        Contest(examples, Protocol(prior={"fox": 1.0})).check()


def test_numbers_are_scikit_learn_s():
    generator = torch.Generator().manual_seed(0)
    truth, logits = torch.arange(40) % 2, torch.randn(40, 2, generator=generator).round(decimals=1)
    prior = torch.tensor([0.9, 0.1], dtype=torch.double)
    weight, answers = weigh_rows(prior, truth), Answers.of(logits, truth)
    score = (logits[:, 1] - logits[:, 0]).double()
    expected = metrics.average_precision_score(truth, score, sample_weight=weight)
    assert average_precision(answers.lead, truth == 1, prior) == pytest.approx(100 * expected)
    expected = metrics.f1_score(truth, logits.argmax(1), average="macro", sample_weight=weight)
    assert macro_f1(answers.picked, truth, prior) == pytest.approx(100 * expected)
    parts = [Answers.of(logits[i : i + 7], truth[i : i + 7]) for i in range(0, 40, 7)]
    assert all(torch.equal(a, b) for a, b in zip(Answers.join(parts), answers, strict=True))
    assert list(priors_of(torch.tensor([3, 1]))) == ["uniform", "training", "reversed"]


def test_means_of_classes_are_of_their_rows():
    x, labels = torch.randn(9, 2), torch.arange(9) % 3
    means = average_classes([(x[:4], labels[:4]), (x[4:], labels[4:])], torch.tensor([3, 3, 3]))
    torch.testing.assert_close(means, torch.stack([x[labels == i].mean(0) for i in range(3)]))
    with pytest.raises(ValueError, match="means of classes are of training rows, got none"):
        average_classes([], torch.tensor([1, 1]))


def test_a_protocol_is_checked():
    for values, sentence in (
        ({"seeds": (0, 0)}, "different seeds"), ({"steps": 0}, "steps are 1 or more"),
        ({"bounds": (3, 9)}, "MANY then FEW"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=sentence):
            Protocol(**values)
