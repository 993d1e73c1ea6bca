"""Supervised attention: maps go where their surrogates are, by every loss; the discriminator is fooled in one step."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from vqabook.core import Output, Table
from vqabook.objectives.attention import AttentionLoss, AttentionSupervision, HopPenalty
from vqabook.objectives.base import CrossEntropy
from vqabook.training.fit import FitConfig, fit

KINDS = ("mse", "mmd", "coral", "adv")


class Looking(nn.Module):
    """Four regions of an example, whose place 0 tells the class and 1 to 3 are noise; attention reads a key."""

    def __init__(self):
        super().__init__()
        self.key, self.classify = nn.Linear(3, 1), nn.Linear(3, 2)

    def forward(self, regions: torch.Tensor) -> Output:
        attention = self.key(regions).squeeze(-1).softmax(1)
        seen = (attention[:, None] @ regions).squeeze(1)
        return Output(self.classify(seen), attention=attention)


@pytest.fixture
def table() -> Table:
    """The class is the sign of a region's second number, where its first, the key, is 1; surrogates look there."""
    rng = torch.Generator().manual_seed(0)
    regions = torch.randn(400, 4, 3, generator=rng)
    regions[..., 0] = 0
    place = torch.randint(0, 4, (400,), generator=rng)
    regions[torch.arange(400), place, 0] = 1
    target = (regions[torch.arange(400), place, 1] > 0).long()
    surrogate = nn.functional.one_hot(place, 4).float()
    return Table((regions,), target, 2, side={"surrogate_attention": surrogate, "place": place})


def trained(table: Table, objective) -> tuple[nn.Module, torch.Tensor]:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = Looking()
    fit(model, objective, table, FitConfig(epochs=6, batch_size=40, lr=0.02, clip=5.0, optimizer="adam"))
    return model, model(*table.inputs).attention.detach()


def at_place(attention: torch.Tensor, table: Table) -> float:
    return float(attention[torch.arange(len(table)), table.side["place"]].mean())


def supervised(kind: str, weight: float) -> AttentionSupervision:
    torch.manual_seed(1)
    loss = AttentionLoss(kind, width=4)
    return AttentionSupervision(CrossEntropy(), {"attention": loss}, {"attention": weight})


def test_mse_sends_attention_where_its_surrogate_is(table):
    plain = at_place(trained(table, CrossEntropy())[1], table)
    assert at_place(trained(table, supervised("mse", 20))[1], table) > plain + 0.1


@pytest.mark.parametrize(("kind", "weight"), [("mmd", 20), ("coral", 20), ("adv", 1)])
def test_losses_between_sets_shape_the_set_alone(table, kind, weight):
    """Maps become as sharp as surrogates are; which place each should have is nothing that these losses say."""
    plain = trained(table, CrossEntropy())[1].max(1).values.mean()
    assert trained(table, supervised(kind, weight))[1].max(1).values.mean() > plain + 0.05


@pytest.mark.parametrize("kind", KINDS)
def test_weight_zero_is_the_plain_objective(table, kind):
    plain, ours = trained(table, CrossEntropy())[0], trained(table, supervised(kind, 0.0))[0]
    for one, other in zip(plain.parameters(), ours.parameters(), strict=True):
        torch.testing.assert_close(one, other)


def test_one_step_moves_both_players_apart(table):
    """The discriminator's gradient lowers the loss, the model's raises it."""
    batch, objective = table.batch(torch.arange(100)), supervised("adv", 1.0)
    loss, model = objective.losses["attention"], Looking()

    def value() -> torch.Tensor:
        return loss(model(*batch.inputs).attention, batch.side["surrogate_attention"]).mean()

    before = value()
    before.backward()
    for parameters, sign in ((list(loss.parameters()), -1), (list(model.key.parameters()), 1)):
        with torch.no_grad():
            for p in parameters:
                p -= 0.01 * p.grad
            assert sign * (value() - before) > 0
            for p in parameters:
                p += 0.01 * p.grad


