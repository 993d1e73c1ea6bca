"""Centre loss: golden values, its gradient, its plain loop, and what its updates converge to."""

from __future__ import annotations

import pytest
import torch

from vqabook.losses.debias import centre_loss, centre_update


def some(b: int = 9, c: int = 4, h: int = 3) -> tuple[torch.Tensor, ...]:
    rng = torch.Generator().manual_seed(0)
    x, centres = (torch.randn(n, h, generator=rng, dtype=torch.float64) for n in (b, c))
    return x, torch.randint(0, c - 1, (b,), generator=rng), centres  # the last class is never there


def test_golden_values():
    centres = torch.tensor([[0.0, 0.0], [1.0, 1.0]])
    got = centre_loss(torch.tensor([[3.0, 4.0], [1.0, 3.0], [1.0, 1.0]]), torch.tensor([0, 1, 1]), centres)
    torch.testing.assert_close(got, torch.tensor([12.5, 2.0, 0.0]))  # 25 / 2, 4 / 2, 0


def test_gradient_is_eq_3():
    x, y, centres = some()
    x.requires_grad_()
    centre_loss(x, y, centres).sum().backward()
    torch.testing.assert_close(x.grad, x.detach() - centres[y])
    assert torch.autograd.gradcheck(lambda x: centre_loss(x, y, centres), x)


def plain_update(x: list[list[float]], y: list[int], centres: list[list[float]]) -> list[list[float]]:
    """Eq. 4, sum by sum."""
    found = []
    for j, c in enumerate(centres):
        numerator, denominator = [0.0] * len(c), 1
        for xi, yi in zip(x, y, strict=True):
            if yi == j:
                denominator += 1
                for k in range(len(c)):
                    numerator[k] += c[k] - xi[k]
        found.append([value / denominator for value in numerator])
    return found


def test_update_equals_a_loop():
    x, y, centres = some()
    expected = torch.tensor(plain_update(x.tolist(), y.tolist(), centres.tolist()), dtype=torch.float64)
    torch.testing.assert_close(centre_update(x, y, centres), expected)


def test_a_class_that_is_not_there_stays():
    x, y, centres = some()
    assert not centre_update(x, y, centres)[-1].any()
    assert not centre_update(x[:0], y[:0], centres).any()


def test_one_example_pulls_half_way():
    update = centre_update(torch.tensor([[2.0, 0.0]]), torch.tensor([0]), torch.zeros(1, 2))
    torch.testing.assert_close(update, torch.tensor([[-1.0, 0.0]]))  # (0 - 2) / (1 + 1)


def test_centres_converge_to_the_means_of_their_classes():
    x, y, centres = some()
    for _ in range(200):
        centres = centres - 0.5 * centre_update(x, y, centres)
    for j in y.unique():
        torch.testing.assert_close(centres[j], x[y == j].mean(0))


@pytest.mark.parametrize("shift", [0.0, 5.0])
def test_moving_everything_changes_nothing(shift):
    x, y, centres = some()
    torch.testing.assert_close(centre_loss(x + shift, y, centres + shift), centre_loss(x, y, centres))
    torch.testing.assert_close(centre_update(x + shift, y, centres + shift), centre_update(x, y, centres))
