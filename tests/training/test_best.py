"""The best epoch's weights come back, also after a kill, and none of another training's."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from vqabook import stop
from vqabook.core import Output
from vqabook.objectives import LossRescaling
from vqabook.training.fit import BestEpoch, FitConfig, fit_best

CONFIG = FitConfig(epochs=4, batch_size=16, lr=0.05, checkpoint_every=0.0)


class Toy(nn.Linear):
    def forward(self, x: torch.Tensor) -> Output:
        return Output(super().forward(x))


@pytest.mark.parametrize(("values", "epoch"), [([1, 3, 2], 1), ([1, 1, 1], 0), ([1, 2, 3], 2), ([0.0], 0)])
def test_the_first_of_the_best_comes_back(values, epoch):
    left = iter(values)
    best, model = BestEpoch(lambda model: {"valid": next(left)}), nn.Linear(1, 1)
    for i in range(len(values)):
        nn.init.constant_(model.weight, i)
        best(model)
    best.restore(model)
    assert model.weight.item() == epoch and best.highest == max(values)


def train(
    table, checkpoint: Path, *, killed_in: int | None = None, by=KeyboardInterrupt, anew=False
) -> tuple[dict, list[float]]:
    """Weights, and the `valid` that each epoch trained here was given."""
    values, given = {1: 1, 2: 5, 3: 2, 4: 4}, []
    torch.manual_seed(0)
    model = Toy(3, 4)
    epoch = 0 if anew or not checkpoint.exists() else len(torch.load(checkpoint)["history"])

    def evaluate(model: nn.Module) -> dict:
        given.append(values[epoch + len(given) + 1])
        if epoch + len(given) == killed_in:
            raise by
        return {"valid": given[-1]}

    fit_best(model, LossRescaling("bce"), table, CONFIG, evaluate=evaluate, checkpoint=checkpoint, label="toy")
    return dict(model.state_dict()), given


@pytest.mark.parametrize("killed_in", [1, 2, 3, 4])
def test_a_resumed_training_remembers_its_best(killed_in, toy_table, tmp_path):
    want = train(toy_table(), tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        train(toy_table(), tmp_path / "killed", killed_in=killed_in)
    weights, given = train(toy_table(), tmp_path / "killed")
    torch.testing.assert_close(weights, want[0], rtol=0, atol=0)
    assert given == want[1][killed_in - 1 :]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["killed", "whole"]  # until the results are recorded


@pytest.mark.parametrize("lost", [None, (7.0, {}), (7.0, {"weight": torch.zeros(1)}), ("high", None), 7])
def test_a_checkpoint_whose_best_weights_are_lost_counts_for_nothing(lost, toy_table, tmp_path):
    """Its training starts anew, and ends as one that was never killed."""
    want = train(toy_table(), tmp_path / "whole")
    checkpoint = tmp_path / "killed"
    with pytest.raises(KeyboardInterrupt):
        train(toy_table(), checkpoint, killed_in=4)
    torch.save(torch.load(checkpoint) | {"best": lost}, checkpoint)
    with pytest.warns(UserWarning, match="killed.damaged, and is made again"):
        weights, given = train(toy_table(), checkpoint, anew=True)
    torch.testing.assert_close(weights, want[0], rtol=0, atol=0)
    assert given == want[1]


def test_a_training_that_is_stopped_in_its_first_epoch_has_lost_nothing(toy_table, tmp_path):
    want, checkpoint = train(toy_table(), tmp_path / "whole"), tmp_path / "stopped"
    with pytest.raises(stop.Stopped):
        train(toy_table(), checkpoint, killed_in=1, by=stop.Stopped)  # kept before any epoch was judged
    assert torch.load(checkpoint)["history"] == []
    weights, given = train(toy_table(), checkpoint)
    torch.testing.assert_close(weights, want[0], rtol=0, atol=0)
    assert given == want[1]
