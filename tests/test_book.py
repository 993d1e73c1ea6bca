"""The rendered book as a reader meets it: built by the graph at smoke size, opened from a folder in a browser."""

from __future__ import annotations

import csv
import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from playwright.sync_api import Browser, Page

from vqabook import papers
from vqabook.cli import pages as commands
from vqabook.report.plain import minus
from vqabook.report.verdicts import KINDS

ROOT = Path(__file__).parents[1]
TOC = yaml.safe_load((ROOT / "book/_toc.yml").read_text())
NOTEBOOKS = sorted((ROOT / "notebooks").glob("[0-9]*.ipynb"))
PAGES = [TOC["root"], *re.findall(r"file: (\S+)", (ROOT / "book/_toc.yml").read_text())]
LEFT = "08_ten_lines"  # of the notebooks, to the graph


@pytest.fixture(scope="module")
def html(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The book's HTML, built from smoke records in a temporary place: the user's own book is not touched."""
    folder = tmp_path_factory.mktemp("book")
    runs = os.environ["VQABOOK_RUNS"]
    make(runs, folder / "_build" / "pages")
    graph = [sys.executable, "-m", "snakemake", "book", "--cores", "2", "--nolock", "--drop-metadata"]
    graph += ["--config", "profile=smoke", "workers=1", f"out={folder}", f"runs={runs}"]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    result = subprocess.run(graph, cwd=ROOT, env={**os.environ, "PATH": path}, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
    return folder / "_build" / "html"


def make(runs: str, pages: Path) -> None:
    """Make here what the graph would start fourteen processes for, each of which has torch to import."""
    done = Path(runs, ".complete", "smoke")
    for name in papers.PAGES:
        commands.run([name], "smoke", runs, done=done / f"{name}.1-of-1")
    commands.live(None, "smoke", runs, done=done / "live")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        commands.execute([path.relative_to(ROOT) for path in NOTEBOOKS if path.stem != LEFT], pages, "smoke", runs)


def open_page(page: Page, html: Path, name: str) -> None:
    page.goto((html / f"{name}.html").as_uri())
    # MathJax's promise ends when every formula of the page is set.
    page.wait_for_function("window.MathJax === undefined || window.MathJax.startup?.promise !== undefined")
    page.evaluate("window.MathJax?.startup?.promise")


ASIDE = ".provenance, .own-runs"  # how to run a page again is looked up, not read


@dataclass(frozen=True)
class Visit:
    """What a reader meets on a page of the site."""

    title: str
    words: int  # tables included, what is folded and what is aside not
    height: int  # in pixels, at a width of 1,280
    formulas: int
    formulas_set: int
    faults: list[str]  # formulas that are not set, or not understood
    wrong_images: list[str]  # of a figure's two versions, those of the other mode that are visible
    phone_width: int  # on a screen of 390
    code: list[str]  # its lines, those behind a button too
    cut: list[str]  # tables that are wider than their box at a width of 1,280, unfolded
    hyphens: list[str]  # texts in which a negative number has a hyphen for its minus


@pytest.fixture(scope="module")
def visits(html: Path, browser: Browser) -> dict[str, Visit]:
    """All pages of the site, each opened once."""
    page = browser.new_page()
    met = {name: visit(page, html, name) for name in PAGES}
    page.close()
    return met


def visit(page: Page, html: Path, name: str) -> Visit:
    """Open a page and write down what it shows on a screen in both modes, and on a phone."""
    page.set_viewport_size({"width": 1280, "height": 800})
    open_page(page, html, name)
    article = page.locator("article")
    words, aside = (len(" ".join(part.all_inner_texts()).split()) for part in (article, article.locator(ASIDE)))
    prose = page.locator("article :is(p, li, td):not(:has(code))").all_inner_texts()
    faults = [text for text in prose if re.search(r"\$\$|\\\(|\\\[|\\frac", text)]
    cut = page.evaluate(
        """() => {
            const folded = [...document.querySelectorAll("article .text_html > details:not([open])")]
            folded.forEach(part => part.open = true)
            const cut = [...document.querySelectorAll("article table")].filter(table => table.checkVisibility()
                && table.scrollWidth > table.closest("div").clientWidth + 1).map(table => table.innerText.slice(0, 60))
            folded.forEach(part => part.open = false)
            return cut
        }"""
    )
    height, wrong = round(article.bounding_box()["height"]), []
    for scheme, other in (("light", "dark"), ("dark", "light")):
        page.emulate_media(color_scheme=scheme)
        page.wait_for_function("mode => document.documentElement.dataset.theme === mode", arg=scheme)
        wrong += page.evaluate(
            """([shown, hidden]) => [[shown, true], [hidden, false]].flatMap(([mode, visible]) =>
                [...document.querySelectorAll("article img.only-" + mode)].filter(
                    image => image.checkVisibility() !== visible).map(image => mode + ": " + image.alt))""",
            [scheme, other],
        )
    blocks = page.locator("article .highlight-python pre, article .cell_input pre").all_text_contents()
    page.set_viewport_size({"width": 390, "height": 800})
    return Visit(
        title=page.locator("h1").first.inner_text(),
        words=words - aside,
        height=height,
        # Sphinx marks a formula with class "math"; MathJax puts its own element in place of the TeX.
        formulas=page.locator("article .math").count(),
        formulas_set=page.locator("article .math:has(mjx-container)").count(),
        faults=faults + page.locator("mjx-merror").all_inner_texts(),
        wrong_images=wrong,
        phone_width=page.evaluate("document.documentElement.scrollWidth"),
        cut=cut,
        hyphens=[text for text in prose if minus(text) != text],
        code=[line for block in blocks for line in block.splitlines()],
    )


@pytest.mark.parametrize("name", PAGES)
def test_a_page_opens_from_a_folder_as_it_should_look(visits: dict[str, Visit], name: str):
    """Its formulas are set, a phone scrolls only downwards, and of a figure's two versions the mode's own shows."""
    met = visits[name]
    assert met.title and met.formulas == met.formulas_set and met.faults == [] and met.wrong_images == []
    assert met.phone_width <= 390


@pytest.mark.parametrize("name", PAGES)
def test_no_table_is_cut_and_a_negative_number_has_a_minus(visits: dict[str, Visit], name: str):
    assert visits[name].cut == [] and visits[name].hyphens == []


def test_the_search_finds_the_method(html: Path, page: Page):
    page.goto((html / "search.html").as_uri() + "?q=re-scaling")
    page.locator("#search-results ul.search li").first.wait_for(timeout=10_000)
    assert page.locator("#search-results a[href*='loss_rescaling']").count() > 0


def test_a_claim_of_the_ledger_leads_to_its_place_and_back(html: Path, page: Page):
    """Of a paper's first claim and last: from its row to the page that shows it, and from there to its row."""
    rows = json.loads((html / "ledger.json").read_text())
    for row in (rows[0], rows[-1]):
        page.goto((html / "ledger.html").as_uri() + f"#{row['address']}")
        page.locator(f"#{row['address']} a").first.click()
        page.wait_for_url(re.compile(rf"/pages/{row['shown_on']}\.html#{row['address']}$"))
        place = page.locator(f"article #{row['address']}")
        assert row["claim"] in place.inner_text()
        place.click()
        page.locator(".ledger-filter output").wait_for()
        assert page.locator(f"#{row['address']} details").get_attribute("open") is not None


def test_every_claim_is_shown_on_a_page_and_every_link_to_one_has_its_end(html: Path):
    rows = json.loads((html / "ledger.json").read_text())
    assert [row["name"] for row in rows if row["headline"] and row["shown_on"] is None] == []  # others: at least here
    texts = {path.stem: path.read_text("utf-8") for path in [html / "ledger.html", *(html / "pages").glob("*.html")]}
    ids = {name: set(re.findall(r'id="(claim-[a-z0-9-]+)"', text)) for name, text in texts.items()}
    ends = [end for text in texts.values() for end in re.findall(r'href="[^"]*?(\w+)\.html#(claim-[a-z0-9-]+)"', text)]
    assert len(ends) > len(rows)
    assert [(page, address) for page, address in ends if address not in ids[page]] == []


def test_the_ledger_is_there_for_machines_too(html: Path):
    rows = json.loads((html / "ledger.json").read_text())
    assert rows
    for row in rows:
        assert row.keys() >= {"paper", "claim", "where", "printed", "embedded", "real", "verdict", "verdict_embedded"}
        assert {row["verdict"], row["verdict_embedded"]} <= KINDS.keys()
        assert (html / "pages" / f"{row['page']}.html").exists()
    with (html / "ledger.csv").open(encoding="utf-8", newline="") as file:
        table = list(csv.DictReader(file))
    assert [(row["paper"], row["name"], row["verdict"]) for row in table] == [
        (row["paper"], row["name"], row["verdict"]) for row in rows
    ]


def test_every_executed_notebook_can_be_downloaded(html: Path):
    notebooks = {path.name for path in (html / "_sources").rglob("*.ipynb")}
    assert notebooks == {path.name for path in (ROOT / "notebooks").glob("[0-9]*.ipynb")}


WORDS, STORY, EVIDENCE = 1_500, 8_000, 10_000  # of a story; pixels of a story and of a page of evidence, at 1,280
WORDS_OF_ALL = 30_000  # of the site outside its lists, what is folded not counted
LISTS = ("ledger", "changes")  # as long as there are claims, and differences to the last release
TOO_LONG: set[str] = set()  # chapters over their budget: none may join


@pytest.mark.parametrize("name", [name for name in PAGES if re.match(r"pages/0[1-9]", name)])
def test_a_chapter_s_page_is_read_in_minutes(visits: dict[str, Visit], name: str):
    words, height = visits[name].words, visits[name].height
    evidence = re.match(r"pages/\d+_\d", name)
    fits = height <= EVIDENCE if evidence else words <= WORDS and height <= STORY
    told = f"{name}: {words} words, {height} px; a story has {WORDS} and {STORY} px, a page of evidence {EVIDENCE} px"
    assert fits != (name in TOO_LONG), told


def test_the_site_is_read_in_an_evening(visits: dict[str, Visit]):
    words = {name: met.words for name, met in visits.items() if name not in LISTS}
    assert sum(words.values()) <= WORDS_OF_ALL, words


def test_no_code_is_cut(visits: dict[str, Visit]):
    """Code that a page shows has at most 79 columns; behind a button, too."""
    cut = {name: [line for line in met.code if len(line) > 79] for name, met in visits.items()}
    del cut["pages/00_data"]
    assert {name: lines for name, lines in cut.items() if lines} == {}


QUESTIONS = {  # what a reader asks: the link on the front page, and where the answer stands on the page that it opens
    "does re-scaling work?": ("counts frequent answers", "article [class^=verdict]"),
    "which paper replicates?": ("Is paper X right?", "figure.plot"),
    "which loss for my skewed classes?": ("I have skewed data", "article [class^=verdict]"),
    "what does this loss look like in ten lines?": ("I have skewed data", "div.highlight:has-text('balanced_softmax')"),
    "how do I run Table V again with other seeds?": ("Run it", "div.highlight:has-text('-p seeds')"),
}
SCREENS = {"desk": (1280, 800), "phone": (390, 844)}


@pytest.mark.parametrize("screen", SCREENS.values(), ids=SCREENS)
@pytest.mark.parametrize("question", QUESTIONS)
def test_a_question_is_answered_within_a_screen_and_a_click(html: Path, page: Page, question: str, screen):
    link, answer = QUESTIONS[question]
    width, height = screen
    page.set_viewport_size({"width": width, "height": height})
    open_page(page, html, TOC["root"])
    door = page.locator(f"article a:has-text('{link}'), article .sd-card:has-text('{link}')").first
    assert door.bounding_box()["y"] < height
    door.click()
    page.wait_for_load_state()
    found = page.locator(answer).first
    found.wait_for()
    assert found.bounding_box()["y"] < height
