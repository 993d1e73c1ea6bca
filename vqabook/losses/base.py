"""What every loss does alike: check its arguments, leave out ignored rows, reduce; and a loss as an `nn.Module`.

Shapes, dtypes and numbers are checked everywhere, at no cost for a device. What only values tell (labels outside the
classes, scores outside [0, 1], shares below 0) is checked of tensors on the CPU, outside `torch.compile`: elsewhere a
look at them would wait for the device. There a label outside the classes makes its loss NaN, which `fit` refuses, or
stops in torch's own kernel.
"""

import inspect
from collections.abc import Callable
from math import inf
from typing import Any, Literal, NamedTuple, get_args

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

Reduction = Literal["none", "mean", "sum"]
REDUCTIONS = get_args(Reduction)
IGNORED = -100  # torch's


class Rows(NamedTuple):
    """Examples of a loss of labels, pixels too, one a row; from `rows_of`."""

    logits: Float[Tensor, "n c"]
    target: Int[Tensor, " n"] | Float[Tensor, "n c"]  # labels, 0 where a row is ignored; or shares
    shared: bool  # whether it is the share of every class, as mixup makes it; or which classes there are
    ignored: Bool[Tensor, " n"] | None
    outside: Bool[Tensor, " n"] | None  # labels of no class, where values are not looked at
    shape: tuple[int, ...]  # of what the loss returns

    def one_hot(self) -> Float[Tensor, "n c"]:
        """1 at each row's class, zeros for a label of c; or the shares."""
        if self.shared:
            return self.target
        classes = torch.arange(self.logits.shape[1], device=self.logits.device)
        return self.target[:, None].eq(classes).to(self.logits)

    def no_class(self) -> Bool[Tensor, " n"]:
        """Background: a label of c, or no class at all."""
        return self.target.eq(0).all(1) if self.shared else self.target.eq(self.logits.shape[1])

    def cross_entropy(self, logits: Float[Tensor, "n c"]) -> Float[Tensor, " n"]:
        """Cross-entropy of `logits` with the labels, or with the shares; a class without a share may be ruled out."""
        if not self.shared:
            return F.cross_entropy(logits, self.target, reduction="none")
        return -(self.target * logits.log_softmax(1).masked_fill(self.target == 0, 0)).sum(1)

    def reduce(self, loss: Float[Tensor, " n"], reduction: Reduction) -> Float[Tensor, "*b"]:
        """0 for ignored rows, which are left out of a mean; the mean of none is 0."""
        if self.outside is not None:
            loss = loss.masked_fill(self.outside, torch.nan)
        if self.ignored is None:
            return reduce(loss.view(self.shape), reduction)
        loss = loss.masked_fill(self.ignored, 0.0)
        if reduction == "mean":
            return loss.sum() / (~self.ignored).sum().clamp(min=1)
        return reduce(loss.view(self.shape), reduction)


def rows_of(
    logits: Float[Tensor, "b c *d"],
    target: Int[Tensor, "b *d"] | Float[Tensor, "b c *d"] | Bool[Tensor, "b c *d"],
    ignore_index: int | None = IGNORED,
    *,
    soft: bool = True,
    background: bool = False,
) -> Rows:
    """Logits and targets of a loss of labels, classes last. ValueError where they do not belong together.

    `target` are class ids of any integer dtype, or as wide as the logits where `soft`. With `background` an id of c is
    no class, and shares, which need not sum to 1, are of each class by itself.
    """
    if logits.dim() < 2:
        raise ValueError(f"logits are [b, c], or [b, c, ...] for dense ones, got {list(logits.shape)}")
    c, ids = logits.shape[1], (logits.shape[0], *logits.shape[2:])
    flat = logits.movedim(1, -1).reshape(-1, c)
    if target.shape == logits.shape and (target.is_floating_point() or target.dtype == torch.bool):
        if not soft:
            raise ValueError("this loss has a margin for each label, got shares of classes; mix its losses instead")
        share = follow(target.movedim(1, -1).reshape(-1, c), flat)
        check_range("the share of a class", share, high=1.0)
        return Rows(flat, share, True, None, None, ids)
    whole = not target.is_floating_point() and target.dtype != torch.bool
    if target.shape != ids or not whole:
        wide = f", or shares of classes, a float {list(logits.shape)}" if soft else ""
        raise ValueError(
            f"target holds class ids, an integer {list(ids)}{wide}, beside logits {list(logits.shape)}, got "
            f"{list(target.shape)} of {target.dtype}; make it so"
        )
    label = target.long().reshape(-1)
    ignored = None if ignore_index is None else label == ignore_index
    label = label if ignored is None else label.masked_fill(ignored, 0)
    check_ids("target", label, c + background, ignore_index=ignore_index)
    outside = None if visible(label) else (label < 0) | (label >= c + background)
    return Rows(flat, label, False, ignored, outside, ids)


def reduce(loss: Float[Tensor, "*b"], reduction: Reduction) -> Float[Tensor, "*r"]:
    """One value an example ("none"), their mean, or their sum."""
    check_choice("reduction", reduction, REDUCTIONS)
    return loss if reduction == "none" else loss.mean() if reduction == "mean" else loss.sum()


def settle(logits: Float[Tensor, "*b"], target: Float[Tensor, "*b"]) -> Float[Tensor, "*b"]:
    """Finite logits where an infinite one says exactly what `target` does: no loss, and not 0 · ∞."""
    sure = logits.isinf() & target.eq((logits > 0).to(target))
    most = torch.finfo(logits.dtype).max / 2
    return torch.where(sure, logits.clamp(-most, most), logits)


