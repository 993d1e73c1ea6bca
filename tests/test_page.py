"""What a notebook opens: its runs are made, its claims picked and judged, and what it shows comes from records."""

from __future__ import annotations

from dataclasses import replace

import nbformat
import pytest

from vqabook import page as module
from vqabook.evidence import record
from vqabook.evidence.record import key_of
from vqabook.page import Page, draw_forest, list_live_recipes, make_live_runs, read_embedded, read_stars, teller_of
from vqabook.report import ledger, verdicts
from vqabook.report.live import SEED

NAME = "soft_cross_entropy"
SHORT = {"profile": "smoke", "models": ["avg"], "further": False, "disagreements": []}
LIVE = "soft-ce-table-1-avg-overall"


@pytest.fixture(scope="module")
def page(cache) -> Page:
    """The page as a notebook's first cell opens it, with few runs."""
    return Page.open(NAME, {"__name__": "__main__", "Page": Page, **SHORT})


@pytest.fixture
def shown(monkeypatch) -> list[str]:
    """The HTML that is displayed."""
    displayed: list = []
    monkeypatch.setattr("IPython.display.display", displayed.append)
    return displayed


def test_its_runs_are_those_of_its_recipes_in_their_order(page):
    recipes = page.paper.asked(page.setting, NAME)
    assert [key_of(record["recipe"]) for record in page.here] == [key_of(recipe) for recipe in recipes]
    assert page.recorded == module.read_real(page.paper) != []
    assert list(page.sources) == ["embedded world", "real data: VQA v2 with ten votes"]
    assert {key_of(r["recipe"]) for r in read_embedded(page.paper, page.setting)} == set(map(key_of, recipes))


def test_a_bad_parameter_ends_before_anything_runs(monkeypatch):
    monkeypatch.setattr("vqabook.producer.load_or_make", lambda *_, **__: pytest.fail("something ran"))
    with pytest.raises(ValueError, match="^epochs must be positive, got 0; its default is 70$"):
        Page.open(NAME, {"profile": "smoke", "epochs": 0})
    with pytest.raises(ValueError, match="got epochz: check the spelling"):
        Page.open(NAME, {"profile": "smoke", "epochz": 1})


def test_a_page_away_from_the_project_warns_that_evidence_is_not_at_hand(cache, tmp_path, monkeypatch):
    monkeypatch.setattr(record, "EVIDENCE", tmp_path / "none")
    with pytest.warns(UserWarning, match="not run on real data: recorded evidence comes with the project, .*git clone"):
        Page.open(NAME, SHORT)


def test_claims_are_picked_by_how_their_names_begin(page):
    assert page.claims == page.paper.claims  # the paper has one page
    picked = page.pick("soft-ce-table-1-avg", "soft-ce-release")
    assert [claim.name for claim in picked] == [
        LIVE, "soft-ce-table-1-avg-yes-no", "soft-ce-table-1-avg-number", "soft-ce-table-1-avg-other",
        "soft-ce-release",
    ]  # fmt: skip
    assert page.pick("no such claim") == []


def test_captions_tell_what_the_text_does(page):
    verdict = page.verdict(LIVE)
    assert verdict == verdicts.verdict_on(page.pick(LIVE)[0], page.recorded) and verdict.n >= verdicts.MIN_SEEDS
    assert page.told(f"{LIVE} seeds") == f"n\u00a0=\u00a0{verdict.n}" == page.told(f"{LIVE} vqa_v2_60k seeds")
    assert page.told(f"{LIVE} verdict") == ledger.badge(verdict.kind)
    embedded = verdicts.verdict_on(page.pick(LIVE)[0], verdicts.evidence(NAME, profile="small"))
    assert page.told(f"{LIVE} embedded seeds") == f"n\u00a0=\u00a0{embedded.n}"
    with pytest.raises(ValueError, match="^soft_cross_entropy was measured in: real, embedded, vqa_v2_60k; got 'tre"):
        page.told(f"{LIVE} trec")


def test_text_of_all_papers_reads_each_paper_once(monkeypatch):
    asked = []
    monkeypatch.setattr(module, "read_room", lambda paper, room: asked.append((paper.name, room)) or [])
    teller = teller_of()
    for name in (LIVE, f"{LIVE} embedded", "soft-ce-question", "balanced-detector-rare"):
        assert "not run" in teller.tell(name)
    assert asked == [(NAME, "real"), (NAME, "embedded"), ("balanced_activation", "real")]


