"""LSTMs and GRUs of several members read the same words side by side: one product a step for all of them.

A library's LSTM knows one set of weights. Members' LSTMs, one after the other, pay its overhead m times and leave cores
idle where each is small; here a step is one batched product and a few passes over all members' gates, forward and
backward. Rows that have ended take no part, and what is read twice is multiplied once.
"""

from __future__ import annotations

from collections.abc import Sequence
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


class MemberRecurrent(nn.Module):
    """`nn.LSTM`s without biases, or `nn.GRU`s with them, as one: each starts from a copy of its weights.

    For a bias of an LSTM's give the input a one.
    """

    read: nn.Parameter
    recur: nn.Parameter
    read_bias: nn.Parameter
    recur_bias: nn.Parameter

    def __init__(self, layers: Sequence[nn.LSTM | nn.GRU]):
        super().__init__()
        first = layers[0]
        self.lstm = isinstance(first, nn.LSTM)
        if self.lstm == first.bias or first.num_layers > 1 or first.bidirectional:
            raise ValueError(
                f"members read words by one LSTM without biases or one GRU with them, got {first}; use San or UpDn"
            )
        self.named = {"read": "weight_ih_l0", "recur": "weight_hh_l0"}
        if not self.lstm:
            self.named |= {"read_bias": "bias_ih_l0", "recur_bias": "bias_hh_l0"}
        for ours, theirs in self.named.items():
            weights = torch.stack([getattr(layer, theirs).detach() for layer in layers])
            weights = weights.mT if weights.dim() == 3 else weights[:, None]  # [m, d, gates], [m, 1, gates]
            self.register_parameter(ours, nn.Parameter(self._reorder(weights)))

    def forward(self, x: Float[Tensor, "m u d"], packed: Packed) -> Float[Tensor, "m b h"]:
        """States after each row's last step, of LSTMs the cells'; a step reads a row of `x`."""
        if self.lstm:
            last = _Lstm.apply(_pick(torch.bmm(x, self.read), packed.at), self.recur, packed.active)
        else:
            gates = _pick(torch.baddbmm(self.read_bias, x, self.read), packed.at)
            last = _Gru.apply(gates, self.recur, self.recur_bias, packed.active)
        return last[:, packed.back]

    def single(self, m: int) -> dict[str, Tensor]:
        """The state of member `m`'s own layer."""
        weights = {theirs: self._reorder(getattr(self, ours)[m]) for ours, theirs in self.named.items()}
        return {name: weight.T if "weight" in name else weight[0] for name, weight in weights.items()}

    def _reorder(self, weights: Float[Tensor, "*d gates"]) -> Float[Tensor, "*d gates"]:
        """An LSTM's gates i, f, g, o as i, f, o, g, so that sigmoids lie together; and back again. A GRU's stay."""
        if not self.lstm:
            return weights.contiguous()
        i, f, g, o = weights.chunk(4, -1)
        return torch.cat([i, f, o, g], -1)


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
