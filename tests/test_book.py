"""The rendered book as a reader meets it: built by the graph at smoke size, opened from a folder in a browser."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from playwright.sync_api import Browser, Page, sync_playwright

from vqabook.papers import PAGES as PAPER_PAGES
from vqabook.report.verdicts import KINDS

ROOT = Path(__file__).parents[1]
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
TOC = yaml.safe_load((ROOT / "book/_toc.yml").read_text())
PAGES = [TOC["root"], *re.findall(r"file: (\S+)", (ROOT / "book/_toc.yml").read_text())]

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on the PATH (Debian: apt-get install chromium)")


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


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    quiet = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=quiet)
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A fresh tab; after the test it must have seen no error, no failed request and nothing from the network."""
    page = browser.new_page()
    trouble: list[str] = []
    page.on("console", lambda message: trouble.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: trouble.append(str(error)))
    page.on("requestfailed", lambda request: trouble.append(f"failed: {request.url}"))
    page.on("request", lambda request: None if is_local(request.url) else trouble.append(f"remote: {request.url}"))
    yield page
    page.close()
    assert trouble == []


def is_local(url: str) -> bool:
    return url.startswith(("file:", "data:", "blob:"))


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


def test_the_ledger_filters_by_paper_and_by_verdict(html: Path, page: Page):
    open_page(page, html, TOC["root"])
    claims = page.locator("table.ledger tr[data-verdict]")
    papers = set(claims.evaluate_all("rows => rows.map(row => row.dataset.paper)"))
    assert claims.count() > 0
    for paper in papers:
        page.locator(".ledger-filter select").select_option(paper)
        assert set(claims.locator("visible=true").evaluate_all("rows => rows.map(row => row.dataset.paper)")) == {paper}
    for switch in page.locator(".ledger-filter button").all():
        switch.click()
    assert claims.locator("visible=true").count() == 0


def test_the_ledger_is_there_for_machines_too(html: Path):
    rows = json.loads((html / "ledger.json").read_text())
    assert rows
    for row in rows:
        assert row.keys() >= {"paper", "claim", "where", "printed", "embedded", "real", "verdict", "verdict_embedded"}
        assert {row["verdict"], row["verdict_embedded"]} <= KINDS.keys()
        assert (html / "pages" / f"{row['page']}.html").exists()


def test_every_executed_notebook_can_be_downloaded(html: Path):
    notebooks = {path.name for path in (html / "_sources").rglob("*.ipynb")}
    assert notebooks == {path.name for path in (ROOT / "notebooks").glob("[0-9]*.ipynb")}
