"""Chapter 05: what its runs do, what they share, how they are judged, what is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from vqabook.data.image_tables import shrink
from vqabook.data.layout import DataSpec
from vqabook.data.sets import load_task
from vqabook.evidence.record import key_of
from vqabook.metrics import vqa_accuracy
from vqabook.metrics.ensemble import oracle, worth
from vqabook.metrics.owners import count_owned, find_confidence, find_specialities
from vqabook.models.members import Members
from vqabook.objectives.multiple_choice import MultipleChoice
from vqabook.objectives.scales import compare_scales
from vqabook.papers.mcl_kd import PAPER, claims
from vqabook.papers.mcl_kd.evaluation import judge_unread, measure, owners_cost, score
from vqabook.papers.mcl_kd.examples import Examples, load_examples, load_reasoning
from vqabook.papers.mcl_kd.owners import (
    choose_owners,
    list_owned_questions,
    list_said,
    read_owned,
    sort_by_owner,
)
from vqabook.papers.mcl_kd.recipes import Run
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
    cost, by_task = owners_cost(model, objective, examples.train)
    np.testing.assert_array_equal(cost, by_task)  # in MCL the others do nothing
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


def test_owners_by_the_task_are_one_definition_for_all_rules(recipe_of, cache):
    """Who would learn an example differs by what the others do; who has the lowest loss on it does not."""
    recipe = recipe_of("san mcl k1")
    examples = examples_of(recipe)
    model, m = Members(build(recipe, examples)), recipe.members
    teacher = torch.randn(len(examples.train), m, examples.train.n_classes, generator=torch.Generator().manual_seed(0))
    table = replace(examples.train, side={**examples.train.side, "teacher": teacher})
    rules = {"ie": {}, "mcl": {}, "cmcl": {"beta": 9.0}, "mcl_kd": {"beta": 9.0}, "self_kd": {"beta": 9.0}}
    costs = {rule: owners_cost(model, MultipleChoice(rule, k=1, **how), table) for rule, how in rules.items()}
    for cost, by_task in costs.values():
        np.testing.assert_allclose(by_task, costs["ie"][1])
        assert cost.shape == by_task.shape == (len(table), m)
    assert (costs["mcl_kd"][0].argmin(1) != costs["mcl_kd"][1].argmin(1)).any()
    np.testing.assert_array_equal(*costs["self_kd"])  # it assigns nothing


def test_a_record_has_owners_by_both_and_what_its_members_measure(recipe_of, produce, cache, tmp_path):
    """All old numbers are there, and new ones beside them."""
    result = produce(recipe_of("san mcl_kd k1"), tmp_path)
    assert result["by_task"].keys() == result["specialised"].keys()
    assert np.sum(result["by_task"]["owned"]) == np.sum(result["specialised"]["owned"])
    found = result["measures"]
    assert result["test"]["worst_member"] <= found["router"] <= result["test"]["oracle"]
    assert 0 <= found["ece"] <= 100 and 0 < found["disagreement"] <= 100 and found["nll"] > 0
    main = {family for key in ("by_task", "specialised") for family, _ in find_specialities(result[key]).values()}
    assert main <= result["questions"].keys()


def test_soft_answers_are_measured_by_their_scores(recipe_of, cache):
    recipe = recipe_of("updn base", networks=("updn",))
    examples = examples_of(recipe)
    model = Members(build(recipe, examples))
    found, (together, each) = measure(model, examples.test), score(model, examples.test)
    assert 100 * each.min() <= found["router"] <= 100 * oracle(each).mean() + 1e-9
    assert found["ece"] >= abs(100 * (together.mean() - confidence_of(model, examples))) - 1e-3  # bins can only add


def confidence_of(model: Members, examples: Examples) -> float:
    with torch.no_grad():
        logits = model.eval()(*examples.test.batch(torch.arange(len(examples.test))).inputs).logits
    return float(logits.softmax(-1).mean(0).amax(-1).mean())


def test_distilled_members_do_not_specialise(recipe_of, produce, cache, tmp_path):
    """Without β they are an independent ensemble, trained as long; with it, none."""
    recipe = recipe_of("san ie @ distilled", more=("distilled",))
    assert recipe.base == recipe_of("san base") and recipe.ensemble == Ensemble("self_kd", None)
    alone = produce(recipe_of("san ie @ as long"), tmp_path)
    assert produce(replace(recipe, beta=0.0), tmp_path)["test"] == pytest.approx(alone["test"])
    distilled = produce(recipe, tmp_path)
    assert [row["loss"] for row in distilled["history"]] != [row["loss"] for row in alone["history"]]
    assert distilled["by_task"] == distilled["specialised"]


def test_one_member_in_place_of_all(recipe_of, produce, cache, tmp_path):
    """As many times as wide, or as long; its result is that of a model, whatever an ensemble has."""
    base, spent = recipe_of("san base"), 2 + 2
    for how, width, epochs in (("wide", 3, spent), ("long", 1, 3 * spent), ("wide and long", 3, 3 * spent)):
        recipe = recipe_of(f"san one member @ {how}", more=(how,))
        assert (recipe.members, recipe.epochs, recipe.base) == (1, epochs, recipe)
        for name, size in base.model.items():
            assert recipe.model[name] == size * (width if name != "dropout" else 1)
    result = produce(recipe_of("san one member @ wide", more=("wide",)), tmp_path)
    for name in ("oracle", "single"):
        assert result["test"][name] == pytest.approx(result["test"]["overall"])
    assert result["measures"]["router"] == pytest.approx(result["test"]["overall"])
    assert result["measures"]["disagreement"] == 0 and result["measures"]["sure_of_wrong"] is None
    assert set(map(tuple, result["specialised"]["owned"])) == {(sum(row),) for row in result["specialised"]["owned"]}
    depth = recipe_of("resnet one member @ wide", more=("wide",)).model
    assert depth == {"depth": 8, "width": 12}


def test_beta_and_temperature_are_swept_where_they_are_asked_for(recipe_of):
    asked = {"betas": (0.1, 10), "temperatures": (2,), "specialists": (1, 2)}
    as_it_is = recipe_of("san mcl_kd k1", **asked)
    for name, times in (("beta", 0.1), ("beta", 10), ("temperature", 2)):
        run = recipe_of(f"san mcl_kd k1 @ {name} x {times:g}", **asked)
        assert run == replace(as_it_is, variant=run.variant, **{name: times * getattr(as_it_is, name)})
    names = {recipe.variant for recipe in PAPER.recipes(PAPER.setting_of(profile="smoke", **asked), "mcl_kd")}
    assert len([name for name in names if " x " in name]) == 2 * 2 * 3  # networks, k, rows
    with pytest.raises(ValueError, match="betas must be positive, got 0"):
        PAPER.setting_of(profile="smoke", betas=(0,))
    with pytest.raises(ValueError, match="more is one of distilled, wide, long, wide and long, got 'deep'"):
        PAPER.setting_of(profile="smoke", more=("deep",))


def test_no_profile_asks_for_more():
    for profile in ("smoke", "small", "real", "paper"):
        setting = PAPER.setting_of(profile=profile)
        assert setting.more == setting.betas == setting.temperatures == ()


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
    run["result"]["by_task"] = owned | {"owned": [[60, 40], [5, 5], [1, 9]]}
    assert list(list_owned_questions(run, "by_task").items()) == [  # of c no question is kept
        ("c", ("S2, 90 %", [])), ("a", ("S1, 60 %", ["is it red"])), ("b", ("S1, 50 %", ["how many"])),
    ]  # fmt: skip


def test_specialities_are_a_family_of_each_member_that_owns_most_of_some():
    """Table 3: S1 to S4; the paper's S5 owns most of none."""
    owned = {"families": ["a", "b", "c"], "owned": [[6, 4, 0], [9, 1, 0], [0, 7, 3]]}
    assert find_specialities(owned) == {0: ("b", 90), 1: ("c", 70)}
    assert find_specialities({"families": [], "owned": []}) == {}


def test_owners_are_chosen_by_what_all_records_have():
    """Sides of one picture have one definition: an older record keeps them from the new one."""
    old, new = {"result": {"specialised": {}}}, {"result": {"specialised": {}, "by_task": {}}}
    assert choose_owners([new, new]) == "by_task" and choose_owners([new, old]) == "specialised"


def test_how_sure_members_are_of_what_is_wrong():
    shown = [{"truth": "no", "members": [[["yes", 0.9], ["no", 0.1]], [["no", 1.0], ["yes", 0.0]]]}]
    shown.append({"truth": "2", "members": [[["1", 0.5], ["2", 0.4]], [["2", 0.8], ["1", 0.1]]]})
    assert find_confidence({"shown": shown}) == pytest.approx(70)
    assert find_confidence({"shown": [{"truth": "yes", "members": [[["yes", 0.3]]]}]}) is None


def test_the_release_is_eq_5_over_the_answers_plus_the_teachers_entropy():
    scales = compare_scales(answers=28)
    assert scales.equal and scales.beta == pytest.approx(1.79, abs=0.01)
    assert 0 < scales.moved < 0.5 and len(scales.as_rows()) == 3
