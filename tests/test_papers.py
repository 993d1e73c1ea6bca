"""Every paper has its pages, notebooks and claims, every claim its runs; and the runs really run."""

from __future__ import annotations

import json
import sys
from functools import lru_cache
from pathlib import Path

import pytest
import yaml

from vqabook.evidence.record import key_of
from vqabook.knobs import from_page
from vqabook.page import list_live_recipes
from vqabook.papers import OURS, PAGES, PAPERS, page_of, paper_of
from vqabook.papers.arena.recipes import NATURAL
from vqabook.papers.arena.setting import REAL
from vqabook.papers.balanced_activation.setting import ROWS, name_full
from vqabook.papers.loss_rescaling.claims import TEN
from vqabook.papers.mcl_kd.setting import runs_of as ensembles_of
from vqabook.papers.paper import Paper
from vqabook.producer import load_or_make_runs
from vqabook.report import live
from vqabook.report.claims import Side
from vqabook.report.verdicts import MIN_SEEDS, evidence, number, with_parts

ROOT = Path(__file__).resolve().parents[1]
STUDIES = (*PAPERS, *OURS)
CLAIMS = [claim for paper in STUDIES for claim in paper_of(paper).claims]
EMBEDDED_PROFILES = ("smoke", "small")
REAL_ALONE = {"Imbalanced CIFAR-10": "cifar10", "LFW, seven people": "faces", TEN: "vqa_v2_60k"}
BENCHMARK = {  # what digits have too few pixels, rows or classes for: variants of the profile `paper`
    "mcl_kd": lambda s: {"vgg base"} | {f"vgg {row}" for row, _ in ensembles_of("vgg", s.specialists, controls=True)},
    "balanced_activation": lambda s: (
        {f"{row} at {n:g}" for n in s.imbalances for row in ROWS}
        | {name_full(row, n) for row in ROWS for n in s.further_at}
        | {f"heads at {n:g}{end}" for n in s.heads_imbalances for end in ("", " @ twice as long")}
    ),
    "arena": lambda s: {f"{name} {how}" for name in REAL for how in (NATURAL, *(f"at {n:g}" for n in s.imbalances))},
}


def notebook_of(page: str) -> Path:
    """The notebook of a page's story, whatever its number."""
    (path,) = (ROOT / "notebooks").glob(f"[0-9][0-9]_{page}.ipynb")
    return path


def test_every_paper_is_a_package_and_has_its_pages():
    packages = {path.parent.name for path in (ROOT / "vqabook" / "papers").glob("*/__init__.py")}
    assert packages == set(STUDIES) == set(PAGES.values())
    for name in STUDIES:
        paper = paper_of(name)
        assert paper.name == name and paper.pages == tuple(page for page in PAGES if PAGES[page] == name)
        assert {page_of(claim.page) for claim in paper.claims} <= set(paper.pages)
        assert {claim.page for claim in paper.claims} <= {notebook_of(page).stem for page in paper.pages}
        assert {claim.paper for claim in paper.claims} == {paper.title}


@pytest.mark.parametrize("name", STUDIES)
def test_every_part_of_a_paper_has_runs(name):
    paper = paper_of(name)
    whole = paper.setting_of(profile="smoke", **paper.whole)
    recipes = [recipe for page in paper.pages for recipe in paper.asked(whole, page)]
    assert {recipe.get("part") or recipe["kind"] for recipe in recipes} == set(paper.parts)


@pytest.mark.parametrize("name", STUDIES)
def test_a_recipe_is_read_back_from_its_record(name):
    paper = paper_of(name)
    whole = paper.setting_of(profile="smoke", **paper.whole)
    for recipe in (recipe for page in paper.pages for recipe in paper.recipes(whole, page)):
        part = paper.parts[recipe.part or recipe.kind]
        kept = json.loads(json.dumps(recipe.asked()))
        assert key_of(part.recipe.of(kept).asked()) == key_of(kept)
        with pytest.raises(ValueError, match=f"^a recipe of {name} has no epochz; check its part$"):
            part.recipe.of(kept | {"epochz": 3})


