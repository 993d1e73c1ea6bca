"""Chapter 05: what its runs do, what they share, how they are judged, what is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from vqabook.data.cifar import shrink
from vqabook.data.sets import DataSpec, load_task
from vqabook.evidence.record import key_of
from vqabook.metrics import vqa_accuracy
from vqabook.metrics.ensemble import worth
from vqabook.models.members import Members
from vqabook.objectives.multiple_choice import MultipleChoice
from vqabook.papers.mcl_kd import PAPER, claims
from vqabook.papers.mcl_kd.evaluation import count_owned, judge_unread, owners_cost, score
from vqabook.papers.mcl_kd.examples import Examples, load_examples, load_reasoning
from vqabook.papers.mcl_kd.owners import find_confidence, list_owned_questions, list_said, read_owned, sort_by_owner
from vqabook.papers.mcl_kd.recipes import Run
from vqabook.papers.mcl_kd.scales import compare_scales
from vqabook.papers.mcl_kd.setting import Ensemble
from vqabook.papers.mcl_kd.train import build, objective_of

CPU = torch.device("cpu")


def examples_of(recipe: Run) -> Examples:
    return load_examples(recipe.data, None, CPU)


@pytest.mark.parametrize("network", ["mlp", "updn", "vgg"])
def test_other_networks_run(network, recipe_of, produce, cache, tmp_path):
    values = {"networks": (network,), "image_width": 2, "vgg_width": 2, "image_base_epochs": 1, "image_epochs": 1}
    if network == "vgg":  # 8 x 8 digits are too small for four poolings
        with pytest.raises(ValueError, match="halved four times, got 8"):
            produce(recipe_of(f"{network} base", **values), tmp_path)
        return
    assert 0 <= produce(recipe_of(f"{network} mcl_kd k1", **values), tmp_path)["test"]["overall"] <= 100


def test_runs_start_from_one_set_of_base_models(recipe_of, produce, cache, tmp_path, monkeypatch):
    """One run leaves its weights and what they say; another reads both; without them the same ones are made again."""
    produce(recipe_of("san base"), tmp_path)
    first = produce(recipe_of("san mcl_kd k1"), tmp_path)
    left = [path.name for path in tmp_path.glob("*.stage")]
    assert {name.rsplit(".", 2)[1] for name in left} == {"weights", "teachers"}
    assert all(name.startswith(f"{key_of(recipe_of('san base').asked())}.") for name in left)
    with monkeypatch.context() as patch:
        patch.setattr("vqabook.training.stages.save_whole", None)  # the only way to leave weights
        produce(recipe_of("san mcl k1"), tmp_path)
    alone = tmp_path / "alone"
    alone.mkdir()
    assert produce(recipe_of("san mcl_kd k1"), alone) | {"history": None} == first | {"history": None}


def test_a_recipe_names_its_base_models(recipe_of):
    for name in ("base", "mcl k1", "mcl_kd k1 @ by chance"):
        assert key_of(recipe_of(f"san {name}").base.asked()) == key_of(recipe_of("san base").asked())
    other = recipe_of("san mcl_kd k1", beta=3.0, epochs=5)
    assert other != recipe_of("san mcl_kd k1") and other.base == recipe_of("san base")


@pytest.mark.parametrize("variant", ["san base", "san mcl_kd k1 @ by chance", "resnet mcl_kd + fs k1"])
def test_a_record_s_recipe_is_read_back(variant, recipe_of):
    """Base models say nothing of what ensembles alone have."""
    recipe = recipe_of(variant)
    again = Run.of(json.loads(json.dumps(recipe.asked())))
    assert key_of(again.asked()) == key_of(recipe.asked()) and again.ensemble == recipe.ensemble
    own = {"beta", "cmcl_beta", "temperature"} & recipe.asked().keys()
    assert len(own) == (0 if recipe.ensemble is None else 3) and "ensemble" in recipe.asked()


def test_all_members_as_specialists_are_an_independent_ensemble(recipe_of, produce, cache, tmp_path):
    """k = m, whatever the rule: what is compared with IE differs by its specialists alone."""
    recipe, tests = recipe_of("san ie @ as long"), []
    for ensemble in (Ensemble("ie", None), Ensemble("mcl", 3), Ensemble("mcl_kd", 3)):
        tests.append(produce(replace(recipe, ensemble=ensemble, variant=ensemble.rule), tmp_path)["test"])
    assert tests[0] == pytest.approx(tests[1]) and tests[0] == pytest.approx(tests[2])


def test_an_answer_is_worth_its_vqa_accuracy(recipe_of, cache):
    """Soft scores of the targets against the official evaluation, question by question."""
    examples = examples_of(recipe_of("updn base", networks=("updn",)))
    task = load_task(DataSpec.of(recipe_of("updn base", networks=("updn",)).data), None, CPU)
    chosen = torch.randint(len(examples.answers), (1, len(examples.test)), generator=torch.Generator().manual_seed(0))
    mine = worth(chosen, examples.test.target[torch.arange(len(examples.test))])
    said = dict(zip(task.test_questions.question_id.tolist(), (examples.answers[i] for i in chosen[0]), strict=True))
    assert 100 * float(mine.mean()) == pytest.approx(
        vqa_accuracy(said, task.test_questions.annotations).overall, abs=0.01
    )


def test_members_are_judged_one_by_one(recipe_of, cache):
    recipe = recipe_of("san base")
    examples = examples_of(recipe)
    members = build(recipe, examples)
    together, each = score(Members(members), examples.test)
    batch = examples.test.batch(torch.arange(len(examples.test)))
    with torch.no_grad():
        logits = [model.eval()(*batch.inputs).logits for model in members]
    for one, right in zip(logits, each, strict=True):
        assert np.array_equal(one.argmax(1).eq(batch.target).numpy(), right)
    mean = sum(one.softmax(-1) for one in logits) / len(logits)
    assert np.array_equal(mean.argmax(1).eq(batch.target).numpy(), together)


def test_an_example_s_owner_is_whom_it_is_assigned_to(recipe_of, cache):
    """Of the k = 1 assignment in training; and who owns what is told from chance."""
    recipe = recipe_of("san mcl k1")
    examples = examples_of(recipe)
    model, objective = Members(build(recipe, examples)), objective_of(recipe, examples.train)
    cost = owners_cost(model, objective, examples.train)
    batch = examples.train.batch(torch.arange(len(examples.train)))
    with torch.no_grad():
        (loss,) = objective.steps(model.eval(), batch, 0.0)
    np.testing.assert_allclose(cost.min(1), loss.numpy(), rtol=1e-5)
    group = np.repeat(np.arange(4), 50)
    own, mixed = np.ones((200, 3)), np.random.default_rng(0).random((200, 3))
    own[np.arange(200), group % 3] = 0
    names = ("a", "b", "c", "d")
    told, chance = count_owned(own, group, names), count_owned(mixed, group, names)
    assert told["p"] == 0.001 and told["beyond_chance"] > 0.9
    assert chance["p"] > 0.01 and abs(chance["beyond_chance"]) < 0.03
    assert told["owned"][0] == [50, 0, 0] and told["families"] == list(names)
    assert count_owned(np.tile([0.0, 1.0], (200, 1)), group, names)["beyond_chance"] == 0  # one owns all


def test_specialists_are_members():
    with pytest.raises(ValueError, match=r"1 <= k <= 3, got \(1, 4\); lower k"):
        PAPER.setting_of(profile="smoke", specialists=(1, 4))
    with pytest.raises(ValueError, match="specialists must be positive"):
        PAPER.setting_of(profile="smoke", specialists=(0,))
    with pytest.raises(ValueError, match=r"1 <= k <= 3, got \(5,\); lower k"):
        PAPER.setting_of(profile="smoke", vqa_specialists=(5,))


def test_soft_targets_have_a_soft_loss(recipe_of, cache):
    recipe = recipe_of("updn base", networks=("updn",))
    table = examples_of(recipe).train
    batch = table.batch(torch.arange(4))
    logits = torch.randn(3, 4, table.n_classes)
    want = -(batch.target * logits.log_softmax(-1)).sum(-1)
    torch.testing.assert_close(objective_of(recipe, table).task(logits, batch.target), want)
    labels = examples_of(recipe_of("san base")).train
    assert objective_of(recipe_of("san base"), labels).task is MultipleChoice("mcl", k=1).task


def test_printed_tables_are_complete():
    for network, rows in claims.PRINTED.items():
        assert {"single", "base"} <= rows.keys()
        assert {f"{rule} k{k}" for rule in ("mcl", "cmcl", "mcl_kd") for k in claims.KS[network]} <= rows.keys()
        assert all(one is None or 30 < one < 100 for pair in rows.values() for one in pair)


def test_clevr(real_data):
    """The official questions: 90 families, 28 answers, the validation questions as test."""
    folder = real_data("clevr_1500")
    examples = load_reasoning("clevr_1500", "states", folder.parent, CPU)
    assert (len(examples.train) + len(examples.valid), len(examples.test)) == (10_000, 5_000)
    assert len(examples.families) == 90 and len(examples.answers) == 28
    assert len(examples.digest) == 12
    assert [round(value, 1) for value in judge_unread(examples, 5)["test"].values()] == [42.8, 95.6]
    regions, words = examples.test.batch(torch.arange(2)).inputs
    assert regions.shape[1:] == (10, 21) and words.shape[1] == examples.test.inputs[-1].shape[1]


def make_clevr(folder: Path, write_features) -> None:
    """Twenty questions on two scenes of a cube each, in train and val, and features of their pictures."""
    cube = {"shape": "cube", "color": "red", "size": "small", "material": "metal"}
    cube |= {"3d_coords": [0, 0, 0], "pixel_coords": [1, 1, 1]}
    fields = {"question": "Is it red?", "answer": "yes", "question_family_index": 0}
    folder.mkdir()
    for split in ("train", "val"):
        asked = [{"image_index": i % 2} | fields for i in range(20)]
        (folder / f"CLEVR_{split}_questions.json").write_text(json.dumps({"questions": asked}))
        scenes = [{"image_index": i, "objects": [cube]} for i in range(2)]
        (folder / f"CLEVR_{split}_scenes.json").write_text(json.dumps({"scenes": scenes}))
        write_features(folder / f"features_{split}.h5", np.ones((2, 4, 7), np.float32), [0, 1])


def test_clevr_s_pictures_in_place_of_states(tmp_path, write_features):
    make_clevr(tmp_path / "clevr", write_features)
    digests = {}
    for features, shape in (("states", (10, 21)), ("images", (4, 7))):
        examples = load_reasoning("clevr", features, tmp_path, CPU)
        assert examples.test.batch(torch.arange(3)).inputs[0].shape[1:] == shape
        digests[features] = examples.digest
    assert digests["states"] != digests["images"]
    asked = {"networks": ("mlp", "san"), "reasoning_data": "clevr", "reasoning_features": "images", "blocks": 1}
    setting = PAPER.setting_of(profile="smoke", data_root=str(tmp_path), **asked)
    for recipe in [recipe for recipe in PAPER.recipes(setting, "mcl_kd") if recipe.variant.endswith("mcl_kd k1")]:
        assert recipe.model["blocks"] == 1  # the paper's residual blocks, upon 2 x 2 cells
        examples = load_examples(recipe.data, tmp_path, CPU)
        logits = Members(build(recipe, examples))(*examples.test.batch(torch.arange(2)).inputs).logits
        assert logits.shape == (3, 2, 28)
    scenes = tmp_path / "clevr" / "CLEVR_val_scenes.json"
    scenes.write_text(scenes.read_text().replace("red", "blue"))
    load_reasoning.cache_clear()
    assert load_reasoning("clevr", "states", tmp_path, CPU).digest != digests["states"]
    (tmp_path / "clevr" / "features_val.h5").unlink()
    load_reasoning.cache_clear()
    with pytest.raises(FileNotFoundError, match=r"features in .*features_val.h5, which do not exist; make them"):
        load_reasoning("clevr", "images", tmp_path, CPU)


def test_images_are_held_out_before_they_are_fewer(recipe_of, cache):
    """A smaller training set is judged by the same images."""
    few, more = (examples_of(recipe_of("resnet base", image_train=n)) for n in (100, 300))
    assert (len(few.train), len(more.train)) == (100, 300) and len(few.valid) > 400
    for part in ("valid", "test"):
        assert torch.equal(getattr(few, part).inputs[0], getattr(more, part).inputs[0])
    with pytest.raises(ValueError, match=r"image_train is at most \d+ of digits, got 2000; lower it"):
        recipe_of("resnet base", image_train=2000)


def test_smaller_images_are_means():
    images = torch.arange(32, dtype=torch.uint8).view(2, 1, 4, 4)
    assert torch.equal(shrink(images, 4), images)
    assert shrink(images, 2)[1, 0].tolist() == [[18, 20], [26, 28]]  # 18.5 -> 18, as round to even has it
    with pytest.raises(ValueError, match="4 is no multiple of 3; use 8, 16 or 32"):
        shrink(images, 3)


def test_constant_answers(recipe_of, cache):
    """The most frequent answer of each type, against a loop; five of them know more."""
    examples = examples_of(recipe_of("san base"))
    one, some = judge_unread(examples, 3)["test"].values()
    right = []
    for kind, answer in zip(examples.group["test"], examples.test.target.tolist(), strict=True):
        seen = examples.train.target[torch.from_numpy(examples.group["train"] == kind)]
        right.append(answer == (int(seen.bincount().argmax()) if len(seen) else 0))
    assert one == pytest.approx(100 * np.mean(right)) and one < some <= 100


def test_a_guess_is_worth_its_vqa_accuracy_and_knows_no_kind_of_image(recipe_of, cache):
    """Of questions that ten people answered the answer with the most votes; of balanced images one class in ten."""
    examples = examples_of(recipe_of("updn base", networks=("updn",)))
    dense = examples.train.target[torch.arange(len(examples.train))]
    there = examples.test.target[torch.arange(len(examples.test))]
    worth_of = []
    for row, kind in enumerate(examples.group["test"]):
        votes = dense[torch.from_numpy(examples.group["train"] == kind)].double().sum(0)
        worth_of.append(float(there[row, votes.argmax()]))
    assert judge_unread(examples, 3)["test"]["overall"] == pytest.approx(100 * np.mean(worth_of), abs=0.2)
    digits = judge_unread(examples_of(recipe_of("resnet base")), 10)
    assert 9 < digits["valid"] < 12 and digits["test"]["oracle"] == 100


def test_owners_are_read_of_the_first_seed_and_sorted():
    runs = [
        {
            "recipe": {"seed": seed},
            "result": {"specialised": {"families": ["a", "b", "c"], "owned": owned}},
        }
        for seed, owned in ((1, [[1, 1]] * 3), (0, [[1, 3], [9, 1], [0, 4]]))
    ]
    families, shares = read_owned(runs)
    assert families == ["a", "b", "c"] and shares.tolist() == [[25, 75], [90, 10], [0, 100]]
    assert sort_by_owner(shares) == [1, 2, 0]
    assert read_owned([]) is None


def test_what_members_say_is_read_a_question_and_a_rule():
    shown = {"words": ["is", "it", "red"], "truth": "no", "together": ["no", 0.6]}
    shown["members"] = [[["yes", 1.0], ["no", 0.0]], [["no", 0.875], ["yes", 0.125]]]
    run = {"recipe": {"seed": 0}, "result": {"shown": [shown]}}
    said = list_said({"MCL": [run], "CMCL": []}, places=(0,))
    assert said == {"is it red: no": {"MCL": {"S1": "yes (1.00)", "S2": "no (0.88)", "together": "no"}}}


def test_owned_questions_have_their_owner_the_most_owned_ones_first():
    owned = {"families": ["a", "b", "c"], "owned": [[60, 40], [1, 9], [5, 5]]}
    run = {"result": {"specialised": owned, "questions": {"a": ["is it red"], "b": ["how many"]}}}
    assert list(list_owned_questions(run).items()) == [
        ("b", ("S2, 90 %", ["how many"])), ("a", ("S1, 60 %", ["is it red"])),
    ]  # fmt: skip


def test_how_sure_members_are_of_what_is_wrong():
    shown = [{"truth": "no", "members": [[["yes", 0.9], ["no", 0.1]], [["no", 1.0], ["yes", 0.0]]]}]
    shown.append({"truth": "2", "members": [[["1", 0.5], ["2", 0.4]], [["2", 0.8], ["1", 0.1]]]})
    assert find_confidence({"shown": shown}) == pytest.approx(70)
    assert find_confidence({"shown": [{"truth": "yes", "members": [[["yes", 0.3]]]}]}) is None


def test_the_release_is_eq_5_over_the_answers_plus_the_teachers_entropy():
    scales = compare_scales(answers=28)
    assert scales.equal and scales.beta == pytest.approx(1.79, abs=0.01)
    assert 0 < scales.moved < 0.5 and len(scales.as_rows()) == 3
