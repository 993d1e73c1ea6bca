"""The simple model of Mun et al. 2018 on CLEVR (Sec. 4.1): image and question side by side, two wide layers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from vqabook.core import Output
from vqabook.models.san import San

if TYPE_CHECKING:
    from jaxtyping import Float, Int


@dataclass(frozen=True)
class MlpConfig:
    """Sizes and dropout rate; words, LSTM and wide layers have the paper's and the release's."""

    n_words: int  # vocabulary with the pad (0) and unknown (1) words
    n_answers: int
    feature: int  # of a region
    regions: int  # of an image
    hidden: int = 256  # of the LSTM
    word: int = 300
    wide: int = 1024
    dropout: float = 0.0


class Mlp(nn.Module):
    """No attention: every region has its own place in the first layer, and padding is zero."""

    def __init__(self, config: MlpConfig):
        super().__init__()
        c = config
        self.config = c
        self.words = nn.Embedding(c.n_words, c.word, padding_idx=0)
        self.question_encoder = nn.LSTM(c.word + 1, c.hidden, bias=False, batch_first=True)
        self.dropout = nn.Dropout(c.dropout)
        layers: list[nn.Module] = []
        for width in (c.regions * c.feature + c.hidden, c.wide):
            layers += [nn.Linear(width, c.wide), nn.ReLU(), nn.Dropout(c.dropout)]
        self.fuse = nn.Sequential(*layers)
        self.classifier = nn.Linear(c.wide, c.n_answers)

    encode, _read, _state = San.encode, San._read, San._state  # the same reading of the same parts

    def forward(self, regions: Float[Tensor, "b o d"], words: Int[Tensor, "b t"]) -> Output:
        question = self.encode(words)
        hidden = self.fuse(torch.cat([regions.flatten(1), question], -1))
        return Output(self.classifier(hidden), hidden=hidden, question=question)
