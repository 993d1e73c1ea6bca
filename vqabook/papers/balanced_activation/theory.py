"""The statements of Ren et al. 2020, Sec. 3, on classes whose true posteriors are known."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int
from scipy import optimize
from torch.nn.functional import cross_entropy

from vqabook.losses.longtail import balanced_softmax, log_counts, sigmoid_offsets
from vqabook.losses.margins import Bound, evaluate_bound, linear_complexities, optimal_margins
from vqabook.models.linear import Criterion, Linear
from vqabook.world.mixture import Mixture


def fit_linear(mixture: Mixture, loss: Criterion, seed: int) -> Linear:
    """A linear classifier of training rows."""
    return Linear.fit(*mixture.draw(torch.tensor(mixture.counts), seed), len(mixture.counts), loss)


def measure_distances(mixture: Mixture, loss: Criterion, *, seed: int, n_test: int = 2000) -> dict[str, float]:
    """Theorem 1: a linear classifier trained by `loss` of (logits, labels) against both true posteriors.

    These classes' posteriors are linear in the logits, so that nothing but sampling keeps it from the right one. The
    mean total variation distance of softmax(η) over test rows, which are balanced.
    """
    rows = mixture.draw_evenly(n_test, seed + 1)
    learnt = fit_linear(mixture, loss, seed).classify(rows).softmax(1)
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


def bound_classifier(
    mixture: Mixture,
    classifier: Linear,
    margins: Float[np.ndarray, " c"],
    *,
    threshold: float = math.log(2),
    n_test: int = 20_000,
) -> Bound:
    """The bound of a classifier's cross-entropy; below a `threshold` of log 2 a row is classified right."""
    rows = mixture.draw_evenly(n_test, seed=1)
    labels = torch.arange(len(mixture.counts)).repeat_interleave(n_test // len(mixture.counts))
    x, y = classifier.x, classifier.y
    return evaluate_bound(
        cross_entropy(classifier.classify(rows), labels, reduction="none"),
        cross_entropy(classifier.classify(x), y, reduction="none"),
        y,
        linear_complexities(classifier.weight, x, y),
        margins,
        threshold=threshold,
    )


def compare_bounds(mixture: Mixture, *, seed: int = 0) -> dict[str, Bound]:
    """The bound of each classifier at the margins of Eq. 26, whose mean is half the threshold, and at equal ones."""
    mean = math.log(2) / 2
    margins = optimal_margins(np.array(mixture.counts), beta=mean * len(mixture.counts))
    classifiers = {name: fit_linear(mixture, loss, seed) for name, loss in list_losses(mixture).items()}
    bounds = {name: bound_classifier(mixture, classifier, margins) for name, classifier in classifiers.items()}
    equal = bound_classifier(mixture, classifiers["balanced softmax"], np.full(len(mixture.counts), mean))
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
