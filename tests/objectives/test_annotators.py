"""Training on all annotators' answers: plain cross-entropy where they agree; the release's gradient."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from vqabook.core import Output, Table
from vqabook.losses import annotator_weights
from vqabook.objectives import AnnotatorCrossEntropy
from vqabook.objectives.base import CrossEntropy
from vqabook.training.fit import FitConfig, fit
from vqabook.training.solver import PRECISIONS


class Toy(nn.Module):
    def __init__(self):
        super().__init__()
        self.classify = nn.Linear(3, 4)

    def forward(self, x: torch.Tensor) -> Output:
        return Output(self.classify(x))


def toy() -> Toy:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Toy()


@pytest.fixture
def table(toy_table) -> Table:
    """The toy points with the best answer's 7 votes and the next answer's 3."""
    plain = toy_table(256)
    best = plain.target.argmax(1)
    answer, votes = torch.stack([best, (best + 1) % 4], 1), torch.tensor([[7, 3]]).expand(256, 2)
    return replace(plain, target=answer, side={**plain.side, "weight": annotator_weights(votes)})


def trained(objective, table: Table, **options) -> tuple[Toy, list[dict]]:
    model = toy()
    return model, fit(model, objective, table, FitConfig(epochs=12, batch_size=32, lr=0.05, clip=10.0, **options))


@pytest.mark.parametrize("precision", PRECISIONS)
def test_learns_toy_data(table, precision):
    model, history = trained(AnnotatorCrossEntropy(), table, precision=precision)
    assert history[-1]["loss"] < 0.8 * history[0]["loss"]
    said = model(*table.inputs).logits.argmax(1)
    assert (said == table.target[:, 0]).float().mean() > 0.8


def test_unanimous_annotators_make_it_plain_cross_entropy(table):
    """The control: where there is nothing to disagree about, both losses train the same weights."""
    ten = replace(table, side={**table.side, "weight": annotator_weights(torch.tensor([[10, 0]]).expand(256, 2))})
    soft, _ = trained(AnnotatorCrossEntropy(), ten)
    hard, _ = trained(CrossEntropy(), replace(table, target=table.target[:, 0]))
    for one, other in zip(soft.parameters(), hard.parameters(), strict=True):
        torch.testing.assert_close(one, other)
    contested, _ = trained(AnnotatorCrossEntropy(), table)
    assert (contested.classify.weight - hard.classify.weight).abs().max() > 0.1


def test_the_release_sums_the_gradient_and_averages_the_loss(table):
    batch, gradients, values = table.batch(torch.arange(50)), [], []
    for summed in (False, True):
        model = toy()
        (loss,) = AnnotatorCrossEntropy(summed=summed).steps(model, batch, 0.0)
        loss.mean().backward()
        values.append(loss.detach())
        gradients.append(model.classify.weight.grad)
    torch.testing.assert_close(*values)
    torch.testing.assert_close(gradients[1], 50 * gradients[0])


def test_answers_without_weights_are_refused(table):
    bare = replace(table, side={}).batch(torch.arange(4))
    with pytest.raises(ValueError, match=r"has a weight in batch.side\[.weight.\].* make it with annotator_weights"):
        list(AnnotatorCrossEntropy().steps(toy(), bare, 0.0))


def test_adam_does_not_care_about_the_sum(table):
    """Its step is the gradient over its own size; plain gradient descent's would be 32 times as long."""
    config = FitConfig(epochs=12, batch_size=32, lr=0.05, clip=float("inf"), optimizer="adam")
    averaged, summed = toy(), toy()
    fit(averaged, AnnotatorCrossEntropy(), table, config)
    fit(summed, AnnotatorCrossEntropy(summed=True), table, config)
    torch.testing.assert_close(summed.classify.weight, averaged.classify.weight, rtol=1e-2, atol=1e-2)
