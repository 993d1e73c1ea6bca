"""Metrics: predictions and labels in, plain numbers out; no torch."""

from vqabook.metrics.agreement import cohen_kappa
from vqabook.metrics.mistakes import MistakeLosses, loss_matrix, mistake_losses
from vqabook.metrics.vqa import VqaAccuracy, leave_one_out_scores, normalise, save_results, vqa_accuracy

__all__ = [
    "MistakeLosses",
    "VqaAccuracy",
    "cohen_kappa",
    "leave_one_out_scores",
    "loss_matrix",
    "mistake_losses",
    "normalise",
    "save_results",
    "vqa_accuracy",
]
