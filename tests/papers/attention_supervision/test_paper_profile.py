"""The paper's own sizes: every run of the page is planned on the features that the paper names, and on no others."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from vqabook.papers import paper_of
from vqabook.papers.attention_supervision.recipes import RegionMasks
from vqabook.papers.paper import Paper
from vqabook.producer import load_or_make_runs

PAGE = "attention_supervision"
FEATURES = {"vqa_v1_grid": ("resnet152_grid14.h5", 196), "vqa_v1": ("trainval36.h5", 36)}


class Planned(Exception):
    """The first run would begin."""


@pytest.fixture
def plan(write_own, write_features, tmp_path, monkeypatch) -> Callable:
    """Plan the page's runs of VQA at the paper's sizes, on a small VQA v1 under its official names."""
    folder = write_own(tmp_path / "vqa_v1", pattern="mscoco_{split}2014_{part}.json")
    for path in list(folder.glob("*_questions.json")):
        path.rename(folder / f"OpenEnded_{path.name}")
    (tmp_path / "features").mkdir()
    ids = [f"{split}_{i}.jpg" for split, n in (("train", 160), ("val", 80)) for i in range(n)]
    for name, n in FEATURES.values():
        more = {"boxes": np.zeros((len(ids), n, 4), np.float32)} if n == 36 else {}
        values = np.random.default_rng(0).random((len(ids), n, 8), dtype=np.float32)
        write_features(tmp_path / "features" / name, values, ids, **more)

    def begin(*_: object, **__: object) -> None:
        raise Planned

    monkeypatch.setattr(Paper, "produce", begin)

    def plan_runs(root: Path = tmp_path, **values: object) -> list:
        values = {"tasks": ["vqa"], "seeds": [0], "data_root": str(root), "runs": str(tmp_path / "runs"), **values}
        setting = paper_of(PAGE).setting_of(profile="paper", **values)
        with pytest.raises(Planned):
            load_or_make_runs(PAGE, setting)
        return paper_of(PAGE).asked(setting, PAGE)

    return plan_runs


def test_the_paper_s_profile_is_planned_on_its_grid_with_its_masks(plan):
    """Sec. 3.1: layer 4 of ResNet-152, 14 x 14 cells; Sec. 4.2: 500 masks of coins 6 cells wide."""
    recipes = plan()
    assert {recipe["data"]["dataset"] for recipe in recipes} == {"vqa_v1_grid"}
    masks = [recipe["masks"]["attention"] for recipe in recipes if "attention" in (recipe.get("masks") or {})]
    assert len(masks) > 10 and all(RegionMasks(**asked) == RegionMasks(500, 6) for asked in masks)


def test_object_boxes_need_masks_of_single_regions(plan):
    with pytest.raises(ValueError, match="6 x 6 neighbours is drawn on a grid, and these regions are 36 objects"):
        plan(dataset="vqa_v1")
    assert plan(dataset="vqa_v1", vqa_scale=1)
