"""The rules of an ensemble: what each member learns, from what, and what they become in the limits."""

from __future__ import annotations

import warnings

import pytest
import torch
from torch import nn

from vqabook.core import Output, Table
from vqabook.losses import soft_cross_entropy
from vqabook.losses.choice import distillation, member_cross_entropy, uniform_divergence
from vqabook.objectives.multiple_choice import MultipleChoice, per_member
from vqabook.training.fit import FitConfig, fit

M, C = 3, 4


class Several(nn.Module):
    """m linear models side by side."""

    def __init__(self, m: int = M, n_in: int = 5):
        super().__init__()
        self.weight = nn.Parameter(0.1 * torch.randn(m, n_in, C, generator=torch.Generator().manual_seed(0)))

    def forward(self, x: torch.Tensor) -> Output:
        return Output(torch.einsum("bd,mdc->mbc", x, self.weight))


@pytest.fixture
def table() -> Table:
    rng = torch.Generator().manual_seed(1)
    x = torch.randn(300, 5, generator=rng)
    target = x[:, :C].argmax(1)
    return Table((x,), target, C, side={"teacher": torch.randn(300, M, C, generator=rng).half()})


def first(objective: MultipleChoice, table: Table, model: nn.Module | None = None) -> torch.Tensor:
    return next(iter(objective.steps(model or Several(), table.batch(torch.arange(50)), 0.0)))


def test_each_rule_is_its_equation(table):
    batch, model = table.batch(torch.arange(50)), Several()
    logits = model(*batch.inputs).logits
    task, uniform = member_cross_entropy(logits, batch.target), uniform_divergence(logits)
    teacher = batch.side["teacher"].float().transpose(0, 1)
    kd = distillation(logits, teacher, temperature=0.5)
    torch.testing.assert_close(first(MultipleChoice("ie", k=1), table), task.sum(0))
    torch.testing.assert_close(first(MultipleChoice("mcl", k=2), table), task.topk(2, 0, largest=False).values.sum(0))
    for rule, other, beta in (("cmcl", uniform, 0.7), ("mcl_kd", kd, 1.6)):
        score = task - beta * other
        chosen = score == score.min(0).values
        want = torch.where(chosen, task, beta * other).sum(0)
        torch.testing.assert_close(first(MultipleChoice(rule, k=1, beta=beta, temperature=0.5), table), want)


def test_members_that_are_distilled_on_every_example(table):
    """Task + β D_KL for every member, whatever k; without β, or at its base models, an independent ensemble."""
    batch, model = table.batch(torch.arange(50)), Several()
    logits = model(*batch.inputs).logits
    kd = distillation(logits, batch.side["teacher"].float().transpose(0, 1), temperature=0.5)
    want = (member_cross_entropy(logits, batch.target) + 1.6 * kd).sum(0)
    for k in (1, 3):
        torch.testing.assert_close(first(MultipleChoice("self_kd", k=k, beta=1.6, temperature=0.5), table), want)
    torch.testing.assert_close(first(MultipleChoice("self_kd", k=1), table), first(MultipleChoice("ie", k=1), table))
    own = Table(
        table.inputs, table.target, C, side={"teacher": Several()(*table.inputs).logits.transpose(0, 1).detach()}
    )
    at_base = first(MultipleChoice("self_kd", k=1, beta=1.6), own)  # who is its own teacher pays nothing
    torch.testing.assert_close(at_base, first(MultipleChoice("ie", k=1), table))


def test_the_release_averages_over_the_answers(table):
    """There β is c times as large: c β on its scale is β of the sum; for MCL-KD up to the teacher's entropy."""
    for rule in ("cmcl", "cmcl_v1"):
        torch.manual_seed(0)
        summed = MultipleChoice(rule, k=1, beta=0.7)
        torch.manual_seed(0)
        averaged = MultipleChoice(rule, k=1, beta=0.7 * C, scale="averaged")
        logits, batch = Several()(table.inputs[0]).logits, table.batch(torch.arange(300))
        torch.testing.assert_close(0.7 * C * averaged.other(logits, batch), 0.7 * summed.other(logits, batch))
    torch.testing.assert_close(
        first(MultipleChoice("cmcl", k=1, beta=0.7 * C, scale="averaged"), table),
        first(MultipleChoice("cmcl", k=1, beta=0.7), table),
    )
    batch = table.batch(torch.arange(50))
    logits, teacher = Several()(*batch.inputs).logits, batch.side["teacher"].float().transpose(0, 1)
    got = MultipleChoice("mcl_kd", k=1, beta=1.0, scale="averaged").other(logits, batch)
    entropy = torch.special.entr(teacher.softmax(-1)).sum(-1)
    torch.testing.assert_close(C * got - entropy, distillation(logits, teacher))


