"""Every paper has its pages, notebooks and claims, every claim its runs; and the runs really run."""

from __future__ import annotations

import json
import os
import threading
import time
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import pytest
import yaml
from filelock import FileLock

from vqabook.evidence import runs
from vqabook.evidence.record import key_of, write_json
from vqabook.papers import PAGES, paper_of
from vqabook.papers.balanced_activation.setting import runs_of as losses_of
from vqabook.papers.mcl_kd.setting import runs_of as ensembles_of
from vqabook.report.claims import Claim, Side
from vqabook.report.verdicts import MIN_SEEDS, evidence, number, with_parts

ROOT = Path(__file__).resolve().parents[1]
PAPERS = sorted(set(PAGES.values()))
CLAIMS = [claim for page in {PAGES[p]: p for p in PAGES}.values() for claim in paper_of(page).CLAIMS]
EMBEDDED_PROFILES = ("smoke", "small")
REAL_IMAGES = {"Imbalanced CIFAR-10": "cifar10", "LFW, seven people": "faces"}
BENCHMARK = {  # what digits have too few pixels, rows or classes for: variants of the profile `paper`
    "mcl_kd": lambda s: {"vgg base"} | {f"vgg {row}" for row, _ in ensembles_of("vgg", s.specialists, controls=True)},
    "balanced_activation": lambda s: {f"{row} at {n:g}" for n in s.imbalances for row in losses_of(s, n)},
}


def notebook_of(page: str) -> Path:
    """The notebook of a page, whatever its number."""
    (path,) = (ROOT / "notebooks").glob(f"[0-9][0-9]_{page}.ipynb")
    return path


def test_every_paper_is_on_a_page():
    modules = {path.stem for path in (ROOT / "vqabook" / "papers").glob("[!_]*.py")}
    beside = {name for name in modules if any(name.startswith(f"{paper}_") for paper in PAPERS)}
    assert modules - beside == set(PAPERS)


@pytest.mark.parametrize("page", PAGES)
def test_every_part_of_a_paper_has_runs(page):
    paper = paper_of(page)
    whole = paper.setting(profile="smoke", **getattr(paper, "WHOLE", {}))
    recipes = [r for p in PAGES if PAGES[p] == PAGES[page] for r in paper.recipes(whole, p)]
    assert {r["part"] for r in recipes if "part" in r} == set(paper.PARTS)


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
    namespace = {}
    exec("".join(cell["source"]), namespace)
    assert paper_of(page).page(namespace | {"profile": "smoke"}).profile == "smoke"
    assert {"profile", "dataset", "data_root", "seeds", "device", "runs"} <= namespace.keys()


@pytest.mark.parametrize("preset", ["smoke", "small", "real", "paper"])
@pytest.mark.parametrize("page", PAGES)
def test_presets_are_settings(preset, page):
    values = yaml.safe_load((ROOT / "params" / f"{preset}.yml").read_text())
    assert paper_of(page).setting(**values).profile == values["profile"] == preset


def test_claims_are_told_apart():
    assert len({claim.name for claim in CLAIMS}) == len(CLAIMS)
    sides = [(str(claim.more), str(claim.less), claim.page) for claim in CLAIMS]
    assert len(set(sides)) == len(CLAIMS)


@lru_cache
def embedded(page: str, profile: str) -> list[dict]:
    """What a page runs, and the recorded recipes of its parts that need another environment."""
    paper = paper_of(page)
    values = getattr(paper, "WHOLE", {}) if profile == "smoke" else {}
    apart = with_parts([], PAGES[page], paper.APART, profile=profile)
    return paper.recipes(paper.setting(profile=profile, **values), page) + [record["recipe"] for record in apart]


def on_benchmark(side: Side) -> bool:
    """Whether nothing embedded can be run for a side: VGGNet, a hundred classes, an imbalance of 200."""
    variant = side.where["variant"]
    return variant.startswith("vgg ") or side.where.get("classes") == 100 or variant.endswith(" at 200")


@pytest.mark.parametrize("profile", EMBEDDED_PROFILES)
@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.name)
def test_both_sides_of_a_claim_are_run_and_shown(claim: Claim, profile):
    page = claim.page.split("_", 1)[1]
    assert notebook_of(page).stem == claim.page
    paper = paper_of(page)
    if any(map(on_benchmark, (claim.more, claim.less))):
        variants = BENCHMARK[page](paper.setting(profile="paper"))
        assert {claim.more.where["variant"], claim.less.where["variant"]} <= variants
        return
    if claim.data in REAL_IMAGES:  # the embedded world has none: recorded runs
        recipes, profile = [r["recipe"] for r in evidence(PAGES[page], dataset=REAL_IMAGES[claim.data])], "real"
    else:
        recipes = embedded(page, profile)
    for side in (claim.more, claim.less):
        seeds = [r["seed"] for r in recipes if all(r.get(k) == v for k, v in side.where.items())]
        assert len(seeds) == len(set(seeds)) > 0, f"no run, or several a seed, of {dict(side.where)}"
        assert profile == "smoke" or len(seeds) >= MIN_SEEDS


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("profile", EMBEDDED_PROFILES)
def test_recipes_are_json_and_have_names_of_their_own(page, profile):
    paper = paper_of(page)
    recipes = paper.recipes(paper.setting(profile=profile), page)
    assert len({key_of(recipe) for recipe in recipes}) == len(recipes)
    assert all(key_of(json.loads(json.dumps(recipe))) == key_of(recipe) for recipe in recipes)


