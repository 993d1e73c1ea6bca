"""What a VQA set's description says: by hand on small files, and its laws on real ones."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pandas as pd
import pytest

from vqabook.catalogue.vqa import describe, prior_shift

SHIFT = "total variation of answers between train and test, within question types (%)"
BY_CHANCE = "the same, had the questions been cut at random (%)"


def answers(**of_types: str) -> pd.DataFrame:
    """Questions with one-letter answers: `answers(why="aab")` are three of the type "why"."""
    return pd.DataFrame([{"type": kind, "answer": answer} for kind, given in of_types.items() for answer in given])


def test_total_variation_by_hand():
    assert prior_shift(answers(a="yyyn"), answers(a="yn")) == pytest.approx(0.25)
    assert prior_shift(answers(a="yynnnn"), answers(a="nny")) == pytest.approx(0)
    assert prior_shift(answers(a="y"), answers(a="nnnnn")) == 1


def test_prior_shift_is_the_mean_over_test_questions():
    train, test = answers(is_it="y", how_many="22", why="r" * 9), answers(is_it="nnn", how_many="2", who="m" * 9)
    assert prior_shift(train, test) == pytest.approx(3 / 4)  # "why" and "who" are in one split alone
    assert prior_shift(answers(why="r"), answers(who="m")) == 1


@pytest.fixture
def described(ask, write_split, tmp_path):
    """Twelve train and six test questions about five images, without features; the description."""
    votes = ["two"] * 4 + ["2"] * 2 + ["3"] * 3 + ["4"]
    kinds = {
        "how many": [ask(votes, image_id=1, question="How many dogs?", question_type="how many", answer_type="number")],
        "yes": [ask("yes", image_id=2, question="Is it?", question_type="is it", answer_type="yes/no")],
        "no": [ask("no", image_id=3, question="Is it?", question_type="is it", answer_type="yes/no")],
        "red": [ask("red", image_id=4)],
        "blue": [ask("blue", image_id=5)],
    }
    train = kinds["yes"] * 9 + kinds["red"] + kinds["how many"] * 2
    test = kinds["yes"] + kinds["no"] * 3 + kinds["blue"] + kinds["red"]
    for split, rows, start in (("train", train, 0), ("test", test, 100)):
        for path in write_split(tmp_path, rows):
            content = json.loads(path.read_text())
            for entry in content[path.stem]:
                entry["question_id"] += start
            target = tmp_path / "easy_vqa" / f"{split}_{path.name}"
            target.parent.mkdir(exist_ok=True)
            target.write_text(json.dumps(content))
    return describe("easy_vqa", tmp_path)


def test_numbers_by_hand(described):
    assert described.rows == {"train": 12, "test": 6}
    assert described.classes == {"yes": 9, "2": 2, "red": 1} and described.n_classes == 3
    assert list(described.classes) == ["yes", "2", "red"]
    agreement = (16 * 1.0 + 2 * 0.6) / 18  # two questions have six of ten votes, in two spellings
    # "is it": train all yes, test 1 of 4; "what color is the": train all red, test half: (4 * 3/4 + 2 * 1/2) / 6
    expected = {
        "images": 5,
        "images in both splits": 2,
        "question types": 3,
        "most frequent question types (train)": "is it (9), how many (2), what color is the (1)",
        "yes/no questions (%)": round(100 * 13 / 18, 1),
        "number questions (%)": round(100 * 2 / 18, 1),
        "other questions (%)": round(100 * 3 / 18, 1),
        "words in the vocabulary (train)": 9,
        "words a question (train)": round((9 * 2 + 5 + 2 * 3) / 12, 2),
        "answers in the vocabulary (train, 9 or more)": 1,
        "train questions that the vocabulary answers (%)": 75.0,
        "annotators who give the modal answer (%)": round(100 * agreement, 1),
        "priors of train and test": "same",
        SHIFT: round(100 * 4 / 6, 1),
    }
    assert {name: described.facts[name] for name in expected} == expected
    assert described.facts.keys() - expected.keys() == {BY_CHANCE}


def test_the_picture_has_a_type_of_each_kind(described):
    assert described.picture.kind == "bars"
    data = described.picture.data
    assert data["labels"] == ["is it: yes", "is it: no", "what color is the: red", "what color is the: blue"]
    assert data["series"] == {"train": [100, 0, 100, 0], "test": [25, 75, 50, 50]}
    assert "differ by 67 % in total variation" in described.picture.alt


def test_missing_files(tmp_path):
    with pytest.raises(FileNotFoundError, match="check data_root or .*: vqabook data fetch vqacp_v2"):
        describe("vqacp_v2", tmp_path)


def check_shape(description) -> None:
    """JSON alone, bars of one length, shares in [0, 100]."""
    assert json.loads(json.dumps(asdict(description))) == asdict(description)
    data = description.picture.data
    assert all(len(column) == len(data["labels"]) == 9 for column in data["series"].values())
    assert all(0 <= share <= 100 for column in data["series"].values() for share in column)
    counts = list(description.classes.values())
    assert counts == sorted(counts, reverse=True) and len(counts) == min(50, description.n_classes)


def root_of(real_data, name: str) -> Path:
    return real_data(name).parent


def test_real_changing_priors(real_data):
    description = describe("vqacp_v1_coco16k", root_of(real_data, "vqacp_v1_coco16k"))
    check_shape(description)
    assert description.rows == {"train": 28_666, "test": 14_726}
    assert description.facts["question types"] == 65 and description.facts["priors of train and test"] == "changing"
    assert description.facts[SHIFT] > 99 and description.facts[BY_CHANCE] < 30


def test_real_annotators_and_the_same_priors(real_data):
    description = describe("vqa_v2_60k", root_of(real_data, "vqa_v2_60k"))
    check_shape(description)
    assert description.rows == {"train": 48_061, "test": 8_977}
    assert 70 < description.facts["annotators who give the modal answer (%)"] < 80
    assert abs(description.facts[SHIFT] - description.facts[BY_CHANCE]) < 3
