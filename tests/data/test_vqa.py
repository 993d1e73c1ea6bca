"""Official files to a Table: both layouts, every kind of damage, and targets equal to the official metric."""

from __future__ import annotations

import json
import random
import time
import tracemalloc
from collections import Counter
from dataclasses import asdict

import numpy as np
import pytest
import torch

from vqabook.data.layout import RARE, DataSpec
from vqabook.data.vqa import build_vocabulary, encode_words, make_table, read_questions, soft_targets, spell, tokenise
from vqabook.features.store import open_features
from vqabook.metrics.vqa import leave_one_out_scores, normalise, vqa_accuracy

SPLIT = ["red"] * 5 + ["blue"] * 3 + ["teal"] + ["The red."]


@pytest.fixture
def rows(ask) -> list[dict]:
    return [
        ask(SPLIT, image_id=5),
        ask("2", image_id=3, question="How many cats' paws?", question_type="how many", answer_type="number"),
        ask("two", image_id=3, question="how many dogs?", question_type="how many", answer_type="number"),
        ask("yes", image_id=9, question="Is it Tom's?", question_type="is it", answer_type="yes/no"),
    ]


@pytest.fixture
def files(rows, write_split, tmp_path):
    return write_split(tmp_path, rows)


@pytest.mark.parametrize("layout", ["v2", "cp"])
@pytest.mark.parametrize("gz", [False, True])
def test_both_layouts_plain_and_gzipped(layout, gz, rows, write_split, tmp_path):
    questions = read_questions(*write_split(tmp_path, rows, layout=layout, gz=gz))
    assert questions.question_id.tolist() == [0, 1, 2, 3] and questions.image_id.tolist() == [5, 3, 3, 9]
    assert questions.text[3] == "Is it Tom's?" and questions.question_type[1] == "how many"
    assert questions.modal_answer == ["red", "2", "2", "yes"] and questions.answer_type[3] == "yes/no"


def test_the_question_file_gives_the_order(rows, write_split, tmp_path):
    asked, answered = write_split(tmp_path, rows, layout="cp")
    answered.write_text(json.dumps(json.loads(answered.read_text())[::-1]))
    questions = read_questions(asked, answered)
    assert [a["question_id"] for a in questions.annotations] == questions.question_id.tolist() == [0, 1, 2, 3]


def test_subsets_and_sums(files):
    questions = read_questions(*files)
    both = questions.subset(np.array([3, 0])) + questions.subset(np.array([1]))
    assert both.question_id.tolist() == [3, 0, 1] and both.image_id.tolist() == [9, 5, 3] and len(both) == 3
    assert both.text == [questions.text[i] for i in (3, 0, 1)] and both.answer_type == ["yes/no", "other", "number"]


def test_missing_and_cut_off_files(files):
    with pytest.raises(FileNotFoundError, match=r"\(or the same name with .gz\) does not exist; check data_root"):
        read_questions(files[0].with_name("none.json"), files[1])
    files[0].write_bytes(files[0].read_bytes()[:-20])
    with pytest.raises(ValueError, match=r"questions.json must be whole, valid JSON: .*; it is probably cut off"):
        read_questions(*files)


def test_a_cut_off_archive(rows, write_split, tmp_path):
    asked, answered = write_split(tmp_path, rows, gz=True)
    archive = asked.with_name("questions.json.gz")
    archive.write_bytes(archive.read_bytes()[:-12])
    with pytest.raises(ValueError, match=r"whole, valid JSON: .*questions.json.gz is not .*bring a whole"):
        read_questions(asked, answered)
    archive.write_bytes(b"no archive")
    with pytest.raises(ValueError, match="whole, valid JSON"):
        read_questions(asked, answered)


@pytest.mark.parametrize("content", ["{}", "[]", '{"questions": {}}', "[1, 2]", '"text"', '{"annotations": [{}]}'])
def test_json_that_is_no_vqa_file(content, files):
    files[0].write_text(content)
    with pytest.raises(ValueError, match=r"a VQA question has .*questions.json .*: is it the right file"):
        read_questions(*files)


def test_files_in_the_wrong_order(rows, write_split, tmp_path):
    asked, answered = write_split(tmp_path, rows, layout="cp")
    with pytest.raises(ValueError, match=r"entry 0 of .* does not fit .*required field `question`"):
        read_questions(answered, asked)


