"""SAN with attention to words: the VQA baseline of Patro et al. 2021, Sec. 3.1.

The paper calls it the model of Kazemi & Elqursh 2017, "slightly modified by including the self-attention module for
text as well" (Lin et al. 2017), and prints neither sizes nor where the module goes; this is our reading.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from vqabook.models.san import San, SanConfig
from vqabook.models.text import AttentiveOutput, WordAttention

if TYPE_CHECKING:
    from jaxtyping import Float, Int


@dataclass(frozen=True)
class AttentiveSanConfig(SanConfig):
    """SAN's sizes, and those of the attention to words."""

    word_attention: int = 350  # d_a of Lin et al. 2017
    hops: int = 2  # as many as glimpses


class AttentiveSan(San):
    """SAN whose question is a projection of the LSTM's states, attended to in several hops, not its last state.

    `word_attention` is the mean of the hops, `attention` that of the glimpses.
    """

    def __init__(self, config: AttentiveSanConfig):
        super().__init__(config)
        c = config
        self.attend_word = WordAttention(c.hidden, c.word_attention, c.hops)
        self.question_net = nn.Linear(c.hops * c.hidden, c.hidden)

    def read(
        self, words: Int[Tensor, "b t"], keep_words: Float[Tensor, "b t"] | None = None
    ) -> tuple[Float[Tensor, "b h"], Float[Tensor, "b t"]]:
        """The question encoding and the attention to its words; concealed words are blank and get none."""
        real = words.ne(0).to(self.words.weight.dtype)
        keep = real if keep_words is None else real * keep_words
        vectors = self.dropout(self.words(words)).tanh() * keep[..., None]
        # an LSTM that reads from left to right has its words' states before it comes to the padding
        states = self.question_encoder(torch.cat([vectors, real[..., None]], -1))[0]
        hops = self.attend_word(states, keep)
        return self.question_net((hops @ states).flatten(1)), hops.mean(1)

    def encode(self, words: Int[Tensor, "b t"]) -> Float[Tensor, "b h"]:
        return self.read(words)[0]

    def prepare(
        self, regions: Float[Tensor, "b o d"], words: Int[Tensor, "b t"]
    ) -> tuple[Tensor, Tensor, Tensor, Float[Tensor, "b o"]]:
        """What no mask of regions changes: `*fixed, real = prepare(...)` once, then `answer(*fixed, real * m)`."""
        unit, projected, real = self.project(regions)
        return unit, projected, self.encode(words), real

    def reread(
        self, regions: Float[Tensor, "b o d"], words: Int[Tensor, "b t"], keep_words: Float[Tensor, "m t"]
    ) -> AttentiveOutput:
        """Each question under each of m masks of its words, mask by mask within a question; regions projected once."""
        n = len(keep_words)
        question, looked = self.read(words.repeat_interleave(n, 0), keep_words.repeat(len(words), 1))
        unit, projected, real = (x[:, None].expand(-1, n, *x.shape[1:]).flatten(0, 1) for x in self.project(regions))
        return AttentiveOutput(*self.answer(unit, projected, question, real), word_attention=looked)

    def forward(
        self,
        regions: Float[Tensor, "b o d"],
        words: Int[Tensor, "b t"],
        keep: Float[Tensor, "b o"] | None = None,
        keep_words: Float[Tensor, "b t"] | None = None,
    ) -> AttentiveOutput:
        """`keep` scales regions as in `San`; `keep_words` is 0 at concealed words."""
        unit, projected, real = self.project(regions)
        question, looked = self.read(words, keep_words)
        out = self.answer(unit, projected, question, real if keep is None else real * keep)
        return AttentiveOutput(*out, word_attention=looked)