@pytest.mark.parametrize("name", STUDIES)
def test_live_runs_are_both_sides_of_live_claims_with_a_seed_of_their_own(name):
    paper = paper_of(name)
    recipes = list_live_recipes(paper, "small")
    asked = {key_of(recipe) for page in paper.pages for recipe in paper.asked(paper.setting_of(profile="small"), page)}
    assert {recipe["seed"] for recipe in recipes if recipe["kind"] == "train"} == {live.SEED}
    assert not asked & {key_of(recipe) for recipe in recipes if recipe["kind"] == "train"}
    claims = {claim.name: claim for claim in paper.claims}
    for side in (side for claim in paper.live for side in claims[claim].sides()):
        assert any(all(recipe.get(k) == v for k, v in side.where.items()) for recipe in recipes)


def test_an_unknown_page_is_refused():
    with pytest.raises(ValueError, match=f"pages are {', '.join(PAGES)}; got 'css'"):
        paper_of("css")


@pytest.mark.parametrize("page", PAGES)
def test_every_page_has_its_notebook_and_its_line_in_the_book(page):
    toc = (ROOT / "book" / "_toc.yml").read_text()
    assert f"file: pages/{notebook_of(page).stem}\n" in toc


@pytest.mark.parametrize("page", PAGES)
def test_a_notebooks_parameters_are_its_papers_knobs(page):
    cells = json.loads(notebook_of(page).read_text())["cells"]
    (cell,) = [c for c in cells if "parameters" in c["metadata"].get("tags", [])]
    namespace, paper = {}, paper_of(page)
    exec("".join(cell["source"]), namespace)
    assert from_page(paper.setting, paper.profiles, namespace | {"profile": "smoke"}).profile == "smoke"
    assert {"profile", "dataset", "data_root", "seeds", "device", "runs"} <= namespace.keys()


@pytest.mark.parametrize(
    ("notebook", "page"),
    [
        ("02_loss_rescaling", "loss_rescaling"),
        ("02_1_loss_rescaling_tables", "loss_rescaling"),
        ("02_10_loss_rescaling_paper_and_code", "loss_rescaling"),
        ("01_1_class_imbalance_vision", "class_imbalance"),
        ("00_data", None),
        ("07_1_loss_rescalings", None),
    ],
)
def test_a_story_and_its_evidence_are_one_page(notebook, page):
    assert page_of(notebook) == page


@pytest.mark.parametrize("preset", ["smoke", "small", "real", "paper"])
@pytest.mark.parametrize("page", PAGES)
def test_presets_are_settings(preset, page):
    values = yaml.safe_load((ROOT / "params" / f"{preset}.yml").read_text())
    assert paper_of(page).setting_of(**values).profile == values["profile"] == preset


def test_claims_are_told_apart():
    assert len({claim.name for claim in CLAIMS}) == len(CLAIMS)
    sides = [(str(claim.more), str(claim.less), claim.page) for claim in CLAIMS]
    assert len(set(sides)) == len(CLAIMS)


@lru_cache
def embedded(page: str, profile: str) -> list[dict]:
    """What a page runs, and the recorded recipes of its parts that need another environment."""
    paper = paper_of(page)
    values = paper.whole if profile == "smoke" else {}
    apart = with_parts([], paper.name, paper.apart, profile=profile)
    return paper.asked(paper.setting_of(profile=profile, **values), page) + [record["recipe"] for record in apart]


def on_benchmark(side: Side, page: str) -> bool:
    """Whether nothing embedded can be run for a side: VGG, frozen features, full size, 100 classes, imbalance 200."""
    variant = side.where["variant"]
    if page == "arena":
        return variant.split(" ")[0] in REAL
    alone = variant.startswith(("vgg ", "heads ", "full ")) or variant.endswith(" at 200")
    return alone or side.where.get("classes") == 100


# Asked for by knobs of chapter 05 that are empty in its profiles; recorded all the same.
ASKED_ALONE = {
    f"{network} {row}"
    for network in ("san", "resnet")
    for row in ("ie @ distilled", "one member @ wide", "one member @ long", "mcl_kd k1 @ beta x 0.1")
}


