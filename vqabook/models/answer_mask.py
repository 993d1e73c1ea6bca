"""The answer mask of Guo et al. 2022 (loss re-scaling VQA), Sec. IV-B: which answers fit, from the question alone."""

from typing import Literal

from torch import Tensor, nn
from torch.nn import functional as F

from vqabook.core import Output

Activation = Literal["sigmoid", "softplus_g"]
Combine = Literal["add_log", "multiply"]


def softplus_g(x: Tensor, *, alpha: float = 1.0) -> Tensor:
    """Generalised softplus capped at 1: min(1, log(1 + e^(alpha x)) / alpha), Eq. 6.

    The paper prints max, under which no mask value could fall below 1; its release takes the min, and so do we.
    """
    return F.softplus(x, beta=alpha).clamp(max=1)


class AnswerMask(nn.Module):
    """Wraps a VQA model: logits are masked by m_p = f(W_q q) in training and at test (Eq. 4).

    The paper does not say how m_p meets the prediction. `add_log` is logits + log m_p, a product of (odds or)
    probabilities, so a masked answer loses. `multiply` is the release's logits * m_p, under which a masked answer with
    a negative logit *gains*: with the mask loss of Eq. 5, summed over answers, Sigm-BCE then collapses; the release
    escapes by averaging that loss away.
    """

    def __init__(
        self,
        model: nn.Module,
        question: int,
        n_answers: int,
        *,
        activation: Activation = "softplus_g",
        combine: Combine = "add_log",
        dropout: float = 0.5,
    ):
        super().__init__()
        self.model = model
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(question, n_answers))
        self.activation, self.combine = activation, combine

    def forward(self, *inputs: Tensor) -> Output:
        out = self.model(*inputs)
        score = self.head(out.question)
        mask = score.sigmoid() if self.activation == "sigmoid" else softplus_g(score)
        logits = out.logits * mask if self.combine == "multiply" else out.logits + mask.clamp(min=1e-6).log()
        return out._replace(logits=logits, mask=mask)
