"""Networks for small images in two parts, between which the members of an ensemble share what they see.

Mun et al. 2018, Sec. 4.2, on CIFAR-100: ResNet-20 (He et al. 2016) and VGGNet-17 (Simonyan & Zisserman 2015). Features
are shared before the first pooling: after the last ReLU of the first stage, the second one of VGGNet.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from vqabook.core import Output
from vqabook.models.resnet import ResNet, draw_convolutions

if TYPE_CHECKING:
    from jaxtyping import Float

STAGES = (2, 2, 4, 4, 4)  # convolutions before each pooling of VGG-19; with one layer of classes they are 17


class StagedResNet(ResNet):
    """`ResNet` in two parts: `late(early(images))` is the whole."""

    def early(self, images: Float[Tensor, "b channel h w"]) -> Float[Tensor, "b channel2 h2 w2"]:
        return self.blocks[: len(self.blocks) // 3](self.stem(images))

    def late(self, features: Float[Tensor, "b channel2 h2 w2"]) -> Output:
        hidden = torch.mean(self.blocks[len(self.blocks) // 3 :](features), dim=(2, 3))
        return Output(self.classifier(hidden), hidden=hidden)


@dataclass(frozen=True)
class VggConfig:
    """Sizes; the defaults are VGG-19's convolutions, whose three wide layers a mean over places replaces."""

    n_classes: int
    channels: int = 3  # of the images: 3 colours or 1 grey
    width: int = 64  # of the first stage; the others have 2, 4, 8 and 8 times as many
    side: int = 32  # pixels; four poolings halve it


class Vgg(nn.Module):
    """Images to class scores by 3 x 3 convolutions, batch norm and ReLU; four poolings, then the mean over places."""

    def __init__(self, config: VggConfig):
        super().__init__()
        c = config
        if c.side % 2 ** (len(STAGES) - 1):
            raise ValueError(f"a side is halved four times, got {c.side} pixels; use a multiple of 16")
        self.config = c
        widths = [c.channels, *(c.width * factor for factor in (1, 2, 4, 8, 8))]
        stages = []
        for n_in, n_out, n in zip(widths[:-1], widths[1:], STAGES, strict=True):
            layers: list[nn.Module] = [nn.MaxPool2d(2)] if stages else []
            for i in range(n):
                layers += [nn.Conv2d(n_out if i else n_in, n_out, 3, padding=1, bias=False), nn.BatchNorm2d(n_out)]
                layers.append(nn.ReLU())
            stages.append(nn.Sequential(*layers))
        self.first, self.stages = stages[0], nn.Sequential(*stages[1:])
        self.classifier = nn.Linear(widths[-1], c.n_classes)
        draw_convolutions(self)

    def early(self, images: Float[Tensor, "b channel h w"]) -> Float[Tensor, "b channel2 h w"]:
        return self.first(images)

    def late(self, features: Float[Tensor, "b channel2 h w"]) -> Output:
        hidden = torch.mean(self.stages(features), dim=(2, 3))
        return Output(self.classifier(hidden), hidden=hidden)

    def forward(self, images: Float[Tensor, "b channel h w"]) -> Output:
        return self.late(self.early(images))
