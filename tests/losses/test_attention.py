"""Losses between attention maps: what they are zero at, golden values, invariances, and the release's MMD explained."""

from __future__ import annotations

import pytest
import torch

from vqabook.losses.attention import (
    attention_adversarial,
    attention_coral,
    attention_mmd,
    attention_mse,
    reverse_gradient,
)

LOSSES = {
    "mse": attention_mse,
    "mmd": lambda a, m: attention_mmd(a, m, bandwidth=0.3),
    "mmd, paired": lambda a, m: attention_mmd(a, m, bandwidth=0.3, paired=True),
    "coral": attention_coral,
}


@pytest.fixture(params=LOSSES)
def loss(request):
    return LOSSES[request.param]


@pytest.fixture
def maps() -> tuple[torch.Tensor, torch.Tensor]:
    rng = torch.Generator().manual_seed(0)
    return tuple((2 * torch.randn(6, 5, dtype=torch.float64, generator=rng)).softmax(1) for _ in range(2))


def test_equal_maps_cost_nothing_and_others_something(loss, maps):
    attention, surrogate = maps
    torch.testing.assert_close(loss(attention, attention), torch.zeros(6).double(), atol=1e-12, rtol=0)
    assert loss(attention, surrogate).shape == (6,) and loss(attention, surrogate).mean() > 0


def test_both_sides_are_alike(loss, maps):
    torch.testing.assert_close(loss(*maps), loss(*maps[::-1]))


def test_neither_the_order_of_regions_nor_padding_matters(maps, loss, request):
    attention, surrogate = maps
    order = torch.tensor([3, 1, 4, 0, 2])
    torch.testing.assert_close(loss(attention[:, order], surrogate[:, order]), loss(attention, surrogate))
    pad = torch.nn.functional.pad
    if "mse" in request.node.name:  # it counts columns
        return
    torch.testing.assert_close(loss(pad(attention, (0, 3)), pad(surrogate, (0, 3))), loss(attention, surrogate))


def test_gradcheck(loss, maps):
    attention, surrogate = (x.clone().requires_grad_() for x in maps)
    torch.autograd.gradcheck(loss, (attention, surrogate))


def test_training_maps_towards_surrogates(loss, maps):
    """Gradient descent on logits lowers each loss to a hundredth."""
    torch.manual_seed(0)
    logits = torch.randn(6, 5, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.Adam([logits], lr=0.05)
    first = loss(logits.softmax(1), maps[1]).mean().item()
    for _ in range(600):
        optimizer.zero_grad()
        value = loss(logits.softmax(1), maps[1]).mean()
        value.backward()
        optimizer.step()
    assert value.item() < 0.01 * first


def test_golden():
    a, m = torch.tensor([[1.0, 0.0], [0.5, 0.5]]), torch.tensor([[0.0, 1.0], [0.5, 0.5]])
    torch.testing.assert_close(attention_mse(a, m), torch.tensor([1.0, 0.0]))
    # covariances: a varies by (.25, -.25) about (.75, .25), m by (-.25, .25): both [[1/8, -1/8], [-1/8, 1/8]]
    torch.testing.assert_close(attention_coral(a, m), torch.zeros(2))
    # one map doubled: C(a) as above, C of two equal maps is 0: ‖C‖² = 4/64, a quarter of it
    torch.testing.assert_close(attention_coral(a, a[:1].expand(2, 2)), torch.full((2,), 1 / 64))


@pytest.mark.parametrize("bandwidth", [0.1, 1.0])
def test_mmd_is_a_loop_over_pairs(maps, bandwidth):
    attention, surrogate = maps

    def k(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return sum((-((p - q) ** 2).sum() / (2 * bandwidth**2)).exp() for p in x for q in y) / 36

    want = k(attention, attention) + k(surrogate, surrogate) - 2 * k(attention, surrogate)
    torch.testing.assert_close(attention_mmd(attention, surrogate, bandwidth=bandwidth).mean(), want)


def test_mmd_and_coral_compare_sets(maps):
    """Which example has which map is nothing to them; the paired forms see it."""
    attention, order = maps[0], torch.tensor([1, 2, 3, 4, 5, 0])
    assert attention_mmd(attention, attention[order], bandwidth=0.3).mean().abs() < 1e-12
    assert attention_coral(attention, attention[order]).abs().max() < 1e-12
    assert attention_mmd(attention, attention[order], bandwidth=0.3, paired=True).mean() > 0.1
    assert attention_mse(attention, attention[order]).mean() > 0.01


def test_the_releases_ten_thousand_is_a_half_of_the_squared_distance():
    """γ MMD at its kernel over 200 words is ½ ‖x - y‖² to six digits; at half the words it is another loss."""
    rng = torch.Generator().manual_seed(0)
    x, y = (torch.randn(40, 200, dtype=torch.float64, generator=rng).softmax(1) for _ in range(2))
    square = (x - y).square().sum(1)
    released = 10_000 * attention_mmd(x, y, bandwidth=200 / 2**0.5, paired=True)
    torch.testing.assert_close(released, square / 2, rtol=1e-4, atol=1e-9)
    halved = 10_000 * attention_mmd(x, y, bandwidth=100 / 2**0.5, paired=True)
    assert (halved / released).min() > 3.9


def test_the_discriminator_s_best_is_a_coin_where_maps_are_the_same():
    logits = torch.zeros(3)
    torch.testing.assert_close(attention_adversarial(logits, logits), torch.full((3,), 2 * torch.tensor(2.0).log()))
    assert attention_adversarial(torch.tensor([-9.0]), torch.tensor([9.0])) < 1e-3
    assert attention_adversarial(torch.tensor([1e4]), torch.tensor([-1e4])).isfinite().all()


def test_a_reversed_gradient_comes_back_negative():
    x = torch.randn(4, requires_grad=True)
    assert torch.equal(reverse_gradient(x), x)
    (3 * reverse_gradient(x)).sum().backward()
    torch.testing.assert_close(x.grad, torch.full((4,), -3.0))


@pytest.mark.parametrize("bandwidth", [0.0, -1.0, float("nan")])
def test_a_bandwidth_is_positive(maps, bandwidth):
    with pytest.raises(ValueError, match="bandwidth is a finite number > 0, got .*; it is a distance between maps"):
        attention_mmd(*maps, bandwidth=bandwidth)


def test_one_map_has_no_covariance(maps):
    with pytest.raises(ValueError, match="needs two examples or more, got a batch of 1"):
        attention_coral(maps[0][:1], maps[1][:1])