def test_knobs_enter_the_recipes():
    paper = paper_of("loss_rescaling")

    def keys(lxmert: bool, **values: object) -> set[str]:
        recipes = paper.recipes(paper.setting(profile="smoke", **values), "loss_rescaling")
        trained = [r for r in recipes if r["kind"] == "train" and "@" not in r["variant"]]  # they set some knobs too
        return {key_of(r) for r in trained if r["variant"].startswith("lxmert") == lxmert}

    changes = {"lr": 0.5, "cap": 3.0, "min_votes": 4, "questions": 300, "hidden": 8, "world_noise": 1.5}
    for name, value in changes.items():
        assert keys(False) and not keys(False) & keys(False, **{name: value}), name
    of_lxmert = {"lr": 0.5, "epochs": 3, "rescale_epochs": 2, "hidden": 32, "layers": (2, 1, 1), "dropout": 0.3}
    for name, value in of_lxmert.items():
        change = {f"lxmert_{name}": value}
        assert keys(True) and not keys(True) & keys(True, **change), name
        assert keys(False) == keys(False, **change), name


@dataclass(frozen=True)
class Setting:
    """All that `records` reads of a setting."""

    runs: str
    device: str = "cpu"


class Paper:
    """A paper of three runs; whoever makes the first finds the second in another process's hands till the third."""

    APART = ("detection",)

    def __init__(self, folder: Path):
        self.folder, self.made, self.other = folder, [], None

    def root_of(self, setting: Setting) -> None:
        return None

    def recipes(self, setting: Setting, page: str) -> list[dict]:
        return [{"paper": "p", "variant": f"v{i}", "data": {"dataset": "d"}} for i in range(3)]

    def produce(self, recipe: dict, checkpoint: Path, **options: object) -> dict:
        if not self.made:
            self.other = FileLock(self.folder / f"{key_of(self.recipes(None, '')[1])}.lock", thread_local=False)
            self.other.acquire()
            self.at_last = threading.Timer(30, self.other.release)  # not kept for ever
            self.at_last.start()
        elif recipe["variant"] == "v2" and self.other is not None:
            self.at_last.cancel()
            self.other.release()
        self.made.append(recipe["variant"])
        return {"variant": recipe["variant"]}


def test_another_process_s_runs_are_waited_for_last(tmp_path, monkeypatch):
    paper = Paper(tmp_path / PAGES["class_imbalance"])
    monkeypatch.setattr(runs, "paper_of", lambda page: paper)
    monkeypatch.setattr(runs, "code_of", lambda recipe: "c")
    monkeypatch.setattr(runs, "is_current", lambda record: record["provenance"]["code"] == "c")
    setting = Setting(str(tmp_path))
    found = runs.records("class_imbalance", setting)
    assert paper.made == ["v0", "v2", "v1"]
    assert [record["result"]["variant"] for record in found] == ["v0", "v1", "v2"]
    assert runs.records("class_imbalance", setting) == runs.existing(["class_imbalance"], setting) == found
    assert len(paper.made) == 3


def test_first_stages_are_kept_for_other_pages_and_processes_and_not_for_ever(tmp_path, monkeypatch):
    paper = Paper(tmp_path / PAGES["class_imbalance"])
    paper.made = ["nobody else is at it"]
    monkeypatch.setattr(runs, "paper_of", lambda page: paper)
    monkeypatch.setattr(runs, "code_of", lambda recipe: "c")
    old, young = (paper.folder / f"{name}.stage" for name in ("old", "young"))
    paper.folder.mkdir(parents=True)
    for path in (old, young):
        path.write_bytes(b"state")
    os.utime(old, (0, time.time() - 1.1 * runs.STAGES_KEPT))
    runs.records("class_imbalance", Setting(str(tmp_path)))
    assert (old.exists(), young.exists()) == (False, True)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"lxmert_layers": (1, 1)}, r"lxmert_layers are language, regions, cross, got \[1, 1\]; give three"),
        ({"lxmert_hidden": 56}, "lxmert_hidden has heads of 16, of 64 from 512 on, got 56; give a multiple"),
        ({"backbones": ("lstm",)}, "backbones is one of lm, lmh, css"),
    ],
)
def test_bad_backbones_are_refused_before_anything_runs(values, message):
    paper = paper_of("loss_rescaling")
    with pytest.raises(ValueError, match=message):
        paper.recipes(paper.setting(profile="smoke", **values), "loss_rescaling")


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
        recipes = paper.recipes(paper.setting(profile="small", **values), "loss_rescaling")
        keys = [key_of(recipe) for recipe in recipes]
        assert len(set(keys)) == len(keys)
        return {key for recipe, key in zip(recipes, keys, strict=True) if recipe["kind"] == "train"}

    seeds = {"seeds": values.get("seeds", (0, 1, 2, 3, 4))}
    less, whole = asked(**values), asked(**seeds)
    assert less <= whole and (less < whole or "seeds" in values)


