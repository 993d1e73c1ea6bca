"""Metrics: predictions and labels in, plain numbers out; no torch."""

from vqabook.metrics.attention import (
    HumanAgreement,
    agreement_with_humans,
    box_distance,
    earth_movers_distance,
    grid_distance,
    rank_correlation,
    resize,
    spread,
)
from vqabook.metrics.mistakes import MistakeLosses, cohen_kappa, loss_matrix, mistake_losses
from vqabook.metrics.vqa import VqaAccuracy, leave_one_out_scores, normalise, save_results, vqa_accuracy
