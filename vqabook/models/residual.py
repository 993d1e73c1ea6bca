"""Residual blocks upon the map of a frozen network, which adapt it to another task.

Mun et al. 2018, Sec. 4.1: "additional residual blocks on top of the extracted conv4 features". Print has neither their
number nor their sizes; the release has two, of 1,024, 128 and 1,024 channels, as `GridBlock` is by default.
"""

import math

from jaxtyping import Float
from torch import Tensor, nn

NARROW = 128  # channels of a block's middle convolution: release


class GridBlock(nn.Module):
    """relu(cells + three convolutions, 1 x 1, 3 x 3 and 1 x 1, each with batch norm), of the cells of a square map."""

    def __init__(self, feature: int, narrow: int = NARROW):
        super().__init__()
        layers: list[nn.Module] = []
        for n_in, n_out, kernel in ((feature, narrow, 1), (narrow, narrow, 3), (narrow, feature, 1)):
            layers += [
                nn.Conv2d(n_in, n_out, kernel, padding=kernel // 2, bias=False),
                nn.BatchNorm2d(n_out),
                nn.ReLU(),
            ]
        self.layers = nn.Sequential(*layers[:-1])

    def forward(self, cells: Float[Tensor, "b o d"]) -> Float[Tensor, "b o d"]:
        side = math.isqrt(cells.shape[1])
        if side**2 != cells.shape[1]:
            raise ValueError(
                f"residual blocks read a square map's cells, got {cells.shape[1]} regions; extract a grid, or ask for "
                "0 blocks"
            )
        grid = cells.mT.unflatten(2, (side, side))
        return (grid + self.layers(grid)).relu().flatten(2).mT


def adapt(feature: int, blocks: int) -> nn.Sequential:
    """`blocks` residual blocks; with none, what leaves features as they are."""
    return nn.Sequential(*(GridBlock(feature) for _ in range(blocks)))
