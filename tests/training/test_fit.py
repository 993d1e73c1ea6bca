"""The training loop: the same numbers every time, also after a kill; what it measures is what it says."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import IO

import pytest
import torch
from torch import Tensor, nn

from vqabook import stop
from vqabook.core import Batch, Output
from vqabook.losses import sigmoid_bce
from vqabook.objectives import LossRescaling, Objective
from vqabook.training import fit as fit_module
from vqabook.training.fit import (
    FitConfig,
    GradientNorms,
    Schedule,
    Stage,
    best_answer,
    fit,
    predict,
    soft_score,
)

ROOT = Path(__file__).resolve().parents[2]
CONFIG = FitConfig(epochs=6, batch_size=16, lr=0.05, clip=1.0, checkpoint_every=0.0)


class Shifted(Objective):
    """BCE on logits shifted by learnt numbers: an objective with parameters and a random draw of its own."""

    def __init__(self):
        super().__init__()
        self.shift = nn.Parameter(torch.zeros(4))

    def steps(self, model: nn.Module, batch: Batch, progress: float) -> Iterator[Tensor]:
        noise = 0.1 * torch.randn(4, device=batch.target.device)
        yield sigmoid_bce(model(*batch.inputs).logits + self.shift + noise, batch.target)


class Twice(Objective):
    """Two losses a batch; the second reads the model after the first one's update."""

    def steps(self, model: nn.Module, batch: Batch, progress: float) -> Iterator[Tensor]:
        self.seen = getattr(self, "seen", [])
        for _ in range(2):
            self.seen.append(model.layer.weight.detach().clone())
            yield sigmoid_bce(model(*batch.inputs).logits, batch.target)


class Toy(nn.Module):
    """Dropout, so that the run draws random numbers, and one linear layer."""

    def __init__(self, seed: int = 0):
        super().__init__()
        self.dropout, self.layer = nn.Dropout(0.3), nn.Linear(3, 4)
        rng = torch.Generator().manual_seed(seed)
        for parameter in self.parameters():
            parameter.data = torch.randn(parameter.shape, generator=rng)

    def forward(self, x: Tensor) -> Output:
        return Output(self.layer(self.dropout(x)))


def numbers(history: list[dict]) -> list[dict]:
    """A history without its times."""
    return [{k: v for k, v in row.items() if k != "seconds"} for row in history]


def run(table, checkpoint: Path | None = None, config: FitConfig = CONFIG, fail_at: int | None = None) -> tuple:
    """Train once; the final weights and the history."""
    model, objective, epoch = Toy(), Shifted(), [0]

    def evaluate(model: nn.Module) -> dict:
        epoch[0] += 1
        if epoch[0] == fail_at:
            raise KeyboardInterrupt
        return {"score": float(predict(model, table, soft_score).mean())}

    watch = {"layer": model.layer.parameters()}
    history = fit(model, objective, table, config, evaluate=evaluate, watch=watch, checkpoint=checkpoint)
    return {**model.state_dict(), **objective.state_dict()}, numbers(history)


def assert_same(one: tuple, other: tuple) -> None:
    assert one[1] == other[1]
    assert all(one[0][name].equal(other[0][name]) for name in one[0])


def test_same_seed_same_numbers(toy_table):
    first = run(toy_table())
    torch.manual_seed(123)  # whatever the state of the global generator
    assert_same(first, run(toy_table()))
    other = run(toy_table(), config=FitConfig(epochs=6, batch_size=16, lr=0.05, clip=1.0, seed=1))
    assert other[1] != first[1]


def test_the_seed_orders_the_examples(toy_table):
    def losses(seed: int) -> list[float]:
        model = Toy()
        model.dropout.p = 0.0  # nothing else is random
        config = FitConfig(epochs=2, batch_size=16, lr=0.05, seed=seed)
        return [row["loss"] for row in fit(model, LossRescaling("bce"), toy_table(), config)]

    assert losses(0) == losses(0) != losses(1)


def test_global_random_state_is_untouched(toy_table):
    model, table = Toy(), toy_table()
    before = torch.get_rng_state()
    fit(model, Shifted(), table, CONFIG)
    assert torch.get_rng_state().equal(before)


