"""Classifiers that take the place of a linear layer where classes are unequal: cosines, scales, second stages."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from vqabook.core import Output


class CosineClassifier(nn.Module):
    """Cosines of features and class vectors, in [-1, 1]: what LDAM's margins are measured in (Cao et al. 2019)."""

    def __init__(self, n_in: int, n_classes: int):
        super().__init__()
        self.weight = nn.Parameter(F.normalize(torch.randn(n_classes, n_in)))

    def forward(self, hidden: Float[Tensor, "b d"]) -> Float[Tensor, "b c"]:
        return F.linear(F.normalize(hidden), F.normalize(self.weight))


class ScaledClassifier(nn.Module):
    """A trained classifier with one learnt factor a class: learnable weight scaling (Kang et al. 2020, LWS).

    Class vectors and biases stay; only `scale` has a gradient. It begins at one, as the classifier was. The paper
    scales class vectors; its release the whole logit, its bias too: `scale_bias`.
    """

    weight: Tensor
    bias: Tensor | None

    def __init__(self, classifier: nn.Linear, *, scale_bias: bool = False):
        super().__init__()
        self.scale_bias = scale_bias
        self.register_buffer("weight", classifier.weight.detach().clone())
        bias = classifier.bias
        self.register_buffer("bias", None if bias is None else bias.detach().clone())
        self.scale = nn.Parameter(torch.ones(len(self.weight)))

    def forward(self, hidden: Float[Tensor, "b d"]) -> Float[Tensor, "b c"]:
        if self.scale_bias:
            return self.scale * F.linear(hidden, self.weight, self.bias)
        return F.linear(hidden, self.weight * self.scale[:, None], self.bias)


class LinearModel(nn.Module):
    """A linear classifier of features as they come: softmax regression, or as many logistic ones."""

    def __init__(self, n_in: int, n_classes: int):
        super().__init__()
        self.classifier = nn.Linear(n_in, n_classes)

    def forward(self, features: Float[Tensor, "b d"]) -> Output:
        return Output(self.classifier(features), hidden=features)


class Decoupled(nn.Module):
    """A second stage: features of a trained model as they are, batch norm included, and a classifier that learns.

    Kang et al. 2020, arXiv:1910.09217: a new linear layer is cRT, a `ScaledClassifier` LWS. Both see classes evenly.
    """

    def __init__(self, trained: nn.Module, classifier: nn.Module):
        super().__init__()
        self.trained, self.classifier = trained.requires_grad_(False), classifier

    def train(self, mode: bool = True) -> Decoupled:
        super().train(mode)
        self.trained.eval()
        return self

    def forward(self, *inputs: Tensor) -> Output:
        with torch.no_grad():
            hidden = self.trained(*inputs).hidden
        return Output(self.classifier(hidden), hidden=hidden)
