"""Named sets: both divisions of one pool, nothing of test in train, and the real set as it is."""

from __future__ import annotations

import gzip
import json
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
import torch

from vqabook.data.layout import SOURCES, DataSpec, _digest, data_digest, source_files
from vqabook.data.sets import load_questions, load_task
from vqabook.data.vqa import build_vocabulary
from vqabook.papers.loss_rescaling.evaluation import statistics
from vqabook.world.write import World

WORLD = World(n_train=600)
CPU = torch.device("cpu")
REAL = "vqacp_v1_coco16k"


@pytest.fixture(scope="module", params=["changing", "same"])
def task(request, cache):
    return load_task(DataSpec("shapes", request.param, WORLD, min_answer_count=2), None, CPU)


def test_the_splits_are_apart(task):
    parts = (task.train_questions, task.valid_questions, task.test_questions)
    ids = [set(part.question_id.tolist()) for part in parts]
    assert len(set.union(*ids)) == sum(map(len, ids)) == sum(map(len, parts))
    assert [len(table) for table in (task.train, task.valid, task.test)] == list(map(len, ids))
    assert len(ids[1]) / (len(ids[0]) + len(ids[1])) == pytest.approx(0.1, abs=0.03)


def test_ids_come_from_train_alone(task):
    train = task.train_questions
    assert task.vocabulary == build_vocabulary(train, min_answer_count=2)  # the carved-out validation has no say
    modal, types = set(train.modal_answer), set(train.question_type)
    assert set(task.vocabulary.answer_ids) <= modal and set(task.vocabulary.question_types) == types
    assert task.train.side["question_type"].max() == len(types) - 1
    assert task.test.side["question_type"].max() <= len(types)


def test_tables_and_questions_share_their_order(task):
    rows = torch.tensor([5, 0, 17])
    for table, questions in ((task.train, task.train_questions), (task.test, task.test_questions)):
        batch, vocabulary = table.batch(rows), task.vocabulary
        for i, row in enumerate(rows.tolist()):
            kind = questions.question_type[row]
            assert vocabulary.question_types[batch.side["question_type"][i]] == kind
            regions = task.features.gather(torch.from_numpy(task.features.rows_of(questions.image_id[row : row + 1])))
            torch.testing.assert_close(batch.inputs[0][i], regions[0])
            known = vocabulary.answer_ids.get(questions.modal_answer[row])
            if known is not None:
                assert batch.target[i, known] > 0


def pairs(questions) -> set[tuple[str, str]]:
    return set(zip(questions.question_type, questions.modal_answer, strict=True))


def test_priors_change_or_stay(cache):
    shares = {}
    for prior in ("changing", "same"):
        task = load_task(DataSpec("shapes", prior, WORLD, min_answer_count=2), None, CPU)
        shares[prior] = statistics(task)["in_type"]["by_plurality"]
        if prior == "changing":
            assert not pairs(task.train_questions) & pairs(task.test_questions)
    assert shares["changing"] == 0 and shares["same"] > 0.85


def test_loading_is_deterministic(cache):
    spec = DataSpec("shapes", "changing", WORLD, min_answer_count=2)
    one = load_task(spec, None, CPU)
    load_task.cache_clear()
    other = load_task(spec, None, CPU)
    assert one is not other and one.vocabulary == other.vocabulary
    rows = torch.arange(len(one.train))
    torch.testing.assert_close(one.train.batch(rows).target, other.train.batch(rows).target, rtol=0, atol=0)
    assert one.valid_questions.question_id.tolist() == other.valid_questions.question_id.tolist()


def test_digests_tell_worlds_apart(cache):
    worlds = [World(n_train=n, seed=seed) for n in (600, 700) for seed in (0, 1)]
    assert len({data_digest(DataSpec("shapes", world=world), None) for world in worlds}) == 4
    assert len({source_files(DataSpec("shapes", world=world), None)[1] for world in worlds[:2]}) == 2


