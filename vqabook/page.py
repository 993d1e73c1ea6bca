"""What a notebook opens in its first code cell: its setting, its runs, its claims, and what may be shown of them."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from functools import cache, cached_property
from html import escape
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from vqabook import __released__, __version__, files
from vqabook.evidence.record import key_of, need_evidence, read_records
from vqabook.evidence.runs import find_records, make, runs_folder
from vqabook.knobs import from_page, read_meanings
from vqabook.papers import OURS, PAPERS, page_of, paper_of
from vqabook.papers.paper import Paper
from vqabook.producer import Producer, load_or_make_runs
from vqabook.report import again, figures, headlines, ledger, limits, live, overview, strength, verdicts
from vqabook.report.claims import Claim
from vqabook.report.plain import name_set, sign
from vqabook.report.show import show, show_html
from vqabook.report.told import Teller, leave

Records = Sequence[Mapping]
BOOK = "small"  # the profile of the recorded runs that the book's text is about


@dataclass(frozen=True)
class Page:
    """A page of the book. `here`: the runs that its setting asks for; `recorded`: the paper's runs on real data."""

    name: str  # behind the story's number: all of a chapter's notebooks open the same page
    paper: Paper
    setting: Any
    here: Records
    recorded: Records
    meanings: Mapping[str, str] = field(default_factory=dict)  # of its parameters

    @classmethod
    def open(cls, name: str, namespace: Mapping[str, Any]) -> Page:
        """Call it with `globals()` right below the parameters: a bad one ends here, missing runs are made now.

        Warns where recorded evidence is not at hand.
        """
        paper = paper_of(name)
        setting = from_page(paper.setting, paper.profiles, namespace)
        here = verdicts.with_parts(load_or_make_runs(name, setting), paper.name, paper.apart, profile=setting.profile)
        try:
            need_evidence()
        except FileNotFoundError as error:
            warnings.warn(f"claims are shown as not run on real data: {error}", stacklevel=2)
        page = cls(name, paper, setting, here, read_real(paper), read_meanings(namespace))
        if not page.as_in_the_book:
            show_html(again.notice(setting))
        return page

    @cached_property
    def claims(self) -> tuple[Claim, ...]:
        """What the paper says that this page shows; a claim's `page` is the notebook of the story."""
        return tuple(claim for claim in self.paper.claims if page_of(claim.page) == self.name)

    @cached_property
    def placed(self) -> set[str]:
        """Addresses of claims that the page has shown."""
        return set()

    @property
    def dataset(self) -> str:
        """What headings call the data set of the page's runs: its name, or that of a folder of one's own."""
        return Path(self.setting.dataset).name

    @property
    def sources(self) -> dict[str, Records]:
        """Both sets of records under the headings of the page's tables."""
        here = "embedded world" if self.setting.dataset == "shapes" else f"here: {self.dataset}"
        return {here: self.here, f"real data: {name_set(next(iter(self.paper.real)))}": self.recorded}

    def pick(self, *starts: str) -> list[Claim]:
        """The page's claims whose names begin so."""
        return [claim for claim in self.claims if claim.name.startswith(starts)]

    def verdict(self, name: str) -> verdicts.Verdict:
        """The verdict on a claim, on real data."""
        return verdicts.verdict_on(self._claim(name), self.recorded)

    def gain(self, name: str, records: Records) -> tuple[list[float], tuple[float, float] | None]:
        """What a claim compares, one difference a seed, and the 95 % interval of their mean: for `figures.gains`."""
        claim = self._claim(name)
        return verdicts.gain(records, replace(claim.more, over=claim.less))

    def tell_shared(self, *names: str) -> str:
        """A caption's words on `gain`'s intervals of these claims, with their blank: which allow for shared rows."""
        pairs = [(self._claim(name), records) for name in names for records in (self.here, self.recorded)]
        return verdicts.tell_shared(verdicts.verdict_on(claim, records) for claim, records in pairs)

    def _claim(self, name: str) -> Claim:
        named = {claim.name: claim for claim in self.claims}
        if name not in named:
            raise ValueError(f"claims of this page are {', '.join(named)}; got {name!r}: check the spelling")
        return named[name]

    @cached_property
    def as_in_the_book(self) -> bool:
        """Whether these are the runs that the book's text was written about."""
        free = {name: getattr(self.setting, name) for name in ("data_root", "device", "threads")}
        return replace(self.paper.setting_of(profile=BOOK), **free) == self.setting

    @cached_property
    def _teller(self) -> Teller:
        return teller_of(self.paper.name)

    def told(self, asked: str) -> str:
        """What the book's text says where it has {told}`asked`: for captions."""
        return self._teller.tell(asked)

    def measure(self, name: str, text: str) -> None:
        """Leave a value for the page's text: where Markdown says {told}`name`, the book shows `text`."""
        leave(name, text)

    def show_verdicts(
        self, claims: Sequence[Claim] | None = None, recorded: Records | None = None, *, folded: str = ""
    ) -> None:
        """Display claims with their verdicts here and on real data; unless given, all of the page's.

        `folded`: words that unfold them.
        """
        judged = self.claims if claims is None else claims
        real = self.recorded if recorded is None else recorded
        table = ledger.verdicts(judged, self.here, real, dataset=self.dataset, placed=self.placed)
        show(table, index=False, folded=folded)

    def show_folded(self, claims: Sequence[Claim] | None = None) -> None:
        """Display claims with their verdicts, folded under the table or section that prints them; unless given, all."""
        places: dict[str, list[Claim]] = {}
        for claim in self.claims if claims is None else claims:
            places.setdefault(ledger.place_of({"where": claim.where}), []).append(claim)
        for place, claims in places.items():
            self.show_verdicts(claims, folded=f"{place}: {len(claims)} claim{'s' * (len(claims) > 1)}")

    def forest(self, *names: str, finding: str = "") -> None:
        """Display claims as printed and recorded, with the star of those trained again; unless given, the latter.

        Real data are those that best meet a claim's conditions. `finding`: what the picture shows, the first sentence
        of its caption.
        """
        claims = [self._claim(name) for name in names] or [c for c in live_claims(self.paper) if c in self.claims]
        stars = read_stars(self.paper, self.setting.profile, self.setting.runs, claims)
        sources = [read_room(self.paper, room) for room in ("real", *self.paper.further)]
        best = [replace(star, real=headlines.judge_best(star.claim, sources)) for star in stars]
        show_html(draw_forest(best, finding))

    def show_limits(self, names: Mapping[str, str], room: str = "real") -> None:
        """Display what data could have shown of claims (label -> name): baseline levels, smallest visible effects.

        `room`: which real data: the paper's, or one set by its name.
        """
        rooms = {"embedded": read_room(self.paper, "embedded"), "real": read_room(self.paper, room)}
        show(limits.limits({label: self._claim(name) for label, name in names.items()}, rooms))

    def show_evidence(self) -> None:
        """Display links to the pages with the story's evidence."""
        links = [f'<li><a href="{path.stem}.html">{escape(read_title(path))}</a></li>' for path in self.evidence]
        show_html(f"<ul>{''.join(links)}</ul>")

    @property
    def evidence(self) -> list[Path]:
        """The chapter's notebooks in the project's folder, but for the story."""
        notebooks = sorted(files.PROJECT.glob("notebooks/*.ipynb")) if files.PROJECT else []
        story = self.claims[0].page
        return [path for path in notebooks if page_of(path.stem) == self.name and path.stem != story]

    def strip(self, *, notebook: str | None = None) -> None:
        """Display how to run the page again, its parameters, and where its numbers come from: the last thing on it.

        A page of evidence says which `notebook` it is; unless given, it is the story's.
        """
        notebook = notebook or self.claims[0].page
        show_html(again.run_again(self.here, self.setting, notebook=notebook, meanings=self.meanings))


