"""Every objective in OBJECTIVES learns toy data; loss re-scaling follows its schedule."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from vqabook.core import Output, Table
from vqabook.losses import mask_loss, rescaling_weights, sigmoid_bce, soft_cross_entropy
from vqabook.objectives import LossRescaling, Plain
from vqabook.training.fit import FitConfig, fit
from vqabook.training.solver import PRECISIONS

WEIGHT = rescaling_weights(torch.tensor([[50, 10, 5, 1], [0, 3, 30, 30]]))
LABEL = torch.tensor([[1.0, 1, 1, 1], [0, 1, 1, 1]])
OBJECTIVES = {
    "bce": lambda: LossRescaling("bce", label=LABEL),
    "ce": lambda: LossRescaling("ce", label=LABEL),
    "bce, re-scaled": lambda: LossRescaling("bce", weight=WEIGHT, label=LABEL),
    "ce, re-scaled": lambda: LossRescaling("ce", weight=WEIGHT, label=LABEL),
    "bce, re-scaled late": lambda: LossRescaling("bce", weight=WEIGHT, label=LABEL, after=0.5),
    "bce, released": lambda: LossRescaling(
        Plain("bce", positive_only=True), weight=WEIGHT, label=LABEL, mask_second_sigmoid=True, mask_reduction="mean"
    ),
}


class Toy(nn.Module):
    """Logits, and if asked for a mask, from points."""

    def __init__(self, *, masked: bool):
        super().__init__()
        self.classify, self.mask = nn.Linear(3, 4), nn.Linear(3, 4) if masked else None

    def forward(self, x: torch.Tensor) -> Output:
        return Output(self.classify(x), mask=self.mask(x).sigmoid() if self.mask else None)


def toy(*, masked: bool) -> Toy:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Toy(masked=masked)


def losses(objective: LossRescaling, model: nn.Module, table: Table, progress: float) -> torch.Tensor:
    (loss,) = objective.steps(model, table.batch(torch.arange(len(table))), progress)
    return loss


@pytest.mark.parametrize("objective", OBJECTIVES.values(), ids=OBJECTIVES)
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("precision", PRECISIONS)
def test_learns_toy_data(objective, masked, precision, toy_table):
    table, model = toy_table(256), toy(masked=masked)
    before = losses(objective(), model, table, 0.99)
    config = FitConfig(epochs=12, batch_size=32, lr=0.05, clip=10.0, precision=precision)
    history = fit(model, objective(), table, config)
    after = losses(objective(), model, table, 0.99)
    assert before.shape == after.shape == (256,)
    assert after.mean() < 0.8 * before.mean()
    assert all(row["loss"] == row["loss"] for row in history)


@pytest.mark.parametrize(("loss", "plain"), [("bce", sigmoid_bce), ("ce", soft_cross_entropy)])
def test_weights_come_in_when_the_first_stage_is_over(loss, plain, toy_table):
    table, model = toy_table(), toy(masked=False)
    objective, logits = LossRescaling(loss, weight=WEIGHT, after=2 / 3), model(table.inputs[0]).logits
    weighted = plain(logits, table.target, weight=WEIGHT[table.side["question_type"]])
    for progress in (0.0, 1 / 3, 0.66):
        torch.testing.assert_close(losses(objective, model, table, progress), plain(logits, table.target))
    for progress in (2 / 3, 0.99):
        torch.testing.assert_close(losses(objective, model, table, progress), weighted)
    assert not torch.allclose(weighted, plain(logits, table.target))  # control


@pytest.mark.parametrize(("epochs", "more"), [(8, 4), (20, 10), (1, 1), (7, 3)])
def test_the_second_stage_starts_at_its_epoch(epochs, more):
    after = epochs / (epochs + more)
    assert [epoch / (epochs + more) >= after for epoch in range(epochs + more)] == [False] * epochs + [True] * more


def test_the_mask_loss_is_added(toy_table):
    table, model = toy_table(), toy(masked=True)
    out = model(table.inputs[0])
    options = {"second_sigmoid": True, "over_answers": "mean"}
    objective = LossRescaling("bce", label=LABEL, mask_weight=0.3, mask_second_sigmoid=True, mask_reduction="mean")
    extra = 0.3 * mask_loss(out.mask, LABEL[table.side["question_type"]], **options)
    torch.testing.assert_close(losses(objective, model, table, 0.0), sigmoid_bce(out.logits, table.target) + extra)


def test_tables_travel_with_the_objective():
    objective = LossRescaling("ce", weight=WEIGHT, label=LABEL)
    assert objective.to("meta").weight.device.type == "meta"
    assert list(copy.deepcopy(OBJECTIVES["ce"]()).parameters()) == []


def test_unknown_loss_is_refused(unchecked):
    with pytest.raises(ValueError, match=r"loss is one of bce, ce, got 'hinge'"):
        LossRescaling("hinge")