@pytest.mark.parametrize("fail_at", [1, 2, 4, 6])
def test_resumes_to_the_same_weights(fail_at, toy_table, tmp_path):
    table, checkpoint = toy_table(), tmp_path / "run.checkpoint"
    with pytest.raises(KeyboardInterrupt):
        run(table, checkpoint, fail_at=fail_at)
    assert checkpoint.exists() == (fail_at > 1)
    assert_same(run(table, checkpoint), run(table))
    assert list(tmp_path.iterdir()) == []


def test_the_resumed_run_goes_on_where_it_stopped(toy_table, tmp_path):
    # control: after the kill in epoch 4 three epochs remain, not six
    with pytest.raises(KeyboardInterrupt):
        run(toy_table(), tmp_path / "c", fail_at=4)
    with pytest.raises(KeyboardInterrupt):
        run(toy_table(), tmp_path / "c", fail_at=3)  # the third evaluation of the second process
    saved = torch.load(tmp_path / "c", weights_only=True)
    assert [row["epoch"] for row in saved["history"]] == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("batch", [1, 2, 4, 5, 11, 24])  # of 24; the fourth ends the first epoch
def test_a_run_that_is_asked_to_stop_keeps_its_last_batch(batch, toy_table, tmp_path, monkeypatch):
    class Asked(Shifted):
        def __init__(self):
            super().__init__()
            self.left = batch

        def steps(self, model: nn.Module, batch: Batch, progress: float) -> Iterator[Tensor]:
            self.left -= 1
            if not self.left:
                monkeypatch.setattr(stop, "_asked", signal.SIGTERM)
            yield from super().steps(model, batch, progress)

    table, checkpoint, whole = toy_table(), tmp_path / "run.checkpoint", run(toy_table())
    with monkeypatch.context() as patch:
        patch.setitem(globals(), "Shifted", Asked)
        with pytest.raises(stop.Stopped) as stopped:
            run(table, checkpoint)
    assert (stopped.value.code, stopped.value.also) == (143, f"fit as it was in epoch {(batch - 1) // 4 + 1}")
    saved = torch.load(checkpoint, weights_only=True)
    assert 4 * len(saved["history"]) + saved["epoch"]["batches"] == batch
    monkeypatch.setattr(stop, "_asked", None)
    assert_same(run(table, checkpoint), whole)
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_is_asked_to_stop_while_it_is_judged_keeps_the_epoch(toy_table, tmp_path):
    checkpoint, judged = tmp_path / "run.checkpoint", []

    def evaluate(model: nn.Module) -> dict:
        judged.append(float(predict(model, toy_table(), soft_score).mean()))
        if len(judged) == 3:
            raise stop.Stopped
        return {"score": judged[-1]}

    def train() -> tuple:
        model, objective = Toy(), Shifted()
        watch = {"layer": model.layer.parameters()}
        history = fit(model, objective, toy_table(), CONFIG, evaluate=evaluate, watch=watch, checkpoint=checkpoint)
        return {**model.state_dict(), **objective.state_dict()}, numbers(history)

    with pytest.raises(stop.Stopped):
        train()
    assert_same(train(), run(toy_table()))
    assert judged[2] == judged[3] and len(judged) == 7


KILLED = """
import json, sys, time, torch
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from vqabook.core import Output, Table
from vqabook.training.fit import FitConfig, fit
from vqabook.objectives import LossRescaling
torch.manual_seed(0)
torch.set_num_threads(1)
class Toy(torch.nn.Sequential):
    def forward(self, x):
        return Output(super().forward(x))
x = torch.randn(64, 3)
table = Table((x,), torch.rand(64, 4), 4, {"question_type": torch.zeros(64, dtype=torch.long)})
model = Toy(torch.nn.Dropout(0.3), torch.nn.Linear(3, 4))
config = FitConfig(epochs=8, batch_size=16, checkpoint_every=0.0)
def slow(model):
    time.sleep(float(sys.argv[3]))
    return {}
history = fit(model, LossRescaling("bce"), table, config, evaluate=slow, checkpoint=Path(sys.argv[2]) / "checkpoint")
print(json.dumps([model.state_dict()["1.weight"].tolist(), [row["loss"] for row in history]]))
"""