def per_class(name: str, constant: Tensor, logits: Float[Tensor, "n c"]) -> Tensor:
    """`constant` [c] on the logits' device, and in their dtype unless it is a mask."""
    if constant.shape != logits.shape[1:]:
        raise ValueError(
            f"{name} has a value for each class, [{logits.shape[1]}], got {list(constant.shape)}; make it of counts of "
            "the same classes"
        )
    return constant.to(logits.device) if constant.dtype == torch.bool else constant.to(logits)


def check_same(of: str, first: Tensor, **others: Tensor | None) -> None:
    """ValueError for one that has another shape than `first`, called `of`: it would broadcast in silence."""
    for name, other in others.items():
        if other is not None and other.shape != first.shape:
            hint = "; make class ids one-hot, or use a loss of labels" if name == "target" else ""
            raise ValueError(
                f"{name} has the shape of {of}, {list(first.shape)}, got {list(other.shape)} of {other.dtype}{hint}"
            )


def scores_of(
    logits: Float[Tensor, "b a"], target: Float[Tensor, "b a"], weight: Tensor | None, high: float = 1.0
) -> tuple[Float[Tensor, "b a"], Float[Tensor, "#b a"] | None]:
    """Targets, 0 to `high`, and weights of a loss of soft scores, as their logits are. ValueError for other shapes."""
    if logits.dim() != 2:
        raise ValueError(f"logits of soft-labelled answers are [b, a], got {list(logits.shape)}; flatten the others")
    check_same("logits", logits, target=target)
    if not target.is_floating_point():
        raise ValueError(f"target holds scores, floats, got {target.dtype}; write target.float()")
    if weight is not None and weight.shape not in (logits.shape, (1, logits.shape[1])):
        raise ValueError(
            f"weight is {list(logits.shape)} or [1, {logits.shape[1]}], as logits are, got {list(weight.shape)}"
        )
    check_range("a score in target", target, high=high)
    return follow(target, logits), None if weight is None else follow(weight, logits)


def follow(constant: Tensor, logits: Tensor) -> Tensor:
    """`constant` on the logits' device and in their dtype; in single precision where theirs is half and its is not."""
    other = constant.dtype != logits.dtype
    return constant.to(logits.device, torch.promote_types(logits.dtype, torch.float32) if other else logits.dtype)


def check_range(what: str, values: Tensor, *, high: float = 1.0) -> None:
    """ValueError for values on the CPU outside [0, `high`]; a mixture may round to a little more."""
    if visible(values) and values.numel():
        low, top = (float(x) for x in values.detach().aminmax())
        if not (low >= 0 and top <= high + 1e-3):
            raise ValueError(f"{what} is from 0 to {high:g}, got {low if not low >= 0 else top:g}; scale it")


def check_ids(what: str, ids: Tensor, n: int, *, ignore_index: int | None = None) -> None:
    """ValueError for ids on the CPU outside 0 to `n` - 1."""
    if visible(ids) and ids.numel():
        low, top = (int(x) for x in ids.aminmax())
        if low < 0 or top >= n:
            rest = "" if ignore_index is None else f", or ignore_index, {ignore_index}"
            raise ValueError(f"{what} is from 0 to {n - 1}{rest}, got {low if low < 0 else top}; count from 0")


def check_number(
    name: str, value: float | Tensor, low: float = 0.0, high: float = inf, *, above: bool = False, note: str = ""
) -> None:
    """ValueError unless `low` <= `value` <= `high` and it is finite; `above`: unless `low` < `value`. Tensors pass."""
    if isinstance(value, Tensor):
        return
    if -inf < value < inf and low <= value <= high and not (above and value == low):  # torch.compile has no isfinite
        return
    if high < inf:
        rule = f" in {'(' if above else '['}{low:g}, {high:g}]"
    else:
        rule = f" {'>' if above else '>='} {low:g}" if low > -inf else ""
    raise ValueError(f"{name} is a finite number{rule}, got {value}{f'; {note}' if note else ''}")


def check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    """ValueError unless `value` is one of `choices`."""
    if value not in choices:
        raise ValueError(f"{name} is one of {', '.join(choices)}, got {value!r}; choose one")


def visible(values: Tensor) -> bool:
    """Whether a look at values costs nothing: on the CPU, and not while a graph is made of the code."""
    return values.device.type == "cpu" and not torch.compiler.is_compiling()


class Loss(nn.Module):
    """A loss of this room as a module: `Loss(balanced_softmax, log_n=log_counts(counts), reduction="mean")`.

    Constants that are tensors are buffers: they move with `.to` and are in no checkpoint, for the data knows them.
    Called as the function is: `loss(logits, target)`, with what else belongs to a batch by name. It can be pickled.
    """

    def __init__(self, function: Callable[..., Tensor], **constants: Any):
        """TypeError for a constant that `function` does not take, ValueError for another word of `reduction`."""
        super().__init__()
        inspect.signature(function).bind_partial(**constants)
        check_choice("reduction", constants.get("reduction", "none"), REDUCTIONS)
        self.function, self.options = function, {}
        self.names = tuple(name for name, value in constants.items() if isinstance(value, Tensor))
        for name, value in constants.items():
            if name in self.names:
                self.register_buffer(name, value, persistent=False)
            else:
                self.options[name] = value

    def forward(self, logits: Float[Tensor, "*b"], target: Tensor, **batch: Any) -> Float[Tensor, "*r"]:
        """The function's value, with its constants; `batch` goes before them."""
        constants = {name: getattr(self, name) for name in self.names}
        return self.function(logits, target, **(self.options | constants | batch))

    def extra_repr(self) -> str:
        """The function's name and its constants."""
        return ", ".join([self.function.__name__, *self.names, *(f"{k}={v!r}" for k, v in self.options.items())])