def read_title(notebook: Path) -> str:
    """The first heading of a notebook."""
    cells = json.loads(notebook.read_text("utf-8"))["cells"]
    lines = "".join(line for cell in cells if cell["cell_type"] == "markdown" for line in [*cell["source"], "\n"])
    return next(line.removeprefix("# ") for line in lines.splitlines() if line.startswith("# "))


def list_live_recipes(paper: Paper, profile: str, data_root: str | None = None) -> list[dict]:
    """The recipes of a paper's live runs: all sides of its live claims, with the seed that no record has."""
    setting = paper.setting_of(profile=profile, data_root=data_root, seeds=(live.SEED,))
    recipes = [recipe for page in paper.pages for recipe in paper.asked(setting, page)]
    wheres = [side.where for claim in live_claims(paper) for side in claim.sides()]
    fits = [r for r in recipes if any(all(r.get(k) == v for k, v in where.items()) for where in wheres)]
    return list({key_of(recipe): recipe for recipe in fits}.values())


def live_claims(paper: Paper) -> list[Claim]:
    """The claims that every build trains again."""
    return [claim for claim in paper.claims if claim.name in paper.live]


def make_live_runs(
    paper: str, recipes: Sequence[Mapping], *, runs: str | None, data_root: str | None, threads: int = 1
) -> list[dict]:
    """Train a paper's live runs that this code has not made on this machine yet; their records."""
    produce = Producer(files.data_root(data_root), threads=threads)
    return make(recipes, produce, runs_folder(runs) / "live" / paper, here=True)


def read_stars(paper: Paper, profile: str, runs: str | None, claims: Sequence[Claim] | None = None) -> list[live.Star]:
    """The stars of a paper's claims, unless given its live ones, from what has been trained."""
    records = read_records(runs_folder(runs) / "live" / paper.name)
    trained = [record for record in records if record["recipe"]["profile"] == profile]
    shown = live_claims(paper) if claims is None else claims
    return live.find_stars(shown, trained, verdicts.evidence(paper.name, profile=profile), read_real(paper))


