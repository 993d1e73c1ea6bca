"""Words and regions that padding has made equally many, attention to the rest, and a sentence classifier that attends.

Attention is that of Lin et al. 2017, "A Structured Self-attentive Sentence Embedding", arXiv:1703.03130.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from vqabook.core import Output


def last_output(
    recurrent: nn.GRU | nn.LSTM, embedded: Float[Tensor, "b t d"], words: Int[Tensor, "b t"]
) -> Float[Tensor, "b h"]:
    """The layer's output after the last real word; 0 pads.

    Padding is never read: a CPU skips it, a GPU (where its length would cost a sync) steps over it.
    """
    length = words.ne(0).sum(1).clamp(min=1)
    if words.device.type != "cpu":
        return recurrent(embedded)[0][torch.arange(len(words), device=words.device), length - 1]
    packed = nn.utils.rnn.pack_padded_sequence(embedded, length, batch_first=True, enforce_sorted=False)
    state = recurrent(packed)[1]
    return (state[0] if isinstance(state, tuple) else state)[0]


def is_region(regions: Float[Tensor, "b o d"]) -> Bool[Tensor, "b o"]:
    """False where a region is zero throughout: an image that has fewer than its neighbours is padded with those."""
    return torch.linalg.vector_norm(regions.detach(), ord=1, dim=-1) != 0  # one pass: 0.4 % of a step on a CPU


def attend(scores: Tensor, there: Bool[Tensor, "*n"], dim: int = -1) -> Tensor:
    """Softmax over what is there; where nothing is, it looks everywhere alike."""
    # the least finite number: of nothing but -inf a softmax is NaN
    return scores.masked_fill(~there, torch.finfo(scores.dtype).min).softmax(dim)


@dataclass(frozen=True)
class TextConfig:
    """Sizes and dropout rate; the defaults are those of the release of Patro et al. 2021."""

    n_words: int  # vocabulary with the pad (0) and unknown (1) words
    n_classes: int
    word: int = 300
    hidden: int = 256  # of the LSTM, in each direction
    attention: int = 350  # d_a
    hops: int = 30  # r
    wide: int = 2000  # of the layer before the classes
    dropout: float = 0.0


class WordAttention(nn.Module):
    """A = softmax(W2 tanh(W1 H)) (Lin et al., Eq. 6): one distribution over a sentence's words for each of the hops.

    Words with `keep` 0 get nothing; a sentence without any is looked at alike everywhere.
    """

    def __init__(self, states: int, attention: int, hops: int):
        super().__init__()
        self.inner = nn.Linear(states, attention, bias=False)
        self.outer = nn.Linear(attention, hops, bias=False)

    def forward(self, states: Float[Tensor, "b t h"], keep: Float[Tensor, "b t"]) -> Float[Tensor, "b r t"]:
        return attend(self.outer(self.inner(states).tanh()).mT, keep[:, None] != 0)


class SelfAttentiveText(nn.Module):
    """BiLSTM, word attention in several hops, one wide layer, classes. `word_attention` is the mean of the hops.

    `penalty` is ‖A Aᵀ - I‖²_F, by which Lin et al. (Eq. 8) keep hops apart; an objective weighs it, or leaves it.
    """

    def __init__(self, config: TextConfig, vectors: Float[Tensor, "w d"] | None = None):
        """`vectors` are what word vectors start from, GloVe say; they are trained on."""
        super().__init__()
        self.config = c = config
        self.words = nn.Embedding(c.n_words, c.word, padding_idx=0)
        if vectors is not None:
            if vectors.shape != self.words.weight.shape:
                raise ValueError(
                    f"word vectors are [n_words, word] = {tuple(self.words.weight.shape)}, got {tuple(vectors.shape)}; "
                    "set word to their width"
                )
            self.words.weight.data.copy_(vectors)
        self.question_encoder = nn.LSTM(c.word, c.hidden, batch_first=True, bidirectional=True)
        self.attend = WordAttention(2 * c.hidden, c.attention, c.hops)
        self.dropout = nn.Dropout(c.dropout)
        self.fuse = nn.Sequential(nn.Linear(2 * c.hidden * c.hops, c.wide), nn.ReLU())
        self.classifier = nn.Linear(c.wide, c.n_classes)

    def forward(self, words: Int[Tensor, "b t"], keep_words: Float[Tensor, "b t"] | None = None) -> Output:
        """`keep_words` is 0 at concealed words: their vectors are zero and nothing attends to them; none moves."""
        real = words.ne(0)
        keep = real.to(self.words.weight.dtype) * (1 if keep_words is None else keep_words)
        vectors, length = self.dropout(self.words(words)) * keep[..., None], real.sum(1).clamp(min=1).cpu()
        packed = nn.utils.rnn.pack_padded_sequence(vectors, length, batch_first=True, enforce_sorted=False)
        states, _ = nn.utils.rnn.pad_packed_sequence(
            self.question_encoder(packed)[0], batch_first=True, total_length=words.shape[1]
        )
        hops = self.attend(states, keep)
        hidden = self.fuse(self.dropout((hops @ states).flatten(1)))
        identity = torch.eye(hops.shape[1], device=hops.device, dtype=hops.dtype)
        penalty = (hops @ hops.mT - identity).square().sum((1, 2))
        return Output(self.classifier(hidden), hidden=hidden, word_attention=hops.mean(1), penalty=penalty)