def test_regions_and_words_at_once(table):
    side = table.side | {"surrogate_word_attention": table.side["surrogate_attention"]}
    batch = Table(table.inputs, table.target, 2, side=side).batch(torch.arange(10))

    class Both(Looking):
        def forward(self, regions: torch.Tensor) -> Output:
            out = super().forward(regions)
            return out._replace(word_attention=out.attention)

    model = Both()
    losses = {head: AttentionLoss("mse", width=4) for head in ("attention", "word_attention")}
    (plain,) = CrossEntropy().steps(model, batch, 0.0)
    (both,) = AttentionSupervision(CrossEntropy(), losses, {"attention": 2.0, "word_attention": 3.0}).steps(
        model, batch, 0.0
    )
    one = losses["attention"](model(*batch.inputs).attention, side["surrogate_attention"][:10])
    torch.testing.assert_close(both, plain + 5 * one)


def test_a_last_batch_of_one_has_no_covariance_to_supervise():
    assert AttentionLoss("coral", width=4)(torch.rand(1, 4), torch.rand(1, 4)).tolist() == [0.0]


def test_what_is_missing_is_named(table, unchecked):
    objective = supervised("mse", 1.0)
    bare = Table(table.inputs, table.target, 2).batch(torch.arange(4))
    with pytest.raises(ValueError, match=r'batch.side\["surrogate_attention"\] is missing'):
        list(objective.steps(Looking(), bare, 0.0))
    model = Looking()
    model.forward = lambda regions: Output(torch.zeros(4, 2))
    with pytest.raises(ValueError, match="the model's attention is missing"):
        list(objective.steps(model, table.batch(torch.arange(4)), 0.0))
    with pytest.raises(ValueError, match="losses and weights are for the same ones of attention, word_attention"):
        AttentionSupervision(CrossEntropy(), {"attention": AttentionLoss("mse", width=4)}, {})
    with pytest.raises(ValueError, match="mse, mmd, coral, adv, got 'kl'"):
        AttentionLoss("kl", width=4)


def test_a_discriminator_that_knows_the_example_tells_maps_apart():
    """The same maps, dealt out otherwise: without x it can but guess, with x it sees which are strangers'."""
    rng = torch.Generator().manual_seed(0)
    place = torch.randint(0, 4, (256,), generator=rng)
    x, maps = nn.functional.one_hot(place, 4).float(), nn.functional.one_hot(place, 4).float()
    lowest = {}
    for given in (0, 4):
        torch.manual_seed(0)
        loss = AttentionLoss("adv", width=4, given=given)
        optimizer = torch.optim.Adam(loss.parameters(), lr=0.01)
        for _ in range(100):
            optimizer.zero_grad()
            value = loss(maps.roll(1, 0), maps, x).mean()
            value.backward()
            optimizer.step()
        lowest[given] = value.item()
    assert lowest[0] > 1.3 and lowest[4] < 1.0  # 2 log 2 = 1.39 is guessing


def test_hops_are_kept_apart_by_their_penalty(table):
    class Hops(Looking):
        def forward(self, regions: torch.Tensor) -> Output:
            return super().forward(regions)._replace(penalty=torch.arange(float(len(regions))))

    batch, model = table.batch(torch.arange(3)), Hops()
    (plain,) = CrossEntropy().steps(model, batch, 0.0)
    (loss,) = HopPenalty(CrossEntropy(), 2.0).steps(model, batch, 0.0)
    torch.testing.assert_close(loss, plain + torch.tensor([0.0, 2.0, 4.0]))
    with pytest.raises(ValueError, match="weight is a finite number >= 0, got -1"):
        HopPenalty(CrossEntropy(), -1)


def test_attention_is_supervised_around_the_penalty_on_hops_in_one_pass(table):
    class Both(Looking):
        passes = 0

        def forward(self, regions: torch.Tensor) -> Output:
            self.passes += 1
            return super().forward(regions)._replace(penalty=torch.arange(float(len(regions))))

    batch, model = table.batch(torch.arange(3)), Both()
    hops = HopPenalty(CrossEntropy(), 2.0)
    objective = AttentionSupervision(hops, {"attention": AttentionLoss("mse", width=4)}, {"attention": 3.0})
    (loss,) = objective.steps(model, batch, 0.0)
    assert model.passes == 1
    (inner,) = hops.steps(model, batch, 0.0)
    away = (model(*batch.inputs).attention - batch.side["surrogate_attention"]).square().mean(1)
    torch.testing.assert_close(loss, inner + 3.0 * away)
