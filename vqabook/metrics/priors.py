"""Accuracy where classes at test are not all alike: rows of a test set weigh as their class would occur."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

PRIORS = ("uniform", "training", "reversed")


def priors_of(counts: Int[Tensor, " c"]) -> dict[str, Float[Tensor, " c"]]:
    """Shares of the classes at test: all alike, as in training, and the other way round."""
    share = counts.double() / counts.sum()
    return dict(zip(PRIORS, (torch.full_like(share, 1 / len(share)), share, share.flip(0)), strict=True))


def weigh_rows(prior: Float[Tensor, " c"], truth: Int[Tensor, " n"]) -> Float[Tensor, " n"]:
    """What each row weighs, in all 1: as its class by `prior`, over the class' rows."""
    weight = (prior / torch.bincount(truth, minlength=len(prior)).clamp(min=1))[truth]
    return weight / weight.sum()


def accuracy_under(prior: Float[Tensor, " c"], hit: Bool[Tensor, " n"], truth: Int[Tensor, " n"]) -> float:
    """Percent right were classes as frequent as `prior` says."""
    return 100 * float((weigh_rows(prior, truth) * hit.double()).sum())
