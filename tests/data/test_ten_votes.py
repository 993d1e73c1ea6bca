"""Tasks that read ten votes: all held-out questions, with or without images; who agrees with whom."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from vqabook.data import layout, ten_votes
from vqabook.data.layout import DataSpec
from vqabook.data.sets import load_task, modal_ids
from vqabook.data.vqa import read_questions
from vqabook.world.write import World

CPU = torch.device("cpu")
WORLD = World(n_train=400, objects=(2, 4), regions=4)
SPEC = DataSpec("shapes", "same", WORLD, 2)


@pytest.fixture
def questions(tmp_path, write_split, ask):
    rows = [
        ask(["red"] * 4 + ["Red"] * 3 + ["blue"] * 3),
        ask("yes", answer_type="yes/no"),
        ask(["yes"] * 9 + ["maybe"], answer_type="yes/no"),
    ]
    return read_questions(*write_split(tmp_path, rows))


def test_agreement_counts_answers_as_written(questions):
    assert ten_votes.agreement(questions).tolist() == [4, 10, 9]


def test_a_disputed_yes_no_question_has_some_other_answer(questions):
    assert ten_votes.find_undisputed(questions).tolist() == [True, True, False]


def test_with_images_it_is_the_set_s_task(cache):
    assert ten_votes.votes_task(SPEC, None, CPU) is load_task(SPEC, None, CPU)


def test_without_images_everything_else_is_the_same(cache):
    seen, blind = (ten_votes.votes_task(SPEC, None, CPU, images=images) for images in (True, False))
    assert blind.vocabulary == seen.vocabulary
    for part in ("train", "valid", "test"):
        ours, theirs = getattr(blind, part), getattr(seen, part)
        torch.testing.assert_close(ours.inputs[1], theirs.inputs[1])
        torch.testing.assert_close(ours.side["votes"], theirs.side["votes"])
        regions, words = ours.batch(torch.arange(3)).inputs
        assert regions.shape == (3, 1, 1) and not regions.any() and words.shape == (3, 14)


def test_answerable_is_the_vocabulary_s(cache):
    task = ten_votes.votes_task(DataSpec("shapes", "same", WORLD, 15), None, CPU)
    known = modal_ids(task, task.test_questions) >= 0
    assert 0 < known.mean() < 1
    answers = np.array(task.test_questions.modal_answer)
    assert set(answers[known]) <= task.vocabulary.answer_ids.keys()
    assert not set(answers[~known]) & task.vocabulary.answer_ids.keys()


def test_real_questions_all_of_them(real_data):
    """48,061 + 8,977 + 2,962 questions, 11,727 of them about images with features."""
    root = real_data("vqa_v2_60k").parent
    spec = DataSpec("vqa_v2_60k", "same", None, 3, 10)
    for images, n_test, n in ((True, 1778 + 585, 11_727), (False, 8977 + 2962, 60_000)):
        task = ten_votes.votes_task(spec, root, CPU, images=images)
        assert len(task.test) == len(task.test_questions) == n_test
        assert len(task.train) + len(task.valid) + n_test == n
        assert len(set(task.train_questions.question_id) & set(task.test_questions.question_id)) == 0
    assert len({layout.votes_digest(spec, root), layout.votes_digest(spec, root, images=False)}) == 2


def test_models_without_an_image_need_no_features(real_data, tmp_path):
    (tmp_path / "vqa_v2_60k").symlink_to(real_data("vqa_v2_60k"))
    spec = DataSpec("vqa_v2_60k", "same", None, 3)
    assert layout.votes_digest(spec, tmp_path, images=False)
    with pytest.raises(FileNotFoundError, match="needs region features"):
        layout.votes_digest(spec, tmp_path)


def test_held_out_questions_that_are_in_train_are_refused(real_data, tmp_path):
    root = real_data("vqa_v2_60k")
    (tmp_path / "vqa_v2_60k").mkdir()
    for path in root.glob("*.gz"):
        source = root / path.name.replace("v2_test", "v2_train")
        (tmp_path / "vqa_v2_60k" / path.name).symlink_to(source)
    spec = DataSpec("vqa_v2_60k", "same", None, 3)
    with pytest.raises(
        ValueError, match="train and v2_test_questions.json share no question: 48061 of .*; fetch the set again"
    ):
        ten_votes.votes_task(spec, tmp_path, CPU, images=False)


def test_the_rest_of_a_set_that_is_not_there_is_named(real_data, tmp_path):
    root = real_data("vqa_v2_60k").parent
    (tmp_path / "vqa_v2_60k").mkdir()
    for path in root.joinpath("vqa_v2_60k").glob("v2_[tv][ra]*.json.gz"):
        if "test" not in path.name:
            (tmp_path / "vqa_v2_60k" / path.name).symlink_to(path)
    (tmp_path / "vqacp_v1_coco16k").symlink_to(root / "vqacp_v1_coco16k")
    with pytest.raises(FileNotFoundError, match="v2_test_questions.json .*does not exist"):
        layout.votes_digest(DataSpec("vqa_v2_60k", "same", None, 3), tmp_path)
