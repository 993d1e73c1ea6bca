"""Losses: pure functions from logits and targets to one value an example [b]. Take one into your own training loop."""

from vqabook.losses.annotators import annotator_cross_entropy, annotator_weights
from vqabook.losses.attention import (
    attention_adversarial,
    attention_coral,
    attention_mmd,
    attention_mse,
    reversed_gradient,
)
from vqabook.losses.choice import assignment, distillation, multiple_choice, random_label_loss, uniform_divergence
from vqabook.losses.debias import bias_entropy, bias_product, bias_reweight, bias_table, focal, learned_mixin, rubi
from vqabook.losses.longtail import (
    adjusted,
    balanced_sigmoid,
    balanced_softmax,
    effective_weights,
    equalisation_sigmoid,
    equalisation_softmax,
    inverse_weights,
    ldam,
    ldam_margins,
    log_counts,
    released_sigmoid_offsets,
    sigmoid_offsets,
)
from vqabook.losses.rescale import RELEASE_OUT_OF_TYPE, in_type, mask_loss, rescaling_weights, type_counts
from vqabook.losses.soft import sigmoid_bce, soft_cross_entropy

__all__ = [
    "RELEASE_OUT_OF_TYPE",
    "adjusted",
    "annotator_cross_entropy",
    "annotator_weights",
    "assignment",
    "attention_adversarial",
    "attention_coral",
    "attention_mmd",
    "attention_mse",
    "balanced_sigmoid",
    "balanced_softmax",
    "bias_entropy",
    "bias_product",
    "bias_reweight",
    "bias_table",
    "distillation",
    "effective_weights",
    "equalisation_sigmoid",
    "equalisation_softmax",
    "focal",
    "in_type",
    "inverse_weights",
    "ldam",
    "ldam_margins",
    "learned_mixin",
    "log_counts",
    "mask_loss",
    "multiple_choice",
    "random_label_loss",
    "released_sigmoid_offsets",
    "rescaling_weights",
    "reversed_gradient",
    "rubi",
    "sigmoid_bce",
    "sigmoid_offsets",
    "soft_cross_entropy",
    "type_counts",
    "uniform_divergence",
]
