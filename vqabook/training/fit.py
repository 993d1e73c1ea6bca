"""The one training loop, and the epoch that was best.

Same seed and same machine give the same numbers, also when the run was killed and resumed. A run that is asked to stop
keeps what it has learnt up to its last batch.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from operator import itemgetter
from pathlib import Path
from typing import cast

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from vqabook import stop
from vqabook.core import Batch, Output, Table
from vqabook.files import load_saved, read_or_set_aside, save_whole
from vqabook.objectives.base import Objective
from vqabook.progress import Bar, tell
from vqabook.training.precision import layers_in_bf16
from vqabook.training.solver import NO_CLIP as NO_CLIP
from vqabook.training.solver import OPTIMIZERS, FitConfig
from vqabook.training.solver import Schedule as Schedule
from vqabook.training.stages import check_state


@dataclass(frozen=True)
class Stage:
    """The first `epochs` of training, common to several runs: one writes its state to `path`, the others go on from it.

    Whoever gives the same path says that model, objective, order and seed are the same up to there. A file that is not
    there costs the epochs, nothing else.
    """

    epochs: int
    path: Path
    write: bool


class GradientNorms:
    """Root-mean-square gradient norm of named parameter groups over each epoch, before clipping; adds no host sync."""

    def __init__(self, groups: Mapping[str, Iterable[nn.Parameter]]):
        self.groups = {name: list(parameters) for name, parameters in groups.items()}
        self.reset()

    def reset(self) -> None:
        self.total: dict[str, float | Tensor] = dict.fromkeys(self.groups, 0.0)
        self.n = 0

    def see(self) -> None:
        self.n += 1
        for name, parameters in self.groups.items():
            norms = torch._foreach_norm([p.grad for p in parameters if p.grad is not None])
            self.total[name] = self.total[name] + torch.stack(norms).square().sum()

    def summary(self) -> dict[str, float]:
        return {f"grad_{name}": (float(total) / max(self.n, 1)) ** 0.5 for name, total in self.total.items()}


class Training:
    """Everything that a run changes: model, objective, optimiser, history, random state, sums of the epoch at work.

    Saved and restored as one, between any two batches, with what a `BestEpoch` remembers.
    """

    def __init__(
        self, model: nn.Module, objective: Objective, config: FitConfig, norms: GradientNorms, best: BestEpoch | None
    ):
        self.model, self.objective, self.config, self.norms, self.best = model, objective, config, norms, best
        self.parameters = [p for module in (model, objective) for p in module.parameters() if p.requires_grad]
        own = {"momentum": config.momentum, "nesterov": config.nesterov} if config.optimizer == "sgd" else {}
        make = getattr(torch.optim, OPTIMIZERS[config.optimizer])
        self.optimizer = make(self.parameters, lr=config.lr, weight_decay=config.weight_decay, **own)
        self.history: list[dict] = []
        self.begin_epoch()

    def begin_epoch(self) -> None:
        """No batch of the next epoch is done."""
        self.batches, self.loss = 0, torch.zeros(())
        self.norms.reset()

    def set_lr(self, epoch: float) -> None:
        """The rate that the schedule has after so many epochs; it depends on nothing else, and is not saved."""
        if self.config.schedule is not None:
            for group in self.optimizer.param_groups:
                group["lr"] = self.config.lr * self.config.schedule.factor(epoch, self.config.epochs)

    def save(self, path: Path) -> None:
        """Write whole or not at all."""
        random = [torch.get_rng_state()] + (torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [])
        parts = {name: getattr(self, name).state_dict() for name in ("model", "objective", "optimizer")}
        epoch = {"batches": self.batches, "loss": self.loss, "norms": self.norms.total, "n": self.norms.n}
        best = (self.best.highest, self.best.weights) if self.best else None
        save_whole({**parts, "history": self.history, "random": random, "epoch": epoch, "best": best}, path)

    def restore(self, path: Path) -> bool:
        """Whether there was something to go on from. What no training like this one left is set aside."""
        saved = read_or_set_aside(path, self._load)
        if saved is None:
            return False
        for name in ("model", "objective", "optimizer"):
            getattr(self, name).load_state_dict(saved[name])
        self.history, epoch = saved["history"], saved["epoch"]
        if epoch["batches"]:
            self.batches, self.loss = epoch["batches"], epoch["loss"]
            self.norms.total, self.norms.n = epoch["norms"], epoch["n"]
        torch.set_rng_state(saved["random"][0])
        torch.cuda.set_rng_state_all(saved["random"][1 : 1 + torch.cuda.device_count()])
        if self.best:
            self.best.highest, self.best.weights = saved["best"]
        return True

    def _load(self, path: Path) -> dict:
        """What was saved, with all of it looked at before any of it is taken over."""
        saved = load_saved(path)
        for name in ("model", "objective"):
            check_state(saved[name], getattr(self, name).state_dict())
        shapes = {(i, x.shape) for i, own in saved["optimizer"]["state"].items() for x in own.values() if x is not None}
        if any(shape and self.parameters[i].shape != shape for i, shape in shapes):
            raise ValueError("an optimiser's state has the shapes of its parameters")
        if [row["epoch"] for row in saved["history"]] != list(range(1, len(saved["history"]) + 1)):
            raise ValueError("a history has a row for each epoch, in their order")
        if [type(saved["epoch"][name]) for name in ("batches", "n", "norms")] != [int, int, dict]:
            raise ValueError("sums of an epoch count its batches")
        if self.best:
            highest, weights = saved["best"]
            if math.isfinite(highest) or saved["history"]:  # else none was judged yet
                check_state(weights, self.model.state_dict())
        torch.Generator().set_state(saved["random"][0])
        return saved


def fit(
    model: nn.Module,
    objective: Objective,
    train: Table,
    config: FitConfig,
    *,
    evaluate: Callable[[nn.Module], dict] | None = None,
    watch: Mapping[str, Iterable[nn.Parameter]] | None = None,
    checkpoint: Path | None = None,
    keep: bool = False,
    stage: Stage | None = None,
    order: Callable[[torch.Generator], Int[Tensor, " shown"]] | None = None,
    label: str = "fit",
) -> list[dict]:
    """Train `model` in place and return its history, one dict an epoch.

    The model returns an `Output`, or a tensor: its logits. Keys of the history: epoch, loss, grad_<watched group>,
    whatever `evaluate` adds, seconds. With `checkpoint` a killed run goes on from its last saved epoch, and one
    that was asked to stop from its last batch, to the same final weights; the file is removed at the end, unless
    who records the results is to remove it (`keep`). One that is damaged, or of another model, is set aside with a
    warning. With `stage` the first epochs are taken from, or left for, a run that shares them. `order` draws the
    rows of an epoch, from a generator that is the seed's and the epoch's own; None: every row once.
    """
    device = train.device
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(config.seed)
        best = evaluate if isinstance(evaluate, BestEpoch) else None
        run = Training(model, objective.to(device), config, GradientNorms(watch or {}), best)
        for saved in (checkpoint, stage.path if stage and not stage.write else None):
            if saved is not None and run.restore(saved):
                break
        half = partial(layers_in_bf16, model, device.type) if config.precision == "bf16" else nullcontext
        forward = cast(nn.Module, torch.compile(model)) if config.compile else model
        saved_at = time.monotonic()
        done = len(run.history)
        bar = Bar(range(done, config.epochs), label, config.epochs, initial=done, unit="epoch")
        with _kept(run, checkpoint, label):
            for epoch in bar:
                started = time.monotonic()
                with half():
                    loss = _epoch(run, forward, train, epoch, order)
                row = {"epoch": epoch + 1, "loss": loss, **run.norms.summary(), **(evaluate(model) if evaluate else {})}
                numbers = {k: f"{v:.4g}" for k, v in row.items() if isinstance(v, float)}
                bar.set_postfix(numbers, refresh=False)
                words = ", ".join(map(" ".join, numbers.items()))
                tell("%s: epoch %d of %d, %s", label, epoch + 1, config.epochs, words)
                with stop.held():
                    run.history.append({**row, "seconds": time.monotonic() - started})
                    run.begin_epoch()
                    if stage is not None and stage.write and epoch + 1 == stage.epochs:
                        run.save(stage.path)
                    if checkpoint is not None and time.monotonic() - saved_at >= config.checkpoint_every:
                        run.save(checkpoint)
                        saved_at = time.monotonic()
    if checkpoint is not None and not keep:
        checkpoint.unlink(missing_ok=True)
    return run.history


@contextmanager
def _kept(run: Training, checkpoint: Path | None, label: str) -> Iterator[None]:
    """Whoever asks the run to stop, between two batches or while an epoch is judged, finds it in `checkpoint`."""
    try:
        yield
    except stop.Stopped:
        if checkpoint is None:
            raise
        run.save(checkpoint)
        raise stop.Stopped(f"{label} as it was in epoch {len(run.history) + 1}") from None


def _epoch(run: Training, forward: nn.Module, train: Table, epoch: int, draw: Callable | None) -> float:
    """One pass in a fresh order, or what is left of it; returns the mean loss per example.

    The only host sync is the one at the end.
    """
    config, device = run.config, train.device
    forward.train()
    run.objective.train()
    generator = torch.Generator().manual_seed(config.seed * 1_000_003 + epoch)
    order = (torch.randperm(len(train), generator=generator) if draw is None else draw(generator)).to(device)
    run.loss = run.loss.to(device)
    batches = order.split(config.batch_size)
    with stop.held():
        for i in range(run.batches, len(batches)):
            run.set_lr(epoch + i / len(batches))
            batch = train.batch(batches[i])
            for losses in run.objective.steps(forward, batch, epoch / config.epochs):
                run.optimizer.zero_grad(set_to_none=True)
                losses.mean().backward()
                run.norms.see()
                nn.utils.clip_grad_norm_(run.parameters, config.clip)
                run.optimizer.step()
                run.loss += losses.detach().sum()
            run.batches = i + 1
            stop.here()
    mean = float(run.loss) / len(order)
    if not math.isfinite(mean):
        raise FloatingPointError(
            f"the loss must stay finite, got {mean} in epoch {epoch + 1}; lower lr ({config.lr}) or check the features"
        )
    return mean


@torch.no_grad()
def predict(
    model: nn.Module, table: Table, read: Callable[[Output, Batch], Tensor], *, batch_size: int = 1024
) -> Tensor:
    """`read(output, batch)` for all rows of `table` in order, concatenated on the CPU; `model` in eval mode."""
    model.eval()
    rows = torch.arange(len(table), device=table.device)
    batches = (table.batch(some) for some in rows.split(batch_size))
    return torch.cat([read(Output.of(model(*batch.inputs)), batch).cpu() for batch in batches])


def best_answer(out: Output, batch: Batch) -> Int[Tensor, " b"]:
    """Id of the highest-scoring answer; a `read` for `predict`."""
    return out.logits.argmax(-1)


def soft_score(out: Output, batch: Batch) -> Float[Tensor, " b"]:
    """Soft score, 0 to 1, of the highest-scoring answer; a `read` for `predict`."""
    return batch.target.gather(1, out.logits.argmax(-1, keepdim=True)).squeeze(1)


class BestEpoch:
    """Wraps what `fit` calls after every epoch, whose `valid` decides; the first of equals stays.

    Keeps the best weights in memory, and in the run's checkpoint: one file, whose parts belong together.
    """

    def __init__(self, evaluate: Callable[[nn.Module], dict]):
        self.evaluate, self.highest = evaluate, -float("inf")
        self.weights: dict[str, Tensor] | None = None

    def __call__(self, model: nn.Module) -> dict:
        scores = self.evaluate(model)
        if scores["valid"] > self.highest:
            self.highest = scores["valid"]
            self.weights = {name: x.detach().clone() for name, x in model.state_dict().items()}
        return scores

    def restore(self, model: nn.Module) -> None:
        """Give the model the weights of its best epoch."""
        if self.weights is None:
            raise ValueError("weights are those of the best epoch, got none that was judged; fit at least one")
        model.load_state_dict(self.weights)


def fit_best(
    model: nn.Module,
    objective: Objective,
    train: Table,
    config: FitConfig,
    *,
    evaluate: Callable[[nn.Module], dict],
    checkpoint: Path,
    label: str,
) -> list[dict]:
    """`fit`, after which the model has the weights of the epoch that was best on held-out rows; its history.

    The checkpoint stays: who records the results removes it.
    """
    best = BestEpoch(evaluate)
    history = fit(model, objective, train, config, evaluate=best, checkpoint=checkpoint, keep=True, label=label)
    best.restore(model)
    return history


def select(history: Sequence[Mapping], *, first: int) -> dict:
    """The last epoch, the best by validation and the best by test, with both soft scores (percent) at each.

    Only epochs after the `first` ones are chosen among: those of the second stage, where there are two. The best by
    test is what the released code reports; it is shown beside the others and chooses nothing here.
    """
    later = [{k: row[k] for k in ("epoch", "valid", "test")} for row in history[first:]]
    best = {f"best_by_{part}": max(later, key=itemgetter(part)) for part in ("valid", "test")}
    return {"last": later[-1], **best}
