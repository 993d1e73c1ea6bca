"""Members' LSTMs and GRUs are torch's, one by one: values and gradients, whatever the lengths."""

from __future__ import annotations

import torch
from torch import nn

from vqabook.models.recurrent import MemberRecurrent, Packed

M, B, T, D, H = 3, 6, 5, 4, 7


def made() -> tuple[MemberRecurrent, list[nn.LSTM], torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    singles = [nn.LSTM(D, H, bias=False, batch_first=True).double() for _ in range(M)]
    together = MemberRecurrent(singles)
    x = torch.randn(M, B, T, D, dtype=torch.double)
    return together, singles, x, torch.tensor([3, 5, 1, 5, 2, 4])


def read(together: nn.Module, x: torch.Tensor, length: torch.Tensor) -> torch.Tensor:
    """Every place of every row is read on its own."""
    return together(x.flatten(1, 2), Packed.of(length, T))


def alone(singles: list[nn.LSTM], x: torch.Tensor, length: torch.Tensor) -> torch.Tensor:
    pack = nn.utils.rnn.pack_padded_sequence
    states = [
        one(pack(row, length, batch_first=True, enforce_sorted=False))[1][1][0]
        for one, row in zip(singles, x, strict=True)
    ]
    return torch.stack(states)


def test_states_and_gradients_are_torch_s():
    together, singles, x, length = made()
    ours, theirs = (x.clone().requires_grad_() for _ in range(2))
    got, want = read(together, ours, length), alone(singles, theirs, length)
    torch.testing.assert_close(got, want)
    weights = torch.randn_like(want)
    (got * weights).sum().backward()
    (want * weights).sum().backward()
    torch.testing.assert_close(ours.grad, theirs.grad)
    for single in singles:
        single.weight_ih_l0.data, single.weight_hh_l0.data = single.weight_ih_l0.grad, single.weight_hh_l0.grad
    other = MemberRecurrent(singles)
    torch.testing.assert_close(together.read.grad, other.read)
    torch.testing.assert_close(together.recur.grad, other.recur)


def test_gradcheck():
    together, _, x, length = made()

    def states(x: torch.Tensor, *weights: torch.Tensor) -> torch.Tensor:
        named = dict(zip(("read", "recur"), weights, strict=True))
        return torch.func.functional_call(together, named, (x.flatten(1, 2), Packed.of(length, T)))

    inputs = (x[:, :, :, :2], together.read[:, :2], together.recur)
    assert torch.autograd.gradcheck(states, [t.detach().clone().requires_grad_() for t in inputs])


def test_what_comes_after_a_row_s_end_is_not_read():
    together, _, x, length = made()
    other = x.clone()
    for row, n in enumerate(length):
        other[:, row, n:] = 9
    torch.testing.assert_close(read(together, x, length), read(together, other, length))


def test_grus_are_torch_s():
    torch.manual_seed(0)
    singles = [nn.GRU(D, H, batch_first=True).double() for _ in range(M)]
    together = MemberRecurrent(singles)
    x, length = torch.randn(M, B, T, D, dtype=torch.double), torch.tensor([3, 5, 1, 5, 2, 4])
    ours, theirs = (x.clone().requires_grad_() for _ in range(2))
    pack = nn.utils.rnn.pack_padded_sequence
    want = torch.stack(
        [
            one(pack(row, length, batch_first=True, enforce_sorted=False))[1][0]
            for one, row in zip(singles, theirs, strict=True)
        ]
    )
    got = read(together, ours, length)
    torch.testing.assert_close(got, want)
    weights = torch.randn_like(want)
    (got * weights).sum().backward()
    (want * weights).sum().backward()
    torch.testing.assert_close(ours.grad, theirs.grad)
    for single in singles:
        for parameter in single.parameters():
            parameter.data = parameter.grad
    other = MemberRecurrent(singles)
    for (name, mine), (_, its) in zip(together.named_parameters(), other.named_parameters(), strict=True):
        torch.testing.assert_close(mine.grad, its.detach(), msg=name)


def test_what_is_read_twice_is_read_once():
    """Steps may name one row of x: the same as a row each."""
    together, _, x, length = made()
    words = torch.randint(0, 4, (B, T))
    table = x[:, 0, :4].contiguous()
    packed = Packed.of(length, T)
    shared = together(table, Packed(words.flatten()[packed.at], packed.active, packed.back))
    torch.testing.assert_close(shared, read(together, table[:, words], length))
    whole = Packed.of(torch.full((B,), 1), T)
    assert whole.active == (B,) and torch.equal(whole.at[whole.back], torch.arange(B) * T)
