"""Losses: pure functions from logits and targets to one value an example [b]. Take one into your own training loop."""

from vqabook.losses.rescale import RELEASE_OUT_OF_TYPE, in_type, mask_loss, rescaling_weights, type_counts
from vqabook.losses.soft import sigmoid_bce, soft_cross_entropy

__all__ = [
    "RELEASE_OUT_OF_TYPE",
    "in_type",
    "mask_loss",
    "rescaling_weights",
    "sigmoid_bce",
    "soft_cross_entropy",
    "type_counts",
]
