"""The best epoch's weights come back, also after a kill, and none of another training's."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from vqabook.files import save_whole
from vqabook.training.best import BestEpoch


def watched(tmp_path, values: list[float]) -> tuple[BestEpoch, nn.Module]:
    left = iter(values)
    best, model = BestEpoch.begin(lambda model: {"valid": next(left)}, tmp_path / "c"), nn.Linear(1, 1)
    for i in range(len(values)):
        nn.init.constant_(model.weight, i)
        best(model)
    return best, model


@pytest.mark.parametrize(("values", "epoch"), [([1, 3, 2], 1), ([1, 1, 1], 0), ([1, 2, 3], 2), ([0.0], 0)])
def test_the_first_of_the_best_comes_back(values, epoch, tmp_path):
    best, model = watched(tmp_path, values)
    best.restore(model)
    assert model.weight.item() == epoch and not list(tmp_path.iterdir())


def test_a_resumed_training_remembers_its_best(tmp_path):
    watched(tmp_path, [1, 5, 2])
    (tmp_path / "c").touch()  # its checkpoint is there: it goes on
    best, model = watched(tmp_path, [4, 3])
    best.restore(model)
    assert model.weight.item() == 1
    watched(tmp_path, [9, 2])
    (tmp_path / "c").unlink()  # anew: what another one left counts for nothing
    best, model = watched(tmp_path, [1, 4])
    best.restore(model)
    assert model.weight.item() == 1 and best.highest == 4


def test_a_file_is_whole_or_not_there(tmp_path):
    with pytest.raises(AttributeError):
        save_whole(lambda: None, tmp_path / "f")  # no pickle of it
    assert not list(tmp_path.iterdir())
    save_whole({"x": torch.ones(2)}, tmp_path / "f")
    assert torch.equal(torch.load(tmp_path / "f")["x"], torch.ones(2))
