"""UpDn, bottom-up and top-down attention: Anderson et al. 2018, arXiv:1707.07998; layers as in Teney et al. 2018.

And the language prior as a model: UpDn's question encoder and classifier without its image half.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

from vqabook.core import Output
from vqabook.models.words import attend, is_region, last_output


@dataclass(frozen=True)
class QuestionOnlyConfig:
    """Sizes and dropout rate; UpDn has them as well, so that the image is all that the two models differ by."""

    n_words: int  # vocabulary with the pad (0) and unknown (1) words
    n_answers: int
    hidden: int = 1024
    word: int = 300
    classifier_dropout: float = 0.5


@dataclass(frozen=True)
class UpDnConfig(QuestionOnlyConfig):
    """Sizes and dropout rates. The defaults are those of the VQA-CP literature (1024 units, 36x2048 features)."""

    feature: int = 2048
    attention_dropout: float = 0.2


def _dense(n_in: int, n_out: int) -> nn.Linear:
    """A weight-normalised linear layer with one scale for the whole matrix."""
    return weight_norm(nn.Linear(n_in, n_out), dim=None)  # type: ignore[arg-type]  # torch has None, says int


def _wide_classifier(hidden: int, n_answers: int, dropout: float) -> nn.Sequential:
    return nn.Sequential(_dense(hidden, 2 * hidden), nn.ReLU(), nn.Dropout(dropout), _dense(2 * hidden, n_answers))


class UpDn(nn.Module):
    """Question-guided attention over regions, product of both encodings, two-layer classifier.

    A region that is zero throughout is padding and gets no attention.
    """

    def __init__(self, config: UpDnConfig):
        super().__init__()
        self.config = c = config
        self.words = nn.Embedding(c.n_words, c.word, padding_idx=0)
        self.question_encoder = nn.GRU(c.word, c.hidden, batch_first=True)
        self.attend_region = nn.Sequential(_dense(c.feature, c.hidden), nn.ReLU())
        self.attend_question = nn.Sequential(_dense(c.hidden, c.hidden), nn.ReLU())
        self.attend_dropout = nn.Dropout(c.attention_dropout)
        self.attend = weight_norm(nn.Linear(c.hidden, 1, bias=False), dim=None)  # type: ignore[arg-type]
        self.question_net = nn.Sequential(_dense(c.hidden, c.hidden), nn.ReLU())
        self.image_net = nn.Sequential(_dense(c.feature, c.hidden), nn.ReLU())
        self.classifier = _wide_classifier(c.hidden, c.n_answers, c.classifier_dropout)

    def encode(self, words: Int[Tensor, "b t"]) -> Float[Tensor, "b h"]:
        """GRU state after the last real word."""
        return last_output(self.question_encoder, self.words(words), words)

    def forward(self, regions: Float[Tensor, "b o d"], words: Int[Tensor, "b t"]) -> Output:
        question = self.encode(words)
        # w . drop(f(v) * f(q)) = drop(f(v)) . (w * f(q)): one product less over [b, o, h]; softmax cancels the bias
        query = self.attend.weight * self.attend_question(question)  # [b, h]
        looked = self.attend_dropout(self.attend_region(regions))  # [b, o, h]
        scores = torch.bmm(looked, query[:, :, None]).squeeze(-1)
        attention = attend(scores, is_region(regions))
        image = (attention[:, None] @ regions).squeeze(1)  # [b, d]
        hidden = self.question_net(question) * self.image_net(image)
        return Output(self.classifier(hidden), hidden=hidden, question=question, attention=attention)


class QuestionBranch(nn.Module):
    """Answers from a question encoding, whichever model made it: UpDn's layers with an image factor of one.

    Alone it is the head of `QuestionOnly`; on a model's `Output.question` it is the second branch of RUBi
    (Cadene et al. 2019, arXiv:1906.10169).
    """

    def __init__(self, question: int, n_answers: int, *, dropout: float = 0.5):
        super().__init__()
        self.question_net = nn.Sequential(_dense(question, question), nn.ReLU())
        self.classifier = _wide_classifier(question, n_answers, dropout)

    def forward(self, question: Float[Tensor, "b h"]) -> Output:
        hidden = self.question_net(question)
        return Output(self.classifier(hidden), hidden=hidden, question=question)


class QuestionOnly(nn.Module):
    """Answers without looking: whatever it gets right, the prior of the questions gave away."""

    def __init__(self, config: QuestionOnlyConfig):
        super().__init__()
        self.config = c = config
        self.words = nn.Embedding(c.n_words, c.word, padding_idx=0)
        self.question_encoder = nn.GRU(c.word, c.hidden, batch_first=True)
        self.branch = QuestionBranch(c.hidden, c.n_answers, dropout=c.classifier_dropout)

    def encode(self, words: Int[Tensor, "b t"]) -> Float[Tensor, "b h"]:
        """UpDn's: GRU state after the last real word."""
        return last_output(self.question_encoder, self.words(words), words)

    @property
    def classifier(self) -> nn.Module:
        """The branch's layers before the answers, by the name that they have in other models."""
        return self.branch.classifier

    def forward(self, *inputs: Tensor) -> Output:
        """`inputs` are UpDn's, so that it stands wherever UpDn does; the last, `words` [b, t], is all that is read."""
        return self.branch(self.encode(inputs[-1]))
