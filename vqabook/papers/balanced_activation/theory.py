"""The statements of Ren et al. 2020, Sec. 3, on classes whose true posteriors are known."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy import optimize
from torch import Tensor
from torch.nn.functional import cross_entropy

from vqabook.losses.longtail import balanced_softmax, log_counts, sigmoid_offsets


@dataclass(frozen=True)
class Mixture:
    """A normal distribution of unit variance a class, evenly spaced on a circle; `counts` rows of each in training."""

    counts: tuple[int, ...]
    radius: float = 1.5

    @property
    def means(self) -> Float[Tensor, "c 2"]:
        angle = 2 * math.pi * torch.arange(len(self.counts), dtype=torch.double) / len(self.counts)
        return self.radius * torch.stack([angle.cos(), angle.sin()], 1)

    def draw(self, counts: Int[Tensor, " c"], seed: int) -> tuple[Float[Tensor, "n 2"], Int[Tensor, " n"]]:
        """So many rows of each class."""
        generator = torch.Generator().manual_seed(seed)
        labels = torch.arange(len(counts)).repeat_interleave(counts)
        return self.means[labels] + torch.randn(len(labels), 2, generator=generator, dtype=torch.double), labels

    def draw_evenly(self, n: int, seed: int) -> Float[Tensor, "n 2"]:
        """Test rows, as many of each class."""
        return self.draw(torch.full((len(self.counts),), n // len(self.counts)), seed)[0]

    @property
    def train_prior(self) -> Float[Tensor, " c"]:
        counts = torch.tensor(self.counts, dtype=torch.double)
        return counts / counts.sum()

    @property
    def test_prior(self) -> Float[Tensor, " c"]:
        return torch.full((len(self.counts),), 1 / len(self.counts), dtype=torch.double)

    def posterior(self, x: Float[Tensor, "n 2"], prior: Float[Tensor, " c"]) -> Float[Tensor, "n c"]:
        """p(y | x) under these shares of the classes."""
        return (-torch.cdist(x, self.means).square() / 2 + prior.log()).softmax(1)


def measure_distances(
    mixture: Mixture, loss: Callable[[Tensor, Tensor], Tensor], *, seed: int, n_test: int = 2000
) -> dict[str, float]:
    """Theorem 1: a linear classifier trained by `loss` of (logits, labels) against both true posteriors.

    These classes' posteriors are linear in the logits, so that nothing but sampling keeps it from the right one. The
    mean total variation distance of softmax(η) over test rows, which are balanced.
    """
    x, y = mixture.draw(torch.tensor(mixture.counts), seed)
    weight = torch.zeros(3, len(mixture.counts), dtype=torch.double, requires_grad=True)
    optimizer = torch.optim.LBFGS([weight], max_iter=200, tolerance_grad=1e-9, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        mean = loss(x @ weight[:2] + weight[2], y).mean()
        mean.backward()
        return mean

    optimizer.step(closure)
    rows = mixture.draw_evenly(n_test, seed + 1)
    learnt = (rows @ weight[:2] + weight[2]).detach().softmax(1)
    priors = {"balanced": mixture.test_prior, "training": mixture.train_prior}
    return {
        name: float((learnt - mixture.posterior(rows, prior)).abs().sum(1).mean() / 2) for name, prior in priors.items()
    }


def compare_losses(mixture: Mixture, *, seed: int = 0) -> dict[str, dict[str, float]]:
    """`measure_distances` of softmax, and of balanced softmax with three kinds of counts."""
    log_n = log_counts(torch.tensor(mixture.counts))
    losses: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
        "softmax": cross_entropy,
        "balanced softmax": partial(balanced_softmax, log_n=log_n),
        "counts to the power of 1/4": partial(balanced_softmax, log_n=log_n, exponent=0.25),
        "counts of other classes": partial(balanced_softmax, log_n=log_n.flip(0)),
    }
    return {name: measure_distances(mixture, loss, seed=seed) for name, loss in losses.items()}


def optimal_margins(counts: Int[np.ndarray, " c"], beta: float = 1.0) -> Float[np.ndarray, " c"]:
    """γ*_j = β n_j^(-1/4) / Σ_i n_i^(-1/4) (Theorem 2, Eq. 26)."""
    margins = np.asarray(counts, float) ** -0.25
    return beta * margins / margins.sum()


def find_margins(counts: Int[np.ndarray, " c"], beta: float = 1.0) -> Float[np.ndarray, " c"]:
    """The margins of sum β that minimise Σ_j 1/γ_j √(1/n_j) (Eq. 25), by a minimiser that knows no Eq. 26."""
    weight = 1 / np.sqrt(np.asarray(counts, float))
    minimum = optimize.minimize(
        lambda margins: np.sum(weight / margins) / weight.sum(),
        np.full(len(weight), beta / len(weight)),
        jac=lambda margins: -weight / margins**2 / weight.sum(),
        bounds=[(1e-6 * beta, beta)] * len(weight),
        constraints={"type": "eq", "fun": lambda margins: margins.sum() - beta, "jac": np.ones_like},
        method="SLSQP",
        options={"ftol": 1e-14, "maxiter": 1000},
    )
    if not minimum.success:
        raise RuntimeError(f"the minimiser must end at a minimum, it says: {minimum.message}; try other counts")
    return minimum.x


def offset_errors(mixture: Mixture, *, seed: int = 0, n_test: int = 2000) -> Float[np.ndarray, "n c"]:
    """What the balanced sigmoid's offset (Eq. 44) should be at each test row, less what it is.

    The log odds of class j by the posterior of balanced data, less those by the posterior of training data, less the
    constant of Eq. 44. Eq. 43 leaves p(x | y ≠ j) out of a quotient, as though the other classes were mixed alike in
    training and at test.
    """
    rows = mixture.draw_evenly(n_test, seed)
    wanted, trained = (mixture.posterior(rows, prior).logit() for prior in (mixture.test_prior, mixture.train_prior))
    return (wanted - trained - sigmoid_offsets(torch.tensor(mixture.counts))).numpy()