@pytest.mark.slow
def test_kill_9_in_the_middle_changes_nothing(tmp_path, monkeypatch, capsys):
    def run_here(folder: str) -> list:
        monkeypatch.setattr(sys, "argv", ["-c", str(ROOT), str(tmp_path / folder), "0"])
        exec(KILLED, {})
        return json.loads(capsys.readouterr().out)

    (tmp_path / "killed").mkdir()
    words = [sys.executable, "-c", KILLED, str(ROOT), str(tmp_path / "killed"), "0.2"]
    killed = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    checkpoint, deadline = tmp_path / "killed" / "checkpoint", time.monotonic() + 60
    while not checkpoint.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    time.sleep(0.3)
    os.kill(killed.pid, signal.SIGKILL)
    assert killed.communicate()[0] == "" and checkpoint.exists()
    (tmp_path / "whole").mkdir()
    assert run_here("killed") == run_here("whole")
    assert not checkpoint.exists()


def test_a_checkpoint_is_whole_or_not_at_all(toy_table, tmp_path, monkeypatch):
    checkpoint, saves, save = tmp_path / "checkpoint", [], torch.save

    def full_disk(content: object, file: IO) -> None:
        saves.append(file)
        if len(saves) < 3:
            return save(content, file)
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full_disk)
    with pytest.raises(OSError, match="checkpoint is full; free space and run again"):
        run(toy_table(), checkpoint)
    monkeypatch.undo()
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint"]
    assert_same(run(toy_table(), checkpoint), run(toy_table()))


