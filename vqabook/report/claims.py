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
    over: Side | None = None  # what is taken from it, seed by seed: a side may be a gain

    @property
    def in_print(self) -> float | None:
        """What the paper prints of this side: its number, or its gain."""
        if self.printed is None or self.over is None:
            return self.printed
        return None if self.over.printed is None else self.printed - self.over.printed


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

    def sides(self) -> list[Side]:
        """Every side that the comparison reads, those that are subtracted included."""
        sides = [self.more, self.less]
        for side in sides:
            if side.over is not None:
                sides.append(side.over)
        return sides

    @property
    def printed(self) -> float | None:
        """The difference that the paper prints."""
        printed = [side.in_print for side in (self.more, self.less)]
        return None if None in printed else round(printed[0] - printed[1], 2)
