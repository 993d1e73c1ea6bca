"""The best epoch's weights come back, also after a kill, and none of another training's."""

from __future__ import annotations

from contextlib import nullcontext

import pytest
import torch
from torch import nn

from vqabook.core import Output
from vqabook.files import save_whole
from vqabook.objectives import LossRescaling
from vqabook.training.fit import BestEpoch, FitConfig, fit_best


def watched(tmp_path, values: list[float]) -> tuple[BestEpoch, nn.Module]:
    left = iter(values)
    best, model = BestEpoch(lambda model: {"valid": next(left)}, tmp_path / "c"), nn.Linear(1, 1)
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
    (tmp_path / "c").unlink()
    watched(tmp_path, [9, 2])  # anew: what another one left counts for nothing
    best, model = watched(tmp_path, [1, 4])
    best.restore(model)
    assert model.weight.item() == 1 and best.highest == 4


@pytest.mark.parametrize("damage", [b"", b"garbage", None])
def test_a_checkpoint_whose_best_weights_are_lost_counts_for_nothing(damage, toy_table, tmp_path):
    """Its training starts anew, and ends as one that was never killed; the file is set aside, or was not there."""

    class Toy(nn.Linear):
        def forward(self, x: torch.Tensor) -> Output:
            return Output(super().forward(x))

    def train(folder: str, killed: bool = False) -> dict:
        left = iter([1, 5, 2, 4])

        def evaluate(model: nn.Module) -> dict:
            value = next(left)
            if killed and value == 4:
                raise KeyboardInterrupt
            return {"valid": value}

        torch.manual_seed(0)
        model, config = Toy(3, 4), FitConfig(epochs=4, batch_size=16, lr=0.05, checkpoint_every=0.0)
        (tmp_path / folder).mkdir(exist_ok=True)
        checkpoint = tmp_path / folder / "c"
        fit_best(
            model, LossRescaling("bce"), toy_table(), config, evaluate=evaluate, checkpoint=checkpoint, label=folder
        )
        return model.state_dict()

    want = train("whole")
    with pytest.raises(KeyboardInterrupt):
        train("killed", killed=True)
    best = tmp_path / "killed" / "c.best"
    best.unlink() if damage is None else best.write_bytes(damage)
    with nullcontext() if damage is None else pytest.warns(UserWarning, match="c.best.damaged, and is made again"):
        torch.testing.assert_close(train("killed"), want, rtol=0, atol=0)
    assert [path.name for path in best.parent.iterdir()] == ([] if damage is None else ["c.best.damaged"])


def test_a_file_is_whole_or_not_there(tmp_path):
    with pytest.raises(AttributeError):
        save_whole(lambda: None, tmp_path / "f")  # no pickle of it
    assert not list(tmp_path.iterdir())
    save_whole({"x": torch.ones(2)}, tmp_path / "f")
    assert torch.equal(torch.load(tmp_path / "f")["x"], torch.ones(2))


def test_a_training_that_is_stopped_in_its_first_epoch_has_lost_nothing(tmp_path):
    BestEpoch(lambda model: {"valid": 1.0}, tmp_path / "c")
    (tmp_path / "c").touch()  # kept before any epoch was judged
    best, model = watched(tmp_path, [0.0])
    assert (tmp_path / "c").exists()
    best.restore(model)
    assert model.weight.item() == 0
