"""How far probabilities can be believed: negative log-likelihood and the expected calibration error."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

BINS = 15  # Guo, Pleiss, Sun, Weinberger 2017, "On Calibration of Modern Neural Networks", arXiv:1706.04599


def negative_log_likelihood(
    p: Float[Tensor, "n c"], truth: Int[Tensor, " n"], weight: Float[Tensor, " n"] | None = None
) -> float:
    """Mean of -log p of the true class, in nats; `weight`: of each row, by default all alike."""
    return mean_cost(find_costs(p, truth), weight)


def find_costs(p: Float[Tensor, "n c"], truth: Int[Tensor, " n"]) -> Float[Tensor, " n"]:
    """-log p of the true class of each row, in nats."""
    return -p.gather(1, truth[:, None])[:, 0].clamp(min=torch.finfo(p.dtype).tiny).log()


def mean_cost(cost: Float[Tensor, " n"], weight: Float[Tensor, " n"] | None = None) -> float:
    """The mean over rows; `weight`: of each, by default all alike."""
    return float((_shares(weight, cost) * cost).sum())


def calibration_error(
    p: Float[Tensor, "n c"], truth: Int[Tensor, " n"], weight: Float[Tensor, " n"] | None = None, *, bins: int = BINS
) -> float:
    """Σ_b share_b |accuracy_b - confidence_b| over equal bins of the highest probability, in [0, 1] (Guo et al. 2017).

    `weight`: of each row, by default all alike. A confidence on a border belongs to the bin below.
    """
    confidence, answer = p.max(1)
    return calibration_gap(confidence, (answer == truth).to(p), weight, bins=bins)


def calibration_gap(
    confidence: Float[Tensor, " n"],
    score: Float[Tensor, " n"],
    weight: Float[Tensor, " n"] | None = None,
    *,
    bins: int = BINS,
) -> float:
    """`calibration_error` of answers by how sure they are and what they are worth: 1 or 0, or a VQA accuracy."""
    if bins < 1:
        raise ValueError(f"confidences fall into one bin or more, got {bins}; the paper has {BINS}")
    place = (confidence * bins).ceil().long().clamp(1, bins) - 1
    gap = _shares(weight, confidence) * (score - confidence)
    return float(torch.zeros(bins, dtype=gap.dtype, device=gap.device).index_add_(0, place, gap).abs().sum())


def _shares(weight: Float[Tensor, " n"] | None, p: Float[Tensor, "n *c"]) -> Float[Tensor, " n"]:
    whole = torch.ones(len(p), dtype=p.dtype, device=p.device) if weight is None else weight.to(p)
    return whole / whole.sum()
