"""Rows of an epoch: every class as often, or rare ones repeated as their share of images asks."""

from __future__ import annotations

import pytest
import torch

from vqabook.data.sampling import DrawEvenly, class_balanced_order, repeat_factors, repeated_order


def test_classes_come_as_often_and_rows_within_them():
    labels = torch.tensor([0] * 900 + [1] * 90 + [2] * 10)
    order = torch.cat([class_balanced_order(labels, generator=torch.Generator().manual_seed(s)) for s in range(30)])
    shares = torch.bincount(labels[order]) / len(order)
    torch.testing.assert_close(shares, torch.full((3,), 1 / 3), atol=0.01, rtol=0)
    within = torch.bincount(order[labels[order] == 2], minlength=1000)[990:].double()
    torch.testing.assert_close(within / within.sum(), torch.full((10,), 0.1).double(), atol=0.01, rtol=0)
    torch.manual_seed(3)
    assert len(class_balanced_order(labels)) == 1000


def test_repeat_factors_are_lvis():
    """Classes in 4 of 4, 2 of 4 and 1 of 4 images, at t = 1/2: factors 1, 1 and √2; an image has its rarest's."""
    shown = torch.tensor([[1, 1, 1], [1, 1, 0], [1, 0, 0], [1, 0, 0], [0, 0, 0]]).bool()[:4]
    factors = repeat_factors(shown, threshold=0.5)
    torch.testing.assert_close(factors, torch.tensor([2**0.5, 1, 1, 1]).double())
    nothing = repeat_factors(torch.zeros(3, 2).bool())
    assert nothing.tolist() == [1, 1, 1]
    with pytest.raises(ValueError, match=r"in \(0, 1\], got 0; LVIS takes 0.001"):
        repeat_factors(shown, threshold=0)


def test_a_factor_is_how_often_a_row_comes():
    factors = torch.tensor([1.0, 2.5, 1.25]).double()
    orders = [repeated_order(factors, generator=torch.Generator().manual_seed(s)) for s in range(4000)]
    times = torch.stack([torch.bincount(order, minlength=3) for order in orders])
    assert times.amin(0).tolist() == [1, 2, 1] and times.amax(0).tolist() == [1, 3, 2]
    torch.testing.assert_close(times.double().mean(0), factors, atol=0.03, rtol=0)
    firsts = torch.stack([order[0] for order in orders]).bincount() / 4000
    torch.testing.assert_close(firsts, (factors / factors.sum()).float(), atol=0.04, rtol=0)


def test_beside_each_row_another_is_drawn_class_by_class():
    counts = torch.tensor([40, 9, 3])
    lookup = DrawEvenly(torch.arange(52.0)[:, None], torch.arange(52), counts)
    torch.manual_seed(0)
    asked, rows, drawn = lookup(torch.zeros(6000, dtype=torch.long))
    assert not asked.any()
    assert torch.bincount(drawn).float().div(6000).sub(1 / 3).abs().max() < 0.03
    first = counts.cumsum(0) - counts
    assert ((rows[:, 0] >= first[drawn]) & (rows[:, 0] < (first + counts)[drawn])).all()
