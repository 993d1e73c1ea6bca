"""Sec. III-B as runs: recipes are whole, a run is what its recipe says, and the diagnosis sees a planted imbalance."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from vqabook.core import Output, Table
from vqabook.data.image_tables import Division
from vqabook.evidence.record import key_of
from vqabook.objectives.base import CentreLoss, CrossEntropy
from vqabook.papers.loss_rescaling import PAPER, vision
from vqabook.papers.loss_rescaling.recipes import VisionRun
from vqabook.papers.loss_rescaling.setting import VISION, VISION_CUTS, VisionOptions
from vqabook.report.verdicts import number

pytest.importorskip("sklearn")
CLAIMS = [claim for claim in PAPER.claims if claim.name.startswith("vision-")]


def runs_of(profile: str = "smoke", **values: object) -> list[VisionRun]:
    values = {"dataset": "shapes", "seeds": (0,), "vision": ("digits",)} | values
    listed = PAPER.recipes(PAPER.setting_of(profile=profile, **values), "class_imbalance")
    return [run for run in listed if run.part == "vision"]


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> list[dict]:
    checkpoint = tmp_path_factory.mktemp("run") / "checkpoint"
    made = [run.asked() for run in runs_of()]
    return [{"recipe": r, "result": PAPER.produce(r, checkpoint, data_root=None, device="cpu")} for r in made]


def test_recipes_are_json_and_name_every_run():
    asked = [run.asked() for run in runs_of("small", seeds=(0, 1))]
    assert [r["variant"] for r in asked] == ["digits imbalanced"] * 2 + ["digits balanced"] * 2
    assert len({key_of(r) for r in asked}) == 4
    assert json.loads(json.dumps(asked)) == asked
    assert sum(asked[0]["data"]["counts"]) > 200


def test_profiles_change_sizes():
    small, smoke, paper = (runs_of(profile)[0] for profile in ("small", "smoke", "paper"))
    assert (small.depth, smoke.epochs, paper.depth, paper.epochs) == (8, 2, 32, 200)


def test_a_natural_imbalance_and_its_control_take_as_many_steps(monkeypatch):
    monkeypatch.setitem(VISION, "digits", VisionOptions(epochs=10))
    monkeypatch.setitem(VISION_CUTS, "digits", (None, 0.6))
    steps = [sum(run.data.counts) * run.epochs for run in runs_of("small")]
    assert steps[1] / steps[0] == pytest.approx(1, abs=0.06)


def test_a_run_gives_json_without_nan(runs):
    for run in runs:
        result = run["result"]
        assert json.loads(json.dumps(result, allow_nan=False)) == result
        assert len(result["history"]) == run["recipe"]["epochs"]
        assert result["test"]["overall"] == result["held_out"]["accuracy"]
        assert len(result["test"]["per_class"]) == 10
        wrong = np.array(result["held_out"]["matrix"]["count"])
        total = sum(run["recipe"]["data"]["held_out_counts"])
        assert 100 * (1 - wrong.sum() / total) == pytest.approx(result["test"]["overall"])
        assert {"accuracy", "mistakes"} <= result["history"][0]["train"].keys()


def test_the_same_recipe_gives_the_same_numbers(runs, tmp_path):
    again = PAPER.produce(runs[0]["recipe"], tmp_path / "checkpoint", data_root=None, device="cpu")

    def untimed(result: dict) -> dict:
        return result | {"history": [row | {"seconds": 0} for row in result["history"]]}

    assert untimed(again) == untimed(runs[0]["result"])


def test_every_claim_reads_numbers_that_a_run_has(runs):
    for claim in CLAIMS:
        for side in (claim.more, claim.less):
            assert side.where["part"] == "vision" and side.where["variant"].split()[0] in VISION
            *at, name = side.metric.split(".")
            assert name in runs[0]["result"][at[0]][at[1]]
    digits = [c for c in CLAIMS if c.more.where["variant"] == "digits imbalanced"]
    assert any(number(runs[0], claim.more.metric) is not None for claim in digits)


@pytest.mark.parametrize(("weight", "kind"), [(0.0, CrossEntropy), (0.003, CentreLoss)])
def test_builds_what_the_recipe_says(weight, kind):
    recipe = replace(runs_of()[0], centre_weight=weight)
    train = Table((torch.zeros(4, 1, 8, 8).byte(),), torch.arange(4) % 2, 2)
    data = Division(train, train, ("a", "b"), np.array([3, 1]))
    model, objective = vision.build(recipe, data)
    assert isinstance(objective, kind)
    assert (model.config.width, model.config.channels, model.config.n_classes) == (4, 1, 2)
    first, second = (vision.build(recipe, data)[0].state_dict() for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)
    if weight:
        assert objective.centres.shape == (2, 16)


class Prior(nn.Module):
    """A model that answers from its input, in logits, and adds a prior: one that imbalance has taught."""

    def __init__(self, prior: torch.Tensor):
        super().__init__()
        self.prior = prior

    def forward(self, seen: torch.Tensor) -> Output:
        return Output(seen + self.prior)


def planted(prior: torch.Tensor, n: int = 4000) -> dict:
    """The diagnosis of noisy evidence for every class alike, under `prior`."""
    rng = torch.Generator().manual_seed(0)
    target = torch.randint(0, 4, (n,), generator=rng)
    seen = 1.5 * torch.randn(n, 4, generator=rng) + 2 * nn.functional.one_hot(target, 4)
    table = Table((seen,), target, 4)
    data = Division(table, table, tuple("abcd"), np.array([10, 1000, 100, 30]))  # not in the order of frequency
    return vision.diagnose(Prior(prior), table, data)


def test_a_learnt_prior_makes_mistakes_on_sparse_classes_dear_and_none_does_not():
    learnt = planted(torch.tensor([10.0, 1000.0, 100.0, 30.0]).log())["mistakes"]
    control = planted(torch.zeros(4))["mistakes"]
    assert learnt["sparse_excess"] > 1 > 10 * control["gap"]
    assert learnt["sparse_excess_paired"] == pytest.approx(learnt["easy_paired"] - learnt["hard_paired"])
    assert learnt["n_easy"] > learnt["n_hard"] > 0


def test_the_diagnosis_by_a_plain_loop():
    diagnosis = planted(torch.tensor([0.0, 2.0, 1.0, 0.5]))
    rng = torch.Generator().manual_seed(0)
    target = torch.randint(0, 4, (4000,), generator=rng)
    logits = 1.5 * torch.randn(4000, 4, generator=rng) + 2 * nn.functional.one_hot(target, 4)
    logits = logits + torch.tensor([0.0, 2.0, 1.0, 0.5])
    order, costs = [1, 2, 3, 0], {}
    for row, truth in zip(logits.log_softmax(1), target.tolist(), strict=True):
        costs.setdefault((truth, int(row.argmax())), []).append(-float(row[truth]))
    assert diagnosis["matrix"]["classes"] == list("bcda") and diagnosis["matrix"]["frequency"] == [1000, 100, 30, 10]
    for i, truth in enumerate(order):
        for j, predicted in enumerate(order):
            cell = costs.get((truth, predicted), [])
            if truth == predicted:
                assert diagnosis["matrix"]["loss"][i][j] is None and diagnosis["matrix"]["count"][i][j] == 0
            else:
                assert diagnosis["matrix"]["loss"][i][j] == pytest.approx(np.mean(cell), abs=2e-4)
                assert diagnosis["matrix"]["count"][i][j] == len(cell)
        mistaken = sum((cell for (t, p), cell in costs.items() if t == truth != p), [])
        assert diagnosis["by_class"]["truth"][i] == pytest.approx(np.mean(mistaken), rel=1e-4)
        right, all_of = len(costs[truth, truth]), sum(len(c) for (t, _), c in costs.items() if t == truth)
        assert diagnosis["per_class"][i] == pytest.approx(100 * right / all_of)


def test_without_mistakes_there_is_no_number_rather_than_nan():
    table = Table((10 * torch.eye(3),), torch.arange(3), 3)
    data = Division(table, table, tuple("abc"), np.array([3, 2, 1]))
    diagnosis = vision.diagnose(Prior(torch.zeros(3)), table, data)
    assert diagnosis["accuracy"] == 100
    assert diagnosis["mistakes"]["hard"] is None and diagnosis["mistakes"]["gap_paired"] is None
    assert diagnosis["by_class"]["truth"] == [None] * 3
    json.dumps(diagnosis, allow_nan=False)


def test_few_rows_are_watched_and_all_when_there_are_few():
    table = replace(Table((torch.arange(50),), torch.arange(50), 50), side={})
    assert len(vision.pick_rows(table, 20, 0)) == 20 and len(vision.pick_rows(table, 100, 0)) == 50
    assert torch.equal(vision.pick_rows(table, 20, 0).target, vision.pick_rows(table, 20, 0).target)