def test_a_page_of_other_runs_says_that_its_text_is_not_about_them(cache, shown, page):
    assert not page.as_in_the_book
    Page.open(NAME, SHORT)
    assert "profile = smoke, dataset = shapes, seeds = (0,)): figures and tables show these runs" in shown[0].data
    book = replace(page, setting=page.paper.setting_of(profile="small", threads=3, data_root="elsewhere"))
    assert book.as_in_the_book
    assert not replace(page, setting=page.paper.setting_of(profile="small", seeds=(0,))).as_in_the_book


def test_a_verdict_on_no_claim_of_the_page_is_refused_in_a_sentence(page):
    with pytest.raises(ValueError, match=f"^claims of this page are {LIVE}, .*; got 'unknown': check the spelling$"):
        page.verdict("unknown")


def test_verdicts_and_strip_are_shown(page, shown):
    page.show_verdicts(page.pick(LIVE))
    page.show_folded()
    page.strip()
    page.strip(notebook="03_1_soft_cross_entropy_tables")
    claims, *folded, strip, evidence = (html.data for html in shown)
    assert folded[0].startswith("<details><summary>Table 1: 8 claims</summary>")
    assert sum(text.count("verdict-") for text in folded) == 2 * len(page.claims)
    assert "AVG: soft cross-entropy beats cross-entropy" in claims and claims.count("verdict-") == 2
    assert "papermill notebooks/03_soft_cross_entropy.ipynb out.ipynb -p profile smoke" in strip
    assert "papermill notebooks/03_1_soft_cross_entropy_tables.ipynb out.ipynb -p profile smoke" in evidence


def test_a_story_links_to_its_evidence_in_the_projects_order(page, shown, tmp_path, monkeypatch):
    (tmp_path / "notebooks").mkdir()
    for name in ("03_soft_cross_entropy", "03_2_soft_cross_entropy_b", "03_1_soft_cross_entropy_a", "02_x"):
        cells = [nbformat.v4.new_markdown_cell(f"# Of <{name}>\n\n## More"), nbformat.v4.new_code_cell("# a comment")]
        nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "notebooks" / f"{name}.ipynb")
    monkeypatch.setattr("vqabook.files.PROJECT", tmp_path)
    page.show_evidence()
    assert shown[0].data == (
        '<ul><li><a href="03_1_soft_cross_entropy_a.html">Of &lt;03_1_soft_cross_entropy_a&gt;</a></li>'
        '<li><a href="03_2_soft_cross_entropy_b.html">Of &lt;03_2_soft_cross_entropy_b&gt;</a></li></ul>'
    )
    monkeypatch.setattr("vqabook.files.PROJECT", None)
    assert page.evidence == [], "an installed package has no notebooks beside it"


def test_live_runs_get_a_star_in_the_forest(page, shown, tmp_path):
    runs = str(tmp_path)
    recipes = list_live_recipes(page.paper, "smoke")
    assert [(r["variant"], r["seed"]) for r in recipes] == [("avg modal", SEED), ("avg votes", SEED)]
    (before,) = read_stars(page.paper, "smoke", runs)
    make_live_runs(NAME, recipes, runs=runs, data_root=None)
    (star,) = read_stars(page.paper, "smoke", runs)
    assert before.value is None and star.value is not None and star.inside is None  # no smoke run is recorded
    assert read_stars(page.paper, "small", runs)[0].value is None
    html = draw_forest([star])
    statement = "AVG: soft cross-entropy beats cross-entropy"
    assert html.count(f"{statement}: {star.value:+.2f} (live), {star.real.mean:+.2f} (real data)") == 2
    assert "(live)" not in draw_forest([before])
    page.forest()
    page.forest("soft-ce-question", finding="It gains.")
    assert "It gains." in shown[1].data and "The model without an image" in shown[1].data


def test_claims_are_drawn_and_their_limits_shown(page, shown):
    seeds, interval = page.gain(LIVE, page.recorded)
    verdict = page.verdict(LIVE)
    assert (len(seeds), interval) == (verdict.n, (verdict.low, verdict.high))
    page.show_limits({"AVG": LIVE})
    assert "46.8" in shown[0].data and ">visible</th>" in shown[0].data


def test_a_forest_without_claims_is_nothing():
    assert draw_forest([]) == ""
