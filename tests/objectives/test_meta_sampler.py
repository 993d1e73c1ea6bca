"""The meta sampler: its step ahead and its gradient against plain ones, where it moves, what it draws and saves."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from vqabook.core import Output, Table
from vqabook.losses.longtail import balanced_softmax, log_counts
from vqabook.models.heads import LinearModel
from vqabook.objectives.longtail import long_tail
from vqabook.objectives.meta_sampler import MetaSampler, look_ahead
from vqabook.training.fit import FitConfig, fit

COUNTS = [40, 9, 3]


def make_table(counts: list[int], *, width: int = 4, apart: float = 1.0, dtype: torch.dtype = torch.double) -> Table:
    """As many rows of each class around a mean of its own."""
    rng, labels = torch.Generator().manual_seed(0), torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
    x = torch.randn(len(labels), width, generator=rng, dtype=dtype)
    return Table((x + apart * torch.eye(len(counts), width, dtype=dtype)[labels],), labels, len(counts))


def make_sampler(table: Table, rule: str = "balanced_softmax", **options: float) -> MetaSampler:
    base = long_tail(rule, torch.bincount(table.labels))
    return MetaSampler(base, table, **{"ahead": 0.5} | options).to(table.inputs[0].dtype)


def make_model(table: Table, seed: int = 0) -> LinearModel:
    torch.manual_seed(seed)
    return LinearModel(table.inputs[0].shape[1], table.n_classes).to(table.inputs[0].dtype)


def step_plainly(model: LinearModel, x, y, weight, log_n, lr: float) -> list[torch.Tensor]:
    """W - lr / b Σ_i w_i (p_i - e_y) hᵢᵀ row by row, and the same of the bias."""
    layer = model.classifier
    after = [layer.weight.detach().clone(), layer.bias.detach().clone()]
    for h, label, w in zip(x, y, weight, strict=True):
        p = (layer.weight.detach() @ h + layer.bias.detach() + log_n).softmax(0)
        wrong = w * (p - F.one_hot(label, len(p))) / len(y)
        after[0] -= lr * wrong[:, None] * h
        after[1] -= lr * wrong
    return after


def judge_plainly(after: list[torch.Tensor], table: Table) -> torch.Tensor:
    return F.cross_entropy(table.inputs[0] @ after[0].T + after[1], table.labels)


def test_a_step_ahead_is_the_closed_form():
    table = make_table(COUNTS)
    (x,), y, log_n = table.inputs, table.labels, log_counts(torch.tensor(COUNTS))
    model, weight = make_model(table), torch.rand(len(y), dtype=torch.double)
    losses = balanced_softmax(model(x).logits, y, log_n.double())
    ahead = look_ahead(model.classifier, weight * losses, 0.7)
    want = step_plainly(model, x, y, weight, log_n.double(), 0.7)
    torch.testing.assert_close([ahead["weight"], ahead["bias"]], want)


def gradient_of(sampler: MetaSampler, model: nn.Module, meta: Table, size: int, monkeypatch) -> torch.Tensor:
    """What a step on a meta batch moves ψ by, without moving it."""
    seen: list[torch.Tensor] = []
    monkeypatch.setattr(sampler, "_move", seen.append)
    list(sampler.steps(model, meta.batch(torch.arange(size) % len(meta)), 0.0))
    return seen[0]


def test_the_gradient_is_that_of_finite_differences(monkeypatch):
    """Through the step ahead a loss' weight; through Gumbel noise, held fast, the soft draw of its row."""
    table, size, h = make_table(COUNTS), 55, 1e-5
    sampler, model = make_sampler(table), make_model(table)
    sampler.psi += torch.tensor([0.3, -0.2, 0.9])
    drawn: list = []
    draw = sampler.draw
    monkeypatch.setattr(sampler, "draw", lambda *asked: drawn.append(draw(*asked)) or drawn[-1])
    torch.manual_seed(1)
    got = gradient_of(sampler, model, table, size, monkeypatch)
    rows, log_n = drawn[0].rows, log_counts(torch.tensor(COUNTS)).double()
    (x,), y = (table.inputs[0][rows],), table.labels[rows]

    def judge(weight: torch.Tensor) -> torch.Tensor:
        meta = table.subset(torch.arange(size) % len(table))
        return judge_plainly(step_plainly(model, x, y, weight, log_n, 0.5), meta)

    def soften(psi: torch.Tensor) -> torch.Tensor:
        torch.manual_seed(1)
        noise = -torch.empty(size, len(table), dtype=torch.double).exponential_().log()
        soft = (F.logsigmoid(psi)[table.labels] + noise).softmax(1)
        assert torch.equal(soft.argmax(1), rows), "the noise is the draw's"
        return soft[torch.arange(size), rows]

    one = torch.ones(size, dtype=torch.double)
    by_weight = torch.stack([(judge(one + h * e) - judge(one - h * e)) / (2 * h) for e in torch.eye(size).double()])
    moved = [h * e for e in torch.eye(3).double()]
    by_psi = torch.stack([(soften(sampler.psi + e) - soften(sampler.psi - e)) / (2 * h) for e in moved])
    assert got.abs().max() > 1e-3
    torch.testing.assert_close(got, by_psi @ by_weight, rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("rule", ["softmax", "balanced_softmax"])
@pytest.mark.parametrize("seed", range(4))
def test_it_goes_down_the_loss_that_is_expected(rule, seed, monkeypatch):
    """A batch of very many rows is what is expected of them, whose gradient is known: every row, times its rate.

    Noise is drawn for each row. Drawn for each class first, it has the same rows, and a gradient that is far off.
    """
    table = make_table([12, 4, 1], apart=2.0)
    sampler, model = make_sampler(table, rule), make_model(table, seed)
    log_n = log_counts(torch.tensor([12, 4, 1])).double() * (rule == "balanced_softmax")
    meta = table.subset(torch.tensor([0, 12, 16]))

    def judge(psi: torch.Tensor) -> torch.Tensor:
        share = psi.sigmoid()[table.labels] / psi.sigmoid()[table.labels].sum()
        (x,), y, layer = table.inputs, table.labels, model.classifier
        wrong = share[:, None] * ((model(x).logits + log_n).softmax(1) - F.one_hot(y, 3)).detach()
        after = [layer.weight.detach() - 0.5 * wrong.T @ x, layer.bias.detach() - 0.5 * wrong.sum(0)]
        return judge_plainly(after, meta)

    (want,) = torch.autograd.grad(judge(psi := sampler.psi.clone().requires_grad_()), psi)
    monkeypatch.setattr(sampler, "draw", lambda psi, size, draw=sampler.draw: draw(psi, 50_000))
    torch.manual_seed(0)
    got = gradient_of(sampler, model, meta, 3, monkeypatch)
    assert F.cosine_similarity(got, want, dim=0) > 0.99


@pytest.mark.parametrize(("missed", "wins"), [(1, "rare"), (0, "frequent")])
def test_it_moves_towards_the_class_that_is_missed(missed, wins):
    """A classifier that never says the rare class learns most from its rows; one that always does, from the others'."""
    table = make_table([60, 6], apart=2.0)
    sampler, model = make_sampler(table, "softmax"), make_model(table)
    with torch.no_grad():
        model.classifier.bias[missed] -= 6.0
    even = torch.cat([torch.arange(6), torch.arange(60, 66)])
    torch.manual_seed(0)
    for _ in range(150):
        list(sampler.steps(model, table.batch(even), 0.0))  # the classifier takes none of its steps
    frequent, rare = sampler.rates.tolist()
    assert (rare > 0.6 and frequent < 0.5) if wins == "rare" else (frequent > 0.6 and rare < 0.5)


def test_rows_are_drawn_at_the_rates_of_their_classes():
    table = make_table([30, 10, 2])
    sampler = make_sampler(table)
    sampler.psi += torch.tensor([0.0, 1.0, -1.0])
    torch.manual_seed(0)
    drawn = sampler.draw(sampler.psi, 60_000)
    rate = sampler.rates[table.labels]
    seen = torch.bincount(drawn.rows, minlength=42) / 60_000
    torch.testing.assert_close(seen, rate / rate.sum(), atol=0.004, rtol=0, check_dtype=False)
    torch.testing.assert_close(drawn.weight, torch.ones(60_000, dtype=torch.double))


def test_rows_come_as_they_are_until_it_learns():
    table = make_table(COUNTS)
    assert make_sampler(table).rates.tolist() == [0.5] * 3
    still = make_sampler(table, lr=0.0)
    list(still.steps(make_model(table), table.batch(torch.arange(52)), 0.0))
    assert still.rates.tolist() == [0.5] * 3 and still.moves == 1


@settings(max_examples=40, deadline=None)
@given(
    counts=st.lists(st.integers(1, 50), min_size=2, max_size=6),
    start=st.floats(-80, 80),
    size=st.sampled_from([1.0, 1e3]),
    dtype=st.sampled_from([torch.float32, torch.float64]),
)
def test_it_stays_finite_with_a_class_of_one_row(counts, start, size, dtype):
    table = make_table([*counts, 1], width=7, apart=size, dtype=dtype)
    sampler, model = make_sampler(table), make_model(table)
    sampler.psi[0] = start
    for _ in range(3):
        (losses,) = sampler.steps(model, table.batch(torch.arange(len(table))), 0.0)
        losses.mean().backward()
    assert losses.dtype == dtype and losses.isfinite().all() and (losses >= 0).all()
    assert all(x.isfinite().all() for x in (*sampler.state_dict().values(), *(p.grad for p in model.parameters())))


def test_a_killed_training_goes_on_with_its_rates(tmp_path):
    """Rates and the moments of their optimiser are of the checkpoint."""
    table, config = make_table(COUNTS, dtype=torch.float32), FitConfig(4, 26, optimizer="sgd", checkpoint_every=1e-9)

    def train(name: str, *, until: int = 4) -> list[float]:
        model, sampler = make_model(table), make_sampler(table)

        def judge(_: nn.Module) -> dict:
            judge.epochs += 1
            if judge.epochs > until:
                raise KeyboardInterrupt
            return {}

        judge.epochs = 0
        fit(model, sampler, table, config, evaluate=judge, checkpoint=tmp_path / name)
        return [*sampler.rates.tolist(), *model.classifier.bias.tolist()]

    with pytest.raises(KeyboardInterrupt):
        train("killed", until=2)
    assert train("killed") == train("whole")
    assert make_sampler(table).state_dict().keys() == {"psi", "mean", "square", "moves"}


class Headless(nn.Module):
    """Logits alone."""

    def __init__(self, *, hidden: bool):
        super().__init__()
        self.layer = nn.Linear(4, 3)
        if not hidden:
            self.classifier = self.layer

    def forward(self, x: torch.Tensor) -> Output:
        return Output(self.layer(x))


def test_what_it_cannot_train_is_refused():
    table = make_table(COUNTS, dtype=torch.float32)
    batch = table.batch(torch.arange(5))
    with pytest.raises(ValueError, match="trains the model's `classifier`, got a Headless without; name it so"):
        list(make_sampler(table).steps(Headless(hidden=True), batch, 0.0))
    with pytest.raises(ValueError, match="classifier of the model's hidden .*, got None; use a model that returns it"):
        list(make_sampler(table).steps(Headless(hidden=False), batch, 0.0))
    with pytest.raises(ValueError, match="ahead is a finite number > 0, got 0; it is the rate of the step"):
        make_sampler(table, ahead=0)
