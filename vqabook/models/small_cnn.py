"""A small convolutional network with attention to the cells of its last map: the image baseline of Patro et al. 2021.

Sec. 3.1 says "a CNN based classification code" with "the self-attention module", and 32 channels of 8 x 8 cells on
CIFAR-10; layers and sizes are ours. The attention is that of Lin et al. 2017 with one hop, over cells.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor, nn

from vqabook.core import Output
from vqabook.models.text import WordAttention

if TYPE_CHECKING:
    from jaxtyping import Float


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

    def forward(self, images: Float[Tensor, "b c h w"], keep: Float[Tensor, "b o"] | None = None) -> Output:
        cells, real = self.prepare(images)
        return self.answer(cells, real if keep is None else real * keep)
