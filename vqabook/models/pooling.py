"""The two models of Ilievski & Feng 2017, arXiv:1708.00584: AVG and POOL. Sizes are those of the released code."""

from dataclasses import dataclass

from jaxtyping import Float, Int
from torch import Tensor, nn

from vqabook.core import Output
from vqabook.models.words import attend, is_region, last_output


@dataclass(frozen=True)
class PoolingConfig:
    """Sizes and dropout rate, on cells of a ResNet's last layer."""

    n_words: int  # vocabulary with the pad (0) and unknown (1) words
    n_answers: int
    feature: int = 2048
    hidden: int = 2400  # of the question encoder; AVG's products have it too
    word: int = 300
    joint: int = 1500  # POOL: of the products of question and image
    glimpses: int = 2  # POOL
    dropout: float = 0.5  # before every linear layer but the one that scores regions


class QuestionReader(nn.Module):
    """Words and a recurrent layer: its output after the last real word."""

    def __init__(self, config: PoolingConfig, kind: type[nn.GRU | nn.LSTM]):
        super().__init__()
        self.words = nn.Embedding(config.n_words, config.word, padding_idx=0)
        self.recurrent = kind(config.word, config.hidden, batch_first=True)

    def forward(self, words: Int[Tensor, "b t"]) -> Float[Tensor, "b h"]:
        return last_output(self.recurrent, self.words(words), words)


class Avg(nn.Module):
    """AVG: the mean over regions through two layers, times the question encoding; no attention.

    The paper says LSTM, the release has a GRU. A region that is zero throughout is padding and does not count.
    """

    def __init__(self, config: PoolingConfig):
        super().__init__()
        self.config = c = config
        self.question_encoder = QuestionReader(c, nn.GRU)
        wide = _layer(c.dropout, c.feature, 2 * c.hidden)
        self.image_net = nn.Sequential(*wide, nn.ReLU(), *_layer(c.dropout, 2 * c.hidden, c.hidden), nn.Tanh())
        self.classifier = nn.Sequential(*_layer(c.dropout, c.hidden, c.n_answers))

    def forward(self, regions: Float[Tensor, "b o d"], words: Int[Tensor, "b t"]) -> Output:
        real = is_region(regions).sum(1, keepdim=True).clamp(min=1)
        question = self.question_encoder(words)
        hidden = question * self.image_net(regions.sum(1) / real)
        return Output(self.classifier(hidden), hidden=hidden, question=question)


class Pool(nn.Module):
    """POOL: several glimpses at the regions, and the product of what they saw with the question (as MLB, Kim 2017).

    Both the glimpses' scores and the answer come from products of `joint` numbers; attention is the glimpses' mean. A
    region that is zero throughout is padding and gets no attention.
    """

    def __init__(self, config: PoolingConfig):
        super().__init__()
        self.config = c = config
        self.question_encoder = QuestionReader(c, nn.LSTM)
        self.attend_region = nn.Sequential(*_layer(c.dropout, c.feature, c.joint), nn.Tanh())
        self.attend_question = nn.Sequential(*_layer(c.dropout, c.hidden, c.joint), nn.Tanh())
        self.attend = nn.Linear(c.joint, c.glimpses, bias=False)  # the softmax would cancel a bias
        self.image_net = nn.Sequential(*_layer(c.dropout, c.glimpses * c.feature, c.joint), nn.Tanh())
        self.question_net = nn.Sequential(*_layer(c.dropout, c.hidden, c.joint), nn.Tanh())
        self.classifier = nn.Sequential(*_layer(c.dropout, c.joint, c.n_answers))

    def forward(self, regions: Float[Tensor, "b o d"], words: Int[Tensor, "b t"]) -> Output:
        question = self.question_encoder(words)
        # w . (f(v) * g(q)) = f(v) . (w * g(q)): one product less over [b, o, joint]
        query = self.attend.weight * self.attend_question(question)[:, None]  # [b, glimpses, joint]
        scores = query @ self.attend_region(regions).mT  # [b, glimpses, o]
        glimpses = attend(scores, is_region(regions)[:, None])
        hidden = self.image_net((glimpses @ regions).flatten(1)) * self.question_net(question)
        return Output(self.classifier(hidden), hidden=hidden, question=question, attention=glimpses.mean(1))


def _layer(dropout: float, n_in: int, n_out: int) -> tuple[nn.Module, nn.Module]:
    return nn.Dropout(dropout), nn.Linear(n_in, n_out)
