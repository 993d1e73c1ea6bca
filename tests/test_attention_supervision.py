"""Chapter 04: what runs, probes and their controls do; that a run's baseline is shared; what is refused."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from vqabook.evidence.record import key_of
from vqabook.metrics import agreement_with_humans, spread
from vqabook.papers.attention_supervision import claims
from vqabook.papers.attention_supervision import recipes as paper
from vqabook.papers.attention_supervision.baseline import baseline_of, build, training_table
from vqabook.papers.attention_supervision.evaluation import Watched
from vqabook.papers.attention_supervision.examples import (
    examples_of,
    glove_vectors,
    human_maps_of,
    people_of,
    trec_examples,
)
from vqabook.papers.attention_supervision.maps import dealt_out, grid_of, masks_of, random_maps
from vqabook.papers.attention_supervision.train import means, supervised
from vqabook.report.verdicts import number
from vqabook.training.fit import predict

ROOT = Path(__file__).resolve().parents[1]
CPU = torch.device("cpu")


def recipe_of(variant: str, **values: object) -> dict:
    recipes = paper.recipes(paper.setting(profile="smoke", **values), "attention_supervision")
    (recipe,) = [r for r in recipes if r["variant"] == variant]
    return recipe


def produced(variant: str, folder: Path, **values: object) -> dict:
    """The result of a smoke run, through JSON without NaN as a record goes."""
    recipe = recipe_of(variant, **values)
    result = paper.produce(recipe, folder / f"{key_of(recipe)}.checkpoint", data_root=None, device="cpu")
    return json.loads(json.dumps(result, allow_nan=False))


RUN = (
    *("text baseline", "text adv", "text probe", "text mmd @ shuffled maps"),
    *("image mse", "image probe", "image mmd @ paired", "image mse @ 1000 masks"),
    *(
        "vqa both adv",
        "vqa question mmd",
        "vqa probe",
        "vqa image adv @ own maps",
        "vqa image adv @ given the question",
    ),
    "vqa image mse @ relevant regions",
)


@pytest.mark.parametrize("variant", RUN)
def test_a_run_gives_what_its_claims_read(variant, cache, tmp_path):
    result, again = (produced(variant, tmp_path) for _ in range(2))
    assert result | {"history": None} == again | {"history": None}
    for claim in paper.CLAIMS:
        for side in (claim.more, claim.less):
            if side.where["variant"] == variant:
                assert number({"result": result}, side.metric) is not None, side.metric


def test_the_epoch_is_chosen_without_test(cache, tmp_path):
    result = produced("text mse", tmp_path, text_epochs=5)
    valid = [row["valid"] for row in result["history"]]
    chosen = result["selection"]["best_by_valid"]
    assert chosen["epoch"] == valid.index(max(valid)) + 1
    assert result["test"]["overall"] == result["history"][chosen["epoch"] - 1]["test"] == chosen["test"]


@pytest.mark.parametrize("variant", ["text adv", "image coral", "vqa both adv"])
def test_a_weight_of_zero_is_the_baseline(variant, cache, tmp_path):
    """Same start, same order: whatever a supervised run gains comes from the loss on its attention."""
    nothing = {f"{name}_share": 0.0 for name in ("text", "image", "vqa", "word")} | {"text_dropout": 0.3}
    ours, plain = (produced(v, tmp_path, **nothing) for v in (variant, f"{variant.split()[0]} baseline"))
    assert ours["test"] == plain["test"]
    assert [row["valid"] for row in ours["history"]] == [row["valid"] for row in plain["history"]]


def test_supervised_runs_share_their_baseline_and_its_maps(cache, tmp_path, monkeypatch):
    """One run leaves weights and maps, others read them; without them the same ones are made again."""
    produced("image baseline", tmp_path)
    left = {path.name for path in tmp_path.glob("*.stage")}
    assert len(left) == 1
    first = produced("image mse", tmp_path)
    maps = {path for path in tmp_path.glob("*.stage")} - {tmp_path / name for name in left}
    assert len(maps) == 1
    with monkeypatch.context() as patch:
        patch.setattr("vqabook.papers.attention_supervision.baseline.fitted", None)
        again = produced("image mse @ weighted maps", tmp_path)
    assert again["surrogates"]["attention"]["score"] == first["surrogates"]["attention"]["score"]
    alone = tmp_path / "alone"
    alone.mkdir()
    assert produced("image mse", alone) | {"history": None} == first | {"history": None}


BESIDE_ANOTHER = """
import json, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
sys.path.insert(0, sys.argv[1] + "/tests")
from test_attention_supervision import produced
from vqabook.papers import attention_supervision_baseline as baselines
folder, made, fitted = Path(sys.argv[2]), [], baselines.fitted
def counted(*arguments):
    made.append(1)
    return fitted(*arguments)
