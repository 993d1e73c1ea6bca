"""Cross-entropy and centre loss as training rules: what they yield, what moves the centres, what is saved."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from vqabook.core import Batch, Output, Table
from vqabook.losses.debias import centre_loss, centre_update
from vqabook.objectives.base import CentreLoss, CrossEntropy
from vqabook.training.fit import FitConfig, fit


class Small(nn.Module):
    """Two hidden features and a classifier of three classes."""

    def __init__(self, hidden: bool = True):
        super().__init__()
        torch.manual_seed(0)
        self.encode = nn.Sequential(nn.Linear(4, 16), nn.Tanh(), nn.Linear(16, 2))
        self.classifier, self.hidden = nn.Linear(2, 3), hidden

    def forward(self, x: torch.Tensor) -> Output:
        h = self.encode(x)
        return Output(self.classifier(h), hidden=h if self.hidden else None)


def table(n: int = 60) -> Table:
    rng = torch.Generator().manual_seed(1)
    x = torch.randn(n, 4, generator=rng)
    return Table((x,), x[:, :3].argmax(1), 3)


@pytest.fixture
def batch() -> Batch:
    return table().batch(torch.arange(12))


def test_cross_entropy_by_hand():
    class Even(nn.Module):
        def forward(self, x):
            return Output(torch.zeros(len(x), 4))

    (loss,) = CrossEntropy().steps(Even(), Batch((torch.zeros(2, 1),), torch.tensor([0, 3]), {}, torch.arange(2)), 0.0)
    torch.testing.assert_close(loss, torch.full((2,), 4.0).log())


def test_weight_zero_is_cross_entropy(batch):
    model = Small()
    torch.testing.assert_close(
        *(next(iter(rule.steps(model, batch, 0.0))) for rule in (CrossEntropy(), CentreLoss(3, 2, weight=0.0)))
    )


def test_yields_both_terms_and_moves_the_centres_after_the_step(batch):
    model, rule = Small(), CentreLoss(3, 2, weight=0.7, rate=0.25)
    nn.init.normal_(rule.centres)
    before, hidden = rule.centres.clone(), model(*batch.inputs).hidden.detach()
    steps = rule.steps(model, batch, 0.0)
    loss = next(steps)
    (plain,) = CrossEntropy().steps(model, batch, 0.0)
    torch.testing.assert_close(loss, plain + 0.7 * centre_loss(hidden, batch.target, before))
    assert torch.equal(rule.centres, before)  # not before the optimiser's step
    loss.mean().backward()
    with pytest.raises(StopIteration):
        next(steps)
    torch.testing.assert_close(rule.centres, before - 0.25 * centre_update(hidden, batch.target, before))


def test_centres_are_no_parameters():
    rule = CentreLoss(3, 2)
    assert not list(rule.parameters()) and list(rule.state_dict()) == ["centres"]


def spread(weight: float) -> float:
    """Squared distance within classes over that between them, after training."""
    model, data = Small(), table()
    fit(model, CentreLoss(3, 2, weight=weight), data, FitConfig(epochs=20, batch_size=20, lr=3e-2))
    hidden = model(*data.inputs).hidden.detach()
    means = torch.stack([hidden[data.target == j].mean(0) for j in range(3)])
    return float((hidden - means[data.target]).square().mean() / means.var(0).mean())


def test_draws_the_features_of_a_class_together():
    assert spread(3.0) < 0.8 * spread(0.0)  # the control: without it they lie further apart


def test_a_killed_run_goes_on_to_the_same_weights(tmp_path):
    def trained(killed_after: int | None) -> tuple[torch.Tensor, torch.Tensor]:
        model, rule, path = Small(), CentreLoss(3, 2), tmp_path / "checkpoint"

        def evaluate(_):
            epochs.append(0)
            if killed_after is not None and len(epochs) > killed_after:
                raise KeyboardInterrupt
            return {}

        config = FitConfig(epochs=4, batch_size=20, lr=1e-2, checkpoint_every=0)
        epochs: list[int] = []
        if killed_after is not None:
            with pytest.raises(KeyboardInterrupt):
                fit(model, rule, table(), config, evaluate=evaluate, checkpoint=path)
            model, rule = Small(), CentreLoss(3, 2)
        fit(model, rule, table(), config, checkpoint=path)
        return model.encode[0].weight.detach(), rule.centres

    for whole, resumed in zip(trained(None), trained(2), strict=True):
        assert torch.equal(whole, resumed)


def test_bad_inputs_are_refused(batch):
    with pytest.raises(
        ValueError, match=r"rate is a finite number in \[0, 1\], got 1.5; it is α .*, the paper uses 0.5"
    ):
        CentreLoss(3, 2, rate=1.5)
    with pytest.raises(ValueError, match="weight is a finite number >= 0, got -1"):
        CentreLoss(3, 2, weight=-1.0)
    with pytest.raises(ValueError, match="centre loss reads the model's hidden"):
        next(iter(CentreLoss(3, 2).steps(Small(hidden=False), batch, 0.0)))
