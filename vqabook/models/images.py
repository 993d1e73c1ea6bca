"""Networks for small images: ResNet, VGGNet, and two convolutions with attention.

He, Zhang, Ren, Sun 2016, "Deep Residual Learning", arXiv:1512.03385; Simonyan & Zisserman 2015. In two parts, `early`
and `late`, the members of an ensemble share what they see between them: Mun et al. 2018, Sec. 4.2, on CIFAR-100, after
the last ReLU of ResNet's first stage, the second one of VGGNet, before any pooling.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from vqabook.core import Output
from vqabook.models.words import WordAttention


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
        self.config = c = config
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

    def early(self, images: Float[Tensor, "b channel h w"]) -> Float[Tensor, "b channel2 h2 w2"]:
        return self.blocks[: len(self.blocks) // 3](self.stem(images))

    def late(self, features: Float[Tensor, "b channel2 h2 w2"]) -> Output:
        hidden = torch.mean(self.blocks[len(self.blocks) // 3 :](features), dim=(2, 3))
        return Output(self.classifier(hidden), hidden=hidden)

    def forward(self, images: Float[Tensor, "b channel h w"]) -> Output:
        return self.late(self.early(images))


def draw_convolutions(model: nn.Module) -> None:
    """First weights of every convolution, by the number of its outputs: He et al. 2015, arXiv:1502.01852."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")


STAGES = (2, 2, 4, 4, 4)  # convolutions before each pooling of VGG-19; with one layer of classes they are 17


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
        stages: list[nn.Sequential] = []
        for n_in, n_out, n in zip(widths[:-1], widths[1:], STAGES, strict=True):
            layers: list[nn.Module] = [nn.MaxPool2d(2)] if stages else []
            for i in range(n):
                layers += [nn.Conv2d(n_out if i else n_in, n_out, 3, padding=1, bias=False), nn.BatchNorm2d(n_out)]
                layers.append(nn.ReLU())
            stages.append(nn.Sequential(*layers))
        self.early, self.stages = stages[0], nn.Sequential(*stages[1:])
        self.classifier = nn.Linear(widths[-1], c.n_classes)
        draw_convolutions(self)

    def late(self, features: Float[Tensor, "b channel2 h w"]) -> Output:
        hidden = torch.mean(self.stages(features), dim=(2, 3))
        return Output(self.classifier(hidden), hidden=hidden)

    def forward(self, images: Float[Tensor, "b channel h w"]) -> Output:
        return self.late(self.early(images))


@dataclass(frozen=True)
class SmallCnnConfig:
    """Sizes and dropout rate; `halvings` times two of 32 x 32 pixels make 8 x 8 cells."""

    n_classes: int
    side: int = 32  # pixels
    channels: int = 3
    width: int = 32  # channels of the map
    halvings: int = 2  # by pooling, one after each of the two convolutions; 0: none
    attention: int = 32
    hidden: int = 128
    dropout: float = 0.0

    @property
    def cells(self) -> int:
        """Cells along a side of the map."""
        return self.side // 2**self.halvings


class SmallCnn(nn.Module):
    """Two convolutions, attention over the cells of their map, two layers on the cells so weighted.

    The image baseline of Patro et al. 2021: Sec. 3.1 says "a CNN based classification code" with "the self-attention
    module", and 32 channels of 8 x 8 cells on CIFAR-10; layers and sizes are ours, its attention Lin et al.'s.
    A cell is multiplied by its attention times the number of cells, so that even attention leaves the map as it is.
    """

    def __init__(self, config: SmallCnnConfig):
        super().__init__()
        c = config
        if not 0 <= c.halvings <= 2 or c.side % 2**c.halvings:
            raise ValueError(
                f"a side of {c.side} pixels is halved {c.halvings} times: 0 to 2 times, and it must come out even; "
                "choose another side"
            )
        self.config = c
        layers: list[nn.Module] = []
        for i, width in enumerate((c.channels, c.width)):
            layers += [nn.Conv2d(width, c.width, 3, padding=1), nn.ReLU()]
            layers += [nn.MaxPool2d(2)] * (i < c.halvings)
        self.convolve = nn.Sequential(*layers)
        self.attend = WordAttention(c.width, c.attention, 1)
        self.dropout = nn.Dropout(c.dropout)
        self.fuse = nn.Sequential(nn.Linear(c.cells**2 * c.width, c.hidden), nn.ReLU())
        self.classifier = nn.Linear(c.hidden, c.n_classes)

    def prepare(self, images: Float[Tensor, "b c h w"]) -> tuple[Float[Tensor, "b o d"], Float[Tensor, "b o"]]:
        """The cells in reading order, and 1 for each: what no mask changes, `answer(cells, real * m)` for each mask."""
        cells = self.convolve(images).flatten(2).mT
        return cells, cells.new_ones(cells.shape[:2])

    def answer(self, cells: Float[Tensor, "b o d"], keep: Float[Tensor, "b o"]) -> Output:
        """Cells scaled by their `keep` in [0, 1] before anything looks at them; one at 0 gets no attention."""
        cells = cells * keep[..., None]
        attention = self.attend(cells, keep).squeeze(1)
        seen = cells * attention[..., None] * cells.shape[1]
        hidden = self.fuse(self.dropout(seen.flatten(1)))
        return Output(self.classifier(hidden), hidden=hidden, attention=attention)

    def forward(self, images: Float[Tensor, "b c h w"]) -> Output:
        return self.answer(*self.prepare(images))
