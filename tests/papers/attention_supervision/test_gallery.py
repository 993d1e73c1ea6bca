"""Chapter 04's pictures: examples are chosen by the rules that their captions state."""

from __future__ import annotations

import numpy as np
import pytest

from vqabook.data.layout import DataSpec
from vqabook.data.seen import relevant_maps
from vqabook.papers.attention_supervision import PAPER as PAPER
from vqabook.papers.attention_supervision import gallery


@pytest.fixture
def made(recipe_of, produce, cache, tmp_path):
    """Maker of a smoke run's record by its variant."""

    def make(variant: str) -> dict:
        recipe = recipe_of(variant)
        return {"recipe": recipe.asked(), "result": produce(recipe, tmp_path / "runs")}

    return make


def test_masks_are_shown_where_they_hit_and_where_they_miss(made):
    record = made("vqa probe")
    shown = gallery.choose_masked(record, data_root=None)
    kept = record["result"]["attention"]["examples"]
    aims = [gallery.aims_at(one["best"], one["relevant"]) for one in shown]
    assert aims in ([True, False], [True], [False])
    gains = [one["score"] - one["plain"] for one in kept]
    assert gains == sorted(gains, reverse=True)
    assert kept[0]["row"] in [one["row"] for one in shown], "whatever gains most is the first of its kind"
    for one in shown:
        assert one["image"].shape == (224, 224, 3) and one["boxes"].shape == (len(one["own"]), 4)
        assert one["truth"] and one["relevant"].sum() == pytest.approx(1)


def test_looks_are_at_questions_about_one_region(made):
    records = {name: made(f"vqa {name}") for name in ("baseline", "image adv")}
    rows = gallery.choose_looks(records, 3, data_root=None)
    shown = records["baseline"]["result"]["shown"]
    data = records["baseline"]["recipe"]["data"]
    ids = np.array([one["question_id"] for one in shown])
    about = (relevant_maps(DataSpec.of(data), ids, n_regions=len(shown[0]["attention"])) > 0).sum(1)
    assert [row["question"] for row in rows] == [shown[i]["question"] for i in np.flatnonzero(about == 1)[:3]]
    for row in rows:
        assert list(row["methods"]) == ["baseline", "image adv"] and (row["relevant"] > 0).sum() == 1


def test_where_nobody_knows_the_region_the_first_examples_are_shown():
    assert gallery.find_relevant({"human": None}, [3, 4], 4, None) == [None, None]
    assert gallery.image_or_white(None).shape == (224, 224, 3)


def test_images_have_maps_as_large_as_they_are(made):
    record = made("image probe")
    examples = record["result"]["attention"]["examples"][:2]
    for shown, kept in zip(gallery.choose_images(record, 2, data_root=None), examples, strict=True):
        assert shown["image"].dtype == np.uint8 and shown["image"].max() == 255
        assert shown["own"].shape == shown["best"].shape == shown["image"].shape[:2]
        assert shown["own"].max() == max(kept["own"])


def test_a_map_of_cells_becomes_pixels():
    pixels = gallery.enlarge([0.1, 0.2, 0.3, 0.4], 4)
    assert pixels.tolist() == [[0.1, 0.1, 0.2, 0.2]] * 2 + [[0.3, 0.3, 0.4, 0.4]] * 2


def test_readings_have_a_share_a_word(made):
    rows = gallery.list_readings({name: made(f"text {name}") for name in ("baseline", "mse")}, 2)
    assert len(rows) == 2
    concealed = gallery.list_concealed(made("text probe"), 2)
    assert list(concealed[0]["methods"]) == ["whole text", "two words concealed"]
    for row in rows + concealed:
        assert {len(shares) for shares in row["methods"].values()} == {len(row["words"])}
        for shares in row["methods"].values():
            assert sum(shares) == pytest.approx(1, abs=0.01)
