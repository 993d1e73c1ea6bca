"""The runs of chapter 06 as its pages show them: one set of images at one imbalance, or regions under a tail."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from vqabook.papers.balanced_activation.claims import DATA, MINE, NAMES
from vqabook.papers.balanced_activation.printed import LONGER, PRINTED, SPREAD
from vqabook.papers.balanced_activation.setting import FULL, name_full
from vqabook.report.plain import clear, sign
from vqabook.report.verdicts import BySeed, by_seed, find_move, matching, pair

Records = Sequence[Mapping]
SETS = {
    "digits": "digits",
    "cifar10": DATA[10],
    "cifar100": DATA[100],
    "made": "a made tail",
    "lvis_v1": "LVIS' counts",
}


def name_of(row: str) -> str:
    """What pages call a row of `setting.ROWS` and its neighbours."""
    return NAMES.get(row, row.replace(" @ ", ", "))


@dataclass(frozen=True)
class Study:
    """Runs of classifiers of images: one set, one imbalance."""

    records: Records
    classes: int
    imbalance: int
    full: bool = False  # by networks of full size

    @property
    def name(self) -> str:
        """What headings call the set of images."""
        dataset = self.records[0]["recipe"]["data"]["dataset"]
        return SETS.get(dataset, dataset) + ", full size" * self.full

    @property
    def in_print(self) -> str:
        """What the paper calls its set of as many classes."""
        return DATA.get(self.classes, "")

    @property
    def printed(self) -> Mapping[str, float]:
        """The column of Table 1 that has as many classes and this imbalance."""
        return PRINTED.get((self.classes, self.imbalance), {})

    @property
    def printed_cells(self) -> Mapping[str, str]:
        """The same with its ±, by what pages call a row; and the longer paper's."""
        at = self.classes, self.imbalance
        spread, longer = SPREAD.get(at, {}), LONGER.get(at, {})
        cells = {name_of(row): f"{value:.1f}\u00a0±\u00a0{spread[row]:.1f}" for row, value in self.printed.items()}
        return cells | {name_of(row): f"{value:.1f}" for row, value in longer.items()}

    @property
    def groups(self) -> dict[str, str]:
        """Many, medium and few by the training rows that their classes have: "2 classes of 50 to 83"."""
        many, few = (self.records[0]["recipe"][bound] for bound in ("many", "few"))
        named = {}
        for group in ("many", "medium", "few"):
            rows = [n for n in self.counts if group == ("many" if n > many else "few" if n < few else "medium")]
            if rows:
                span = f"{min(rows):,} to {max(rows):,}" if min(rows) < max(rows) else f"{max(rows):,}"
                named[group] = f"{len(rows)} class{'es' * (len(rows) > 1)} of {span}"
        return named

    @property
    def counts(self) -> list[int]:
        """Training rows of each class, of the first tail."""
        return list(self.records[0]["recipe"]["data"]["counts"])

    def tell_learnt(self, row: str) -> dict[str, str]:
        """What a row has learnt, in words: of its training images, of test's, and by twice the training."""
        move = find_move(self.records, self.where(row), "test.overall")
        shares = {"learnt": self.seeds(row, "train.overall"), "level": self.seeds(row)}
        told = {name: f"{clear(float(np.mean(list(of.values()))), 1)}\u00a0%" for name, of in shares.items()}
        return told | {"moves": "an unknown amount" if move is None else f"{sign(move, 1)}\u00a0points"}

    def where(self, row: str) -> dict[str, object]:
        """What the recipes of a row say."""
        return {"variant": name_full(row, self.imbalance) if self.full else f"{row} at {self.imbalance}"}

    def runs(self, row: str) -> Records:
        """A row's records."""
        return matching(self.records, self.where(row))

    def seeds(self, row: str, metric: str = "test.overall") -> BySeed:
        """A row's number for each seed."""
        return by_seed(self.records, self.where(row), metric)

    def gains(self, row: str, metric: str = "test.overall", base: str = "softmax") -> BySeed:
        """What it gains over the accuracy of another."""
        return pair(self.seeds(row, metric), self.seeds(base))


def find_studies(records: Records) -> list[Study]:
    """The studies of images among records: many classes first, then long tails."""
    images: dict[tuple[int, int], list[Mapping]] = {}
    for record in records:
        recipe = record["recipe"]
        if "part" not in recipe:
            images.setdefault((recipe["classes"], int(recipe["data"]["imbalance"])), []).append(record)
    return [Study(images[kind], *kind) for kind in sorted(images, reverse=True)]


def find_whole(*sources: Records) -> list[Study]:
    """Of each source the study that has every row, if there is one."""
    whole = [[study for study in find_studies(records) if study.runs("crt")] for records in sources]
    return [studies[0] for studies in whole if studies]


def find_full(*sources: Records) -> list[Study]:
    """Of each source the study by networks of full size, if there is one."""
    found = []
    for records in sources:
        if mine := find_part(records, FULL):
            recipe = mine[0]["recipe"]
            found.append(Study(mine, recipe["classes"], int(recipe["data"]["imbalance"]), full=True))
    return found


def find_learnt(*sources: Records) -> list[Study]:
    """Of each source the study whose networks learn their training rows: of full size, else that with every row."""
    found = [[s for s in find_full(records) if s.runs(MINE)] or find_whole(records) for records in sources]
    return [studies[0] for studies in found if studies]


def find_part(records: Records, part: str) -> Records:
    """The records of "counts", the classifiers of regions, of "detection", or of networks of "full" size."""
    return [record for record in records if record["recipe"].get("part") == part]