def test_random_labels_for_the_others_alone(table):
    """CMCL's version 1: members that learn an example are untouched by the noise, which differs from call to call."""
    objective = MultipleChoice("cmcl_v1", k=M, beta=0.5)
    torch.testing.assert_close(first(objective, table), first(MultipleChoice("ie", k=1), table))
    objective = MultipleChoice("cmcl_v1", k=1, beta=0.5)
    assert not torch.equal(first(objective, table), first(objective, table))


def test_an_independent_ensemble_is_its_members_trained_alone(table):
    """Same start and order: a member's weights come out as if the others were not there."""
    config = FitConfig(epochs=3, batch_size=50, lr=0.05, clip=float("inf"), optimizer="adam")
    together = Several()
    fit(together, MultipleChoice("ie", k=1), table, config)
    for m in range(M):
        alone = Several(1)
        alone.weight.data = Several().weight.data[m : m + 1].clone()
        fit(alone, MultipleChoice("ie", k=1), table, config)
        torch.testing.assert_close(alone.weight[0], together.weight[m])


def test_mcl_specialises_and_an_independent_ensemble_does_not(table):
    """At k = 1 some member is right more often than any one of an independent ensemble; that is what MCL minimises."""
    oracle = {}
    x, y = table.inputs[0], torch.randint(C, (300,), generator=torch.Generator().manual_seed(2))
    noisy = Table((x,), y, C)  # labels that one linear model cannot fit
    for rule in ("ie", "mcl"):
        model = Several()
        fit(model, MultipleChoice(rule, k=1), noisy, FitConfig(epochs=40, batch_size=50, lr=0.05, clip=9.0))
        oracle[rule] = (model(x).logits.argmax(-1) == y).any(0).float().mean()
    assert oracle["mcl"] > oracle["ie"] + 0.1


def test_any_loss_of_one_model_serves_members(table):
    batch, model = table.batch(torch.arange(20)), Several()
    soft = nn.functional.one_hot(batch.target, C).float()
    each = per_member(soft_cross_entropy)(model(*batch.inputs).logits, soft)
    torch.testing.assert_close(each, member_cross_entropy(model(*batch.inputs).logits, batch.target))


def test_beta_on_the_wrong_scale_is_said(table):
    """The release's 5,000 read as a weight of Eq. 5."""
    with pytest.warns(
        UserWarning, match="times the task's loss, got beta 5000 on the summed scale; .* is 1.25e.03 of a sum"
    ):
        first(MultipleChoice("mcl_kd", k=1, beta=5000, temperature=0.1), table)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        first(MultipleChoice("mcl_kd", k=1, beta=1.6, temperature=0.5), table)


def test_what_does_not_fit_is_refused(table, unchecked):
    with pytest.raises(ValueError, match="rule is one of ie, mcl, cmcl, cmcl_v1, mcl_kd, self_kd, got 'kd'"):
        MultipleChoice("kd", k=1)
    with pytest.raises(ValueError, match="scale is one of summed, averaged, got 'mean'; choose one"):
        MultipleChoice("mcl_kd", k=1, beta=1.0, scale="mean")
    with pytest.raises(ValueError, match="got beta 0; that is mcl"):
        MultipleChoice("cmcl", k=1)
    with pytest.raises(ValueError, match="k = 4 with m = 3 members"):
        first(MultipleChoice("mcl", k=4), table)
    bare = Table(table.inputs, table.target, C)
    with pytest.raises(ValueError, match=r'batch.side\["teacher"\], which is missing'):
        first(MultipleChoice("mcl_kd", k=1, beta=1.0), bare)
    with pytest.raises(ValueError, match=r"2 members of 4 answers, got base models' logits \[b, 3, 4\]"):
        first(MultipleChoice("mcl_kd", k=1, beta=1.0), table, Several(2))
    with pytest.raises(ValueError, match=r"logits \[m, b, c\], got \(50, 4\); wrap models in Members"):
        first(MultipleChoice("mcl", k=1), table, lambda x: Output(x[:, :4]))
