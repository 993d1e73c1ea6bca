"""What a record keeps of a trained model: which epoch would be chosen, and where the model looks."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from vqabook.data.vqa import ANSWER_TYPES
from vqabook.papers import paper_of
from vqabook.papers.loss_rescaling.evaluation import looks
from vqabook.training.best import select

HISTORY = [
    {"epoch": 1, "valid": 50.0, "test": 9.0, "loss": 1.0},
    {"epoch": 2, "valid": 70.0, "test": 5.0, "loss": 1.0},
    {"epoch": 3, "valid": 60.0, "test": 30.0, "loss": 1.0},
    {"epoch": 4, "valid": 55.0, "test": 40.0, "loss": 1.0},
    {"epoch": 5, "valid": 40.0, "test": 35.0, "loss": 1.0},
]


def test_validation_chooses_without_test():
    assert {name: row["epoch"] for name, row in select(HISTORY, first=0).items()} == {
        "last": 5, "best_by_valid": 2, "best_by_test": 4,
    }  # fmt: skip


def test_only_the_second_stage_is_chosen_among():
    chosen = select(HISTORY, first=2)
    assert chosen["best_by_valid"] == {"epoch": 3, "valid": 60.0, "test": 30.0}
    assert chosen["best_by_test"]["epoch"] == 4


def test_the_first_of_equal_epochs_is_chosen():
    even = [row | {"valid": 1.0, "test": 2.0} for row in HISTORY]
    assert {row["epoch"] for name, row in select(even, first=1).items() if name != "last"} == {2}


@pytest.fixture
def task(cache):
    from vqabook.papers.loss_rescaling.train import task_of

    paper = paper_of("loss_rescaling")
    recipe = paper.recipes(paper.setting(profile="smoke"), "loss_rescaling")[-1]
    return recipe, task_of(recipe, Path("none"), "cpu")


def test_looks_are_the_same_questions_for_every_model(task):
    recipe, data = task
    paper = paper_of("loss_rescaling")
    method = recipe["method"] | {"mask": None}
    recipe = {k: v for k, v in recipe.items() if k not in ("part", "backbone")} | {"method": method}
    models = [paper.build(recipe | {"seed": seed}, data)[0] for seed in (0, 1)]
    one, two = (looks(model, data) for model in models)
    keys = ("question_id", "image_id", "question", "truth")
    assert [[x[k] for k in keys] for x in one] == [[x[k] for k in keys] for x in two]
    assert len(one) == 12 and len({x["question_id"] for x in one}) == 12
    types = dict(zip(data.test_questions.question_id.tolist(), data.test.side["answer_type"].tolist(), strict=True))
    assert [types[x["question_id"]] for x in one] == sorted([*range(len(ANSWER_TYPES))] * 4)
    assert all(sum(x["attention"]) == pytest.approx(1, abs=0.01) for x in one)
    assert [x["attention"] for x in one] != [x["attention"] for x in two]


def test_a_look_is_what_the_model_says(task):
    recipe, data = task
    model = paper_of("loss_rescaling").build({k: v for k, v in recipe.items() if k != "part"}, data)[0]
    rows = {int(q): i for i, q in enumerate(data.test_questions.question_id)}
    for seen in looks(model, data, n=6):
        row = torch.tensor([rows[seen["question_id"]]])
        with torch.no_grad():
            said = model(*data.test.batch(row).inputs).logits.argmax()
        assert seen["predicted"] == data.vocabulary.answers[int(said)]