baselines.fitted = counted
(folder / f"ready {sys.argv[3]}").touch()
while len(list(folder.glob("ready *"))) < 2:
    pass
result = produced(sys.argv[3], folder)
print(json.dumps([len(made), result["surrogates"]["attention"]["score"], result["test"]["overall"]]))
"""


def test_two_processes_at_once_train_one_baseline(cache, tmp_path):
    """Supervised runs whose baseline nobody trained yet: one process does, the other waits and reads."""
    runs = ("image mse", "image adv")
    words = [sys.executable, "-c", BESIDE_ANOTHER, str(ROOT), str(tmp_path)]
    both = [subprocess.Popen([*words, name], stdout=subprocess.PIPE, text=True) for name in runs]
    found = [json.loads(process.communicate(timeout=120)[0]) for process in both]
    assert sorted(made for made, *_ in found) == [0, 1]
    alone = tmp_path / "alone"
    alone.mkdir()
    assert [produced(name, alone)["test"]["overall"] for name in runs] == [test for *_, test in found]
    assert found[0][1] == found[1][1]


def test_a_recipe_names_its_baseline():
    for name in ("mse", "adv @ own maps"):
        assert key_of(baseline_of(recipe_of(f"text {name}"))) == key_of(recipe_of("text baseline"))
    assert key_of(baseline_of(recipe_of("vqa probe"))) == key_of(recipe_of("vqa baseline"))
    other = recipe_of("text mse", text_share=0.3)
    assert other != recipe_of("text mse") and baseline_of(other) == recipe_of("text baseline")


def test_relevant_regions_are_where_the_answer_is(cache):
    """Even over the relevant ones; a model that looks there alone knows the object that is asked about."""
    recipe = recipe_of("vqa image mse @ relevant regions")
    examples = examples_of(recipe, None, CPU)
    human = examples.human["train"]
    np.testing.assert_allclose(human.sum(1), 1, rtol=1e-6)
    assert human.shape == (len(examples.train), examples.task.features.n_regions)
    assert len(set(map(tuple, human))) > 4 and ((human > 0).sum(1) == 1).mean() > 0.2
    assert grid_of(recipe, examples) == (human.shape[1], 1)
    assert set(masks_of(recipe, examples).unique().tolist()) == {0, 1}  # objects are shown or not


def test_people_s_maps_are_compared_with_where_they_are_at_hand(cache, tmp_path, monkeypatch):
    """VQA-HAT in its official layout, with the ids of the embedded world's questions in place of VQA v1's."""
    recipe = recipe_of("vqa baseline")
    asked = examples_of(recipe, None, CPU).task.test_questions.question_id[:3]
    (tmp_path / "vqa_hat" / "vqahat_val").mkdir(parents=True)
    for question in asked.tolist():
        pixels = np.zeros((28, 42), np.uint8)
        pixels[:14, :14] = 200
        Image.fromarray(pixels).save(tmp_path / "vqa_hat" / "vqahat_val" / f"{question}_1.png")
    monkeypatch.setattr("vqabook.papers.attention_supervision.examples.ASKED_BY_HAT", ("shapes", "easy_vqa"))
    assert human_maps_of("easy_vqa", tmp_path) == "vqa_hat" and human_maps_of("easy_vqa", tmp_path / "x") is None
    assert human_maps_of("vqa_v2", tmp_path) is None and human_maps_of("shapes", tmp_path) == "relevant regions"
    monkeypatch.setattr("vqabook.papers.attention_supervision.examples.boxes_of", lambda *_: None)
    examples = examples_of(recipe | {"data": recipe["data"] | {"human": "vqa_hat"}}, tmp_path, CPU)
    assert examples.people.rows.tolist() == [0, 1, 2] and examples.human is None
    human = Watched(examples)(build(recipe, examples, None))["scores"]["human"]
    assert human.keys() == {"rank_correlation", "emd", "ranked"} and human["emd"] > 10
    corners = np.array([[0.0, 0.0, 1 / 3, 0.5]])
    monkeypatch.setattr("vqabook.papers.attention_supervision.examples.boxes_of", lambda *_: [corners] * 3)
    exact = people_of(examples.task, "shapes", tmp_path)
    maps = spread(np.eye(4)[[0, 0, 0]], exact.boxes)
    found = agreement_with_humans(maps, asked, exact.maps.maps, exact.maps.question_id)
    np.testing.assert_allclose(found.earth_movers_distance, 0, atol=1e-3)


@pytest.mark.parametrize(("variant", "head"), [("text mse", "word_attention"), ("image mse", "attention")])
def test_random_maps_know_nothing_but_what_is_there(variant, head, cache):
    recipe = recipe_of(variant)
    examples = examples_of(recipe, None, CPU)
    maps = random_maps(head, recipe, examples)
    torch.testing.assert_close(maps.sum(1), torch.ones(len(examples.train)))
    if head == "word_attention":
        assert not maps[examples.train.inputs[0] == 0].any()
    assert torch.equal(maps, random_maps(head, recipe, examples))


def test_noise_makes_words_uninformative(cache):
    """Without it the type follows from the words; with it all, nothing is left of the question."""
    plain, noisy = (examples_of(recipe_of("text baseline", word_noise=x), None, CPU) for x in (0.0, 1.0))
    words, replaced = plain.train.inputs[0], noisy.train.inputs[0]
    assert torch.equal(words == 0, replaced == 0) and words.ne(replaced)[words.ne(0)].float().mean() > 0.8
    assert torch.equal(plain.train.target, noisy.train.target)


def test_images_to_train_on_are_drawn_by_seed_and_test_is_not(cache):
    one, other = (examples_of(recipe_of("image baseline", seeds=(seed,)), None, CPU) for seed in (0, 1))
    assert len(one.train) == 100 and one.train.target.bincount().max() - one.train.target.bincount().min() <= 2
    assert not torch.equal(one.train.inputs[0], other.train.inputs[0])
    assert torch.equal(one.test.inputs[0], other.test.inputs[0])
    with pytest.raises(ValueError, match="image_train is below the .* of digits, got 5000; lower it"):
        examples_of(recipe_of("image baseline") | {"data": {"dataset": "digits", "n_train": 5000}}, None, CPU)


def test_both_losses_are_brought_to_one_scale(cache, tmp_path):
    """γ times the attention's loss is the asked share of L_c, for every loss, before anything is learnt."""
    for name in ("vqa both adv", "vqa image coral", "vqa question mmd", "vqa image mmd @ paired"):
        recipe = recipe_of(name, vqa_share=0.5, word_share=2.0)
        examples = examples_of(recipe, None, CPU)
        maps = {head: random_maps(head, recipe, examples) for head in recipe["supervision"]["heads"]}
        table = training_table(recipe, examples.train)
        side = {**table.side, **{f"surrogate_{head}": some for head, some in maps.items()}}
        model, table = build(recipe, examples, None), replace(table, side=side)
        objective = supervised(recipe, model, table)
        plain, each = means(objective, model, table, recipe["batch_size"])
        for head, value in each.items():
            share = objective.weights[head] * value / plain
            assert share == pytest.approx({"attention": 0.5, "word_attention": 2.0}[head], rel=1e-5)


