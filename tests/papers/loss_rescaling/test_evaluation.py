"""What a record keeps of a trained model: which epoch would be chosen, where the model looks, what runs share."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from vqabook.metrics.vqa import ANSWER_TYPES
from vqabook.papers.loss_rescaling import PAPER
from vqabook.papers.loss_rescaling.evaluation import counts_of, looks
from vqabook.papers.loss_rescaling.recipes import Run
from vqabook.papers.loss_rescaling.train import build, first_stage, load
from vqabook.training.fit import select
from vqabook.training.stages import Stages

HISTORY = [
    {"epoch": epoch, "valid": valid, "test": test, "loss": 1.0}
    for epoch, valid, test in ((1, 50.0, 9.0), (2, 70.0, 5.0), (3, 60.0, 30.0), (4, 55.0, 40.0), (5, 40.0, 35.0))
]
EVEN = [row | {"valid": 1.0, "test": 2.0} for row in HISTORY]


@pytest.mark.parametrize(
    ("history", "first", "by_valid", "by_test"), [(HISTORY, 0, 2, 4), (HISTORY, 2, 3, 4), (EVEN, 1, 2, 2)]
)
def test_validation_chooses_without_test_among_the_second_stage(history, first, by_valid, by_test):
    chosen = {name: row["epoch"] for name, row in select(history, first=first).items()}
    assert chosen == {"last": 5, "best_by_valid": by_valid, "best_by_test": by_test}


def run_of(variant: str, **values: object) -> Run:
    recipes = PAPER.recipes(PAPER.setting_of(profile="smoke", **values), "loss_rescaling")
    (run,) = [r for r in recipes if (r.variant, r.prior) == (variant, "changing")]
    return run


def test_runs_that_differ_in_their_weights_alone_share_their_first_stage(tmp_path):
    def stage(variant: str, **values: object) -> tuple:
        shared = first_stage(run_of(variant, **values), Stages(tmp_path, "code"))
        return shared.path, shared.epochs

    assert len({stage(f"bce {module}") for module in ("baseline", "re-scaling")}) == 1
    assert stage("bce re-scaling", cap=3.0, min_votes=4, out_of_type=1.5) == stage("bce baseline")
    both = stage("bce both")
    assert both == stage("bce mask (softplus-G)") == stage("bce both @ positive term only") != stage("bce baseline")
    assert both == stage("bce both @ out-of-type 1 + log 2") != stage("bce both @ in-type from 10 votes")  # its labels
    assert len({stage(run) for run in ("bce baseline", "ce baseline", "lmh bce baseline", "lm bce baseline")}) == 4
    assert first_stage(run_of("ce re-scaling @ from the start"), Stages(tmp_path, "code")) is None
    assert stage("bce baseline") != stage("bce baseline", seeds=(1,)) != stage("bce baseline", lr=0.5)
    writes = {m: first_stage(run_of(f"bce {m}"), Stages(tmp_path, "")).write for m in ("baseline", "re-scaling")}
    assert writes == {"baseline": True, "re-scaling": False}


@pytest.fixture
def task(cache):
    return load(run_of("bce baseline"), None, "cpu")


def model_of(variant: str, task, seed: int = 0) -> torch.nn.Module:
    return build(replace(run_of(variant), seed=seed), task, counts_of(task))[0]


def test_re_scaling_has_no_parameters_and_nothing_to_do_at_test(task):
    """Guo et al. 2022, Sec. IV-C; the answer mask, which its footnote 6 excepts, has some."""
    built = {m: build(run_of(f"bce {m}"), task, counts_of(task)) for m in ("baseline", "re-scaling", "both")}
    (plain, _), (weighed, objective), (masked, _) = built.values()
    assert type(plain) is type(weighed) and not list(objective.parameters())
    assert all(torch.equal(x, y) for x, y in zip(plain.parameters(), weighed.parameters(), strict=True))
    assert len(list(masked.parameters())) > len(list(plain.parameters()))


def test_looks_are_the_same_questions_for_every_model(task):
    one, two = (looks(model_of("bce re-scaling", task, seed), task) for seed in (0, 1))
    keys = ("question_id", "image_id", "question", "truth")
    assert [[x[k] for k in keys] for x in one] == [[x[k] for k in keys] for x in two]
    assert len(one) == 12 and len({x["question_id"] for x in one}) == 12
    types = dict(zip(task.test_questions.question_id.tolist(), task.test_questions.answer_type, strict=True))
    assert [types[x["question_id"]] for x in one] == [kind for kind in ANSWER_TYPES for _ in range(4)]
    assert all(sum(x["attention"]) == pytest.approx(1, abs=0.01) for x in one)
    assert [x["attention"] for x in one] != [x["attention"] for x in two]


def test_a_look_is_what_the_model_says(task):
    model = model_of("bce both", task)
    rows = {int(q): i for i, q in enumerate(task.test_questions.question_id)}
    for look in looks(model, task, n=6):
        row = torch.tensor([rows[look["question_id"]]])
        with torch.no_grad():
            answer = model(*task.test.batch(row).inputs).logits.argmax()
        assert look["predicted"] == task.vocabulary.answers[int(answer)]
