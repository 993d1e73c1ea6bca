"""A folder of one's own questions by its path: what is found in it, and that it is a data set like any other."""

from __future__ import annotations

import json
import os
import re
from dataclasses import asdict
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from PIL import Image

from vqabook.data import layout, ten_votes
from vqabook.data.layout import DataSpec, _digest, data_digest, find_own
from vqabook.data.seen import find_views
from vqabook.data.sets import divide, load_questions, load_task
from vqabook.features.store import open_features
from vqabook.papers import paper_of

CPU = torch.device("cpu")
OFFICIAL = "v2_{part}_{split}.json"


def spec_of(folder: Path, prior: str = "same") -> DataSpec:
    return DataSpec(str(folder), prior, min_answer_count=2)


@pytest.mark.parametrize("gz", [False, True])
def test_a_folder_is_a_data_set(gz, write_own, tmp_path):
    """Texts are ids from the file to the Table: each row has the regions of its own image."""
    folder = write_own(tmp_path / "my vïzwiz", gz=gz)
    task = load_task(spec_of(folder), None, CPU)
    assert len(task.train) + len(task.valid) == 160 and len(task.test) == 80
    assert task.test_questions.image_id[3] == "val_3.jpg" and task.test_questions.question_id.tolist()[3] == "val 3"
    with h5py.File(folder / "features.h5") as file:
        expected = file["features"][160 + 3]
    np.testing.assert_array_equal(task.test.batch(torch.tensor([3])).inputs[0][0].numpy(), expected)
    assert set(task.vocabulary.answers) >= {"unanswerable", "unsuitable"}
    assert set(task.train_questions.answer_type) == {"yes/no", "number", "other", "unanswerable"}
    without = ten_votes.votes_task(spec_of(folder), None, CPU, images=False)
    assert without.test_questions.question_id.tolist() == task.test_questions.question_id.tolist()


def test_a_path_becomes_absolute(write_own, tmp_path, monkeypatch):
    folder = write_own(tmp_path / "own")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for path in ("own", "./own/", "../" + tmp_path.name + "/own", "~/own", str(folder)):
        assert DataSpec(path) == DataSpec(str(folder)) and DataSpec(path).dataset == str(folder)
    assert DataSpec.of(asdict(DataSpec("own"))) == DataSpec(str(folder))
    for path in ("own/features.h5", "none", "", "\0"):
        with pytest.raises(ValueError, match="or the path of a folder of your own; got"):
            DataSpec(path) if path else DataSpec(path + "none")


def test_a_name_is_told_before_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "vqa_v2").mkdir()
    assert DataSpec("vqa_v2").dataset == "vqa_v2" and DataSpec("./vqa_v2").dataset == str(tmp_path / "vqa_v2")


@pytest.mark.parametrize(
    ("train", "held_out"),
    [
        ("v2_OpenEnded_mscoco_train2014_{}.json", "v2_OpenEnded_mscoco_val2014_{}.json"),
        ("vqacp_v2_train_{}.json", "vqacp_v2_test_{}.json"),
        ("v2_train_{}.json", "v2_valid_{}.json"),
        ("Train_{}.json", "validation-{}.json"),
        ("latest-train_{}.json.gz", "test-dev2015_{}.json.gz"),  # "latest" ends in test
    ],
)
def test_files_are_found_by_the_split_in_their_names(train, held_out, tmp_path):
    for pattern in (train, held_out):
        for part in ("questions", "annotations"):
            (tmp_path / pattern.format(part)).touch()
    (tmp_path / "grid.hdf5").touch()
    source = find_own(tmp_path)
    assert source.train == tuple(train.format(part).removesuffix(".gz") for part in ("questions", "annotations"))
    assert source.test.questions == held_out.format("questions").removesuffix(".gz") and source.valid is None
    assert source.features == "grid.hdf5" and source.native == ("changing" if "vqacp" in train else "same")


def test_a_third_split_is_what_an_epoch_is_chosen_on(write_own, tmp_path):
    folder = write_own(tmp_path / "own", train=120, val=40, test=120)
    task = load_task(spec_of(folder), None, CPU)
    assert (len(task.train), len(task.valid), len(task.test)) == (120, 40, 120)
    assert {i.split()[0] for i in task.valid_questions.question_id.tolist()} == {"val"}
    assert {i.split()[0] for i in task.test_questions.question_id.tolist()} == {"test"}
    spec = spec_of(folder, "changing")  # all of them are divided anew
    train, test, valid = divide(spec, find_own(folder), load_questions(spec, None))
    assert len(train) + len(test) == 280 == len({*train.question_id.tolist(), *test.question_id.tolist()})
    assert valid is None
    digest = data_digest(spec_of(folder), None)
    (folder / "val_questions.json").write_text((folder / "val_questions.json").read_text().replace("thing1", "thing2"))
    _digest.cache_clear()
    assert data_digest(spec_of(folder), None) != digest


def test_a_test_split_without_answers_is_left_aside(write_own, tmp_path):
    folder = write_own(tmp_path / "own", train=160, val=80, test=20)
    (folder / "test_annotations.json").unlink()
    (folder / "test-dev_questions.json").touch()
    source = find_own(folder)
    assert source.test.questions == "val_questions.json" and source.valid is None


