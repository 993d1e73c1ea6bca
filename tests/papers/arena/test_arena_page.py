"""The arena's runs: what competes on which rows, losses and data of one's own, and what is said of them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from vqabook.arena.heads import TITLES
from vqabook.papers import paper_of
from vqabook.papers.arena import tables
from vqabook.papers.arena.pictures import beats
from vqabook.papers.arena.recipes import ContestRun
from vqabook.papers.arena.rows import lay_out
from vqabook.papers.arena.studies import Study
from vqabook.producer import Producer

LOSS = """
from torch.nn.functional import cross_entropy

def plain(logits, target, counts):
    return cross_entropy(logits, target, reduction="none")
"""


@pytest.fixture(scope="module")
def paper():
    return paper_of("arena")


def make(paper, folder: Path, **values) -> list[dict]:
    """Records of what a smoke page asks for."""
    asked = paper.asked(paper.setting_of(profile="smoke", **values), "arena")
    produce = Producer(None)
    stamp = {"hardware": "one", "commit": "c"}
    return [
        {"recipe": recipe, "result": json.loads(json.dumps(produce(recipe, folder / str(i)))), "provenance": stamp}
        for i, recipe in enumerate(asked)
    ]


@pytest.fixture(scope="module")
def records(paper, tmp_path_factory) -> list[dict]:
    """Digits with a loss of one's own that is softmax."""
    folder = tmp_path_factory.mktemp("own")
    (folder / "mine.py").write_text(LOSS)
    losses = [f"{folder / 'mine.py'}:plain"]
    return make(paper, folder, sets=["digits"], imbalances=[10.0], losses=losses, seeds=[0, 1, 2])


def test_a_tail_is_cut_and_every_class_is_in_every_part(paper, tmp_path):
    asked = paper.asked(paper.setting_of(profile="smoke", sets=["digits"], imbalances=[100.0]), "arena")
    _, division = lay_out(ContestRun.of(asked[0]), tmp_path)
    for part in ("train", "valid", "test"):
        assert set(division.labels[part].tolist()) == set(range(10)), part
    rows = [set(division.x[part].rows.tolist()) for part in ("train", "valid", "test")]
    assert not rows[0] & rows[1] and not rows[0] & rows[2] and not rows[1] & rows[2]
    train = division.x["train"][division.labels["train"].new_tensor(range(len(rows[0])))]
    assert train.mean(0).abs().max() < 1e-4  # scaled by training rows


def test_every_rule_is_judged_under_every_prior(records):
    library = records[0]["result"]["rows"]
    assert library.keys() == {"uniform", "training", "reversed"}
    for prior, rows in library.items():
        assert set(TITLES) <= rows.keys(), prior
    assert {"training", "reversed", "many", "few"} <= library["uniform"]["softmax"].keys()


def test_a_loss_of_one_s_own_that_is_softmax_is_softmax(records):
    study = Study.of(records, [])
    assert study.rows[-1] == "mine.py:plain"
    own, plain = (study.numbers("digits at 10", row) for row in ("mine.py:plain", "softmax"))
    assert own == pytest.approx(plain, abs=1e-3) and len(own) == 3
    verdict = study.gain("digits at 10", "mine.py:plain")
    assert verdict.kind == "no difference" and verdict.shared == pytest.approx(0.4 / 0.6)


def test_an_edited_loss_is_another_run_and_a_stale_one_is_told(paper, tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(LOSS)
    how = {"sets": ["digits"], "losses": [f"{file}:plain"]}
    before = paper.asked(paper.setting_of(profile="smoke", **how), "arena")
    file.write_text(LOSS + "\n# edited\n")
    after = paper.asked(paper.setting_of(profile="smoke", **how), "arena")
    assert before[0] == after[0] and before[1]["loss"]["digest"] != after[1]["loss"]["digest"]
    with pytest.raises(ValueError, match=r"mine.py:plain was edited; run anew$"):
        paper.check(before, data_root=None)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"losses": ["nowhere.py:f"]}, "nowhere.py is not a file; check the path"),
        ({"dataset": "nowhere.npz"}, "dataset is all, digits, .*: .*nowhere.npz does not exist; check the spelling"),
        ({"sets": ["mnist"]}, "sets is one of digits"),
    ],
)
def test_what_cannot_compete_is_one_sentence(paper, values, sentence):
    with pytest.raises((ValueError, FileNotFoundError), match=sentence):
        paper.check(paper.asked(paper.setting_of(profile="smoke", **values), "arena"), data_root=None)


def test_data_of_one_s_own_are_a_set(paper, make_mine, tmp_path):
    path = make_mine(tmp_path)
    study = Study.of(make(paper, tmp_path, dataset=str(path), seeds=[0, 1, 2]), [])
    assert study.tasks == study.main == ["mine.npz as it comes"]
    assert study.gain("mine.npz as it comes", "balanced softmax").shared == pytest.approx(0.25)
    np.savez(path, X=np.random.default_rng(1).normal(size=(90, 3)), y=np.arange(90) % 3)
    asked = paper.asked(paper.setting_of(profile="smoke", dataset=str(path)), "arena")
    assert asked[0]["data"]["digest"] != study.records[0]["recipe"]["data"]["digest"]


@pytest.fixture
def make_mine():
    def make(folder: Path) -> Path:
        rng = np.random.default_rng(0)
        y = np.repeat([0, 1, 2], [60, 25, 8])
        np.savez(folder / "mine.npz", X=rng.normal(size=(len(y), 4)) + y[:, None], y=y)
        return folder / "mine.npz"

    return make


def test_what_to_take_is_ahead_of_softmax_and_has_its_lines(records):
    study = Study.of(records, [])
    for prior, rare, after in tables.list_cases():
        for choice in study.choose(prior, rare=rare, after=after):
            assert choice.row != "softmax" and choice.row in TITLES
            assert not after or choice.price == "no training"
        assert {"take"} <= set(tables.tabulate_choices(study, prior).columns)
    assert all("import" in code for code in tables.list_code(study).values())


def test_recorded_tasks_stand_beside_those_that_were_run_here(records):
    other = [record | {"recipe": record["recipe"] | {"variant": "trec at 10"}} for record in records[:1]]
    study = Study.of(records, [*other, records[0]])
    assert study.tasks == ["digits at 10", "trec at 10"]


def test_one_rule_beats_another_on_both():
    assert beats((1, 2), (1, 1)) and beats((2, 2), (1, 1))
    assert not beats((2, 0), (1, 1)) and not beats((1, 1), (1, 1))