def edited(path, change) -> None:
    content = json.loads(path.read_text())
    change(content["annotations"])
    path.write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: a.pop(), r"4 questions in .*, 3 annotations in .*, 1 ids in only one of them \(first: 3\)"),
        (lambda a: a[0].update(question_id=77), r"come in pairs: .*, 2 ids in only one of them \(first: 0\)"),
        (lambda a: a[2].update(image_id=4), "question 2 about image 3 has image 4 and 10 answers in .*; bring"),
        (lambda a: a[1].update(answers=[]), "has its question.s image and 10 answers; question 1 .* 0 answers"),
        (lambda a: a[1]["answers"].pop(), "question 1 .* 9 answers"),
        (lambda a: a[1].pop("answer_type"), "entry 1 of .* does not fit .*`answer_type`"),
        (lambda a: a[1].update(question_id="1"), "ids of one kind, .*: 0 and '1' are in .*annotations.json; write all"),
        (lambda a: a[1].update(image_id="3"), "ids of one kind, .*: 5 and '3' are in .*annotations.json; write all"),
        (lambda a: a[1].update(question_id=None), "entry 1 of .*Expected `int | str`, got `null` .*question_id"),
        (lambda a: a[1].update(question_id=1.5), "entry 1 of .*Expected `int | str`, got `float` .*question_id"),
        (lambda a: a[1].update(question_id=2**63), "ids below 2.63 or texts.*annotations.json"),
        (
            lambda a: a[1].update(multiple_choice_answer=2),
            "entry 1 of .*got `int` .*multiple_choice_answer",
        ),
        (lambda a: a[1].update(answers={}), "entry 1 of .*Expected `array`, got `object` .*answers"),
        (lambda a: a[2]["answers"].__setitem__(3, "red"), r"entry 2 of .*Expected `object`, got `str` .*answers\[3\]"),
        (lambda a: a[2]["answers"][3].update(answer=4), "entry 2 of .*Expected `str`, got `int` .*answer"),
        (lambda a: a[2]["answers"][3].pop("answer"), "entry 2 of .*required field `answer`"),
        (
            lambda a: a.append(a[1]),
            "an id of its own: 1 comes 2 times among 5 in .*annotations.json; bring a whole",
        ),
    ],
)
def test_questions_and_annotations_that_do_not_match(change, message, files):
    edited(files[1], change)
    with pytest.raises(ValueError, match=message):
        read_questions(*files)


def test_a_question_asked_twice(files):
    content = json.loads(files[0].read_text())
    content["questions"] += [content["questions"][3]] * 2
    files[0].write_text(json.dumps(content))
    with pytest.raises(ValueError, match="an id of its own: 3 comes 3 times among 6 in .*questions.json; bring"):
        read_questions(*files)


def test_a_damaged_archive(rows, write_split, tmp_path):
    asked, answered = write_split(tmp_path, rows, gz=True)
    archive = asked.with_name("questions.json.gz")
    damaged = bytearray(archive.read_bytes())
    damaged[40:60] = bytes(20)
    archive.write_bytes(damaged)
    with pytest.raises(ValueError, match=r"whole, valid JSON: .*questions.json.gz is not .*bring a whole"):
        read_questions(asked, answered)


def test_two_splits_of_one_set(ask, write_split, tmp_path):
    paths = []
    for i, split in enumerate(("train2014", "val2014")):
        (tmp_path / split).mkdir()
        asked, answered = write_split(tmp_path / split, [ask(image_id=i), ask(image_id=i)])
        for path in (asked, answered):
            path.write_text(path.read_text().replace('"question_id": ', f'"question_id": {i + 1}'))
        paths.append((asked, answered))
    with pytest.raises(ValueError, match=r"4 ids in only one of them \(first: 10\); use two files of one split"):
        read_questions(paths[0][0], paths[1][1])


def test_of_an_answer_its_text_is_kept_once(files):
    questions = read_questions(*files)
    whole = json.loads(files[1].read_text())["annotations"]
    for ours, official in zip(questions.annotations, whole, strict=True):
        assert [x["answer"] for x in ours["answers"]] == [x["answer"] for x in official["answers"]]
        assert {**ours, "answers": None} == {**official, "answers": None}
    answers = [x for a in questions.annotations for x in a["answers"]]
    assert all(list(x) == ["answer"] for x in answers)
    assert len(set(map(id, answers))) == len({x["answer"] for x in answers}) == 7


def test_tokeniser():
    assert tokenise("What's the man's dog, Rex, doing?") == ["what", "'s", "the", "man", "'s", "dog", "rex", "doing"]
    assert tokenise("  ") == []


