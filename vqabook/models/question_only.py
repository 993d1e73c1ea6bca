"""The language prior as a model: UpDn's question encoder and classifier without its image half."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

from vqabook.core import Output
from vqabook.models.updn import UpDn

if TYPE_CHECKING:
    from jaxtyping import Float


@dataclass(frozen=True)
class QuestionOnlyConfig:
    """Sizes and dropout as in `UpDnConfig`, so that the image is all that the two models differ by."""

    n_words: int  # vocabulary with the pad (0) and unknown (1) words
    n_answers: int
    hidden: int = 1024
    word: int = 300
    classifier_dropout: float = 0.5


class QuestionBranch(nn.Module):
    """Answers from a question encoding, whichever model made it: UpDn's layers with an image factor of one.

    Alone it is the head of `QuestionOnly`; on a model's `Output.question` it is the second branch of RUBi
    (Cadene et al. 2019, arXiv:1906.10169).
    """

    def __init__(self, question: int, n_answers: int, *, dropout: float = 0.5):
        super().__init__()
        wide = 2 * question
        self.question_net = nn.Sequential(weight_norm(nn.Linear(question, question), dim=None), nn.ReLU())
        self.classifier = nn.Sequential(
            weight_norm(nn.Linear(question, wide), dim=None),
            nn.ReLU(),
            nn.Dropout(dropout),
            weight_norm(nn.Linear(wide, n_answers), dim=None),
        )

    def forward(self, question: Float[Tensor, "b h"]) -> Output:
        hidden = self.question_net(question)
        return Output(self.classifier(hidden), hidden=hidden, question=question)


class QuestionOnly(nn.Module):
    """Answers without looking: whatever it gets right, the prior of the questions gave away."""

    def __init__(self, config: QuestionOnlyConfig):
        super().__init__()
        c = config
        self.config = c
        self.words = nn.Embedding(c.n_words, c.word, padding_idx=0)
        self.question_encoder = nn.GRU(c.word, c.hidden, batch_first=True)
        self.branch = QuestionBranch(c.hidden, c.n_answers, dropout=c.classifier_dropout)

    encode = UpDn.encode  # the same reading of the same parts

    @property
    def classifier(self) -> nn.Module:
        """The branch's layers before the answers, by the name that they have in other models."""
        return self.branch.classifier

    def forward(self, *inputs: Tensor) -> Output:
        """`inputs` are UpDn's, so that it stands wherever UpDn does; the last, `words` [b, t], is all that is read."""
        return self.branch(self.encode(inputs[-1]))
