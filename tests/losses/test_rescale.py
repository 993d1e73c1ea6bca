"""Re-scaling weights against the paper's toy example, and the mask loss with its released variants."""

from __future__ import annotations

from math import e, log

import pytest
import torch
from torch.autograd import gradcheck
from torch.nn import functional as F

from vqabook.losses import in_type, mask_loss, rescaling_weights, type_counts
from vqabook.models import softplus_g

RELEASE_OUT_OF_TYPE = 1 + log(2)
SATURATED = 0.5413249  # log(e - 1): softplus reaches 1


def counts(*rows: list[int]) -> torch.Tensor:
    return torch.tensor(rows)


def test_table_i_by_the_equations():
    # "how many": 2 takes 80 % of the answers and 4 takes 4 %, so mu = 20/80 and 96/4; then Eq. 8 smooths
    weights = rescaling_weights(counts([800, 40, 160, 0]))[0]
    assert weights[0].item() == pytest.approx(F.softplus(torch.tensor(0.25)).item())
    assert [round(w, 3) for w in weights.tolist()] == [0.826, 24.0, 5.255, 1.0]


def test_weights_are_capped():
    assert rescaling_weights(counts([999, 1]))[0, 1] == 100
    assert rescaling_weights(counts([999, 1]), cap=7.0)[0, 1] == 7
    assert rescaling_weights(counts([90, 1]))[0, 1] == 90  # control


def test_an_answer_alone_in_its_type_weighs_log_2():
    assert rescaling_weights(counts([0, 17, 0])).tolist() == [[1, pytest.approx(log(2)), 1]]


def test_out_of_type_answers():
    released = rescaling_weights(counts([5, 5, 0]), out_of_type=RELEASE_OUT_OF_TYPE)
    assert released[0, 2].item() == pytest.approx(1 + log(2))
    assert rescaling_weights(counts([0, 0, 0])).tolist() == [[1, 1, 1]]  # a type that train lacks


def test_eq_8_to_the_letter_smooths_out_of_type_answers_too():
    table = counts([800, 40, 160, 0], [0, 0, 0, 0])
    literal, plain = (rescaling_weights(table, smooth_all=to_the_letter) for to_the_letter in (True, False))
    assert literal[0, 3].item() == pytest.approx(log(1 + e)) and literal[1].tolist() == literal[0, 3:].tolist() * 4
    assert literal[0, :3].equal(plain[0, :3])  # control: in type nothing changes
    assert plain[0, 3] < literal[0, 3] < RELEASE_OUT_OF_TYPE  # nor is it what the release computes
    assert rescaling_weights(table, smooth_all=True, out_of_type=1e3)[0, 3] == 100  # and is cut


def test_too_few_votes_are_out_of_type():
    table = counts([100, 9, 50])
    assert in_type(table).tolist() == [[1, 1, 1]]
    assert in_type(table, min_votes=10).tolist() == [[1, 0, 1]]
    few = rescaling_weights(table, min_votes=10)
    torch.testing.assert_close(few[:, [0, 2]], rescaling_weights(counts([100, 50])))  # nor do they enter the sum
    assert few[0, 1] == 1


def test_the_release_leaves_id_0_out_of_every_type():
    table = counts([100, 9, 50])
    table[:, 0] = 0
    assert in_type(table).tolist() == [[0, 1, 1]] and rescaling_weights(table)[0, 0] == 1
    torch.testing.assert_close(rescaling_weights(table)[:, 1:], rescaling_weights(counts([9, 50])))


def test_rarer_is_heavier_and_more_data_changes_nothing():
    table = torch.randint(1, 1000, (5, 20), generator=torch.Generator().manual_seed(0))
    weights = rescaling_weights(table)
    for n, w in zip(table, weights, strict=True):
        assert (w[n.argsort(descending=True)].diff() >= 0).all()
    torch.testing.assert_close(rescaling_weights(17 * table), weights)
    torch.testing.assert_close(rescaling_weights(table[2:3]), weights[2:3])  # types do not mix


def test_type_counts_equal_a_loop():
    rng = torch.Generator().manual_seed(0)
    kind = torch.randint(0, 3, (40,), generator=rng)
    answer, votes = torch.randint(0, 6, (2, 40, 4), generator=rng).int()
    expected = torch.zeros(3, 6, dtype=torch.long)
    for j, answers, n in zip(kind, answer, votes, strict=True):
        for i, v in zip(answers, n, strict=True):
            expected[j, i] += v
    assert type_counts(kind, answer, votes, n_types=3, n_answers=6).equal(expected)


def test_padding_has_no_votes():
    got = type_counts(torch.tensor([0]), torch.tensor([[2, 0]]), torch.tensor([[10, 0]]), n_types=2, n_answers=3)
    assert got.tolist() == [[0, 0, 10], [0, 0, 0]]


def masks(b: int = 3, a: int = 6) -> tuple[torch.Tensor, torch.Tensor]:
    rng = torch.Generator().manual_seed(2)
    return torch.rand(b, a, generator=rng).double(), torch.randint(0, 2, (b, a), generator=rng).double()


def test_mask_loss_is_eq_5():
    mask, label = masks()
    expected = F.binary_cross_entropy(mask, label, reduction="none")
    torch.testing.assert_close(mask_loss(mask, label), expected.sum(1))
    torch.testing.assert_close(mask_loss(mask, label, over_answers="mean"), expected.mean(1))
    assert mask_loss(torch.full((1, 3), 0.5), torch.tensor([[0.0, 1.0, 0.0]])).item() == pytest.approx(3 * log(2))
    assert mask_loss(label, label).max() < 1e-4


@pytest.mark.parametrize("second_sigmoid", [False, True])
def test_mask_loss_gradient(second_sigmoid):
    mask, label = masks()
    assert gradcheck(lambda m: mask_loss(m, label, second_sigmoid=second_sigmoid), mask.requires_grad_())


def test_a_certain_and_wrong_mask_costs_finitely():
    mask = torch.tensor([[0.0, 1.0]], requires_grad=True)
    loss = mask_loss(mask, torch.tensor([[1.0, 0.0]]))
    loss.sum().backward()
    assert loss.isfinite().all() and mask.grad.isfinite().all()


def test_half_precision_masks_cost_finitely():
    mask = torch.tensor([[0.0, 1.0, 0.5]], dtype=torch.bfloat16)
    with torch.autocast("cpu", torch.bfloat16):
        loss = mask_loss(mask, torch.tensor([[1.0, 0.0, 1.0]]))
    assert loss.isfinite().all() and loss.dtype == torch.float32


@pytest.mark.parametrize(("label", "best", "floor"), [(1.0, 1.0, 0.3133), (0.0, 0.0, 0.6931)])
def test_a_second_sigmoid_has_a_floor(label, best, floor):
    mask = torch.linspace(0, 1, 101)[:, None]
    loss = mask_loss(mask, torch.full((101, 1), label), second_sigmoid=True)
    assert loss.min().item() == pytest.approx(floor, abs=1e-4)
    assert mask[loss.argmin()].item() == best
    assert mask_loss(mask, torch.full((101, 1), label)).min() < 1e-4  # control: without it there is none


@pytest.mark.parametrize("second_sigmoid", [False, True])
def test_a_saturated_mask_has_no_gradient(second_sigmoid):
    score = torch.tensor([[SATURATED + 1e-4, 3.0, SATURATED - 1e-3]], requires_grad=True)
    mask_loss(softplus_g(score), torch.zeros(1, 3), second_sigmoid=second_sigmoid).sum().backward()
    assert score.grad[0, :2].tolist() == [0, 0]
    assert score.grad[0, 2] > 0  # control
