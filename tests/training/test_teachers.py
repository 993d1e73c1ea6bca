"""Cached teachers: what they say, read by index; a cache of other weights, other rows or other features is refused."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from vqabook.core import Output, Table
from vqabook.training.teachers import teacher_logits


class Teachers(nn.Module):
    def __init__(self, seed: int = 0):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(3, 5, 4, generator=torch.Generator().manual_seed(seed)))
        self.calls = 0

    def forward(self, x: torch.Tensor) -> Output:
        self.calls += 1
        return Output(torch.einsum("bd,mdc->mbc", x, self.weight))


@pytest.fixture
def features() -> torch.Tensor:
    return torch.randn(40, 5, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def table(features) -> Table:
    return Table((torch.arange(40),), torch.arange(40) % 4, 4, lookup=lambda rows: (features[rows],))


def test_they_say_what_the_models_say(table, features, tmp_path):
    model = Teachers()
    want = model(features).logits.transpose(0, 1).detach()
    for path in (None, tmp_path / "deep" / "teachers.h5"):
        logits = teacher_logits(model, table, path, batch_size=7)
        assert logits.shape == (40, 3, 4) and logits.dtype == torch.float16
        torch.testing.assert_close(logits.float(), want, atol=5e-3, rtol=2e-3)
    side = replace(table, side={"teacher": logits})
    rows = torch.tensor([31, 2, 2])
    torch.testing.assert_close(side.batch(rows).side["teacher"], logits[rows])
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["teachers.h5"]


def test_they_are_asked_once(table, tmp_path):
    model = Teachers()
    teacher_logits(model, table, tmp_path / "t.h5", batch_size=5)
    before = model.calls
    teacher_logits(model, table, tmp_path / "t.h5", batch_size=5)
    assert model.calls == before + 1  # some rows, to compare


def test_a_cache_of_something_else_is_refused(table, features, tmp_path):
    path = tmp_path / "t.h5"
    teacher_logits(Teachers(), table, path)
    with pytest.raises(ValueError, match="was made with other weights or other examples; delete it"):
        teacher_logits(Teachers(1), table, path)
    with pytest.raises(ValueError, match="was made with other weights or other examples; delete it"):
        teacher_logits(Teachers(), table.subset(torch.arange(39)), path)
    moved = replace(table, lookup=lambda rows: (features[rows] + 1,))
    with pytest.raises(ValueError, match="the features behind the examples have changed"):
        teacher_logits(Teachers(), moved, path)


@pytest.mark.parametrize("damage", [b"", b"garbage"])
def test_a_cache_that_cannot_be_read_is_set_aside(damage, table, tmp_path):
    path = tmp_path / "t.h5"
    path.write_bytes(damage)
    with pytest.warns(UserWarning, match="t.h5.damaged, and is made again"):
        logits = teacher_logits(Teachers(), table, path)
    assert logits.equal(teacher_logits(Teachers(), table))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["t.h5", "t.h5.damaged"]


def test_logits_too_large_for_half_precision_stay_finite(table, features):
    model = Teachers()
    model.weight.data *= 1e6
    assert teacher_logits(model, table).isfinite().all()


def test_a_single_model_is_no_set_of_teachers(table):
    class One(nn.Module):
        def forward(self, x: torch.Tensor) -> Output:
            return Output(x[:, :4])

    with pytest.raises(ValueError, match=r"logits \[m, b, c\], got \(40, 4\); wrap them"):
        teacher_logits(One(), table)
