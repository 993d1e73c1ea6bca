"""LSTMs and GRUs of several members read the same words side by side: one product a step for all of them.

A library's LSTM knows one set of weights. Members' LSTMs, one after the other, pay its overhead m times and leave cores
idle where each is small; here a step is one batched product and a few passes over all members' gates, forward and
backward. Rows that have ended take no part, and what is read twice is multiplied once.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F


@dataclass(frozen=True)
class Packed:
    """Sequences of unequal length without their padding, step after step, longer ones first.

    A step is the next `active[step]` places of `at`, in whatever is read; `back` puts rows into their order again.
    """

    at: Int[Tensor, " p"]
    active: tuple[int, ...]
    back: Int[Tensor, " b"]

    @classmethod
    def of(cls, length: Int[Tensor, " b"], steps: int) -> Packed:
        """Rows of 1 to `steps` steps each; `at` are places in a flattened [b, steps]."""
        order = length.argsort(descending=True, stable=True)
        there = torch.arange(steps, device=length.device)[:, None] < length[order]
        step, row = there.nonzero(as_tuple=True)
        active = tuple(n for n in there.sum(1).tolist() if n)
        return cls(order[row] * steps + step, active, order.argsort())


class MemberLstm(nn.Module):
    """`m` LSTMs, each with its own weights, drawn as `nn.LSTM` draws them. No bias: give the input a one instead."""

    def __init__(self, m: int, n_in: int, hidden: int):
        super().__init__()
        bound = hidden**-0.5
        self.read = nn.Parameter(torch.empty(m, n_in, 4 * hidden).uniform_(-bound, bound))
        self.recur = nn.Parameter(torch.empty(m, hidden, 4 * hidden).uniform_(-bound, bound))

    def forward(self, x: Float[Tensor, "m u d"], packed: Packed) -> Float[Tensor, "m b h"]:
        """Cell states after each row's last step; a step reads a row of `x`."""
        gates = _pick(torch.bmm(x, self.read), packed.at)
        return _Lstm.apply(gates, self.recur, packed.active)[:, packed.back]

    @torch.no_grad()
    def copy_from(self, lstms: list[nn.LSTM]) -> None:
        """Take over the weights of `nn.LSTM`s without bias, whose gates lie in the order i, f, g, o."""
        for m, lstm in enumerate(lstms):
            for ours, theirs in ((self.read, lstm.weight_ih_l0), (self.recur, lstm.weight_hh_l0)):
                i, f, g, o = theirs.T.chunk(4, -1)
                ours[m] = torch.cat([i, f, o, g], -1)

    @torch.no_grad()
    def copy_to(self, m: int, lstm: nn.LSTM) -> None:
        """The other way round, for member `m`."""
        for ours, theirs in ((self.read, lstm.weight_ih_l0), (self.recur, lstm.weight_hh_l0)):
            i, f, o, g = ours[m].chunk(4, -1)
            theirs.copy_(torch.cat([i, f, g, o], -1).T)


class MemberGru(nn.Module):
    """`m` GRUs, each with its own weights and biases, drawn as `nn.GRU` draws them."""

    def __init__(self, m: int, n_in: int, hidden: int):
        super().__init__()
        bound = hidden**-0.5
        self.read = nn.Parameter(torch.empty(m, n_in, 3 * hidden).uniform_(-bound, bound))
        self.recur = nn.Parameter(torch.empty(m, hidden, 3 * hidden).uniform_(-bound, bound))
        self.read_bias = nn.Parameter(torch.empty(m, 1, 3 * hidden).uniform_(-bound, bound))
        self.recur_bias = nn.Parameter(torch.empty(m, 1, 3 * hidden).uniform_(-bound, bound))

    def forward(self, x: Float[Tensor, "m u d"], packed: Packed) -> Float[Tensor, "m b h"]:
        """States after each row's last step; a step reads a row of `x`."""
        gates = _pick(torch.baddbmm(self.read_bias, x, self.read), packed.at)
        return _Gru.apply(gates, self.recur, self.recur_bias, packed.active)[:, packed.back]

    @torch.no_grad()
    def copy_from(self, grus: list[nn.GRU]) -> None:
        """Take over the weights of `nn.GRU`s, whose gates lie in the order r, z, n."""
        for m, gru in enumerate(grus):
            self.read[m], self.recur[m] = gru.weight_ih_l0.T, gru.weight_hh_l0.T
            self.read_bias[m], self.recur_bias[m] = gru.bias_ih_l0, gru.bias_hh_l0

    @torch.no_grad()
    def copy_to(self, m: int, gru: nn.GRU) -> None:
        """The other way round, for member `m`."""
        gru.weight_ih_l0.copy_(self.read[m].T)
        gru.weight_hh_l0.copy_(self.recur[m].T)
        gru.bias_ih_l0.copy_(self.read_bias[m, 0])
        gru.bias_hh_l0.copy_(self.recur_bias[m, 0])


def _pick(x: Float[Tensor, "m u d"], at: Int[Tensor, " p"]) -> Float[Tensor, "m p d"]:
    """x[:, at]; as one table its gradient is a single pass."""
    first = torch.arange(0, x.shape[0] * x.shape[1], x.shape[1], device=at.device)
    return F.embedding(first[:, None] + at, x.flatten(0, 1))


def _starts(active: tuple[int, ...]) -> list[tuple[int, int, int]]:
    """Of each step its first place, its rows, and the rows that go on after it."""
    first = [sum(active[:step]) for step in range(len(active))]
    return list(zip(first, active, (*active[1:], 0), strict=True))


