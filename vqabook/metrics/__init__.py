"""Metrics: predictions and labels in, plain numbers out; no torch."""

from vqabook.metrics.agreement import cohen_kappa
from vqabook.metrics.vqa import VqaAccuracy, leave_one_out_scores, normalise, save_results, vqa_accuracy

__all__ = ["VqaAccuracy", "cohen_kappa", "leave_one_out_scores", "normalise", "save_results", "vqa_accuracy"]