def test_words_are_cut_and_padded():
    words = {"is": 2, "it": 3}
    ids = encode_words(["Is it?", "it is it", "xx it", "?"], words, max_words=2)
    assert ids.tolist() == [[2, 3], [3, 2], [1, 3], [1, 0]]
    assert encode_words(["is"], words).shape == (1, 14)
    assert [spell(row, ("is", "it")) for row in ids] == [["is", "it"], ["it", "is"], ["?", "it"], ["?"]]


def test_vocabulary(ask, write_split, tmp_path):
    rows = [ask("two"), ask("2"), ask("2"), ask("The cat"), ask("cat"), ask("a cat"), ask("cat"), ask("rare")]
    vocabulary = build_vocabulary(read_questions(*write_split(tmp_path, rows)), min_answer_count=2)
    assert vocabulary.answer_ids == {"cat": 0, "2": 1}  # frequent first, spellings counted together
    assert vocabulary.answers == ("cat", "2")  # the usual spelling, which the evaluator compares
    assert sorted(vocabulary.words.values()) == list(range(2, 2 + len(vocabulary.words)))
    tied = read_questions(*write_split(tmp_path, [ask("dog"), ask("ant"), ask("cat"), ask("dog"), ask("cat")]))
    assert list(build_vocabulary(tied, min_answer_count=1).answer_ids) == ["cat", "dog", "ant"]  # ties by name


def test_vocabulary_refusals(files):
    train = read_questions(*files)
    with pytest.raises(ValueError, match="no answer occurs 3 times in 4 train questions; lower min_answer_count"):
        build_vocabulary(train, min_answer_count=3)
    with pytest.raises(ValueError, match="min_answer_count must be at least 1, got 0"):
        build_vocabulary(train, min_answer_count=0)


def test_soft_targets_are_the_official_scores(files):
    questions = read_questions(*files)
    vocabulary = build_vocabulary(questions, min_answer_count=1)
    target, votes = soft_targets(questions, vocabulary)
    dense = target[torch.arange(4)]
    for row, annotation in zip(dense.tolist(), questions.annotations, strict=True):
        expected = leave_one_out_scores([normalise(x["answer"]) for x in annotation["answers"]])
        assert row == pytest.approx([expected.get(answer, 0.0) for answer in vocabulary.answer_ids])
    assert votes.sum(1).tolist() == [6, 10, 10, 10]  # "blue" and "teal" are the plurality answer of no question
    assert dense.max() == 1 and target.score.shape == votes.shape == target.answer.shape


def test_targets_keep_the_order_of_the_first_votes(ask, write_split, tmp_path):
    """Against a plain loop: one Counter a question, whose order is that of first occurrence."""
    draw = random.Random(0)
    names = ["Red.", "red", "the red", "blue", "2", "two", "teal", "mauve", "unknown", "?"]
    rows = [ask(draw.choices(names, k=10)) for _ in range(300)]
    questions = read_questions(*write_split(tmp_path, rows))
    vocabulary = build_vocabulary(questions, min_answer_count=20)
    target, votes = soft_targets(questions, vocabulary)
    counters = []
    for row in rows:
        ids = [vocabulary.answer_ids.get(normalise(x["answer"])) for x in row["answers"]]
        counters.append(Counter(i for i in ids if i is not None))
    assert target.answer.shape[1] == max(map(len, counters))
    for answer, count, counter in zip(target.answer.tolist(), votes.tolist(), counters, strict=True):
        pairs = list(counter.items())
        assert list(zip(answer, count, strict=True)) == pairs + [(0, 0)] * (len(answer) - len(pairs))
    assert target.answer.dtype == votes.dtype == torch.int32


@pytest.mark.parametrize("votes", range(11))
def test_a_score_for_every_number_of_votes(votes, ask, write_split, tmp_path):
    rows = [ask(["red"] * votes + ["blue"] * (10 - votes)), ask("red"), ask("blue")]
    questions = read_questions(*write_split(tmp_path, rows))
    vocabulary = build_vocabulary(questions, min_answer_count=1)
    (score, _, _) = soft_targets(questions, vocabulary)[0][torch.arange(3)][:, vocabulary.answer_ids["red"]]
    left_out = [min(1, (votes - own) / 3) for own in [1] * votes + [0] * (10 - votes)]  # the official average
    assert score.item() == pytest.approx(sum(left_out) / 10)


def test_predicting_the_target_earns_its_score(files):
    questions = read_questions(*files)
    vocabulary = build_vocabulary(questions, min_answer_count=1)
    dense = soft_targets(questions, vocabulary)[0][torch.arange(4)]
    best = [vocabulary.answers[i] for i in dense.argmax(1)]
    accuracy = vqa_accuracy(dict(zip(questions.question_id.tolist(), best, strict=True)), questions.annotations)
    split, unanimous = accuracy.per_question[0], [accuracy.per_question[i] for i in (1, 3)]
    assert split == 100 and unanimous == [100, 100]


