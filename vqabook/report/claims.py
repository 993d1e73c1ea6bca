"""What a paper says, in a form that can be tested; what it needs of a data set, and which data set has it."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace

CONDITIONS = {  # what a claim may need -> what that is
    "ten votes": "ten annotators' answers a question: without them an answer that is right at test when priors change "
    "was almost never seen with its question type, and a mask by question type takes it for wrong",
    "changed priors": "within a question type, other answers are right at test than in training",
    "question types": "questions come with the type or family that they belong to",
    "human maps": "maps of where people look to answer a question",
    "relevant regions": "questions name the regions that answer them",
}
HAS: dict[str, tuple[str, ...]] = {  # data set -> what it has; one that is not listed is taken to have what is needed
    "shapes": tuple(CONDITIONS),
    "vqacp_v1_coco16k": ("changed priors", "question types"),
    "vqa_v2_60k": ("ten votes", "changed priors", "question types"),
    "clevr_1500": ("question types",),
    **dict.fromkeys(("trec", "cifar10", "cifar100", "faces", "digits", "lvis_v1", "made", "scenes"), ()),
}
MOST_HEADLINES = 6  # of a paper
LONGER = " @ twice as long"  # behind the variant of a run that is trained so
Metric = str | Callable[[Mapping], float | None]  # a dotted path into a record's result, or what reads a result


@dataclass(frozen=True)
class Side:
    """One side of a comparison: the runs matching `where`, and which number of a record's result it is."""

    where: Mapping[str, object]
    metric: Metric = "test.overall"
    printed: float | None = None  # the paper's own number
    over: Side | None = None  # what is taken from it, seed by seed: a side may be a gain

    @property
    def in_print(self) -> float | None:
        """What the paper prints of this side: its number, or its gain."""
        if self.printed is None or self.over is None:
            return self.printed
        return None if self.over.printed is None else self.printed - self.over.printed

    @property
    def measured(self) -> tuple:
        """What its numbers are read from: equal for two sides that print different numbers of the same runs."""
        over = None if self.over is None else self.over.measured
        return tuple(sorted((key, repr(value)) for key, value in self.where.items())), self.metric, over


@dataclass(frozen=True)
class Claim:
    """`more` is larger than `less`, compared seed by seed. `where`: where the paper prints it, with table and row.

    `models`: runs that only learn, one a model that is compared; each must beat `blind`, the run of a model that sees
    the question alone, on validation. `starts`: runs whose weights the compared ones go on from; they must make up
    enough of what `guess`, a run that knows no more than a question's kind, gets wrong. `learners`: runs that must know
    their training rows, whatever their rule.
    """

    name: str
    statement: str
    where: str
    more: Side
    less: Side
    page: str  # the notebook that shows it
    paper: str
    data: str = ""  # what the printed numbers were measured on
    unit: str = "points"
    needs: tuple[str, ...] = ()  # of CONDITIONS
    headline: bool = False  # what the paper is cited for
    selects: bool = False  # its runs report the epoch that is best on validation
    models: tuple[Mapping[str, object], ...] = ()
    blind: Mapping[str, object] | None = None
    starts: tuple[Mapping[str, object], ...] = ()
    guess: Mapping[str, object] | None = None
    learners: tuple[Mapping[str, object], ...] = ()

    def __post_init__(self):
        if unknown := set(self.needs) - CONDITIONS.keys():
            raise ValueError(
                f"a claim needs what CONDITIONS names, {', '.join(CONDITIONS)}; {self.name} needs "
                f"{', '.join(sorted(unknown))}: add it there, with a line that explains it"
            )

    @property
    def ours(self) -> bool:
        """Whether it is a control or a question of ours, not the paper's; `where` says so first."""
        return self.where.startswith(("Ours", "Our "))

    @property
    def address(self) -> str:
        """What links to it end with, on its page and in the ledger: `claim-loss-re-scaling-table-v-bce-both`."""
        return "-".join(["claim", *re.findall("[a-z0-9]+", f"{self.paper.partition('(')[0]} {self.name}".lower())])

    @property
    def compares(self) -> tuple:
        """The page, and what both sides are read from: equal for claims on the same records."""
        return self.page, self.more.measured, self.less.measured

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
        more, less = self.more.in_print, self.less.in_print
        return None if more is None or less is None else round(more - less, 2)


def mark_headlines(claims: Iterable[Claim], names: Collection[str]) -> tuple[Claim, ...]:
    """These claims, those with one of `names` as what their paper is cited for."""
    claims = tuple(claims)
    if unknown := set(names) - {claim.name for claim in claims}:
        raise ValueError(f"headlines are claims of the paper, got {', '.join(sorted(unknown))}; check the spelling")
    if len(names) > MOST_HEADLINES:
        raise ValueError(f"a paper has at most {MOST_HEADLINES} headlines, got {len(names)}; keep what it is cited for")
    return tuple(replace(claim, headline=claim.name in names) for claim in claims)


def first_of_equals(claims: Iterable[Claim]) -> dict[str, str]:
    """Claims that compare the same records as another: name -> the one that counts, a headline or the paper's first."""
    counts: dict[tuple, str] = {}
    repeats = {}
    for claim in sorted(claims, key=lambda claim: (not claim.headline, claim.ours)):
        first = counts.setdefault(claim.compares, claim.name)
        if first != claim.name:
            repeats[claim.name] = first
    return repeats
