"""Learning rates over training: warm-up, cosine, steps."""

from __future__ import annotations

import pytest
import torch

from vqabook.training.fit import Schedule


def test_it_is_torch_s_cosine_after_a_linear_warm_up():
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    warm = torch.optim.lr_scheduler.LinearLR(optimizer, 0.5, 1.0, 4)
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 16)
    both = torch.optim.lr_scheduler.SequentialLR(optimizer, [warm, cosine], [4])
    schedule = Schedule(warmup=4, start=0.5, cosine=True)
    for epoch in range(20):
        assert schedule.factor(epoch, 20) == pytest.approx(optimizer.param_groups[0]["lr"])
        optimizer.step()
        both.step()


def test_steps_and_their_default():
    schedule = Schedule(warmup=5, drops=((160, 0.01), (180, 0.0001)))
    found = [schedule.factor(epoch, 200) for epoch in (0, 2.5, 5, 159.9, 160, 179.9, 180, 199)]
    assert found == [0, 0.5, 1, 1, 0.01, 0.01, 0.0001, 0.0001]
    assert {Schedule().factor(epoch, 3) for epoch in (0, 1, 2.9)} == {1.0}


@pytest.mark.parametrize("values", [{"warmup": -1}, {"start": 2}, {"cosine": True, "drops": ((1, 0.1),)}])
def test_what_is_no_schedule(values):
    with pytest.raises(ValueError, match="and then falls along a cosine or in steps, got Schedule"):
        Schedule(**values)
