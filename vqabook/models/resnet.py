"""Residual networks for small images: He, Zhang, Ren, Sun 2016, "Deep Residual Learning", arXiv:1512.03385."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vqabook.core import Output

if TYPE_CHECKING:
    from jaxtyping import Float


@dataclass(frozen=True)
class ResNetConfig:
    """Sizes; the defaults are the paper's ResNet-20 for CIFAR-10."""

    n_classes: int
    depth: int = 20  # weighted layers, 6 n + 2: the first convolution, three stages of n blocks of two, the classifier
    channels: int = 3  # of the images: 3 colours or 1 grey
    width: int = 16  # of the first stage; the others have twice and four times as many
    stem_stride: int = 1  # ours: 2 halves larger images at once, as the paper does for ImageNet

    def __post_init__(self):
        if self.depth < 8 or self.depth % 6 != 2:
            raise ValueError(f"depth is 6 n + 2 with n >= 1, got {self.depth}; the paper trains 20, 32, 44, 56 and 110")


class _Block(nn.Module):
    """relu(shortcut(x) + two 3x3 convolutions); option A: where the size changes, subsample and pad with zeros.

    The shortcut has no parameters, so all depths compare with their plain counterparts.
    """

    def __init__(self, n_in: int, n_out: int):
        super().__init__()
        self.more, self.stride = n_out - n_in, 1 if n_in == n_out else 2
        self.conv1 = nn.Conv2d(n_in, n_out, 3, self.stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(n_out)
        self.conv2 = nn.Conv2d(n_out, n_out, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(n_out)

    def forward(self, x: Float[Tensor, "b channel h w"]) -> Float[Tensor, "b channel2 h2 w2"]:
        residual = self.norm2(self.conv2(self.norm1(self.conv1(x)).relu()))
        if self.more:
            x = F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.more))
        return (x + residual).relu()


class ResNet(nn.Module):
    """Images to class scores. `hidden` is what the classifier reads: the last stage averaged over places, 4 x width."""

    def __init__(self, config: ResNetConfig):
        super().__init__()
        c = config
        self.config = c
        widths = [c.width, c.width, 2 * c.width, 4 * c.width]
        self.stem = nn.Sequential(
            nn.Conv2d(c.channels, c.width, 3, c.stem_stride, padding=1, bias=False), nn.BatchNorm2d(c.width), nn.ReLU()
        )
        self.blocks = nn.Sequential(
            *(
                _Block(n_in if i == 0 else n_out, n_out)
                for n_in, n_out in zip(widths[:-1], widths[1:], strict=True)
                for i in range((c.depth - 2) // 6)
            )
        )
        self.classifier = nn.Linear(widths[-1], c.n_classes)
        draw_convolutions(self)

    def forward(self, images: Float[Tensor, "b channel h w"]) -> Output:
        hidden = torch.mean(self.blocks(self.stem(images)), dim=(2, 3))
        return Output(self.classifier(hidden), hidden=hidden)


def draw_convolutions(model: nn.Module) -> None:
    """First weights of every convolution, by the number of its outputs: He et al. 2015, arXiv:1502.01852."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")


@torch.no_grad()
def settle_norms(model: nn.Module, batches: Iterable[tuple[Tensor, ...]]) -> None:
    """Take the statistics that batch norm uses in eval mode anew: the mean over these batches, parameters fixed.

    While training moves the weights, the running mean of 0.9 old + 0.1 new lags behind them; after few or large steps
    eval mode then is another model than the one that was trained. Leaves the model in train mode.
    """
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # torch's word for the plain mean over batches
    model.train()
    try:
        for inputs in batches:
            model(*inputs)
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
