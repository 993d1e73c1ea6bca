"""What a paper says, in a form that can be tested."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Side:
    """One side of a comparison: the runs matching `where`, and the dotted path `metric` into a record's result."""

    where: Mapping[str, object]
    metric: str = "test.overall"
    printed: float | None = None  # the paper's own number


@dataclass(frozen=True)
class Claim:
    """`more` is larger than `less`, compared seed by seed. `where`: where the paper prints it, with table and row."""

    name: str
    statement: str
    where: str
    more: Side
    less: Side
    page: str  # the notebook that shows it
    paper: str
    data: str = ""  # what the printed numbers were measured on
    unit: str = "points"

    @property
    def printed(self) -> float | None:
        """The difference that the paper prints."""
        if self.more.printed is None or self.less.printed is None:
            return None
        return round(self.more.printed - self.less.printed, 2)
