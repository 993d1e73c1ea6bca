"""LSTMs and GRUs of several members read the same words side by side: one product a step for all of them.

A library's LSTM knows one set of weights. Members' LSTMs, one after the other, pay its overhead m times and leave cores
idle where each is small; here a step is one batched product and a few passes over all members' gates, forward and
backward, and rows that have ended take no part.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from jaxtyping import Float, Int


class MemberLstm(nn.Module):
    """`m` LSTMs, each with its own weights, drawn as `nn.LSTM` draws them. No bias: give the input a one instead."""

    def __init__(self, m: int, n_in: int, hidden: int):
        super().__init__()
        bound = hidden**-0.5
        self.read = nn.Parameter(torch.empty(m, n_in, 4 * hidden).uniform_(-bound, bound))
        self.recur = nn.Parameter(torch.empty(m, hidden, 4 * hidden).uniform_(-bound, bound))

    def forward(self, x: Float[Tensor, "m b t d"], length: Int[Tensor, " b"]) -> Float[Tensor, "m b h"]:
        """Cell states after each row's `length` steps, which is at least 1."""
        steps, active, order = _in_steps(x, length)
        gates = torch.bmm(steps.flatten(1, 2), self.read).view(*steps.shape[:3], -1)
        return _Lstm.apply(gates, self.recur, active)[:, order.argsort()]

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

    def forward(self, x: Float[Tensor, "m b t d"], length: Int[Tensor, " b"]) -> Float[Tensor, "m b h"]:
        """States after each row's `length` steps, which is at least 1."""
        steps, active, order = _in_steps(x, length)
        gates = torch.baddbmm(self.read_bias, steps.flatten(1, 2), self.read).view(*steps.shape[:3], -1)
        return _Gru.apply(gates, self.recur, self.recur_bias, active)[:, order.argsort()]

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


def _in_steps(x: Float[Tensor, "m b t d"], length: Int[Tensor, " b"]) -> tuple[Tensor, list[int], Tensor]:
    """`x` as [m, t, b, d], where a step lies in one piece and longer rows come first; rows at each step; the order."""
    order = length.argsort(descending=True, stable=True)
    active = [n for n in (length[:, None] > torch.arange(x.shape[2], device=x.device)).sum(0).tolist() if n]
    return x[:, order, : len(active)].transpose(1, 2), active, order


class _Lstm(torch.autograd.Function):
    """From gates [m, t, b, 4h] before their nonlinearities to the last cell states [m, b, h].

    Rows are sorted, `active[t]` of them have a step t. With i, f, o = σ(.) and g = tanh(.): c' = f c + i g and
    h' = o tanh c'.
    """

    @staticmethod
    def forward(ctx, gates: Tensor, recur: Tensor, active: list[int]) -> Tensor:
        m, t, b, h4 = gates.shape
        h = h4 // 4
        cell = hidden = gates.new_zeros(m, b, h)
        last, states, kept = torch.empty_like(cell), gates.new_empty(m, t, b, h), []
        states[:, 0] = 0
        for step, n in enumerate(active):
            before = cell[:, :n]
            z = torch.baddbmm(gates[:, step, :n], hidden[:, :n], recur)
            z[..., : 3 * h].sigmoid_()
            z[..., 3 * h :].tanh_()
            i, f, o, g = z.split(h, -1)
            cell = (f * before).addcmul_(i, g)
            bent = cell.tanh()
            hidden = o * bent
            kept.append((z, before, bent))
            ends = active[step + 1] if step + 1 < t else 0
            last[:, ends:n] = cell[:, ends:]
            if ends:
                states[:, step + 1, :ends] = hidden[:, :ends]
                states[:, step + 1, ends:] = 0
        ctx.kept, ctx.active = kept, active
        ctx.save_for_backward(recur, states)
        return last

    @staticmethod
    def backward(ctx, d_last: Tensor) -> tuple[Tensor, Tensor, None]:
        recur, states = ctx.saved_tensors
        m, t, b, h = states.shape
        d_gates = states.new_empty(m, t, b, 4 * h)
        d_cell, d_hidden, turned = d_last.clone(), torch.zeros_like(d_last), recur.mT
        for step in range(t - 1, -1, -1):
            (z, before, bent), n = ctx.kept[step], ctx.active[step]
            i, f, o, g = z.split(h, -1)
            dh, dc, dz = d_hidden[:, :n], d_cell[:, :n], d_gates[:, step, :n]
            d_gates[:, step, n:] = 0
            if step + 1 == t:  # nothing reads the hidden states of the last step
                dz[..., 2 * h : 3 * h] = 0
            else:
                torch.mul(dh, bent, out=dz[..., 2 * h : 3 * h])
                dc += dh * o * (1 - bent * bent)
            torch.mul(dc, g, out=dz[..., :h])
            torch.mul(dc, before, out=dz[..., h : 2 * h])
            torch.mul(dc, i, out=dz[..., 3 * h :])
            dz[..., : 3 * h] *= z[..., : 3 * h] * (1 - z[..., : 3 * h])
            dz[..., 3 * h :] *= 1 - g * g
            dc *= f
            if step:
                dh.copy_(torch.bmm(dz, turned))
        return d_gates, torch.bmm(states.flatten(1, 2).mT, d_gates.flatten(1, 2)), None


