"""Descriptions of data sets: each set of the manifest has one or says why not, and every kind of picture is drawn."""

from __future__ import annotations

import base64
import io
import json
from dataclasses import asdict

import matplotlib.pyplot as plt
import numpy as np
import pytest

from vqabook.catalogue import drawings
from vqabook.catalogue import page as catalogue
from vqabook.catalogue.description import Description, Picture
from vqabook.evidence.record import load_json
from vqabook.fetch.manifest import read_manifest

MANIFEST = read_manifest()
FILES_OF_OTHERS = {"coco_images"}  # the images of the questions' sets


def png() -> str:
    """A small grey image as base64."""
    page = io.BytesIO()
    plt.imsave(page, np.eye(4), format="png")
    return base64.b64encode(page.getvalue()).decode()


PICTURES = {
    "bars": {"labels": ["red", "blue"], "series": {"train": [3, 1], "test": [1, 3]}, "y_label": "n"},
    "curve": {"x": [1, 2], "series": {"a": [4, 1]}, "x_label": "class", "y_label": "images", "log": "xy"},
    "images": {"labels": ["a", "b"], "png": [png(), png()]},
    "points": {"x": [0.0, 1.0], "y": [1.0, 0.0], "labels": ["yes", "no"]},
}


@pytest.fixture
def shown(monkeypatch) -> list:
    """What a page displays, piece by piece."""
    pieces: list = []
    monkeypatch.setattr("IPython.display.display", pieces.append)
    return pieces


def html(shown: list) -> str:
    return "".join(piece.data for piece in shown)


def described(kind: str, **more) -> Description:
    values = {"rows": {"train": 1200}, "classes": {"red": 3, "blue": 1}, "n_classes": 2, "facts": {"words": 12_345}}
    return Description(**values | more, picture=Picture(kind, PICTURES[kind], "What is seen."))


@pytest.mark.parametrize("name", MANIFEST)
def test_every_set_has_a_description_unless_it_serves_others(name):
    assert bool(MANIFEST[name].describe) != (name in FILES_OF_OTHERS)


@pytest.mark.parametrize("name", [path.stem for path in sorted(catalogue.FOLDER.glob("*.json"))])
def test_what_is_recorded_of_a_set_can_be_shown(name, shown):
    assert name in MANIFEST
    catalogue.show(name)
    page = html(shown)
    assert "only-dark" in page and "at commit" in page


@pytest.mark.parametrize("kind", PICTURES)
def test_every_kind_of_picture_is_drawn(kind, shown):
    figure = plt.figure()
    drawings.draw(figure, kind=kind, data=PICTURES[kind])
    assert all(axes.has_data() for axes in figure.axes)
    plt.close(figure)
    catalogue.show("any", described(kind))
    page = html(shown)
    assert 'alt="What is seen."' in page and "12,345" in page and "2, most frequent red (3), least blue (1)" in page


def test_a_description_is_kept_and_read_again(tmp_path, monkeypatch, shown):
    monkeypatch.setattr(catalogue, "FOLDER", tmp_path)
    catalogue.show("any")
    assert "vqabook data info any --record" in html(shown)
    description = described("bars")
    found = load_json(catalogue.keep("any", description))
    assert found["result"] == json.loads(json.dumps(asdict(description)))
    assert found["provenance"].keys() == {"commit", "dirty", "started", "versions"}


def test_a_set_without_classes_or_with_too_many_says_no_more_than_it_knows():
    facts = catalogue.list_facts
    assert "classes" not in facts(asdict(described("points", classes={}, n_classes=0)))
    assert facts(asdict(described("bars", n_classes=70)))["classes"] == "70, most frequent red (3)"
    assert facts(asdict(described("bars", classes={"a": 5, "b": 5})))["classes"] == "2 of 5 each"


def test_a_description_as_text_has_a_bar_a_class():
    text = catalogue.format_description("any", described("bars"))
    assert text.splitlines()[:2] == ["any", "  rows: 1,200 train"]
    assert text.splitlines()[-1].split() == ["blue", "1", "#" * 10]


def test_a_set_is_described_through_its_loader(real_data):
    description = catalogue.describe("trec", real_data("nltk_data").parent)
    assert description.rows == {"train": 5452, "test": 500} and description.classes["ENTY"] == 1250


def test_a_vqa_set_is_described_by_its_name(ask, write_split, tmp_path):
    (tmp_path / "easy_vqa").mkdir()
    for split, color, start in (("train", "red", 0), ("test", "blue", 100)):
        for path in write_split(tmp_path, [ask(color, image_id=start + i) for i in range(9)]):
            content = json.loads(path.read_text())
            for entry in content[path.stem]:
                entry["question_id"] += start
            (tmp_path / "easy_vqa" / f"{split}_{path.name}").write_text(json.dumps(content))
    description = catalogue.describe("easy_vqa", tmp_path)
    assert description.rows == {"train": 9, "test": 9} and description.classes == {"red": 9}


def test_images_alone_have_no_description(tmp_path):
    with pytest.raises(ValueError, match="coco_images is .* photographs.*: it has no description of its own"):
        catalogue.describe("coco_images", tmp_path)


def test_the_overview_has_a_row_a_set(shown):
    catalogue.show_overview(MANIFEST)
    assert html(shown).count("<tr>") == len(MANIFEST) and "<code>cifar10</code>" in html(shown)


def test_facts_are_folded_away(shown):
    catalogue.show("any", described("bars"))
    catalogue.show_overview(MANIFEST)
    assert html(shown).count('<details class="facts"><summary>') == 2
    assert "<summary>3 facts</summary>" in html(shown)