@pytest.mark.parametrize("profile", EMBEDDED_PROFILES)
@pytest.mark.parametrize("page", PAGES)
def test_both_sides_of_a_claim_are_run_and_shown(page, profile):
    claims = [claim for claim in CLAIMS if claim.page == notebook_of(page).stem]
    assert claims
    for claim in claims:
        if any(on_benchmark(side, page) for side in (claim.more, claim.less)):
            variants = BENCHMARK[page](paper_of(page).setting_of(profile="paper"))
            assert {claim.more.where["variant"], claim.less.where["variant"]} <= variants, claim.name
            continue
        real = claim.data in REAL_ALONE  # the embedded world has none: recorded runs
        recipes = recorded(page, claim.data) if real else embedded(page, profile)
        for side in (claim.more, claim.less):
            if profile == "small" and side.where["variant"] in ASKED_ALONE:
                continue
            seeds = [r["seed"] for r in recipes if all(r.get(k) == v for k, v in side.where.items())]
            assert len(seeds) == len(set(seeds)) > 0, f"{claim.name}: no run, or several a seed, of {dict(side.where)}"
            assert profile == "smoke" and not real or len(seeds) >= MIN_SEEDS, claim.name


@lru_cache
def recorded(page: str, data: str) -> list[dict]:
    """The recipes of a page's recorded runs on a real data set."""
    return [record["recipe"] for record in evidence(PAGES[page], dataset=REAL_ALONE[data])]


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("profile", EMBEDDED_PROFILES)
def test_recipes_are_json_and_have_names_of_their_own(page, profile):
    paper = paper_of(page)
    recipes = paper.asked(paper.setting_of(profile=profile), page)
    assert len({key_of(recipe) for recipe in recipes}) == len(recipes)
    assert all(key_of(json.loads(json.dumps(recipe))) == key_of(recipe) for recipe in recipes)


def test_knobs_enter_the_recipes():
    paper = paper_of("loss_rescaling")

    def keys(lxmert: bool, **values: object) -> set[str]:
        recipes = paper.asked(paper.setting_of(profile="smoke", **values), "loss_rescaling")
        trained = [r for r in recipes if r["kind"] == "train" and "@" not in r["variant"]]  # they set some knobs too
        return {key_of(r) for r in trained if r["variant"].startswith("lxmert") == lxmert}

    changes = {"lr": 0.5, "cap": 3.0, "min_votes": 4, "questions": 300, "hidden": 8, "world_noise": 1.5}
    for name, value in changes.items():
        assert keys(False) and not keys(False) & keys(False, **{name: value}), name
    mixins, other = ({k for k in keys(False, **step) if "-lm" in k} for step in ({}, {"mixin_step": 3.0}))
    assert len(keys(False) & keys(False, mixin_step=3.0)) == len(keys(False)) - len(mixins) and not mixins & other
    of_lxmert = {"lr": 0.5, "epochs": 3, "rescale_epochs": 2, "hidden": 32, "layers": (2, 1, 1), "dropout": 0.3}
    for name, value in of_lxmert.items():
        change = {f"lxmert_{name}": value}
        assert keys(True) and not keys(True) & keys(True, **change), name
        assert keys(False) == keys(False, **change), name


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"lxmert_layers": (1, 1)}, r"lxmert_layers must be a list of 3 int, got \(1, 1\)"),
        ({"lxmert_hidden": 56}, "lxmert_hidden has heads of 16, of 64 from 512 on, got 56; give a multiple"),
        ({"backbones": ("lstm",)}, "backbones is one of lm, lmh, css"),
    ],
)
def test_bad_backbones_are_refused_before_anything_runs(values, message):
    paper = paper_of("loss_rescaling")
    with pytest.raises(ValueError, match=message):
        paper.asked(paper.setting_of(profile="smoke", **values), "loss_rescaling")


@pytest.mark.parametrize(
    "values",
    [
        {"backbones": ()}, {"priors": ("changing",)}, {"priors": ("same",)}, {"mask_dropouts": ()},
        {"backbone_modules": ("baseline",)}, {"departures": False}, {"seeds": (3, 5)},
    ],
)  # fmt: skip
def test_less_of_a_page_is_part_of_it(values):
    paper = paper_of("loss_rescaling")

    def asked(**values: object) -> set[str]:
        recipes = paper.asked(paper.setting_of(profile="small", **values), "loss_rescaling")
        keys = [key_of(recipe) for recipe in recipes]
        assert len(set(keys)) == len(keys)
        return {key for recipe, key in zip(recipes, keys, strict=True) if recipe["kind"] == "train"}

    seeds = {"seeds": values.get("seeds", (0, 1, 2, 3, 4))}
    less, whole = asked(**values), asked(**seeds)
    assert less <= whole and (less < whole or "seeds" in values)