class _Gru(torch.autograd.Function):
    """From what is read [m, t, b, 3h] to the last states [m, b, h].

    Rows are sorted, `active[t]` of them have a step t. With a = h W + c, r and z = σ(x + a) and n = tanh(x + r a), all
    in their thirds: h' = n + z (h - n).
    """

    @staticmethod
    def forward(ctx, gates: Tensor, recur: Tensor, bias: Tensor, active: list[int]) -> Tensor:
        m, t, b, h3 = gates.shape
        h = h3 // 3
        hidden = gates.new_zeros(m, b, h)
        last, states, kept = torch.empty_like(hidden), gates.new_empty(m, t, b, h), []
        states[:, 0] = 0
        for step, n in enumerate(active):
            before = hidden[:, :n]
            a = torch.baddbmm(bias, before, recur)
            both = (gates[:, step, :n, : 2 * h] + a[..., : 2 * h]).sigmoid_()
            r, z = both.split(h, -1)
            new = torch.addcmul(gates[:, step, :n, 2 * h :], r, a[..., 2 * h :]).tanh_()
            hidden = torch.addcmul(new, z, before - new)
            kept.append((both, new, a[..., 2 * h :], before))
            ends = active[step + 1] if step + 1 < t else 0
            last[:, ends:n] = hidden[:, ends:]
            if ends:
                states[:, step + 1, :ends] = hidden[:, :ends]
                states[:, step + 1, ends:] = 0
        ctx.kept, ctx.active = kept, active
        ctx.save_for_backward(recur, states)
        return last

    @staticmethod
    def backward(ctx, d_last: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        recur, states = ctx.saved_tensors
        m, t, b, h = states.shape
        d_gates, d_a = (states.new_empty(m, t, b, 3 * h) for _ in range(2))
        d_hidden, turned = d_last.clone(), recur.mT
        for step in range(t - 1, -1, -1):
            (both, new, bent, before), n = ctx.kept[step], ctx.active[step]
            r, z = both.split(h, -1)
            dh, dx, da = d_hidden[:, :n], d_gates[:, step, :n], d_a[:, step, :n]
            d_gates[:, step, n:] = d_a[:, step, n:] = 0
            d_new = dh * (1 - z) * (1 - new * new)
            torch.mul(d_new, bent, out=dx[..., :h])
            torch.mul(dh, before - new, out=dx[..., h : 2 * h])
            dx[..., : 2 * h] *= both * (1 - both)
            dx[..., 2 * h :] = d_new
            da[..., : 2 * h] = dx[..., : 2 * h]
            torch.mul(d_new, r, out=da[..., 2 * h :])
            if step:
                dh.mul_(z).add_(torch.bmm(da, turned))
        flat = d_a.flatten(1, 2)
        return d_gates, torch.bmm(states.flatten(1, 2).mT, flat), flat.sum(1, keepdim=True), None