class _Lstm(torch.autograd.Function):
    """From packed gates [m, p, 4h] before their nonlinearities to the last cell states [m, b, h].

    With i, f, o = σ(.) and g = tanh(.): c' = f c + i g and h' = o tanh c'. `states` are the hidden states that steps
    after the first read.
    """

    @staticmethod
    def forward(ctx, gates: Tensor, recur: Tensor, active: tuple[int, ...]) -> Tensor:
        m, p, h4 = gates.shape
        h, b = h4 // 4, active[0]
        cell, last, kept = gates.new_zeros(m, b, h), gates.new_empty(m, b, h), []
        states = gates.new_empty(m, p - b, h)
        for first, n, left in _starts(active):
            before, mine = cell[:, :n], gates[:, first : first + n]
            z = torch.baddbmm(mine, states[:, first - b : first - b + n], recur) if first else mine.clone()
            z[..., : 3 * h].sigmoid_()
            z[..., 3 * h :].tanh_()
            i, f, o, g = z.split(h, -1)
            cell = (f * before).addcmul_(i, g)
            bent = cell.tanh()
            last[:, left:n] = cell[:, left:]
            if left:  # the next step's places follow these
                torch.mul(o[:, :left], bent[:, :left], out=states[:, first + n - b : first + n - b + left])
            kept.append((z, before, bent))
        ctx.kept, ctx.active = kept, active
        ctx.save_for_backward(recur, states)
        return last

    @staticmethod
    def backward(ctx, d_last: Tensor) -> tuple[Tensor, Tensor, None]:
        recur, states = ctx.saved_tensors
        (m, b, h), active = d_last.shape, ctx.active
        d_gates = d_last.new_empty(m, sum(active), 4 * h)
        d_cell, d_hidden, turned = d_last.clone(), torch.zeros_like(d_last), recur.mT
        for (first, n, left), (z, before, bent) in zip(reversed(_starts(active)), reversed(ctx.kept), strict=True):
            i, f, o, g = z.split(h, -1)
            dh, dc, dz = d_hidden[:, :n], d_cell[:, :n], d_gates[:, first : first + n]
            torch.mul(dh, bent, out=dz[..., 2 * h : 3 * h])
            if left:  # nothing reads the hidden states of the last step
                dc += dh * o * (1 - bent * bent)
            torch.mul(dc, g, out=dz[..., :h])
            torch.mul(dc, before, out=dz[..., h : 2 * h])
            torch.mul(dc, i, out=dz[..., 3 * h :])
            dz[..., : 3 * h] *= z[..., : 3 * h] * (1 - z[..., : 3 * h])
            dz[..., 3 * h :] *= 1 - g * g
            dc *= f
            if first:
                dh.copy_(torch.bmm(dz, turned))
        return d_gates, torch.bmm(states.mT, d_gates[:, b:]), None


class _Gru(torch.autograd.Function):
    """From what is read, packed [m, p, 3h], to the last states [m, b, h].

    With a = h W + c, r and z = σ(x + a) and n = tanh(x + r a), all in their thirds: h' = n + z (h - n).
    """

    @staticmethod
    def forward(ctx, gates: Tensor, recur: Tensor, bias: Tensor, active: tuple[int, ...]) -> Tensor:
        m, p, h3 = gates.shape
        h, b = h3 // 3, active[0]
        hidden, last, kept = gates.new_zeros(m, b, h), gates.new_empty(m, b, h), []
        states = gates.new_empty(m, p - b, h)
        for first, n, left in _starts(active):
            before, mine = hidden[:, :n], gates[:, first : first + n]
            a = torch.baddbmm(bias, before, recur)
            both = (mine[..., : 2 * h] + a[..., : 2 * h]).sigmoid_()
            r, z = both.split(h, -1)
            new = torch.addcmul(mine[..., 2 * h :], r, a[..., 2 * h :]).tanh_()
            hidden = torch.addcmul(new, z, before - new)
            last[:, left:n] = hidden[:, left:]
            if left:  # the next step's places follow these
                states[:, first + n - b : first + n - b + left] = hidden[:, :left]
            kept.append((both, new, a[..., 2 * h :], before))
        ctx.kept, ctx.active = kept, active
        ctx.save_for_backward(recur, states)
        return last

    @staticmethod
    def backward(ctx, d_last: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        recur, states = ctx.saved_tensors
        (m, b, h), active = d_last.shape, ctx.active
        d_gates, d_a = (d_last.new_empty(m, sum(active), 3 * h) for _ in range(2))
        d_hidden, turned = d_last.clone(), recur.mT
        for (first, n, _), (both, new, bent, before) in zip(reversed(_starts(active)), reversed(ctx.kept), strict=True):
            r, z = both.split(h, -1)
            dh, dx, da = d_hidden[:, :n], d_gates[:, first : first + n], d_a[:, first : first + n]
            d_new = dh * (1 - z) * (1 - new * new)
            torch.mul(d_new, bent, out=dx[..., :h])
            torch.mul(dh, before - new, out=dx[..., h : 2 * h])
            dx[..., : 2 * h] *= both * (1 - both)
            dx[..., 2 * h :] = d_new
            da[..., : 2 * h] = dx[..., : 2 * h]
            torch.mul(d_new, r, out=da[..., 2 * h :])
            if first:
                dh.mul_(z).add_(torch.bmm(da, turned))
        return d_gates, torch.bmm(states.mT, d_a[:, b:]), d_a.sum(1, keepdim=True), None
