"""easy-VQA's package in VQA v2's layout: on a miniature of the wheel that the tests write."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from vqabook.data.easy_vqa import COLOURS, SHAPES, answer_type, convert, prepare, question_type
from vqabook.data.layout import DataSpec
from vqabook.data.sets import load_task
from vqabook.data.vqa import read_questions
from vqabook.features import extract

TYPES = {  # every template of the real files, {} for a colour or a shape
    "what shape is in the image?": "what shape is",
    "what shape is present?": "what shape is",
    "what shape does the image contain?": "what shape does",
    "what is the {} shape?": "what is the",
    "what color is the shape?": "what color is the",
    "what color is the {}?": "what color is the",
    "what is the color of the shape?": "what is the color of the",
    "what is the color of the {}?": "what is the color of the",
    "is there a {} shape?": "is there a",
    "is there a {}?": "is there a",
    "is there a {} in the image?": "is there a",
    "is there a {} shape in the image?": "is there a",
    "is there not a {}?": "is there not a",
    "is there not a {} shape?": "is there not a",
    "is there not a {} in the image?": "is there not a",
    "is there not a {} shape in the image?": "is there not a",
    "is a {} present?": "is a",
    "is a {} shape present?": "is a",
    "is no {} present?": "is no",
    "is no {} shape present?": "is no",
    "does the image contain a {}?": "does the image contain a",
    "does the image contain a {} shape?": "does the image contain a",
    "does the image not contain a {}?": "does the image not contain a",
    "does the image not contain a {} shape?": "does the image not contain a",
}
PNG = b"\x89PNG not looked at"


@pytest.mark.parametrize("template", TYPES)
def test_question_types(template):
    for word in SHAPES | COLOURS:
        assert question_type(template.format(word)) == TYPES[template]
        assert question_type(template.format(word).upper()) == TYPES[template]


def test_there_are_eleven_types():
    assert len(set(TYPES.values())) == 11


def test_other_questions_have_a_type_too():
    assert question_type("red?") == "red" and question_type("why is the sky there?") == "why is the"


def test_answer_types():
    assert [answer_type(a) for a in ("yes", "no", "7", "teal", "circle")] == ["yes/no"] * 2 + [
        "number",
        "other",
        "other",
    ]


def write_wheel(folder: Path, train: list, test: list) -> Path:
    """The unpacked package: both splits number their images from 0."""
    for split, triples in (("train", train), ("test", test)):
        images = folder / "easy_vqa" / "data" / split / "images"
        images.mkdir(parents=True)
        images.with_name("questions.json").write_text(json.dumps(triples))
        for image in {image for _, _, image in triples}:
            (images / f"{image}.png").write_bytes(PNG + f"{split}{image}".encode())
    (folder / "easy_vqa" / "__init__.py").touch()
    return folder


TRAIN = [
    ["what is the blue shape?", "rectangle", 0],
    ["is there a red shape?", "no", 11],
    ["what color is the shape?", "blue", 0],
    ["is there not a circle?", "yes", 2],
]
TEST = [
    ["what shape is present?", "triangle", 0],
    ["is a teal shape present?", "yes", 1],
    ["is no circle present?", "no", 0],
]


@pytest.fixture
def wheel(tmp_path):
    return write_wheel(tmp_path / "wheel", TRAIN, TEST)


@pytest.fixture
def prepared(wheel, tmp_path):
    convert(wheel, tmp_path / "set")
    return tmp_path / "set"


def split_of(folder: Path, split: str):
    return read_questions(folder / f"{split}_questions.json", folder / f"{split}_annotations.json")


def test_official_layout(prepared):
    train, test = split_of(prepared, "train"), split_of(prepared, "test")
    assert train.text == [q for q, _, _ in TRAIN] and test.text == [q for q, _, _ in TEST]
    assert train.image_id.tolist() == [0, 11, 0, 2] and test.image_id.tolist() == [12, 13, 12]
    assert train.question_id.tolist() == [0, 11000, 1, 2000] and test.question_id.tolist() == [12000, 13000, 12001]
    assert train.modal_answer == [a for _, a, _ in TRAIN] and train.answer_type == [
        "other",
        "yes/no",
        "other",
        "yes/no",
    ]
    assert test.question_type == ["what shape is", "is a", "is no"]
    annotation = json.loads((prepared / "test_annotations.json").read_text())["annotations"][0]
    assert [x["answer_id"] for x in annotation["answers"]] == list(range(1, 11))
    assert Counter(x["answer"] for x in annotation["answers"]) == {"triangle": 10}


def test_images_are_named_by_their_ids(prepared):
    contents = {path.name: path.read_bytes() for path in (prepared / "images").iterdir()}
    old = {"00000": "train0", "00002": "train2", "00011": "train11", "00012": "test0", "00013": "test1"}
    assert contents == {f"{new}.png": PNG + name.encode() for new, name in old.items()}


def test_nothing_is_left_beside(prepared):
    parts = {f"{split}_{part}.json" for split in ("train", "test") for part in ("questions", "annotations")}
    assert {path.name for path in prepared.iterdir()} == parts | {"images"}


@pytest.mark.parametrize("inside", ["", "easy_vqa", "easy_vqa/data"])
def test_the_package_is_found_at_any_depth(inside, wheel, tmp_path):
    convert(wheel / inside, tmp_path / "set")
    assert (tmp_path / "set" / "train_questions.json").exists()


def test_a_prepared_set_is_a_task(tmp_path, monkeypatch):
    """From the package to Tables with both priors; the network is replaced by ones."""
    asked = {}

    def ones(images: Path, out: Path, **recipe) -> Path:
        asked.update(recipe)
        ids = sorted(int(path.stem) for path in images.glob("*.png"))
        with h5py.File(out, "w") as file:
            file["features"], file["image_ids"] = np.ones((len(ids), 2, 3), np.float16), ids
        return out

    monkeypatch.setattr(extract, "extract_features", ones)
    colours, verdicts = sorted(COLOURS), ["yes", "no", "no", "no"]
    kinds = [("what color is the circle?", colours), ("what is the color of the circle?", colours)]
    kinds += [("is there a red shape?", verdicts), ("is no red shape present?", verdicts)]
    triples = [
        [question, answer, image]
        for image, ((question, answers), i) in enumerate(itertools.product(kinds, range(40)))
        for answer in [answers[i % len(answers)]]
    ]
    prepare(write_wheel(tmp_path / "wheel", triples, triples[::2]), tmp_path / "easy_vqa")
    assert asked == {"backbone": "efficientnet-lite0", "pca": 128, "levels": 64}
    asked.clear()
    prepare(tmp_path / "wheel", tmp_path / "easy_vqa")
    assert not asked  # features that are whole are not made again
    for prior in ("changing", "same"):
        task = load_task(DataSpec("easy_vqa", prior, min_answer_count=2), tmp_path, torch.device("cpu"))
        assert len(task.train) + len(task.valid) + len(task.test) == 240
        types = ("is no", "is there a", "what color is the", "what is the color of the")
        assert task.vocabulary.question_types == types
        in_train, in_test = (
            set(zip(part.question_type, part.modal_answer, strict=True))
            for part in (task.train_questions, task.test_questions)
        )
        assert bool(in_train & in_test) == (prior == "same")


def questions_file(wheel: Path) -> Path:
    return wheel / "easy_vqa" / "data" / "train" / "questions.json"


def test_a_package_without_its_files(tmp_path):
    with pytest.raises(FileNotFoundError, match="which are not below .*; fetch it again: vqabook data fetch easy_vqa"):
        convert(tmp_path, tmp_path / "set")


@pytest.mark.parametrize(
    "content",
    ["{}", "[]", '[["what?", "red"]]', '[["what?", "red", "0"]]', '[["", "red", 0]]', '[["a?", 1, 0]]', "[3]"],
)
def test_questions_of_another_kind(content, wheel, tmp_path):
    questions_file(wheel).write_text(content)
    with pytest.raises(ValueError, match=r"are a list of \[question, answer, image\].*questions.json"):
        convert(wheel, tmp_path / "set")


@pytest.mark.parametrize(
    ("content", "message"),
    [('[["what?", "red', "must be whole, valid JSON"), ("<html>", "it is an HTML page"), ("", "it is empty")],
)
def test_damaged_questions(content, message, wheel, tmp_path):
    questions_file(wheel).write_text(content)
    with pytest.raises(ValueError, match=message):
        convert(wheel, tmp_path / "set")


def test_a_question_about_no_image(wheel, tmp_path):
    (questions_file(wheel).with_name("images") / "11.png").unlink()
    with pytest.raises(ValueError, match=r"among easy-VQA's: 1 of .* \(first: 11\) are not in .*images; fetch the set"):
        convert(wheel, tmp_path / "set")


@pytest.mark.parametrize("name", ["02.png", "shape.png"])
def test_images_with_one_number_or_none(name, wheel, tmp_path):
    (questions_file(wheel).with_name("images") / name).write_bytes(PNG)
    with pytest.raises(ValueError, match=f"has a number of its own as name, got {name} in .*; fetch it again"):
        convert(wheel, tmp_path / "set")


def test_no_images(wheel, tmp_path):
    for path in questions_file(wheel).with_name("images").iterdir():
        path.unlink()
    with pytest.raises(FileNotFoundError, match="images are <number>.png, .* has none; fetch the set again"):
        convert(wheel, tmp_path / "set")
