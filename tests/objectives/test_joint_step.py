"""An objective that learns, beside its model: in plain loops, over several processes, around models of tensors."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from vqabook.core import Batch, Output, Table
from vqabook.objectives import (
    AttentionLoss,
    CentreLoss,
    CrossEntropy,
    Focal,
    JointStep,
    LabelLoss,
    LearnedMixin,
    LossRescaling,
    MultipleChoice,
    Rubi,
    long_tail,
)
from vqabook.training.fit import FitConfig, best_answer, fit, predict

BIAS = torch.tensor([[0.7, 0.1, 0.2], [0.1, 0.3, 0.6]])


class Small(nn.Module):
    def __init__(self):
        super().__init__()
        self.encode, self.classify = nn.Linear(4, 5), nn.Linear(5, 3)

    def forward(self, x: torch.Tensor) -> Output:
        hidden = self.encode(x)
        return Output(self.classify(hidden), hidden=hidden)


def made() -> tuple[Small, LossRescaling, Batch]:
    """A model, LMH, whose gate and smoothing learn, and eight examples."""
    torch.manual_seed(0)
    model, objective = Small(), LossRescaling(LearnedMixin(BIAS, 5, entropy=0.36))
    side = {"question_type": torch.arange(8) % 2}
    return model, objective, Batch((torch.randn(8, 4),), torch.rand(8, 3), side, torch.arange(8))


def half(batch: Batch, rank: int) -> Batch:
    rows = slice(4 * rank, 4 * rank + 4)
    return Batch((batch.inputs[0][rows],), batch.target[rows], {k: v[rows] for k, v in batch.side.items()},
                 batch.rows[rows])  # fmt: skip


def gradients(module: nn.Module) -> dict[str, list[float]]:
    return {name: p.grad.flatten().tolist() for name, p in module.named_parameters()}


def rank(number: int, folder: Path) -> None:
    """One of two processes: its half of the batch, through `JointStep`; then what is refused."""
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=number, world_size=2)
    model, objective, batch = made()
    wrapped = DistributedDataParallel(model)
    try:
        next(objective.steps(wrapped, half(batch, number), 0.0))
        refused = "nothing"
    except ValueError as error:
        refused = str(error)
    plain = next(CrossEntropy().steps(wrapped, batch._replace(target=torch.arange(8) % 3), 0.0))
    step = JointStep(*made()[:2])  # a module is wrapped once
    joint = DistributedDataParallel(step)
    joint(half(batch, number)).mean().backward()
    told = {"refused": refused, "plain": list(plain.shape), "gradients": gradients(step)}
    (folder / f"{number}.json").write_text(json.dumps(told), encoding="utf-8")
    torch.distributed.destroy_process_group()


def test_two_processes_have_the_gradients_of_one(tmp_path):
    """The gate's too; and an objective that learns is refused beside a wrapped model, which would leave it alone."""
    env = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    # Not a fork of one: what torch has started by then hangs in one of five.
    ranks = [
        subprocess.Popen([sys.executable, __file__, str(n), str(tmp_path)], env=env, stderr=subprocess.PIPE, text=True)
        for n in range(2)
    ]
    try:
        said = [one.communicate(timeout=240)[1] for one in ranks]
    finally:
        for one in ranks:
            one.kill()
    assert [one.returncode for one in ranks] == [0, 0], said
    told = [json.loads((tmp_path / f"{number}.json").read_text("utf-8")) for number in range(2)]
    model, objective, batch = made()
    step = JointStep(model, objective)
    step(batch).mean().backward()
    want = gradients(step)
    assert any("gate" in name for name in want)
    for one in told:
        assert one["gradients"].keys() == want.keys() and one["plain"] == [8]
        for name, values in want.items():
            assert one["gradients"][name] == pytest.approx(values, rel=1e-4, abs=1e-6), name
        assert "LossRescaling learns with the model, got DistributedDataParallel(model)" in one["refused"]
        assert "wrap both, DistributedDataParallel(JointStep(model, objective))" in one["refused"]


def test_a_joint_step_is_the_objective_s_step():
    model, objective, batch = made()
    (want,) = objective.steps(model, batch, 0.0)
    step = JointStep(model, objective)
    torch.testing.assert_close(step(batch), want)
    assert {id(p) for p in step.parameters()} == {id(p) for part in (model, objective) for p in part.parameters()}


