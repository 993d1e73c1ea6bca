"""The statements of Ren et al. 2020, Sec. 3, on classes whose true posteriors are known."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
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


Criterion = Callable[[Tensor, Tensor], Tensor]  # (logits, labels) -> [b]


@dataclass(frozen=True)
class Linear:
    """A linear classifier with a bias, and the rows that it learnt."""

    weight: Float[Tensor, "3 c"]
    x: Float[Tensor, "n 2"]
    y: Int[Tensor, " n"]

    @classmethod
    def fit(cls, mixture: Mixture, loss: Criterion, seed: int) -> Linear:
        """What is smallest in `loss` of training rows."""
        x, y = mixture.draw(torch.tensor(mixture.counts), seed)
        weight = torch.zeros(3, len(mixture.counts), dtype=torch.double, requires_grad=True)
        optimizer = torch.optim.LBFGS([weight], max_iter=200, tolerance_grad=1e-9, line_search_fn="strong_wolfe")

        def closure() -> Tensor:
            optimizer.zero_grad()
            mean = loss(x @ weight[:2] + weight[2], y).mean()
            mean.backward()
            return mean

        optimizer.step(closure)
        return cls(weight.detach(), x, y)

    def classify(self, x: Float[Tensor, "n 2"]) -> Float[Tensor, "n c"]:
        """Its scores η."""
        return x @ self.weight[:2] + self.weight[2]


def measure_distances(mixture: Mixture, loss: Criterion, *, seed: int, n_test: int = 2000) -> dict[str, float]:
    """Theorem 1: a linear classifier trained by `loss` of (logits, labels) against both true posteriors.

    These classes' posteriors are linear in the logits, so that nothing but sampling keeps it from the right one. The
    mean total variation distance of softmax(η) over test rows, which are balanced.
    """
    rows = mixture.draw_evenly(n_test, seed + 1)
    learnt = Linear.fit(mixture, loss, seed).classify(rows).softmax(1)
    priors = {"balanced": mixture.test_prior, "training": mixture.train_prior}
    return {
        name: float((learnt - mixture.posterior(rows, prior)).abs().sum(1).mean() / 2) for name, prior in priors.items()
    }


def list_losses(mixture: Mixture) -> dict[str, Criterion]:
    """Softmax, and balanced softmax with three kinds of counts."""
    log_n = log_counts(torch.tensor(mixture.counts))
    return {
        "softmax": partial(cross_entropy, reduction="none"),
        "balanced softmax": partial(balanced_softmax, log_n=log_n),
        "counts to the power of 1/4": partial(balanced_softmax, log_n=log_n, exponent=0.25),
        "counts of other classes": partial(balanced_softmax, log_n=log_n.flip(0)),
    }


def compare_losses(mixture: Mixture, *, seed: int = 0) -> dict[str, dict[str, float]]:
    """`measure_distances` of each loss."""
    return {name: measure_distances(mixture, loss, seed=seed) for name, loss in list_losses(mixture).items()}


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


@dataclass(frozen=True)
class Bound:
    """Theorem 2 for one classifier: what it bounds, and the terms of Eq. 23, each a mean over classes."""

    error: float  # share of balanced test rows whose loss is above the threshold (Eq. 16)
    in_margin: float  # share of training rows whose loss and margin are (Eq. 21)
    complexity: float  # 4 / γ_j √(C / n_j)
    low_order: float  # ε_j (Eq. 24)

    @property
    def total(self) -> float:
        """The bound on `error`."""
        return self.in_margin + self.complexity + self.low_order

    @property
    def rows_for_one(self) -> float:
        """How many times the rows bring the bound down to 1, where it begins to say something."""
        return ((self.complexity + self.low_order) / (1 - self.in_margin)) ** 2 if self.in_margin < 1 else math.inf


def evaluate_bound(
    mixture: Mixture,
    classifier: Linear,
    margins: Float[np.ndarray, " c"],
    *,
    threshold: float = math.log(2),
    delta: float = 0.05,
    n_test: int = 20_000,
) -> Bound:
    """Eqs. 15-24 of a classifier's cross-entropy; below a `threshold` of log 2 a row is classified right.

    √(C / n_j) bounds the Rademacher complexity of the losses over a class' rows, of classifiers whose weights have this
    one's norm |w| at most: 2 |w| √k |x| / √n_j, |x| the root mean square of its rows with their 1 for the bias (the
    contraction of vectors, Maurer 2016, and losses that are √2-Lipschitz). That is generous: the norm is chosen
    afterwards. δ is as printed, without the k of a union bound.
    """
    rows = mixture.draw_evenly(n_test, seed=1)
    labels = torch.arange(len(mixture.counts)).repeat_interleave(n_test // len(mixture.counts))
    error = (cross_entropy(classifier.classify(rows), labels, reduction="none") > threshold).double().mean()
    costs = cross_entropy(classifier.classify(classifier.x), classifier.y, reduction="none")
    furthest = float((costs - threshold).abs().max())
    terms = []
    for j, (n, margin) in enumerate(zip(mixture.counts, margins.tolist(), strict=True)):
        mine = classifier.y == j
        size = math.sqrt(float((classifier.x[mine].square().sum(1) + 1).mean()))
        complexity = 2 * float(classifier.weight.norm()) * math.sqrt(len(mixture.counts)) * size / math.sqrt(n)
        low = math.sqrt(math.log(math.log2(4 * furthest / margin)) / n) + math.sqrt(math.log(1 / delta) / (2 * n))
        terms.append((float((costs[mine] + margin > threshold).double().mean()), 4 / margin * complexity, low))
    return Bound(float(error), *np.mean(terms, axis=0).tolist())


def compare_bounds(mixture: Mixture, *, seed: int = 0) -> dict[str, Bound]:
    """The bound of each classifier at the margins of Eq. 26, whose mean is half the threshold, and at equal ones."""
    mean = math.log(2) / 2
    margins = optimal_margins(np.array(mixture.counts), beta=mean * len(mixture.counts))
    classifiers = {name: Linear.fit(mixture, loss, seed) for name, loss in list_losses(mixture).items()}
    bounds = {name: evaluate_bound(mixture, classifier, margins) for name, classifier in classifiers.items()}
    equal = evaluate_bound(mixture, classifiers["balanced softmax"], np.full(len(mixture.counts), mean))
    return bounds | {"balanced softmax, equal margins": equal}


def tabulate_bounds(mixture: Mixture, *, seed: int = 0) -> pd.DataFrame:
    """Both sides of Eq. 23, the terms of its right one, and how many times the rows bring that down to 1."""
    cells = {
        name: {
            "error": f"{bound.error:.2f}",
            "bound": f"{bound.total:.1f}",
            "in the margin": f"{bound.in_margin:.2f}",
            "complexity": f"{bound.complexity:.1f}",
            "low order": f"{bound.low_order:.2f}",
            "times the rows": f"{round(bound.rows_for_one, -2):,.0f}",
        }
        for name, bound in compare_bounds(mixture, seed=seed).items()
    }
    return pd.DataFrame.from_dict(cells, orient="index")


def offset_errors(mixture: Mixture, *, seed: int = 0, n_test: int = 2000) -> Float[np.ndarray, "n c"]:
    """What the balanced sigmoid's offset (Eq. 44) should be at each test row, less what it is.

    The log odds of class j by the posterior of balanced data, less those by the posterior of training data, less the
    constant of Eq. 44. Eq. 43 leaves p(x | y ≠ j) out of a quotient, as though the other classes were mixed alike in
    training and at test.
    """
    rows = mixture.draw_evenly(n_test, seed)
    wanted, trained = (mixture.posterior(rows, prior).logit() for prior in (mixture.test_prior, mixture.train_prior))
    return (wanted - trained - sigmoid_offsets(torch.tensor(mixture.counts))).numpy()