def test_no_usable_answers(ask, files, write_split, tmp_path):
    vocabulary = build_vocabulary(read_questions(*files), min_answer_count=1)
    other = read_questions(*write_split(tmp_path, [ask("mauve")]))
    with pytest.raises(ValueError, match=r"none of the 1 questions has an answer in the vocabulary of 3; lower"):
        soft_targets(other, vocabulary)


def test_table(ask, rows, files, write_split, write_features, tmp_path):
    train = read_questions(*files)
    vocabulary = build_vocabulary(train, min_answer_count=1)
    test_rows = [ask("mauve", image_id=9, question_type="why", question="Why is it red?"), *rows[1:]]
    test = read_questions(*write_split(tmp_path, test_rows))
    pixels = np.arange(4 * 2 * 3, dtype=np.float32).reshape(4, 2, 3)
    features = open_features(write_features(tmp_path / "f.h5", pixels, [9, 5, 7, 3]))
    table = make_table(test, vocabulary, features)
    assert vocabulary.question_types == ("how many", "is it", "what color is the")
    assert table.side["question_type"].tolist() == [3, 0, 0, 1]  # "why" was never asked in train
    assert len(table) == 4 and table.n_classes == 3
    batch = table.batch(torch.tensor([1, 0]))
    regions, words = batch.inputs
    torch.testing.assert_close(regions, torch.from_numpy(pixels[[3, 0]]))
    assert words[1, 0] == 1 and words[1, 1] == vocabulary.words["is"]  # "why" is unknown, "is" is not
    assert batch.target[1].abs().sum() == 0 and batch.target[0].max() == 1
    assert batch.side["votes"].sum(1).tolist() == [10, 0]


def test_a_question_whose_image_has_no_features(files, write_features, tmp_path):
    questions = read_questions(*files)
    features = open_features(write_features(tmp_path / "f.h5", np.zeros((2, 1, 3), np.float32), [3, 5]))
    message = r"1 images of the questions \(first: 9\) are not among the 2 in .*f.h5; drop those questions or extract"
    with pytest.raises(ValueError, match=message):
        make_table(questions, build_vocabulary(questions, min_answer_count=1), features)


@pytest.fixture
def many(ask, write_split, tmp_path):
    """Factory of the files of n questions, each with two distinct ones among ten answers, about 3,000 images."""
    names = [f"answer {i}" for i in range(3000)]
    kinds = [ask([a, b] * 3 + [a] * 4, image_id=i) for i, (a, b) in enumerate(zip(names, names[::-1], strict=True))]
    return lambda n: write_split(tmp_path, random.Random(0).choices(kinds, k=n))


def test_time_of_many_questions(many, write_features, tmp_path):
    """A twentieth of VQA v2's training set; the whole of it is benchmarks/questions.py."""
    n = 20_000
    files = many(n)
    features = open_features(write_features(tmp_path / "f.h5", np.zeros((3000, 1, 2), np.float32), range(3000)))
    started = time.process_time()
    questions = read_questions(*files)
    table = make_table(questions, build_vocabulary(questions, min_answer_count=1), features)
    seconds = (time.process_time() - started) / n
    assert len(table) == n and table.target.score.shape[1] == 2
    assert seconds < 4 * 60 / 443_757  # the goal for the whole, with room for a busy machine; a tenth of it here


def test_memory_of_many_questions(many):
    files = many(2000)
    tracemalloc.start()
    questions = read_questions(*files)
    kept = tracemalloc.get_traced_memory()[0] / len(questions)
    tracemalloc.stop()
    assert kept < 1500  # bytes a question; with all fields of every answer it is 3,100


def test_answers_may_be_looked_up_as_typed(ask, write_split, tmp_path):
    """As released: what the evaluation would normalise scores nothing."""
    rows = [ask("cat"), ask(["cat"] * 4 + ["The cat."] * 6)]
    questions = read_questions(*write_split(tmp_path, rows))
    vocabulary = build_vocabulary(questions, min_answer_count=1)
    assert soft_targets(questions, vocabulary)[1].tolist() == [[10], [10]]
    assert soft_targets(questions, vocabulary, as_typed=True)[1].tolist() == [[10], [4]]
    assert DataSpec("vqa_v2").asked() == {k: v for k, v in asdict(DataSpec("vqa_v2")).items() if k not in RARE}
    typed = DataSpec("vqa_v2", as_typed=True)
    assert DataSpec.of(typed.asked()) == typed