def test_a_discriminator_sees_the_question_only_where_asked(cache):
    for variant, given in (("vqa image adv @ given the question", 16), ("vqa image adv", 0)):
        recipe = recipe_of(variant)
        examples = examples_of(recipe, None, CPU)
        table = training_table(recipe, examples.train)
        maps = random_maps("attention", recipe, examples)
        table = replace(table, side={**table.side, "surrogate_attention": maps})
        assert supervised(recipe, build(recipe, examples, None), table).losses["attention"].given == given


def test_shuffled_maps_are_the_same_maps_on_other_examples(cache):
    for variant, head in (("text mse", "word_attention"), ("image mse", "attention")):
        recipe = recipe_of(variant)
        examples = examples_of(recipe, None, CPU)
        maps = random_maps(head, recipe, examples)
        dealt = dealt_out(maps, head, recipe, examples)
        assert (dealt != maps).any(1).float().mean() > 0.8
        torch.testing.assert_close(dealt.sort(0).values, maps.sort(0).values)
        if head == "word_attention":
            assert not dealt[examples.train.inputs[0] == 0].any()


def test_what_is_kept_is_the_epoch_that_the_tables_report(cache, tmp_path):
    """The baseline's maps are those of its best epoch on held-out examples, not of its last."""
    recipe = recipe_of("text baseline", text_epochs=6, text_lr=0.02)
    result = paper.produce(recipe, tmp_path / "c.checkpoint", data_root=None, device="cpu")
    chosen = result["selection"]["best_by_valid"]
    examples = examples_of(recipe, None, CPU)
    model = build(recipe, examples, None)
    (weights,) = tmp_path.glob("*.weights.stage")
    model.load_state_dict(torch.load(weights, weights_only=True))
    right = predict(model, examples.test, lambda out, batch: out.logits.argmax(-1).eq(batch.target))
    assert 100 * float(right.float().mean()) == pytest.approx(chosen["test"])
    assert chosen["epoch"] < 6 and not list(tmp_path.glob("*.best"))


