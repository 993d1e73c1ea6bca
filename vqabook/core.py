"""The three nouns that every room shares: a `Table` of examples, a `Batch` of its rows, a model's `Output`.

Before a Table there are files and formats, and nothing after it knows them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor


class Output(NamedTuple):
    """What every model returns. A head that a model lacks stays None."""

    logits: Float[Tensor, "... b a"]
    hidden: Float[Tensor, "b h"] | None = None  # the fused vector that the classifier reads
    question: Float[Tensor, "b hq"] | None = None  # the question encoding alone
    attention: Float[Tensor, "b o"] | None = None  # over regions, sums to 1
    mask: Float[Tensor, "b a"] | None = None  # answer mask in [0, 1], Guo et al. Eq. 4
    word_attention: Float[Tensor, "b t"] | None = None  # over words, sums to 1
    penalty: Float[Tensor, " b"] | None = None  # what an objective may add to the loss

    @classmethod
    def of(cls, returned: Any) -> Output:
        """What a model returned, as an Output: a bare tensor is its logits. TypeError for what has no logits."""
        if isinstance(returned, cls):
            return returned
        logits = getattr(returned, "logits", returned)
        if not isinstance(logits, Tensor):
            raise TypeError(
                f"a model returns its logits, a tensor, or an Output, got {type(returned).__name__}; return "
                "Output(logits, ...)"
            )
        return cls(logits)


class Batch(NamedTuple):
    """Rows of a Table, ready for a model: `model(*batch.inputs)`."""

    inputs: tuple[Tensor, ...]
    target: Tensor
    side: Mapping[str, Tensor]
    rows: Int[Tensor, " b"]


@dataclass(frozen=True)
class SparseScores:
    """Soft targets with few answers a row; indexing it gives the dense rows.

    `answer` [n, k] holds answer ids, padded with any id at `score` 0; `score` [n, k] is in [0, 1].
    Ten annotators give at most ten answers, so k <= 10 whatever the vocabulary's size.
    """

    answer: Int[Tensor, "n k"]
    score: Float[Tensor, "n k"]
    n_answers: int

    def __getitem__(self, rows: Int[Tensor, " b"]) -> Float[Tensor, "b a"]:
        answer, score = self.answer[rows], self.score[rows]
        dense = score.new_zeros(len(answer), self.n_answers)
        return dense.scatter_add_(1, answer.long(), score)

    def __len__(self) -> int:
        return len(self.answer)

    @property
    def best(self) -> Int[Tensor, " n"]:
        """The answer of each row with the highest score."""
        return self.answer.gather(1, self.score.argmax(1, keepdim=True)).squeeze(1).long()

    def to(self, device: torch.device | str) -> SparseScores:
        return replace(self, answer=self.answer.to(device), score=self.score.to(device))


def identity(*columns: Tensor) -> tuple[Tensor, ...]:
    """The default `Table.lookup`: the columns are the model's arguments already."""
    return columns


@dataclass(frozen=True)
class Table:
    """Equal-length columns on one device. A split is a Table; a subset of a Table is a Table.

    `inputs` are `model.forward`'s arguments, or row ids that `lookup` turns into them (an image row into its
    region features). `side` holds what an objective or a report needs besides: "question_type", "votes", ...
    """

    inputs: tuple[Tensor, ...]
    target: Tensor | SparseScores
    n_classes: int
    side: Mapping[str, Tensor] = field(default_factory=dict)
    lookup: Callable[..., tuple[Tensor, ...]] = identity

    def __post_init__(self):
        lengths = {len(column) for column in (*self.inputs, self.target, *self.side.values())}
        if len(lengths) != 1:
            raise ValueError(
                f"the columns of a Table have one length, got {sorted(lengths)}; cut them to the same rows"
            )

    def __len__(self) -> int:
        return len(self.target)

    @property
    def labels(self) -> Tensor:
        """The target of a Table of class ids. Raises TypeError for soft scores."""
        if isinstance(self.target, SparseScores):
            raise TypeError("labels are class ids, this Table's target has soft scores of answers; read its `scores`")
        return self.target

    @property
    def scores(self) -> SparseScores:
        """The target of a Table of soft scores. Raises TypeError for a tensor."""
        if not isinstance(self.target, SparseScores):
            raise TypeError("scores are SparseScores, this Table's target is a tensor; read its `labels`")
        return self.target

    @property
    def device(self) -> torch.device:
        return self.inputs[0].device

    def batch(self, rows: Int[Tensor, " b"]) -> Batch:
        """The given rows; all work is indexing and one scatter on the table's device."""
        inputs = self.lookup(*(column[rows] for column in self.inputs))
        return Batch(inputs, self.target[rows], {name: column[rows] for name, column in self.side.items()}, rows)

    def subset(self, rows: Int[Tensor, " s"]) -> Table:
        """The Table of these rows; lookups stay shared."""
        rows, target = rows.to(self.device), self.target
        if isinstance(target, SparseScores):
            target = replace(target, answer=target.answer[rows], score=target.score[rows])
        else:
            target = target[rows]
        side = {name: column[rows] for name, column in self.side.items()}
        return replace(self, inputs=tuple(c[rows] for c in self.inputs), target=target, side=side)


def pick_device(device: str = "auto") -> torch.device:
    """`auto` is the first GPU that torch sees, else the CPU. ValueError for a device that is not here."""
    there = {"cuda": torch.cuda.device_count() if torch.cuda.is_available() else 0}
    there |= {"mps": int(torch.backends.mps.is_available()), "cpu": 1}
    if device == "auto":
        device = next(kind for kind, n in there.items() if n)
    kind, _, index = device.partition(":")
    if kind not in there or not (index.isdecimal() or device == kind):
        raise ValueError(f"device is auto, cpu, cuda, cuda:N or mps, got {device!r}; choose one")
    if int(index or 0) >= there[kind]:
        raise ValueError(f"device {device} is not here, torch sees {there[kind]} of {kind}; use auto or cpu")
    return torch.device(kind, int(index)) if index else torch.device(kind)