OFFICIAL = {  # as visualqa.org's and VQA-CP's archives name them
    "vqa_v1": [
        "vqa_v1/OpenEnded_mscoco_train2014_questions.json",
        "vqa_v1/mscoco_train2014_annotations.json",
        "vqa_v1/OpenEnded_mscoco_val2014_questions.json",
        "vqa_v1/mscoco_val2014_annotations.json",
    ],
    "vqa_v1_grid": [
        "vqa_v1/OpenEnded_mscoco_train2014_questions.json",
        "vqa_v1/mscoco_train2014_annotations.json",
        "vqa_v1/OpenEnded_mscoco_val2014_questions.json",
        "vqa_v1/mscoco_val2014_annotations.json",
    ],
    "vqa_v2": [
        "vqa_v2/v2_OpenEnded_mscoco_train2014_questions.json",
        "vqa_v2/v2_mscoco_train2014_annotations.json",
        "vqa_v2/v2_OpenEnded_mscoco_val2014_questions.json",
        "vqa_v2/v2_mscoco_val2014_annotations.json",
    ],
    "vqacp_v1": [
        "vqacp_v1/vqacp_v1_train_questions.json",
        "vqacp_v1/vqacp_v1_train_annotations.json",
        "vqacp_v1/vqacp_v1_test_questions.json",
        "vqacp_v1/vqacp_v1_test_annotations.json",
    ],
    "vqacp_v2": [
        "vqacp_v2/vqacp_v2_train_questions.json",
        "vqacp_v2/vqacp_v2_train_annotations.json",
        "vqacp_v2/vqacp_v2_test_questions.json",
        "vqacp_v2/vqacp_v2_test_annotations.json",
    ],
    "easy_vqa": [
        "easy_vqa/train_questions.json",
        "easy_vqa/train_annotations.json",
        "easy_vqa/test_questions.json",
        "easy_vqa/test_annotations.json",
    ],
}
FEATURES = {name: "features/trainval36.h5" for name in OFFICIAL} | {
    "vqa_v1_grid": "features/resnet152_grid14.h5",
    "easy_vqa": "easy_vqa/features.h5",
}


@pytest.fixture
def put(ask, write_split, write_features, tmp_path):
    """Writer of a small set under its official names; the numbers of its first train and test question."""
    kinds = [(f"what color {verb} the", c) for verb in ("is", "are") for c in ("red", "blue", "green")]

    def write(name: str, *, first=(0, 1000), features=True, gz=False) -> Path:
        rows = [ask(answer, question_type=kind, image_id=i) for i, (kind, answer) in enumerate(kinds * 20)]
        paths = [tmp_path / path for path in OFFICIAL[name]]
        for start, part, targets in zip(first, (rows, rows[:60]), (paths[:2], paths[2:]), strict=True):
            for path, target in zip(write_split(tmp_path, part), targets, strict=True):
                content = json.loads(path.read_text())
                for entry in content[path.stem]:
                    entry["question_id"] += start
                target.parent.mkdir(exist_ok=True)
                text = json.dumps(content[path.stem] if "vqacp" in name else content).encode()
                target = target.with_name(target.name + ".gz" * gz)
                target.write_bytes(gzip.compress(text) if gz else text)
        if features:
            (tmp_path / FEATURES[name]).parent.mkdir(exist_ok=True)
            write_features(tmp_path / FEATURES[name], np.ones((len(rows), 2, 3), np.float32), range(len(rows)))
        return tmp_path

    return write


@pytest.mark.parametrize("gz", [False, True])
@pytest.mark.parametrize("name", OFFICIAL)
def test_official_names(name, gz, put):
    root = put(name, gz=gz)
    native = "changing" if "cp" in name else "same"
    task = load_task(DataSpec(name, native, min_answer_count=2), root, CPU)
    assert SOURCES[name].native == native and (len(task.train) + len(task.valid), len(task.test)) == (120, 60)
    assert task.test_questions.question_id.tolist() == list(range(1000, 1060))
    assert len(data_digest(DataSpec(name), root)) == 12


@pytest.mark.parametrize("name", ["vqacp_v2", "easy_vqa"])
def test_the_other_prior_is_a_new_cut_of_the_same_pool(name, put):
    other = {"changing": "same", "same": "changing"}[SOURCES[name].native]
    task = load_task(DataSpec(name, other, min_answer_count=2), put(name), CPU)
    parts = (task.train_questions, task.valid_questions, task.test_questions)
    ids = sorted(i for part in parts for i in part.question_id.tolist())
    assert ids == [*range(120), *range(1000, 1060)]
    assert bool(pairs(task.train_questions) & pairs(task.test_questions)) == (other == "same")


@pytest.mark.parametrize(("share", "least"), [(None, 50), (0.5, 80)])
def test_a_third_of_the_questions_divided_anew_is_for_test(share, least, put):
    root, spec = put("easy_vqa"), DataSpec("easy_vqa", "changing", min_answer_count=2, test_share=share)
    assert least <= len(load_task(spec, root, CPU).test) <= 180 * (share or 1 / 3)
    assert ("test_share" in spec.asked()) == (share is not None)


def test_a_digest_is_of_every_file_s_content(put):
    root = put("vqa_v2")
    found = {data_digest(DataSpec("vqa_v2"), root)}
    for file in (root / path for path in OFFICIAL["vqa_v2"]):
        file.write_bytes(file.read_bytes().replace(b"color", b"colon").replace(b"red", b"rod"))  # of the same length
        _digest.cache_clear()
        found.add(data_digest(DataSpec("vqa_v2"), root))
    assert len(found) == 5