def test_printed_numbers_of_table_4_contradict_each_other():
    """Types move by at most a third of a point while the whole moves by one: no mixture of types makes its column."""
    question, image = (claims.TABLE_4[f"{head} coral"] for head in ("question", "image"))
    moved = [y - x for x, y in zip(question, image, strict=True)]
    assert moved[0] > 1 > 3 * max(moved[1:])


def test_trec(real_data):
    examples = trec_examples(real_data("nltk_data").parent, CPU)
    assert len(examples.train) + len(examples.valid) == 5452 and len(examples.test) == 500
    assert len(examples.words) + 2 > int(examples.train.inputs[0].max())


def test_words_start_from_glove_and_others_are_as_wide(tmp_path, cache):
    (tmp_path / "glove").mkdir()
    (tmp_path / "glove" / "glove.6B.3d.txt").write_text("red 1 2 3\nblue -1 -2 -3\n")
    vectors = glove_vectors(("blue", "qqq", "red"), 3, 0, tmp_path)
    assert vectors.shape == (5, 3) and vectors[0].tolist() == [0, 0, 0]
    assert vectors[2].tolist() == [-1, -2, -3] and vectors[4].tolist() == [1, 2, 3]
    assert vectors[3].abs().sum() > 0 and torch.equal(vectors, glove_vectors(("blue", "qqq", "red"), 3, 0, tmp_path))


def test_models_take_their_words_from_the_vectors_given(cache, monkeypatch):
    recipe = recipe_of("text baseline @ GloVe", glove=True)
    examples = examples_of(recipe, None, CPU)
    given = torch.randn(len(examples.words) + 2, 8)
    monkeypatch.setattr("vqabook.papers.attention_supervision.baseline.glove_vectors", lambda *_: given)
    assert torch.equal(build(recipe, examples, None).words.weight.detach(), given)
    monkeypatch.setattr("vqabook.papers.attention_supervision.baseline.glove_vectors", lambda *_: given[:, :4])
    with pytest.raises(ValueError, match="word vectors are .n_words, word. = .*set word to their width"):
        build(recipe, examples, None)
