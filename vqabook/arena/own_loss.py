"""A user's own loss as a row of the arena: a function or an objective in a file, checked before anything is trained."""

from __future__ import annotations

import hashlib
import importlib.util
import inspect
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor

from vqabook import stop
from vqabook.objectives.base import Objective
from vqabook.objectives.longtail import LabelLoss

RETURN = "return one value an example, a tensor [b] that depends on the logits [b, c]"
WAY = "a loss of your own is FILE.py:NAME, a function (logits, target, counts) or an Objective with `cost`"


@dataclass(frozen=True)
class OwnLoss:
    """A loss in a file; `digest`: of the file, so that an edited loss is another row's record."""

    path: Path
    name: str
    thing: Any
    digest: str

    @property
    def row(self) -> str:
        """What the row is called in tables and pictures."""
        return f"{self.path.name}:{self.name}"

    @property
    def takes_counts(self) -> bool:
        """Whether a class of objectives is made of the counts."""
        return isinstance(self.thing, type) and bool(inspect.signature(self.thing).parameters)

    def rule(self, counts: Int[Tensor, " c"]) -> LabelLoss | Objective:
        """What trains a classifier, by the training rows of each class."""
        if isinstance(self.thing, Objective):
            return self.thing
        if isinstance(self.thing, type):
            return self.thing(counts) if self.takes_counts else self.thing()
        return LabelLoss(lambda logits, target: self.thing(logits, target, counts))


def load(word: str) -> OwnLoss:
    """The loss that `FILE.py:NAME` names, checked on a small batch. ValueError, one sentence, for what is none."""
    file, _, name = word.rpartition(":")
    path = Path(file)
    if not name.isidentifier() or path.suffix != ".py":
        raise ValueError(f"{WAY}: got {word!r}; write it so")
    if not path.is_file():
        raise FileNotFoundError(f"{WAY}: {path} is not a file; check the path")
    module = _import(path)
    if not hasattr(module, name):
        raise ValueError(f"{WAY}: {path} has no {name!r}; check the name")
    thing = getattr(module, name)
    is_objective = isinstance(thing, Objective) or (isinstance(thing, type) and issubclass(thing, Objective))
    if is_objective and not hasattr(thing, "cost"):
        raise ValueError(f"an objective of the arena has cost(logits, target, progress): {word} has none; give it one")
    if not callable(thing) or (isinstance(thing, type) and not is_objective):
        raise ValueError(f"{WAY}: {word} is {type(thing).__name__}; name such a one")
    loss = OwnLoss(path, name, thing, hashlib.sha256(path.read_bytes()).hexdigest()[:12])
    check(loss)
    return loss


def _import(path: Path) -> Any:
    """The file as a module, with its folder at hand for what it imports itself."""
    found = importlib.util.spec_from_file_location(f"own_loss_{path.stem}", path)
    assert found is not None and found.loader is not None
    module, run = importlib.util.module_from_spec(found), found.loader.exec_module
    sys.modules[found.name] = module  # dataclasses look it up
    sys.path.insert(0, str(path.parent.resolve()))
    call(f"{path} is imported", lambda: run(module), f"mend it, and try python {path}")
    sys.path.pop(0)
    return module


def check(loss: OwnLoss) -> None:
    """One sentence for a loss of the wrong shape, that is not finite, or that gives the logits no gradient."""
    counts, b = torch.tensor([50, 20, 5, 3]), 8
    logits = torch.randn(b, len(counts), generator=torch.Generator().manual_seed(0)).requires_grad_()
    target = torch.arange(b) % len(counts)
    where = f"{loss.path}:{loss.name}"

    def cost() -> Any:
        if not isinstance(loss.thing, type | Objective):
            return loss.thing(logits, target, counts)
        rule: Any = loss.rule(counts)
        return rule.cost(logits, target, 0.0)

    got = call(f"{where} takes logits [{b}, {len(counts)}], target [{b}] and counts [{len(counts)}]", cost, RETURN)
    if not isinstance(got, Tensor):
        raise ValueError(f"a loss is a tensor [b]: {where} gave {type(got).__name__}; {RETURN}")
    if got.dim() == 0:
        raise ValueError(
            f"a loss is not reduced, the arena averages: {where} gave a scalar in place of [{b}]; {RETURN}"
        )
    if got.shape != (b,):
        raise ValueError(f"a loss has a value for each example: {where} gave {list(got.shape)} for [{b}]; {RETURN}")
    if not got.isfinite().all():
        raise ValueError(
            f"a loss is finite: {where} gave {float(got.detach()[~got.isfinite()][0])} for ordinary logits; {RETURN}"
        )
    if not got.requires_grad:
        raise ValueError(f"a loss has a gradient: {where} gave one without; {RETURN}, without detach() or no_grad()")
    (gradient,) = torch.autograd.grad(got.sum(), logits, allow_unused=True)
    if gradient is None or not gradient.any():
        raise ValueError(f"a loss has a gradient: none of {where} reaches the logits; {RETURN}")
    if not gradient.isfinite().all():
        raise ValueError(f"a loss has a finite gradient: that of {where} is not; keep logarithms and roots off zero")


def call(what: str, run: Callable[[], Any], way_out: str) -> Any:
    """What someone else's code gives; whatever it raises is one sentence, unless the user ends it."""
    try:
        return run()
    except (Exception, SystemExit) as error:
        if stop.asked():
            raise
        line = str(error).partition("\n")[0][:200]
        raise ValueError(f"{what}: that fails ({type(error).__name__}: {line}); {way_out}") from error