def interrupt(table, checkpoint: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(table, checkpoint, fail_at=4)


def test_a_damaged_checkpoint_is_set_aside(damage, toy_table, tmp_path):
    checkpoint = tmp_path / "checkpoint"
    interrupt(toy_table(), checkpoint)
    damage(checkpoint)
    with pytest.warns(UserWarning, match="checkpoint.damaged, and is made again"):
        assert_same(run(toy_table(), checkpoint), run(toy_table()))
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint.damaged"]


OF_ANOTHER = {
    "a model of other sizes": lambda saved: saved["model"].update({"layer.bias": torch.zeros(5)}),
    "a model of other names": lambda saved: saved["model"].update({"layer.scale": torch.zeros(4)}),
    "a model of other numbers": lambda saved: saved["model"].update({"layer.bias": torch.zeros(4).double()}),
    "another objective": lambda saved: saved["objective"].clear(),
    "moments of other sizes": lambda saved: saved["optimizer"]["state"][0].update(exp_avg=torch.zeros(2, 2)),
    "moments of more parameters": lambda saved: saved["optimizer"]["state"].update({9: {"exp_avg": torch.zeros(2)}}),
    "a history of other epochs": lambda saved: saved["history"].pop(0),
    "a history of text": lambda saved: saved.update(history="first epoch"),
    "a random state that is none": lambda saved: saved.update(random=[torch.zeros(3)]),
    "no random state": lambda saved: saved.update(random=[]),
    "no optimiser": lambda saved: saved.pop("optimizer"),
}


@pytest.mark.parametrize("what", OF_ANOTHER)
def test_a_checkpoint_of_something_else_is_set_aside_before_any_of_it_is_taken(what, toy_table, tmp_path):
    checkpoint = tmp_path / "checkpoint"
    interrupt(toy_table(), checkpoint)
    saved = torch.load(checkpoint)
    OF_ANOTHER[what](saved)
    torch.save(saved, checkpoint)
    with pytest.warns(UserWarning, match="checkpoint.damaged, and is made again"):
        assert_same(run(toy_table(), checkpoint), run(toy_table()))


def test_a_checkpoint_stays_for_who_removes_it(toy_table, tmp_path):
    """A kill between the training and its record costs the epochs since the last checkpoint."""
    checkpoint, epochs = tmp_path / "checkpoint", []
    for _ in range(2):
        config = FitConfig(epochs=3, checkpoint_every=0.0)
        fit(
            Toy(),
            Shifted(),
            toy_table(),
            config,
            evaluate=lambda _: epochs.append(1) or {},
            checkpoint=checkpoint,
            keep=True,
        )
        assert checkpoint.exists() and len(epochs) == 3


def test_a_checkpoint_is_replaced_not_overwritten(toy_table, tmp_path):
    # who opened the old one, or a kill while the new one is written, finds the old one whole
    checkpoint, held = tmp_path / "checkpoint", []

    def evaluate(model: nn.Module) -> dict:
        if checkpoint.exists() and not held:
            held.extend((checkpoint.read_bytes(), checkpoint.open("rb")))
        return {}

    fit(Toy(), Shifted(), toy_table(), CONFIG, evaluate=evaluate, checkpoint=checkpoint)
    with held[1] as file:
        assert file.read() == held[0]


def test_checkpoints_wait_for_their_interval(toy_table, tmp_path, monkeypatch):
    written = []
    monkeypatch.setattr(fit_module.Training, "save", lambda self, path: written.append(len(self.history)))
    run(toy_table(), tmp_path / "c", FitConfig(epochs=3, checkpoint_every=3600.0))
    assert written == []
    run(toy_table(), tmp_path / "c", FitConfig(epochs=3, checkpoint_every=0.0))
    assert written == [1, 2, 3]


def staged(table, stage: Stage | None, after: float, checkpoint: Path | None = None, fail: bool = False) -> tuple:
    """A run whose answers weigh differently from `after` on; what runs share that differ in `after` alone."""
    model, weight = Toy(), torch.tensor([[1.0, 2, 3, 4], [4, 3, 2, 1]])
    objective, epochs = LossRescaling("bce", weight=weight if after < 1 else None, after=after), []

    def evaluate(model: nn.Module) -> dict:
        epochs.append(float(predict(model, table, soft_score).mean()))
        if fail and len(epochs) == 2:
            raise KeyboardInterrupt
        return {"score": epochs[-1]}

    history = fit(model, objective, table, CONFIG, evaluate=evaluate, checkpoint=checkpoint, stage=stage)
    return dict(model.state_dict()), numbers(history), len(epochs)


def test_runs_that_share_their_first_stage_get_the_same_numbers(toy_table, tmp_path):
    table, path = toy_table(), tmp_path / "stage"
    alone = staged(table, None, 2 / 3)
    first = staged(table, Stage(4, path, write=True), 1.0)
    assert path.exists() and first[2] == 6
    shared = staged(table, Stage(4, path, write=False), 2 / 3)
    assert shared[2] == 2  # epochs that it trained itself
    assert_same(alone[:2], shared[:2])
    assert alone[1] != first[1]  # control: the second stage differs
    path.unlink()
    again = staged(table, Stage(4, path, write=False), 2 / 3)  # nobody left it
    assert again[2] == 6 and not path.exists()
    assert_same(alone[:2], again[:2])


def test_a_damaged_stage_costs_the_epochs_and_is_set_aside(damage, toy_table, tmp_path):
    table, path = toy_table(), tmp_path / "stage"
    staged(table, Stage(4, path, write=True), 1.0)
    damage(path)
    with pytest.warns(UserWarning, match="stage.damaged"):
        again = staged(table, Stage(4, path, write=False), 2 / 3)
    assert again[2] == 6
    assert_same(again[:2], staged(table, None, 2 / 3)[:2])


def test_a_killed_run_goes_on_from_its_own_checkpoint_not_from_the_stage(toy_table, tmp_path):
    table, path, own = toy_table(), tmp_path / "stage", tmp_path / "own"
    staged(table, Stage(2, path, write=True), 1.0)
    with pytest.raises(KeyboardInterrupt):
        staged(table, Stage(2, path, write=False), 1 / 3, own, fail=True)
    resumed = staged(table, Stage(2, path, write=False), 1 / 3, own)
    assert resumed[2] == 3  # epochs 1-2 are the stage's, 3 was saved before the kill in 4
    assert_same(resumed[:2], staged(table, None, 1 / 3)[:2])


def test_the_objectives_own_parameters_are_trained(toy_table):
    objective = Shifted()
    fit(Toy(), objective, toy_table(), CONFIG)
    assert objective.shift.abs().min() > 0


def test_one_optimiser_step_a_yield(toy_table):
    objective = Twice()
    fit(Toy(), objective, toy_table(64), FitConfig(epochs=1, batch_size=32, lr=0.05))
    assert len(objective.seen) == 4
    assert all(not a.equal(b) for a, b in zip(objective.seen, objective.seen[1:], strict=False))


def test_the_loss_is_the_mean_over_examples(toy_table):
    # 50 examples in batches of 16, 16, 16, 2: at a learning rate of almost 0 no batch weighs more than its size
    table, model = toy_table(50), Toy()
    model.dropout.p = 0.0
    expected = sigmoid_bce(model(*table.inputs).logits, table.target).mean().item()
    history = fit(model, LossRescaling("bce"), table, FitConfig(epochs=1, batch_size=16, lr=1e-12))
    assert history[0]["loss"] == pytest.approx(expected, rel=1e-5)


def test_gradients_are_clipped_over_all_parameters(toy_table, monkeypatch):
    norms, clip = [], nn.utils.clip_grad_norm_

    def spy(parameters: list, limit: float) -> Tensor:
        before = clip(parameters, limit)
        norms.append((float(before), float(torch.stack([p.grad.norm() for p in parameters]).norm())))
        return before

    monkeypatch.setattr(nn.utils, "clip_grad_norm_", spy)
    fit(Toy(), Shifted(), toy_table(), FitConfig(epochs=1, batch_size=16, clip=0.01))
    assert all(before > 0.01 and after == pytest.approx(0.01, rel=1e-3) for before, after in norms)


def test_gradients_are_watched_before_clipping(toy_table):
    def first_norm(clip: float) -> float:
        model = Toy()
        model.dropout.p = 0.0
        config = FitConfig(epochs=1, batch_size=64, clip=clip)
        history = fit(model, LossRescaling("bce"), toy_table(), config, watch={"layer": model.layer.parameters()})
        return history[0]["grad_layer"]

    assert first_norm(1e-3) == first_norm(1e3) > 1e-2


def test_gradient_norms_equal_a_plain_computation():
    first, second = nn.Linear(3, 2), nn.Linear(2, 1)
    norms, squares = GradientNorms({"first": first.parameters(), "second": second.parameters()}), []
    for step in range(3):
        for layer in (first, second):
            layer.zero_grad()
        second(first(torch.randn(5, 3, generator=torch.Generator().manual_seed(step)))).square().sum().backward()
        norms.see()
        squares.append([sum((p.grad**2).sum().item() for p in layer.parameters()) for layer in (first, second)])
    expected = [(sum(column) / 3) ** 0.5 for column in zip(*squares, strict=True)]
    assert list(norms.summary().values()) == pytest.approx(expected)
    assert list(norms.summary()) == ["grad_first", "grad_second"]
    norms.reset()
    assert norms.summary() == {"grad_first": 0, "grad_second": 0}


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_an_endless_loss_is_refused(value, toy_table):
    table = toy_table()
    table.inputs[0][7] = value
    with pytest.raises(FloatingPointError, match=r"must stay finite, got (nan|inf) in epoch 1; lower lr \(0.05\)"):
        run(table)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"epochs": 0}, "epochs must be positive, got 0"),
        ({"batch_size": -1}, "batch_size must be positive, got -1"),
        ({"lr": 0.0}, "lr must be positive, got 0.0"),
        ({"lr": float("nan")}, "lr must be positive, got nan"),
        ({"clip": -0.25}, "clip must be positive, got -0.25"),
        ({"precision": "fp16"}, "precision is one of fp32, bf16, got 'fp16'"),
        ({"optimizer": "sgdd"}, "optimizer is one of adamax, adam, adamw, sgd, got 'sgdd'"),
    ],
)
def test_settings_out_of_range_are_refused(values, message):
    with pytest.raises(ValueError, match=message):
        FitConfig(**values)