def test_an_objective_of_two_steps_is_no_joint_step():
    class Twice(CrossEntropy):
        def steps(self, model, batch, progress):
            yield from super().steps(model, batch, progress)
            yield from super().steps(model, batch, progress)

    model, _, batch = made()
    batch = batch._replace(target=torch.arange(8) % 3)
    with pytest.raises(
        ValueError, match="here an objective takes one step a batch, got 2; give it one that yields once"
    ):
        JointStep(model, Twice())(batch)


def test_centres_move_after_a_joint_step_too():
    model, _, batch = made()
    batch = batch._replace(target=torch.arange(8) % 3)
    objective = CentreLoss(3, 5)
    JointStep(model, objective)(batch).mean().backward()
    assert objective.centres.abs().sum() > 0 and model.encode.weight.grad.isfinite().all()


@pytest.mark.parametrize("objective", [CrossEntropy(), long_tail("ldam_drw_released", torch.tensor([9, 3, 1]))])
def test_labels_may_be_bytes_and_a_model_a_plain_module(objective, unchecked):
    """`nn.Module`s that return a tensor, and outputs of other libraries with `logits`; anything else is told."""
    rng = torch.Generator().manual_seed(0)
    batch = Batch((torch.randn(6, 4, generator=rng),), torch.tensor([0, 1, 2, 0, 0, 1]), {}, torch.arange(6))
    plain = nn.Linear(4, 3)
    (want,) = objective.steps(lambda x: Output(plain(x)), batch, 0.9)
    (got,) = objective.steps(plain, batch._replace(target=batch.target.to(torch.uint8)), 0.9)
    torch.testing.assert_close(got, want)
    (other,) = objective.steps(lambda x: type("Theirs", (), {"logits": plain(x)})(), batch, 0.9)
    torch.testing.assert_close(other, want)
    with pytest.raises(TypeError, match=r"returns its logits, a tensor, or an Output, got dict; return Output\(logits"):
        list(objective.steps(lambda x: {"out": plain(x)}, batch, 0.9))


def test_fit_trains_a_module_that_returns_a_tensor():
    rng = torch.Generator().manual_seed(0)
    x = torch.randn(64, 4, generator=rng)
    table, model = Table((x,), x[:, :3].argmax(1), 3), nn.Linear(4, 3)
    history = fit(model, CrossEntropy(), table, FitConfig(epochs=5, batch_size=16, lr=0.05))
    assert history[-1]["loss"] < history[0]["loss"]
    assert predict(model, table, best_answer).shape == (64,)
    with pytest.raises(ValueError, match=r"the gate reads the model's hidden \[b, h\], got None"):
        next(LossRescaling(LearnedMixin(BIAS, 5)).steps(model, made()[2], 0.0))


NAN = float("nan")
OBJECTIVES = {
    "weight": lambda x: CentreLoss(3, 5, weight=x),
    "rate": lambda x: CentreLoss(3, 5, rate=x),
    "entropy": lambda x: LearnedMixin(BIAS, 5, entropy=x),
    "gamma": lambda x: Focal(gamma=x),
    "alpha": lambda x: Focal(alpha=x),
    "question_weight": lambda x: Rubi(nn.Identity(), 3, question_weight=x),
    "after": lambda x: LossRescaling("bce", after=x),
    "mask_weight": lambda x: LossRescaling("bce", mask_weight=x),
    "since": lambda x: LabelLoss(nn.Identity(), since=x),
    "beta": lambda x: MultipleChoice("cmcl", k=1, beta=x),
    "temperature": lambda x: MultipleChoice("mcl", k=1, temperature=x),
    "bandwidth": lambda x: AttentionLoss("mmd", width=4, bandwidth=x),
}


@pytest.mark.parametrize("name", OBJECTIVES)
@pytest.mark.parametrize("value", [NAN, -1.0, torch.inf])
def test_numbers_that_mean_nothing_are_refused_when_an_objective_is_made(name, value):
    with pytest.raises(ValueError, match=f"{name} is a finite number .*, got {value}"):
        OBJECTIVES[name](value)


if __name__ == "__main__":
    rank(int(sys.argv[1]), Path(sys.argv[2]))
