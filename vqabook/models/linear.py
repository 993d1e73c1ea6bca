"""A linear classifier at the minimum of its loss, in double precision: no trace of its training is left."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

Criterion = Callable[[Tensor, Tensor], Tensor]  # (logits, labels) -> [b]


@dataclass(frozen=True)
class Linear:
    """A linear classifier with a bias, the last of the w = d + 1 rows of `weight`, and the rows that it learnt."""

    weight: Float[Tensor, "w c"]
    x: Float[Tensor, "n d"]
    y: Int[Tensor, " n"]

    @classmethod
    def fit(cls, x: Float[Tensor, "n d"], y: Int[Tensor, " n"], n_classes: int, loss: Criterion) -> Linear:
        """What is smallest in the mean `loss` of these rows, by L-BFGS from zero."""
        weight = torch.zeros(x.shape[1] + 1, n_classes, dtype=torch.double, requires_grad=True)
        optimizer = torch.optim.LBFGS([weight], max_iter=200, tolerance_grad=1e-9, line_search_fn="strong_wolfe")

        def closure() -> Tensor:
            optimizer.zero_grad()
            mean = loss(x @ weight[:-1] + weight[-1], y).mean()
            mean.backward()
            return mean

        optimizer.step(closure)
        return cls(weight.detach(), x, y)

    def classify(self, x: Float[Tensor, "m d"]) -> Float[Tensor, "m c"]:
        """Its scores η."""
        return x @ self.weight[:-1] + self.weight[-1]
