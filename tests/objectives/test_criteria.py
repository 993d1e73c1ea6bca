"""Every criterion in CRITERIA learns toy data, also re-scaled; each is its loss with what it owns."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from vqabook.core import Batch, Output, SparseScores, Table
from vqabook.losses import (
    bias_entropy,
    bias_product,
    bias_reweight,
    bias_table,
    focal,
    learned_mixin,
    rubi,
    sigmoid_bce,
    soft_cross_entropy,
)
from vqabook.models import QuestionBranch
from vqabook.objectives import BiasProduct, Focal, LearnedMixin, LossRescaling, Plain, Reweight, Rubi
from vqabook.training.fit import FitConfig, fit

BIAS = torch.tensor([[0.7, 0.1, 0.0, 0.05], [0.0, 0.3, 0.3, 0.2]])
HIDDEN, ANSWERS = 5, 4
CRITERIA = {
    "bce": lambda: Plain("bce"),
    "bce, positive term": lambda: Plain("bce", positive_only=True),
    "ce": lambda: Plain("ce"),
    "lm": lambda: LearnedMixin(BIAS, HIDDEN),
    "lm, frozen": lambda: LearnedMixin(BIAS, HIDDEN, frozen=True),
    "lmh": lambda: LearnedMixin(BIAS, HIDDEN, entropy=0.36),
    "bias product": lambda: BiasProduct(BIAS),
    "re-weighting": lambda: Reweight(BIAS),
    "focal": lambda: Focal(),
    "focal, released": lambda: Focal(softmax=True),
    "rubi": lambda: Rubi(QuestionBranch(HIDDEN, ANSWERS, dropout=0.0), ANSWERS),
}
each = pytest.mark.parametrize("name", CRITERIA)


class Toy(nn.Module):
    """An Output with everything that a criterion may read."""

    def __init__(self):
        super().__init__()
        self.encode, self.classify = nn.Linear(3, HIDDEN), nn.Linear(HIDDEN, ANSWERS)

    def forward(self, x: torch.Tensor) -> Output:
        hidden = self.encode(x)
        return Output(self.classify(hidden), hidden=hidden, question=hidden.tanh())


def made(name: str, seed: int = 0) -> tuple[Toy, nn.Module]:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return Toy(), CRITERIA[name]()


def whole(table: Table) -> Batch:
    return table.batch(torch.arange(len(table)))


@each
@pytest.mark.parametrize("weighted", [False, True])
def test_learns_toy_data(name, weighted, toy_table):
    if name == "re-weighting" and weighted:
        return
    (model, criterion), table = made(name), toy_table(256)
    objective = LossRescaling(criterion, weight=torch.rand(2, 4) + 0.5 if weighted else None)
    history = fit(model, objective, table, FitConfig(epochs=10, batch_size=32, lr=0.05, clip=10.0))
    assert history[-1]["loss"] < 0.9 * history[0]["loss"]


@each
def test_one_loss_an_example(name, toy_table):
    (model, criterion), batch = made(name), whole(toy_table(7))
    loss = criterion(model(*batch.inputs), batch, None)
    assert loss.shape == (7,) and loss.isfinite().all()


@each
def test_weights_of_one_change_nothing(name, toy_table):
    (model, criterion), batch = made(name), whole(toy_table(9))
    out = model(*batch.inputs)
    if name == "re-weighting":
        with pytest.raises(ValueError, match="re-weighting has weights of its own, got others as well"):
            criterion(out, batch, torch.ones(9, ANSWERS))
        return
    torch.testing.assert_close(criterion(out, batch, torch.ones(9, ANSWERS)), criterion(out, batch, None))


def test_each_is_its_loss(toy_table):
    batch, weight = whole(toy_table(9)), torch.rand(9, ANSWERS)
    bias, smooth = BIAS[batch.side["question_type"]], torch.tensor(-1.0).sigmoid()
    for name in CRITERIA:
        model, criterion = made(name)
        out = model(*batch.inputs)
        x, a = out.logits, batch.target
        gate = F.softplus(criterion.gate(out.hidden)) if name.startswith("lm") else None
        if name == "rubi":
            mask = criterion.branch(out.question).logits
            expected = rubi(x, a, mask=mask, question_logits=criterion.classify(mask), weight=weight)
        else:
            expected = {
                "bce": lambda x=x, a=a: sigmoid_bce(x, a, weight=weight),
                "bce, positive term": lambda x=x, a=a: sigmoid_bce(x, a, weight=weight, positive_only=True),
                "ce": lambda x=x, a=a: soft_cross_entropy(x, a, weight=weight),
                "lm": lambda x=x, a=a, g=gate: learned_mixin(x, a, bias=bias, gate=g, smooth=smooth, weight=weight),
                "lmh": lambda x=x, a=a, g=gate: (
                    learned_mixin(x, a, bias=bias, gate=g, smooth=smooth, weight=weight)
                    + 0.36 * bias_entropy(bias, gate=g, smooth=smooth)
                ),
                "bias product": lambda x=x, a=a: bias_product(x, a, bias=bias, smooth=smooth, weight=weight),
                "re-weighting": lambda x=x, a=a: bias_reweight(x, a, bias=bias),
                "focal": lambda x=x, a=a: focal(x, a, weight=weight),
                "focal, released": lambda x=x, a=a: focal(x, a, weight=weight, softmax=True),
            }[name.replace("lm, frozen", "lm")]()
        got = criterion(out, batch, None if name == "re-weighting" else weight)
        torch.testing.assert_close(got, expected, msg=name)


def test_gate_and_smoothing_are_trained_unless_frozen(toy_table):
    for name, moves in (("lm", True), ("lmh", True), ("lm, frozen", False)):
        model, criterion = made(name)
        before = copy.deepcopy(criterion.state_dict())
        fit(model, LossRescaling(criterion), toy_table(64), FitConfig(epochs=1, batch_size=16, lr=0.05))
        changed = {key for key, value in criterion.state_dict().items() if not value.equal(before[key])}
        assert changed == ({"gate.weight", "gate.bias", "smooth"} if moves else set()), name


def test_rubis_branch_never_trains_the_question_encoder(toy_table):
    model, criterion = made("rubi")
    batch = whole(toy_table(16))
    out = model(*batch.inputs)
    question = out.question.detach().requires_grad_()
    loss = criterion(out._replace(question=question, logits=out.logits.detach()), batch, None).sum()
    loss.backward()
    assert question.grad is None
    assert all(p.grad is not None for p in criterion.parameters())  # control: the branch itself learns
    with pytest.raises(ValueError, match="RUBi's branch reads the question encoding, got an Output without question"):
        criterion(out._replace(question=None), batch, None)


def test_what_the_data_knows_is_in_no_checkpoint():
    assert set(CRITERIA["lm"]().state_dict()) == {"gate.weight", "gate.bias", "smooth"}
    assert list(LossRescaling("bce", weight=BIAS, label=BIAS).state_dict()) == []


def test_a_negative_entropy_is_refused():
    with pytest.raises(ValueError, match=r"entropy is a finite number >= 0, got -1.*; it weighs a penalty"):
        LearnedMixin(BIAS, HIDDEN, entropy=-1.0)


def test_bias_table_is_the_mean_score_of_a_type():
    rng = torch.Generator().manual_seed(0)
    kind = torch.randint(0, 3, (50,), generator=rng)  # type 3 is never asked
    target = SparseScores(torch.randint(0, 6, (50, 4), generator=rng), torch.rand(50, 4, generator=rng), 6)
    table = bias_table(kind, target.answer, target.score, n_types=4, n_answers=6)
    dense = target[torch.arange(50)]
    for q in range(3):
        torch.testing.assert_close(table[q], dense[kind == q].mean(0))
    assert table[3].eq(0).all()
