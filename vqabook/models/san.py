"""SAN as the comparison rows have it: Kazemi & Elqursh 2017, "Show, Ask, Attend, and Answer", arXiv:1704.03162.

Two glimpses side by side, not the stacked layers of Yang et al. 2016, although papers cite those for it. With it the
variant that attends to words, and the simple model that reads the same way and attends to nothing.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from vqabook.core import Output
from vqabook.models.residual import adapt
from vqabook.models.words import WordAttention, attend


@dataclass(frozen=True)
class SanConfig:
    """Sizes and dropout rate; the defaults are the paper's, on cells of a ResNet."""

    n_words: int  # vocabulary with the pad (0) and unknown (1) words
    n_answers: int
    feature: int = 2048
    hidden: int = 1024  # of the LSTM and of the layer before the answers
    word: int = 300
    attention: int = 512
    glimpses: int = 2
    dropout: float = 0.5  # before every layer but the LSTM
    blocks: int = 0  # residual ones upon the cells of a map: Mun et al. 2018, on CLEVR


class _WordReader(nn.Module):
    """A model whose questions are read by one LSTM without biases."""

    def __init__(self, n_words: int, word: int, hidden: int, dropout: float):
        super().__init__()
        self.words = nn.Embedding(n_words, word, padding_idx=0)
        # the biases are the weights of one more input, 1 at a word and 0 at padding: see `encode`
        self.question_encoder = nn.LSTM(word + 1, hidden, bias=False, batch_first=True)
        self.dropout = nn.Dropout(dropout)

    def encode(self, words: Int[Tensor, "b t"]) -> Float[Tensor, "b h"]:
        """LSTM cell state after the last real word; the paper says "final state", re-implementations take the cell.

        Padding is never read. A CPU skips it. A GPU, where its length would cost a sync and cuDNN gives the cell of
        the last step alone, reads it first: without input and without biases an LSTM at rest stays at rest, exactly.
        """
        if words.device.type != "cpu":
            return self._state(self._read(_padding_first(words)))
        length, pack = words.ne(0).sum(1).clamp(min=1), nn.utils.rnn.pack_padded_sequence
        return self._state(pack(self._read(words), length, batch_first=True, enforce_sorted=False))

    def _read(self, words: Int[Tensor, "b t"]) -> Float[Tensor, "b t d"]:
        """What the LSTM reads: tanh of each word's vector and a one; nothing but zeros at padding."""
        real = words.ne(0)[..., None]
        vectors = self.dropout(self.words(words)).tanh()
        return torch.cat([vectors * real, real.to(vectors.dtype)], -1)

    def _state(self, read: Tensor | nn.utils.rnn.PackedSequence) -> Float[Tensor, "b h"]:
        return self.question_encoder(read)[1][1][0]


class San(_WordReader):
    """Additive attention over L2-normalised regions, several glimpses, and a classifier on [glimpses, question].

    A region that is zero throughout, or that a mask takes away wholly, gets no attention.
    """

    def __init__(self, config: SanConfig):
        super().__init__(config.n_words, config.word, config.hidden, config.dropout)
        self.config = c = config
        self.attend_region = nn.Linear(c.feature, c.attention, bias=False)
        self.attend_question = nn.Linear(c.hidden, c.attention)
        self.attend = nn.Linear(c.attention, c.glimpses, bias=False)  # the softmax would cancel a bias
        fused = c.glimpses * c.feature + c.hidden
        self.fuse = nn.Sequential(nn.Dropout(c.dropout), nn.Linear(fused, c.hidden), nn.ReLU())
        self.classifier = nn.Sequential(nn.Dropout(c.dropout), nn.Linear(c.hidden, c.n_answers))
        self.adapt = adapt(c.feature, c.blocks)

    def project(
        self, regions: Float[Tensor, "b o d"]
    ) -> tuple[Float[Tensor, "b o d"], Float[Tensor, "b o att"], Float[Tensor, "b o"]]:
        """What no question and no mask changes: unit regions, their projection, 1 per region, 0 at padding."""
        regions = self.adapt(regions)
        norm = torch.linalg.vector_norm(regions, dim=-1, keepdim=True)
        unit = regions / norm.masked_fill(norm == 0, 1)  # padding stays zero, its gradient finite
        return unit, self.attend_region(self.dropout(unit)), norm.squeeze(-1).ne(0).to(unit.dtype)

    def prepare(
        self, regions: Float[Tensor, "b o d"], words: Int[Tensor, "b t"]
    ) -> tuple[Tensor, Tensor, Tensor, Float[Tensor, "b o"]]:
        """What no mask of regions changes: `*fixed, real = prepare(...)` once, then `answer(*fixed, real * m)`.

        Many masks m in [0, 1] of one image need one projection, W(m v) = m W v; on the features, the normalisation
        would cancel them.
        """
        unit, projected, real = self.project(regions)
        return unit, projected, self.encode(words), real

    def answer(
        self,
        unit: Float[Tensor, "b o d"],
        projected: Float[Tensor, "b o att"],
        question: Float[Tensor, "b h"],
        keep: Float[Tensor, "b o"],
    ) -> Output:
        """The question asked of projected regions, each scaled by its `keep`; attention is the glimpses' mean."""
        query = self.attend_question(self.dropout(question))
        joint = (keep[..., None] * projected + query[:, None]).relu()
        scores = self.attend(self.dropout(joint))  # [b, o, glimpses]
        glimpses = attend(scores, keep[..., None] != 0, dim=1).mT
        image = (glimpses * keep[:, None]) @ unit  # [b, glimpses, d]
        hidden = self.fuse(torch.cat([image.flatten(1), question], -1))
        return Output(self.classifier(hidden), hidden=hidden, question=question, attention=glimpses.mean(1))

    def forward(self, regions: Float[Tensor, "b o d"], words: Int[Tensor, "b t"]) -> Output:
        return self.answer(*self.prepare(regions, words))