def read_headlines(profile: str, runs: str | None) -> list[live.Star]:
    """The stars of the papers' headline claims, each on the real data that best meet its conditions."""
    papers = [paper_of(name) for name in PAPERS]
    chosen = overview.choose_headlines([paper.claims for paper in papers], [n for paper in papers for n in paper.live])
    stars = []
    for paper in papers:
        mine = [claim for claim in chosen if claim in paper.claims]
        sources = [read_room(paper, room) for room in ("real", *paper.further)]
        best = {claim.name: verdict for claim, verdict in headlines.judge_paper(mine, sources).headlines}
        stars += [replace(star, real=best[star.claim.name]) for star in read_stars(paper, profile, runs, mine)]
    return stars


def read_levels(paper: Paper, profile: str) -> list[strength.Level]:
    """The levels of what a paper's headline claims compare with."""
    claims = [claim for claim in paper.claims if claim.headline]
    return strength.list_levels(claims, verdicts.evidence(paper.name, profile=profile), read_real(paper), most=3)


def draw_forest(stars: Sequence[live.Star], finding: str = "") -> str:
    """The picture of claims with their stars, as HTML; nothing without claims. `finding`: its caption's first words."""
    if not stars:
        return ""
    values = [_tell_star(star) for star in stars]
    alt = f"{finding or 'Printed, recorded and live differences.'} {'; '.join(values)}"
    printed = any(star.claim.printed is not None for star in stars)
    marks = f"{'Diamonds are printed, bars' if printed else 'Bars are'} 95 % intervals."
    caption = (
        f"{finding} {live.count_inside(stars)} {marks}"
        f"{verdicts.tell_shared(verdict for star in stars for verdict in (star.real, star.embedded))}"
    ).strip()
    size, phone = (7.2, 1.2 + 0.42 * len(stars)), 1.4 + 0.62 * len(stars)

    def draw(figure: Figure) -> None:
        figures.forest(figure.add_subplot(), stars)

    return figures.render(draw, caption=caption, alt=alt, size=size, phone=phone)


def _tell_star(star: live.Star) -> str:
    """A row of the forest in words: what was measured of the claim, and where."""
    measured = {"live": star.value, "real data": star.real.mean, "embedded world": star.embedded.mean}
    told = [f"{sign(value)} ({where})" for where, value in measured.items() if value is not None]
    return f"{star.claim.statement}: {', '.join(told) or 'not run'}"


def read_embedded(paper: Paper, setting: Any) -> Records:
    """The runs of all of a paper's pages that are there, recorded ones first."""
    recipes = [recipe for page in paper.pages for recipe in paper.asked(setting, page)]
    records = find_records(paper.name, recipes, setting.runs)
    return verdicts.with_parts(records, paper.name, paper.apart, profile=setting.profile)


def read_real(paper: Paper) -> Records:
    """The recorded runs that verdicts on real data come from."""
    return verdicts.evidence(paper.name, profile="real", dataset=tuple(paper.real))


def read_further(paper: Paper, runs: str | None) -> list[Records]:
    """The recorded runs of each further real data set; last those of profile `paper`, with what was run here."""
    sets = [read_room(paper, dataset) for dataset in paper.further]
    own = [r for r in read_records(runs_folder(runs) / paper.name) if r["recipe"].get("profile") == "paper"]
    return [*sets, [*verdicts.evidence(paper.name, profile="paper"), *own]]


def read_room(paper: Paper, room: str) -> Records:
    """The recorded runs that the book's text is about: "real", "embedded", or those of one real data set."""
    if room == "real":
        return read_real(paper)
    if room == "embedded":
        return verdicts.evidence(paper.name, profile=BOOK)
    if room not in (sets := (*paper.real, *paper.further)):
        raise ValueError(f"{paper.name} was measured in: real, embedded, {', '.join(sets)}; got {room!r}")
    return verdicts.evidence(paper.name, profile="real", dataset=room)


def teller_of(*names: str) -> Teller:
    """What text may tell: the package's version and date, and the claims of these papers, unless given of all."""
    papers = [paper_of(name) for name in names or (*PAPERS, *OURS)]
    owners = {claim.name: paper for paper in papers for claim in paper.claims}
    claims = {claim.name: claim for paper in papers for claim in paper.claims}
    read = cache(lambda name, room: read_room(paper_of(name), room))
    day = date.fromisoformat(__released__)
    values = {"version": __version__, "released": f"{day.day} {day:%B %Y}", "year": str(day.year)}
    return Teller(claims, lambda claim, room: read(owners[claim.name].name, room), values)


def judge_paper(paper: Paper) -> headlines.PaperVerdict:
    """What became of a paper's headline claims: on real data where they meet the conditions, else as embedded."""
    rooms = ("real", *paper.further, "embedded")
    return headlines.judge_paper(paper.claims, [read_room(paper, room) for room in rooms])
