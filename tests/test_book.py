"""The rendered book as a reader meets it: built by the graph at smoke size, opened from a folder in a browser."""

from __future__ import annotations

import csv
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from playwright.sync_api import Page

from vqabook.papers import PAGES as PAPER_PAGES
from vqabook.report.verdicts import KINDS

ROOT = Path(__file__).parents[1]
TOC = yaml.safe_load((ROOT / "book/_toc.yml").read_text())
PAGES = [TOC["root"], *re.findall(r"file: (\S+)", (ROOT / "book/_toc.yml").read_text())]


@pytest.fixture(scope="module")
def html(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The book's HTML, built from smoke records in a temporary place: the user's own book is not touched."""
    folder = tmp_path_factory.mktemp("book")
    runs = os.environ["VQABOOK_RUNS"]
    graph = [sys.executable, "-m", "snakemake", "book", "--cores", "2", "--nolock", "--drop-metadata"]
    graph += ["--config", "profile=smoke", "workers=1", f"out={folder}", f"runs={runs}"]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    # One process trains what the graph would start thirteen for, each of which has torch to import.
    for command in (
        [sys.executable, "-m", "vqabook", "run", *PAPER_PAGES, "--profile", "smoke", "--runs", runs],
        graph,
    ):
        result = subprocess.run(command, cwd=ROOT, env={**os.environ, "PATH": path}, capture_output=True, text=True)
        assert result.returncode == 0, result.stdout + result.stderr
    return folder / "_build" / "html"


def open_page(page: Page, html: Path, name: str) -> None:
    page.goto((html / f"{name}.html").as_uri())
    # MathJax's promise ends when every formula of the page is set.
    page.wait_for_function("window.MathJax === undefined || window.MathJax.startup?.promise !== undefined")
    page.evaluate("window.MathJax?.startup?.promise")


@pytest.mark.parametrize("name", PAGES)
def test_a_page_opens_from_a_folder_as_it_should_look(html: Path, page: Page, name: str):
    """Its formulas are set, a phone scrolls only downwards, and of a figure's two versions the mode's own shows."""
    open_page(page, html, name)
    assert page.locator("h1").first.inner_text()
    # Sphinx marks a formula with class "math"; MathJax puts its own element in place of the TeX.
    formulas = page.locator("article .math")
    assert formulas.count() == page.locator("article .math:has(mjx-container)").count()
    assert page.locator("mjx-merror").count() == 0
    prose = page.locator("article :is(p, li, td):not(:has(code))").all_inner_texts()
    assert [text for text in prose if re.search(r"\$\$|\\\(|\\\[|\\frac", text)] == []
    for scheme, other in (("light", "dark"), ("dark", "light")):
        page.emulate_media(color_scheme=scheme)  # the page follows a moment later
        page.wait_for_function(
            """([shown, hidden]) => [[shown, true], [hidden, false]].every(([mode, visible]) =>
                [...document.querySelectorAll("article img.only-" + mode)].every(
                    image => image.checkVisibility() === visible))""",
            arg=[scheme, other],
        )
    page.set_viewport_size({"width": 390, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


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
WORDS_OF_ALL = 52_000  # of the site outside its lists, every cell of a table counted; 30,000 is the aim
LISTS = ("ledger", "changes")  # as long as there are claims, and differences to the last release
TOO_LONG: set[str] = set()  # chapters over their budget: none may join


ASIDE = ".provenance, .own-runs"  # how to run a page again is looked up, not read


def measure(page: Page, html: Path, name: str) -> tuple[int, int]:
    """The words of a page, tables included, and its height in pixels on a screen of 1,280."""
    page.set_viewport_size({"width": 1280, "height": 800})
    open_page(page, html, name)
    article = page.locator("article")
    words, aside = (len(" ".join(part.all_inner_texts()).split()) for part in (article, article.locator(ASIDE)))
    return words - aside, round(article.bounding_box()["height"])


@pytest.mark.parametrize("name", [name for name in PAGES if re.match(r"pages/0[1-9]", name)])
def test_a_chapter_s_page_is_read_in_minutes(html: Path, page: Page, name: str):
    words, height = measure(page, html, name)
    evidence = re.match(r"pages/\d+_\d", name)
    fits = height <= EVIDENCE if evidence else words <= WORDS and height <= STORY
    told = f"{name}: {words} words, {height} px; a story has {WORDS} and {STORY} px, a page of evidence {EVIDENCE} px"
    assert fits != (name in TOO_LONG), told


def test_the_site_is_read_in_an_evening(html: Path, page: Page):
    words = {name: measure(page, html, name)[0] for name in PAGES if name not in LISTS}
    assert sum(words.values()) <= WORDS_OF_ALL, words


def test_no_code_is_cut(html: Path, page: Page):
    """Code that a page shows has at most 79 columns; behind a button, too."""
    for name in PAGES:
        if name not in TOO_LONG | {"pages/00_data"}:
            open_page(page, html, name)
            blocks = page.locator("article .highlight-python pre, article .cell_input pre").all_text_contents()
            assert [line for block in blocks for line in block.splitlines() if len(line) > 79] == [], name


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