def test_questions_need_no_features(put):
    train, test, valid = load_questions(DataSpec("vqa_v2"), put("vqa_v2", features=False))
    assert (len(train), len(test), valid) == (120, 60, None)


def test_a_data_root_of_none_is_the_default(put, monkeypatch):
    monkeypatch.setenv("VQABOOK_DATA", str(put("easy_vqa")))
    assert source_files(DataSpec("easy_vqa"), None)[1] == put("easy_vqa")
    assert len(load_questions(DataSpec("easy_vqa"), None)[0]) == 120


def test_what_is_missing_is_named_with_the_command_that_brings_it(put, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"vqa_v1 is not whole: .*train2014_questions.json \(or"):
        data_digest(DataSpec("vqa_v1"), tmp_path)
    with pytest.raises(FileNotFoundError, match="does not exist; check data_root or .*: vqabook data fetch vqa_v1"):
        load_task(DataSpec("vqa_v1"), tmp_path, CPU)
    with pytest.raises(FileNotFoundError, match="vqa_v1_grid is not whole: .*: vqabook data fetch vqa_v1$"):
        data_digest(DataSpec("vqa_v1_grid"), tmp_path)
    commands = {"vqa_v2": "bottom_up_36", "vqa_v1_grid": "vqa_v1_grid", "easy_vqa": "easy_vqa"}
    for name, fetched in commands.items():
        root = put(name, features=False)
        message = (
            f"{name} needs region features in .*h5, .* get them: vqabook data fetch {fetched}, or make them .*IMAGES"
        )
        for load in (lambda spec, root: load_task(spec, root, CPU), data_digest):
            with pytest.raises(FileNotFoundError, match=message):
                load(DataSpec(name, "same"), root)


def test_a_question_on_both_sides(put):
    root = put("vqa_v2", first=(0, 119))
    message = (
        r"share no question: 1 of vqa_v2 are in both \(first: 119\); fetch the set again: vqabook data fetch vqa_v2"
    )
    with pytest.raises(ValueError, match=message):
        load_questions(DataSpec("vqa_v2"), root)


def test_files_of_two_splits(put):
    root = put("vqa_v2")
    train, test = (root / path for path in OFFICIAL["vqa_v2"][1::2])
    train.write_bytes(test.read_bytes())
    with pytest.raises(
        ValueError, match="come in pairs: 120 questions in .*, 60 annotations in .*; use two files of one"
    ):
        load_questions(DataSpec("vqa_v2"), root)


def test_refusals(tmp_path, unchecked):
    with pytest.raises(
        ValueError, match="is one of shapes, .*, easy_vqa, or the path of a folder of your own; got 'vqa_v9'"
    ):
        DataSpec("vqa_v9")
    with pytest.raises(ValueError, match=r"prior is 'changing' \(VQA-CP\) or 'same' \(VQA\), got 'new'"):
        DataSpec(prior="new")
    with pytest.raises(FileNotFoundError, match="is not a folder; set data_root or VQABOOK_DATA to where it lies"):
        data_digest(DataSpec(REAL), tmp_path / "none")


def test_recorded_digests(real_data):
    """Evidence is found by these: they may change only with the data."""
    root = real_data(REAL).parent
    digests = {name: data_digest(DataSpec(name), root) for name in (REAL, "vqa_v2_60k")}
    assert digests == {REAL: "28b5c68d4d5e", "vqa_v2_60k": "ab335099b541"}


@pytest.fixture(scope="module")
def real(real_data, cache):
    root = real_data(REAL).parent
    return lambda prior: load_task(DataSpec(REAL, prior, min_answer_count=5), root, CPU)


def test_the_real_set_with_changing_priors(real):
    task = real("changing")
    assert (len(task.train) + len(task.valid), len(task.test)) == (28_666, 14_726)
    shares = statistics(task)["in_type"]
    assert 0.05 < shares["by_plurality"] < 0.09  # VQA-CP keeps these pairs apart, up to its normalisation of answers


def test_the_real_set_with_the_same_priors(real):
    task = real("same")
    assert (len(task.train) + len(task.valid), len(task.test)) == (28_666, 14_726)
    shares = statistics(task)["in_type"]
    assert shares["by_plurality"] / shares["in_vocabulary"] > 0.9


def test_real_answers_are_mostly_learnable(real):
    task = real("same")
    best = task.test.target.score.max(1).values
    assert best.mean() > 0.85  # the best that any model could score
    by_type = defaultdict(list)
    for kind, answer in zip(task.train_questions.answer_type, task.train_questions.modal_answer, strict=True):
        by_type[kind].append(answer)
    assert set(by_type) == {"yes/no", "number", "other"}
    assert np.mean([a in ("yes", "no") for a in by_type["yes/no"]]) > 0.95