def recipe_of(variant: str, prior: str = "changing") -> dict:
    paper = paper_of("loss_rescaling")
    recipes = paper.recipes(paper.setting(profile="smoke"), "loss_rescaling")
    (recipe,) = [r for r in recipes if (r["variant"], r["prior"]) == (variant, prior)]
    return recipe


def produced(variant: str, tmp_path: Path, prior: str = "changing") -> dict:
    """The result of a smoke run, through JSON without NaN as a record goes."""
    result = paper_of("loss_rescaling").produce(recipe_of(variant, prior), tmp_path / "c", data_root=None, device="cpu")
    return json.loads(json.dumps(result, allow_nan=False))


@pytest.mark.parametrize("variant", ["bce baseline", "ce both"])
def test_a_run_gives_what_its_claims_read(variant, cache, tmp_path):
    result = produced(variant, tmp_path)
    assert result == {**produced(variant, tmp_path), "history": result["history"]}  # times apart, the same numbers
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
    result = produced("statistics", tmp_path, prior)
    sizes, types = result["sizes"], result["types"]
    assert sizes["train"] + sizes["valid"] <= 400 and sizes["types"] == len(types)
    assert sum(t["n_test"] for t in types.values()) <= sizes["test"]
    for kind in types.values():
        assert kind["train"] == sorted(kind["train"], reverse=True) and len(kind["weight"]) == len(kind["votes"])
        voted = [(n, w) for n, w in zip(kind["votes"], kind["weight"], strict=True) if n]
        assert [w for _, w in sorted(voted)] == sorted((w for _, w in voted), reverse=True)  # rarer is heavier
    if prior == "changing":
        assert result["in_type"]["by_plurality"] == 0


def test_evidence_made_again_with_the_same_numbers_counts_for_this_code(tmp_path, monkeypatch):
    paper, module = Paper(tmp_path / "r" / "reproduced" / "p"), "p"
    monkeypatch.setattr(runs, "PAGES", {"page": module})
    monkeypatch.setattr(runs, "paper_of", lambda page: paper)
    monkeypatch.setattr(runs, "code_of", lambda recipe: "new")
    monkeypatch.setattr(runs, "EVIDENCE", tmp_path / "evidence")
    for recipe in paper.recipes(None, ""):
        recipe |= {"kind": "train", "seed": 0}
        record = {
            "recipe": recipe,
            "result": {"variant": recipe["variant"]},
            "provenance": {"code": "old", "seconds": 1},
        }
        write_json(tmp_path / "evidence" / module / f"{key_of(recipe)}.json", record)
    paper.made = ["nobody else is at it"]
    monkeypatch.setattr(runs, "code_of", lambda recipe: "old")
    assert runs.reproduce(module, data_root=None) == []
    monkeypatch.setattr(runs, "code_of", lambda recipe: "new")
    (entry,) = runs.reproduce(module, data_root=None, runs=str(tmp_path / "r"))
    assert (entry["from"], entry["to"], len(entry["runs"])) == (["old"], "new", 3)

    record["provenance"]["code"] = "older"
    write_json(tmp_path / "evidence" / module / f"{key_of(recipe)}.json", record)
    (entry,) = runs.reproduce(module, data_root=None, runs=str(tmp_path / "r"))
    assert (entry["from"], len(entry["runs"])) == (["old", "older"], 3)

    first = key_of(paper.recipes(None, "")[0] | {"kind": "train", "seed": 0})
    by_data = {first: "generator"}  # as the embedded world's records, whose code is another
    monkeypatch.setattr(runs, "code_of", lambda recipe: by_data.get(key_of(recipe), "new"))
    entries = runs.reproduce(module, data_root=None, runs=str(tmp_path / "s"))
    assert {entry["to"]: len(entry["runs"]) for entry in entries} == {"generator": 1, "new": 2}
    monkeypatch.setattr(runs, "code_of", lambda recipe: "new")

    for part, made in (("detection", 2), ("vision", 3)):  # the first has an environment of its own
        apart = record | {"recipe": recipe | {"part": part}}
        write_json(tmp_path / "evidence" / module / f"{key_of(recipe)}.json", apart)
        (entry,) = runs.reproduce(module, data_root=None, runs=str(tmp_path / "t"))
        assert len(entry["runs"]) == made
    with pytest.raises(ValueError, match="parts of p with an environment of their own are detection; got 'vision'"):
        runs.reproduce(module, data_root=None, apart="vision")

    record["result"] = {"variant": "another"}
    write_json(tmp_path / "evidence" / module / f"{key_of(recipe)}.json", record)
    with pytest.raises(RuntimeError, match="moves variant from another to v2 in p-v2-0-.*; record the runs of p again"):
        runs.reproduce(module, data_root=None, runs=str(tmp_path / "r"))