def _padding_first(words: Int[Tensor, "b t"]) -> Int[Tensor, "b t"]:
    """Each row's padding moved before its words, whose order stays."""
    return words.gather(1, words.ne(0).byte().argsort(dim=1, stable=True))


@dataclass(frozen=True)
class AttentiveSanConfig(SanConfig):
    """SAN's sizes, and those of the attention to words."""

    word_attention: int = 350  # d_a of Lin et al. 2017
    hops: int = 2  # as many as glimpses


class AttentiveSan(San):
    """The VQA baseline of Patro et al. 2021, Sec. 3.1: its question is read from the LSTM's states in hops.

    The paper calls it the model of Kazemi & Elqursh, "slightly modified by including the self-attention module for text
    as well" (Lin et al. 2017), and prints neither sizes nor where the module goes; this is our reading.
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

    def reread(
        self, regions: Float[Tensor, "b o d"], words: Int[Tensor, "b t"], keep_words: Float[Tensor, "m t"]
    ) -> Output:
        """Each question under each of m masks of its words, mask by mask within a question; regions projected once."""
        n = len(keep_words)
        unit, projected, real = (x[:, None].expand(-1, n, *x.shape[1:]).flatten(0, 1) for x in self.project(regions))
        question, looked = self.read(words.repeat_interleave(n, 0), keep_words.repeat(len(words), 1))
        return self.answer(unit, projected, question, real)._replace(word_attention=looked)

    def forward(self, regions: Float[Tensor, "b o d"], words: Int[Tensor, "b t"]) -> Output:
        unit, projected, real = self.project(regions)
        question, looked = self.read(words)
        return self.answer(unit, projected, question, real)._replace(word_attention=looked)


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
    blocks: int = 0  # residual ones upon the cells of a map


class Mlp(_WordReader):
    """The simple model of Mun et al. 2018 on CLEVR (Sec. 4.1): image and question side by side, two wide layers.

    No attention: every region has its own place in the first layer, and padding is zero.
    """

    def __init__(self, config: MlpConfig):
        super().__init__(config.n_words, config.word, config.hidden, config.dropout)
        self.config = c = config
        layers: list[nn.Module] = []
        for width in (c.regions * c.feature + c.hidden, c.wide):
            layers += [nn.Linear(width, c.wide), nn.ReLU(), nn.Dropout(c.dropout)]
        self.fuse = nn.Sequential(*layers)
        self.classifier = nn.Linear(c.wide, c.n_answers)
        self.adapt = adapt(c.feature, c.blocks)

    def forward(self, regions: Float[Tensor, "b o d"], words: Int[Tensor, "b t"]) -> Output:
        question = self.encode(words)
        hidden = self.fuse(torch.cat([self.adapt(regions).flatten(1), question], -1))
        return Output(self.classifier(hidden), hidden=hidden, question=question)
