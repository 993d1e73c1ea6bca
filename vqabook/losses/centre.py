"""Centre loss: Wen, Zhang, Li, Qiao 2016, "A Discriminative Feature Learning Approach for Deep Face Recognition", ECCV.

Trained beside the softmax loss, L = L_S + λ L_C (Eq. 5), it draws the features of a class together. The centres are no
parameters: they follow the features at a rate of their own, c <- c - α Δc after every batch, 0 <= α <= 1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from jaxtyping import Float, Int


def centre_loss(
    hidden: Float[Tensor, "b h"], target: Int[Tensor, " b"], centres: Float[Tensor, "c h"]
) -> Float[Tensor, " b"]:
    """½ ‖x - c_y‖², half the squared distance of each feature from the centre of its class.

    Wen et al. 2016, Eq. 2. The paper sums this and the softmax loss over the batch; with means of both λ is the same.
    """
    return (hidden - centres[target]).square().sum(1) / 2


def centre_update(
    hidden: Float[Tensor, "b h"], target: Int[Tensor, " b"], centres: Float[Tensor, "c h"]
) -> Float[Tensor, "c h"]:
    """Δc: the sum of (c_j - x) over the batch's examples of class j, over one more than their number.

    Wen et al. 2016, Eq. 4. A class that is not in the batch stays where it is; the one damps the pull of few examples.
    """
    total = torch.zeros_like(centres).index_add_(0, target, centres[target] - hidden)
    number = torch.bincount(target, minlength=len(centres))
    return total / (1 + number)[:, None]
