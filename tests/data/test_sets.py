"""Named sets: both divisions of one pool, nothing of test in train, and the real set as it is."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import pytest
import torch

from vqabook.data.sets import DataSpec, data_digest, load_task, source_files
from vqabook.data.shapes import World
from vqabook.evaluate import statistics

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


def test_refusals(tmp_path, unchecked):
    with pytest.raises(ValueError, match="dataset is one of shapes, vqacp_v1_coco16k, .*; got 'vqa_v9'"):
        DataSpec("vqa_v9")
    with pytest.raises(ValueError, match=r"prior is 'changing' \(VQA-CP\) or 'same' \(VQA\), got 'new'"):
        DataSpec(prior="new")
    for root in (None, tmp_path / "none"):
        with pytest.raises(FileNotFoundError, match="is not a folder; set data_root or VQABOOK_DATA to where it lies"):
            data_digest(DataSpec(REAL), root)
    with pytest.raises(FileNotFoundError, match="data set vqacp_v2 needs .*, which does not exist; check data_root"):
        data_digest(DataSpec("vqacp_v2"), tmp_path)


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