def test_a_recipe_says_how_to_train():
    recipe = SimpleNamespace(epochs=3, lr=0.1, seed=7, schedule="cosine", model="san")
    config = FitConfig.of(recipe, optimizer="sgd", schedule=None)
    assert config == FitConfig(epochs=3, lr=0.1, seed=7, optimizer="sgd")
    recipe.precision = "bf16"
    assert FitConfig.of(recipe, schedule=None).precision == "bf16"
    recipe.precision = None  # as where it is not asked for
    assert FitConfig.of(recipe, schedule=None).precision == "fp32"


@pytest.mark.parametrize("optimizer", ["adamax", "adam", "adamw", "sgd"])
def test_every_optimizer_learns(optimizer, toy_table):
    config = FitConfig(epochs=5, batch_size=16, lr=0.05, optimizer=optimizer)
    history = fit(Toy(), LossRescaling("bce"), toy_table(), config)
    assert history[-1]["loss"] < history[0]["loss"]
    assert [row["epoch"] for row in history] == [1, 2, 3, 4, 5]


SCHEDULE = Schedule(warmup=1.5, start=0.5, cosine=True)
SGD = FitConfig(epochs=6, batch_size=16, optimizer="sgd", lr=0.1, clip=9.0, schedule=SCHEDULE, checkpoint_every=0.0)


