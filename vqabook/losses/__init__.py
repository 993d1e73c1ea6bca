"""Losses: pure functions from logits and targets to one value an example [b]. Take one into your own training loop."""

from vqabook.losses.attention import (
    attention_adversarial,
    attention_coral,
    attention_mmd,
    attention_mse,
    reverse_gradient,
)
from vqabook.losses.choice import assignment, distillation, multiple_choice, random_label_loss, uniform_divergence
from vqabook.losses.debias import bias_entropy, bias_product, bias_reweight, bias_table, focal, learned_mixin, rubi
from vqabook.losses.longtail import (
    adjust,
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
from vqabook.losses.rescale import in_type, mask_loss, rescaling_weights, type_counts
from vqabook.losses.soft import annotator_cross_entropy, annotator_weights, sigmoid_bce, soft_cross_entropy
