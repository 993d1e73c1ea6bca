"""Losses: pure functions from logits and targets to one value an example [b], or to their mean or sum (`reduction`).

Take one into your own training loop: as it is, or as a module with its constants, `Loss(balanced_softmax, log_n=...)`.
What is checked of arguments, and where, `losses.base` tells.
"""

from vqabook.losses.attention import (
    attention_adversarial,
    attention_coral,
    attention_mmd,
    attention_mse,
    reverse_gradient,
)
from vqabook.losses.base import Loss
from vqabook.losses.choice import (
    assignment,
    distillation,
    member_cross_entropy,
    multiple_choice,
    random_label_loss,
    released_distillation,
    uniform_divergence,
)
from vqabook.losses.debias import (
    bias_entropy,
    bias_product,
    bias_reweight,
    bias_table,
    centre_loss,
    centre_update,
    focal,
    learned_mixin,
    rubi,
)
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
    vector_scales,
    vector_scaling,
)
from vqabook.losses.rescale import in_type, mask_loss, rescaling_weights, type_counts
from vqabook.losses.soft import annotator_cross_entropy, annotator_weights, sigmoid_bce, soft_cross_entropy