def test_features_made_anew_are_other_data(write_own, write_features, tmp_path):
    """Of the same size: another backbone as wide."""
    folder = write_own(tmp_path / "own")
    path, digest = folder / "features.h5", data_digest(spec_of(folder), None)
    size, ids = path.stat().st_size, open_features(path).image_ids
    write_features(path, np.random.default_rng(1).random((len(ids), 4, 8), dtype=np.float32), ids.tolist())
    assert path.stat().st_size == size
    _digest.cache_clear()
    assert data_digest(spec_of(folder), None) != digest


def edit(path: Path, change) -> None:
    content = json.loads(path.read_text())
    change(content[path.stem.split("_")[1]])
    path.write_text(json.dumps(content))


def as_numbers(rows: list[dict]) -> None:
    for row in rows:
        row["image_id"] = int("".join(filter(str.isdigit, row["image_id"])))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: (f / "features.h5").unlink(), "features in .*own/features.h5, which does not exist; make them"),
        (lambda f: (f / "train_questions.json").unlink(), "has train_annotations.json without its questions; add them"),
        (lambda f: (f / "train_annotations.json").unlink(), "both files of train; it has features.h5, train_questions"),
        (lambda f: (f / "val_annotations.json").unlink(), "has not both files of val, nor of test; it has features.h5"),
        (lambda f: os.link(f / "val_questions.json", f / "v2_val_questions.json"), "has v2_val_questions.json and"),
        (
            lambda f: [edit(f / f"val_{part}.json", lambda rows: rows[0].update(question_id="train 0"))
                       for part in ("questions", "annotations")],
            "train and test share no question: 1 of .*own are in both .first: train 0.; give every question an id",
        ),
        (
            lambda f: [edit(f / f"val_{part}.json", as_numbers) for part in ("questions", "annotations")],
            "ids of one kind are compared, whole numbers or texts: train and test of .*own have 'train_0.jpg' and 0",
        ),
        (
            lambda f: [edit(f / f"{split}_{part}.json", as_numbers)
                       for split in ("train", "val") for part in ("questions", "annotations")],
            "features under its id: the questions have 0, .*features.h5 'train_0.jpg'; write both as numbers",
        ),
        (
            lambda f: edit(f / "val_annotations.json", lambda rows: rows[0]["answers"].pop()),
            "question val 0 .* 9 answers in .*val_annotations.json; bring .* an answer that stands alone 10 times",
        ),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_folder_is_told_without_fetching(change, message, write_own, tmp_path):
    folder = write_own(tmp_path / "own")
    change(folder)
    with pytest.raises((ValueError, FileNotFoundError), match=message) as told:
        load_task(spec_of(folder), None, CPU)
    assert "vqabook data fetch" not in str(told.value)


def test_pictures_lie_beside_the_questions(write_own, tmp_path):
    folder = write_own(tmp_path / "own")
    (folder / "images").mkdir()
    Image.new("RGB", (30, 20), (200, 10, 10)).save(folder / "images" / "val_3.jpg")
    one, other = find_views({"dataset": str(folder)}, ["val_3.jpg", "val_4.jpg"], 4)
    assert one.image.shape == (224, 224, 3) and one.image[..., 0].min() > 150 and other.image is None
    assert one.boxes.tolist() == [[0, 0, 0.5, 0.5], [0.5, 0, 1, 0.5], [0, 0.5, 0.5, 1], [0.5, 0.5, 1, 1]]


def test_questions_need_no_features(write_own, tmp_path):
    folder = write_own(tmp_path / "own")
    (folder / "features.h5").unlink()
    assert len(load_questions(spec_of(folder), None).train) == 160


@pytest.mark.parametrize(
    ("name", "variant"),
    [
        ("loss_rescaling", "bce both"), ("soft_cross_entropy", "pool votes"), ("attention_supervision", "vqa probe"),
        ("attention_supervision", "vqa baseline"), ("mcl_kd", "updn base"),
    ],
)  # fmt: skip
def test_a_page_runs_on_a_folder_of_one_s_own(name, variant, write_own, cache, tmp_path):
    """End to end at smoke size; scores follow the folder's answer types, and the recipe has its digest."""
    folder = write_own(tmp_path / "own")
    paper = paper_of(name)
    values = {"mcl_kd": {"networks": ["updn"]}, "attention_supervision": {"tasks": ["vqa"]}}.get(name, {})
    setting = paper.setting_of(profile="smoke", dataset=str(folder), **values)
    asked = next(r for r in paper.asked(setting, paper.pages[-1]) if r["variant"] == variant and r["prior"] == "same")
    digests = {data_digest(spec_of(folder), None), layout.votes_digest(spec_of(folder), None)}
    assert asked["data"]["dataset"] == str(folder) and asked["data"]["digest"] in digests
    result = json.loads(json.dumps(paper.produce(asked, tmp_path / "c", data_root=None, device="cpu")))
    if name == "mcl_kd":
        assert 0 <= result["test"]["oracle"] <= 100
    elif "test" in result:
        test = result["test"]
        types = [test["yes/no"], test["number"], test["other"], test["further_types"]["unanswerable"]]
        assert test["overall"] == pytest.approx(np.mean(types), abs=0.02)  # as many of each


def test_no_page_takes_an_id_for_a_number():
    root = Path(__file__).parents[2]
    for path in [*root.glob("notebooks/*.ipynb"), *root.glob("vqabook/papers/**/*.py")]:
        assert not re.search(r"int\([^()]*(image|question)_id", path.read_text("utf-8")), path.name