def test_sgd_with_a_schedule_is_torch_s(toy_table):
    """Nesterov, weight decay, warm-up and cosine against a plain loop."""
    table = toy_table(64)
    config = replace(SGD, nesterov=True, weight_decay=0.01)
    ours, plain = Toy(), Toy()
    ours.dropout.p = plain.dropout.p = 0.0
    fit(ours, LossRescaling("bce"), table, config)
    optimizer = torch.optim.SGD(plain.parameters(), lr=1.0, momentum=0.9, nesterov=True, weight_decay=0.01)
    for epoch in range(6):
        order = torch.randperm(64, generator=torch.Generator().manual_seed(epoch))
        for i, rows in enumerate(order.split(16)):
            optimizer.param_groups[0]["lr"] = 0.1 * SCHEDULE.factor(epoch + i / 4, 6)
            optimizer.zero_grad()
            sigmoid_bce(plain(*table.batch(rows).inputs).logits, table.batch(rows).target).mean().backward()
            optimizer.step()
    torch.testing.assert_close(ours.state_dict(), plain.state_dict())


def test_a_killed_run_goes_on_at_its_learning_rate(toy_table, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        run(toy_table(), tmp_path / "c", SGD, fail_at=3)
    assert_same(run(toy_table(), tmp_path / "c", SGD), run(toy_table(), config=SGD))


def test_an_order_of_rows(toy_table):
    """Drawn anew each epoch, from a generator of the seed and the epoch; the loss is the mean of what was shown."""
    drawn = []

    def order(generator: torch.Generator) -> Tensor:
        drawn.append(torch.randint(64, (40,), generator=generator))
        return drawn[-1]

    model, table = Toy(), toy_table(64)
    model.dropout.p = 0.0
    history = fit(model, LossRescaling("bce"), table, FitConfig(epochs=2, batch_size=64, lr=1e-9), order=order)
    assert not drawn[0].equal(drawn[1])
    batch = table.batch(drawn[0])
    want = sigmoid_bce(Toy().layer(*batch.inputs), batch.target).mean().item()
    assert history[0]["loss"] == pytest.approx(want)
    again = fit(Toy(), LossRescaling("bce"), table, FitConfig(epochs=2, batch_size=64, lr=1e-9), order=order)
    assert drawn[2].equal(drawn[0]) and len(again) == 2


def test_predict_keeps_the_order_and_leaves_dropout_off(toy_table):
    table, model = toy_table(50), Toy()
    whole = predict(model, table, best_answer)
    assert whole.equal(predict(model, table, best_answer, batch_size=7))
    assert whole.equal(model.layer(table.inputs[0]).argmax(1))
    scores = predict(model, table, soft_score, batch_size=7)
    torch.testing.assert_close(scores, table.target[torch.arange(50), whole])
