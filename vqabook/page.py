"""What a notebook opens in its first code cell: its setting, its runs, its claims, and what may be shown of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from vqabook.evidence import runs
from vqabook.files import data_root
from vqabook.knobs import from_page
from vqabook.papers import paper_of, producer
from vqabook.papers.paper import Paper
from vqabook.report import ledger, verdicts
from vqabook.report.claims import Claim
from vqabook.report.show import show, show_html

Records = Sequence[Mapping]


@dataclass(frozen=True)
class Page:
    """A page of the book. `here`: the runs that its setting asks for; `recorded`: the paper's runs on real data."""

    name: str  # behind the notebook's number
    paper: Paper
    setting: Any
    here: Records
    recorded: Records

    @classmethod
    def open(cls, name: str, namespace: Mapping[str, Any]) -> Page:
        """Call it with `globals()` right below the parameters: a bad one ends here, missing runs are made now."""
        paper = paper_of(name)
        setting = from_page(paper.setting, paper.profiles, namespace)
        here = verdicts.with_parts(load_or_make_runs(name, setting), paper.name, paper.apart, profile=setting.profile)
        return cls(name, paper, setting, here, read_real(paper))

    @cached_property
    def claims(self) -> tuple[Claim, ...]:
        """What the paper says that this page shows."""
        return tuple(claim for claim in self.paper.claims if claim.page.partition("_")[2] == self.name)

    @property
    def sources(self) -> dict[str, Records]:
        """Both sets of records under the headings of the page's tables."""
        return {f"here: {self.setting.dataset}": self.here, f"recorded: {next(iter(self.paper.real))}": self.recorded}

    def pick(self, *starts: str) -> list[Claim]:
        """The page's claims whose names begin so."""
        return [claim for claim in self.claims if claim.name.startswith(starts)]

    def verdict(self, name: str) -> verdicts.Verdict:
        """The verdict on a claim, on real data."""
        (claim,) = (claim for claim in self.claims if claim.name == name)
        return verdicts.verdict_on(claim, self.recorded)

    def told(self, about: str, records: Records | None = None) -> dict[str, str]:
        """What the text says of the claims that begin with `about`, by what follows; unless given, on real data."""
        return verdicts.told(self.claims, self.recorded if records is None else records, about=about)

    def show_verdicts(self, claims: Sequence[Claim] | None = None, recorded: Records | None = None) -> None:
        """Display claims with their verdicts here and on real data; unless given, all of the page's."""
        judged = self.claims if claims is None else claims
        real = self.recorded if recorded is None else recorded
        show(ledger.verdicts(judged, self.here, real, dataset=self.setting.dataset), index=False)

    def show_summary(self) -> None:
        """Display how many claims of each table or section hold."""
        show(ledger.summary(self.claims, self.here, self.recorded, dataset=self.setting.dataset))

    def strip(self) -> None:
        """Display where the page's numbers come from, and the command that makes it again."""
        show_html(ledger.provenance(self.here, self.setting, notebook=self.claims[0].page))


def load_or_make_runs(page: str, setting: Any) -> list[dict]:
    """The page's records in the order of its recipes; what is missing is made."""
    paper = paper_of(page)
    produce = producer(data_root(setting.data_root), setting.device)
    return runs.load_or_make(paper.name, paper.asked(setting, page), produce, runs=setting.runs, label=page)


def read_real(paper: Paper) -> Records:
    """The recorded runs that verdicts on real data come from."""
    return verdicts.evidence(paper.name, profile="real", dataset=tuple(paper.real))
