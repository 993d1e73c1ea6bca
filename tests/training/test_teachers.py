"""Cached teachers: what they say, read by index; a cache of other weights, rows or features is made again."""

from __future__ import annotations

from dataclasses import replace

import h5py
import numpy as np
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


def other_weights(table: Table) -> tuple[Teachers, Table]:
    return Teachers(1), table


def fewer_rows(table: Table) -> tuple[Teachers, Table]:
    return Teachers(), table.subset(torch.arange(39))


def other_features(table: Table) -> tuple[Teachers, Table]:
    return Teachers(), replace(table, lookup=lambda rows: tuple(x + 1 for x in table.lookup(rows)))


@pytest.mark.parametrize(("change", "reason"), [
    (other_weights, "other weights or other examples"),
    (fewer_rows, "other weights or other examples"),
    (other_features, "features behind them have changed"),
])  # fmt: skip
def test_a_cache_of_something_else_is_set_aside_and_made_again(change, reason, table, tmp_path):
    path = tmp_path / "t.h5"
    teacher_logits(Teachers(), table, path)
    model, changed = change(table)
    with pytest.warns(UserWarning, match=f"t.h5 cannot .*{reason}.* is now t.h5.damaged"):
        logits = teacher_logits(model, changed, path)
    assert logits.equal(teacher_logits(model, changed)) and teacher_logits(model, changed, path).equal(logits)


def test_a_damaged_cache_is_set_aside_and_made_again(damage, table, tmp_path):
    path = tmp_path / "t.h5"
    teacher_logits(Teachers(), table, path)
    damage(path)
    with pytest.warns(UserWarning, match="t.h5.damaged, and is made again"):
        logits = teacher_logits(Teachers(), table, path)
    assert logits.equal(teacher_logits(Teachers(), table))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["t.h5", "t.h5.damaged"]


def test_a_cache_of_other_shapes_is_set_aside(table, tmp_path):
    path = tmp_path / "t.h5"
    teacher_logits(Teachers(), table, path)
    with h5py.File(path, "r+") as file:
        shape = file["logits"].shape
        del file["logits"]
        file["logits"] = np.zeros((shape[0] - 1, *shape[1:]), np.float16)
    with pytest.warns(UserWarning, match="t.h5.damaged, and is made again"):
        assert len(teacher_logits(Teachers(), table, path)) == 40


def test_a_model_that_is_none_sets_no_good_cache_aside(table, tmp_path):
    class Broken(Teachers):
        def forward(self, x: torch.Tensor) -> Output:
            raise RuntimeError("out of memory")

    path = tmp_path / "t.h5"
    teacher_logits(Teachers(), table, path)
    with pytest.raises(RuntimeError, match="out of memory"):
        teacher_logits(Broken(), table, path)
    assert [path.name for path in tmp_path.iterdir()] == ["t.h5"]


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
