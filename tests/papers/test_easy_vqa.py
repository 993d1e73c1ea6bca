"""Every VQA page on a real set that names no relevant regions and has no other answers than one: easy-VQA, in small.

The plan of each page is checked whole; of each kind of run one is trained.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from pathlib import Path

import h5py
import numpy as np
import pytest

from vqabook.data.easy_vqa import COLOURS, SHAPES, convert
from vqabook.evidence.record import key_of
from vqabook.papers import PAGES, paper_of
from vqabook.producer import Producer

ASKED = {  # what each page is asked for besides the set; balanced activation has no VQA
    "class_imbalance": {"vision": []},
    "loss_rescaling": {},
    "soft_cross_entropy": {},
    "attention_supervision": {"tasks": ["vqa"]},
    "mcl_kd": {"networks": ["updn"]},
}
TEMPLATES = ("what color is the {shape}?", "what is the color of the {shape}?", "what shape is present?")


def write_package(folder: Path, n_images: int) -> None:
    """The unpacked wheel: images of one coloured shape, their colour, shape and a question of yes and no."""
    looks = list(itertools.product(sorted(COLOURS), sorted(SHAPES)))
    for split, n in (("train", n_images), ("test", n_images // 3)):
        images = folder / "easy_vqa" / "data" / split / "images"
        images.mkdir(parents=True)
        triples = []
        for i in range(n):
            colour, shape = looks[i * 7 % len(looks)]
            (images / f"{i}.png").write_bytes(b"not looked at")
            answers = (colour, colour, shape)
            triples += [[text.format(shape=shape), answer, i] for text, answer in zip(TEMPLATES, answers, strict=True)]
            triples.append([f"is there a {looks[i][0]} shape?" if i < len(looks) else "is there a red shape?",
                            "yes" if i % 3 else "no", i])  # fmt: skip
        images.with_name("questions.json").write_text(json.dumps(triples))


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data root with the prepared set and features of 49 regions."""
    folder = tmp_path_factory.mktemp("root")
    write_package(folder / "wheel", 60)
    convert(folder / "wheel", folder / "easy_vqa")
    ids = sorted(int(path.stem) for path in (folder / "easy_vqa" / "images").iterdir())
    with h5py.File(folder / "easy_vqa" / "features.h5", "w") as file:
        file["features"] = np.random.default_rng(0).random((len(ids), 49, 8)).astype("f4")
        file["image_ids"] = ids
    return folder


@pytest.fixture
def plan(page: str, root: Path) -> list[dict]:
    """All recipes of a page on the set."""
    given = {"profile": "smoke", "dataset": "easy_vqa", "data_root": root, **ASKED[page]}
    return paper_of(page).asked(paper_of(page).setting_of(**given), page)


def kind_of(asked: Mapping) -> tuple:
    """What a run does that others of its page do not: its model, and which maps supervise or members learn."""
    backbone, supervision = asked.get("backbone") or {}, asked.get("supervision") or {}
    ensemble = (asked.get("ensemble") or {}).get("rule")
    return (asked["kind"], backbone.get("name"), asked.get("model") if "target" in asked else None, ensemble,
            supervision.get("maps"))  # fmt: skip


@pytest.mark.parametrize("page", ASKED)
def test_the_plan_holds_and_a_run_of_each_kind_trains(page, plan, root, cache, tmp_path):
    produce = Producer(root, "cpu")
    produce.check(plan)
    assert not any("relevant" in asked["variant"] for asked in plan)
    kinds = {kind_of(asked): asked for asked in reversed(plan)}
    for asked in kinds.values():
        result = produce(asked, tmp_path / f"{key_of(asked)}.checkpoint")
        json.dumps(result, allow_nan=False)


def test_every_vqa_page_is_here():
    assert ASKED.keys() == {
        page for page in PAGES if "world_objects" in vars(paper_of(page).setting_of(profile="smoke"))
    }


@pytest.mark.parametrize("page", ["attention_supervision"])
def test_maps_that_nobody_knows_are_refused_before_anything_trains(page, plan, root, tmp_path):
    (supervised,) = [asked for asked in plan if asked["variant"] == "vqa image mse"]
    asked = supervised | {"supervision": supervised["supervision"] | {"maps": "relevant"}}
    produce = Producer(root, "cpu")
    for refuse in (lambda: produce.check([*plan, asked | {"variant": "x"}]), lambda: produce(asked, tmp_path / "c")):
        with pytest.raises(ValueError, match="^questions of easy_vqa name no relevant regions; leave '.*' out$"):
            refuse()
    assert list(tmp_path.iterdir()) == []