def recipe_of(variant: str, prior: str = "changing") -> dict:
    paper = paper_of("loss_rescaling")
    recipes = paper.asked(paper.setting_of(profile="smoke"), "loss_rescaling")
    (recipe,) = [r for r in recipes if (r["variant"], r["prior"]) == (variant, prior)]
    return recipe


def produce(variant: str, tmp_path: Path, prior: str = "changing") -> dict:
    """The result of a smoke run, through JSON without NaN as a record goes."""
    paper = paper_of("loss_rescaling")
    result = paper.produce(recipe_of(variant, prior), tmp_path / "c", data_root=None, device="cpu")
    return json.loads(json.dumps(result, allow_nan=False))


@pytest.mark.parametrize("variant", ["bce baseline", "ce both"])
def test_a_run_gives_what_its_claims_read(variant, cache, tmp_path):
    result = produce(variant, tmp_path)
    assert result == {**produce(variant, tmp_path), "history": result["history"]}  # times apart, the same numbers
    assert 0 <= result["test"]["overall"] <= 100
    assert [row["epoch"] for row in result["history"]] == [1, 2]
    assert result["parameters"]["model"] > result["parameters"]["question"]
    if "baseline" in variant:
        assert all(set(m["answers"]) and len(m["loss"]) == len(m["answers"]) for m in result["matrices"].values())
    for claim in CLAIMS:
        for side in (claim.more, claim.less):
            if side.where == {"variant": variant, "prior": "changing"}:
                value = number({"result": result}, side.metric)
                assert value is not None or "mistakes" in side.metric, side.metric


@pytest.mark.parametrize("prior", ["changing", "same"])
def test_statistics(prior, cache, tmp_path):
    result = produce("statistics", tmp_path, prior)
    sizes, types = result["sizes"], result["types"]
    assert sizes["train"] + sizes["valid"] <= 400 and sizes["types"] == len(types)
    assert sum(t["n_test"] for t in types.values()) <= sizes["test"]
    for kind in types.values():
        assert kind["train"] == sorted(kind["train"], reverse=True) and len(kind["weight"]) == len(kind["votes"])
        voted = [(n, w) for n, w in zip(kind["votes"], kind["weight"], strict=True) if n]
        assert [w for _, w in sorted(voted)] == sorted((w for _, w in voted), reverse=True)  # rarer is heavier
    if prior == "changing":
        assert result["in_type"]["by_plurality"] == 0


@pytest.mark.parametrize(
    ("page", "values", "message"),
    [
        ("mcl_kd", {"depth": 9}, r"depth is 6 n \+ 2 with n >= 1, got 9"),
        ("mcl_kd", {"networks": ["resnet", "vgg"]}, "a side is halved four times, got 8 pixels; use a multiple of 16"),
        ("attention_supervision", {"glove": True, "data_root": "/none"}, "GloVe of 8 numbers is .*; check data_root"),
        ("attention_supervision", {"image_scale": 9}, "1 <= scale <= the longer side; got 10 masks, scale 9"),
        ("soft_cross_entropy", {"min_answer_count": 300}, "no answer occurs 300 times in 360 train questions"),
        ("balanced_activation", {"detection": True}, "torchvision, which is not in this environment; make another one"),
    ],
)
def test_what_a_run_would_end_with_is_told_before_the_first(page, values, message, cache, tmp_path, monkeypatch):
    """Also what only a late run's model, masks or environment would tell."""
    monkeypatch.setattr(Paper, "produce", lambda *_, **__: pytest.fail("something ran"))
    if "detection" in values:
        monkeypatch.setitem(sys.modules, "torchvision.models.detection", None)
        monkeypatch.delitem(sys.modules, "vqabook.papers.balanced_activation.detection", raising=False)
    setting = paper_of(page).setting_of(profile="smoke", runs=str(tmp_path), **values)
    with pytest.raises((ValueError, OSError, RuntimeError), match=message):
        load_or_make_runs(page, setting)
    assert list(tmp_path.rglob("*")) == []
