"""Chapter 04: what runs, probes and their controls do; that a run's baseline is shared; what is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from vqabook.core import Table
from vqabook.data.tables import deal_out
from vqabook.evidence.record import EVIDENCE, key_of, read_records
from vqabook.metrics.attention import agreement_with_humans, spread
from vqabook.papers.attention_supervision import PAPER, claims
from vqabook.papers.attention_supervision.evaluation import score_epoch
from vqabook.papers.attention_supervision.examples import (
    Examples,
    find_people,
    load_examples,
    trec_examples,
)
from vqabook.papers.attention_supervision.maps import draw_maps, draw_masks, grid_of, mask_nothing, there
from vqabook.papers.attention_supervision.recipes import Run, choose_human_maps
from vqabook.papers.attention_supervision.train import average_losses, build, supervise, training_table
from vqabook.training.fit import predict

PACKAGE = "vqabook.papers.attention_supervision"
CPU = torch.device("cpu")


def examples_of(run: Run, data_root: Path | None = None) -> Examples:
    return load_examples(run.task, run.data, run.seed, data_root, CPU)


def make_supervised(run: Run, examples: Examples) -> tuple[torch.nn.Module, Table]:
    """A run's fresh model, and its training table with random maps as surrogates."""
    model, table = build(run, examples, None), training_table(examples)
    maps = {head: draw_maps(there(head, model, examples), run.seed) for head in run.supervision.heads}
    side = {f"surrogate_{head}": attention for head, attention in maps.items()}
    return model, replace(table, side={**table.side, **side})


@pytest.mark.parametrize("variant", ["text adv", "image coral", "vqa both adv"])
def test_a_weight_of_zero_is_the_baseline(variant, recipe_of, produce, cache, tmp_path):
    """Same start, same order: whatever a supervised run gains comes from the loss on its attention."""
    nothing = {f"{name}_share": 0.0 for name in ("text", "image", "vqa", "word")} | {"text_dropout": 0.3}
    names = (variant, f"{variant.split()[0]} baseline")
    ours, plain = (produce(recipe_of(name, **nothing), tmp_path) for name in names)
    assert ours["test"] == plain["test"]
    assert [row["valid"] for row in ours["history"]] == [row["valid"] for row in plain["history"]]


def test_supervised_runs_share_their_baseline_and_its_maps(recipe_of, produce, cache, tmp_path, monkeypatch):
    """One run leaves weights and maps, others read them; without them the same ones are made again."""
    produce(recipe_of("image baseline"), tmp_path)
    (weights,) = tmp_path.glob("*.stage")
    first = produce(recipe_of("image mse"), tmp_path)
    (maps,) = set(tmp_path.glob("*.stage")) - {weights}
    with monkeypatch.context() as patch:
        patch.setattr("vqabook.training.stages.save_whole", None)  # the only way to leave weights
        patch.setattr("vqabook.surrogates.probing.save_whole", None)  # and maps
        again = produce(recipe_of("image adv"), tmp_path)
    assert again["surrogates"] == first["surrogates"]
    alone = tmp_path / "alone"
    alone.mkdir()
    assert produce(recipe_of("image mse"), alone) | {"history": None} == first | {"history": None}


def test_maps_are_shared_by_what_they_depend_on(recipe_of, produce, cache, tmp_path):
    """Own maps by all numbers of masks, best ones by the same number; weighted ones are others."""
    for name in ("mse", "adv", "mmd @ shuffled maps", "mse @ own maps", "adv @ own maps", "mse @ weighted maps"):
        produce(recipe_of(f"image {name}"), tmp_path)
    produce(replace(recipe_of("image mse @ own maps"), masks=recipe_of("image mse @ 100 masks").masks), tmp_path)
    kinds = [path.name.rsplit(".", 2)[1] for path in tmp_path.glob("*.stage")]
    assert sorted(kinds) == ["best-maps", "own-maps", "weighted-maps", "weights"]
    produce(recipe_of("image mse @ 100 masks"), tmp_path)
    assert len(list(tmp_path.glob("*.best-maps.stage"))) == 2


def test_controls_that_ask_no_baseline_train_none(recipe_of, produce, cache, tmp_path):
    for name in ("image mse @ random maps", "vqa image mse @ relevant regions"):
        produce(recipe_of(name), tmp_path)
    assert not list(tmp_path.glob("*.stage"))


def test_a_recipe_names_its_baseline(recipe_of):
    for name in ("mse", "adv @ own maps", "probe"):
        assert recipe_of(f"text {name}").baseline.asked() == recipe_of("text baseline").asked()
    assert recipe_of("vqa probe").baseline == recipe_of("vqa baseline")
    other = recipe_of("text mse", text_share=0.3)
    assert other != recipe_of("text mse") and other.baseline == recipe_of("text baseline")


def test_a_record_s_recipe_is_read_back(recipe_of):
    """All of the evidence and of a page at smoke size: the same name, and parts of their types."""
    recorded = [record["recipe"] for record in read_records(EVIDENCE / PAPER.name)]
    smoke = [json.loads(json.dumps(asked)) for asked in PAPER.asked(PAPER.setting_of(profile="smoke"), PAPER.name)]
    for asked in recorded + smoke:
        run = PAPER.parts[asked["kind"]].recipe.of(asked)
        assert key_of(run.asked()) == key_of(asked)
        assert "supervision" in asked and ("bandwidth" in asked) == (run.supervision is not None)
    both = recipe_of("vqa both adv")
    again = Run.of(json.loads(json.dumps(both.asked())))
    assert (again.supervision, again.masks) == (both.supervision, both.masks)


def test_relevant_regions_are_where_the_answer_is(recipe_of, cache):
    """Even over the relevant ones; a model that looks there alone knows the object that is asked about."""
    run = recipe_of("vqa image mse @ relevant regions")
    examples = examples_of(run)
    human, model = examples.human["train"], build(run, examples, None)
    np.testing.assert_allclose(human.sum(1), 1, rtol=1e-6)
    assert human.shape == (len(examples.train), examples.task.features.n_regions)
    assert len(set(map(tuple, human))) > 4 and ((human > 0).sum(1) == 1).mean() > 0.2
    assert grid_of(model, examples) == (human.shape[1], 1)
    masks = draw_masks(run.masks["attention"], model, examples, run.seed)
    assert set(masks.unique().tolist()) == {0, 1}  # objects are shown or not


def test_own_maps_are_seen_without_a_mask(recipe_of, cache):
    run = recipe_of("vqa both adv")
    examples = examples_of(run)
    draw = partial(draw_masks, model=build(run, examples, None), examples=examples, seed=run.seed)
    regions, words = (mask_nothing(draw(run.masks[head])) for head in ("attention", "word_attention"))
    assert torch.equal(regions, torch.ones(1, examples.task.features.n_regions))
    assert all(torch.equal(words(n), torch.ones(1, n)) for n in (1, 2, 5))


def test_people_s_maps_are_compared_with_where_they_are_at_hand(recipe_of, cache, tmp_path, monkeypatch):
    """VQA-HAT in its official layout, with the ids of the embedded world's questions in place of VQA v1's."""
    run = recipe_of("vqa baseline")
    asked = examples_of(run).task.test_questions.question_id[:3]
    (tmp_path / "vqa_hat" / "vqahat_val").mkdir(parents=True)
    for question in asked.tolist():
        pixels = np.zeros((28, 42), np.uint8)
        pixels[:14, :14] = 200
        Image.fromarray(pixels).save(tmp_path / "vqa_hat" / "vqahat_val" / f"{question}_1.png")
    monkeypatch.setattr(f"{PACKAGE}.recipes.ASKED_BY_HAT", ("shapes", "easy_vqa"))
    assert (
        choose_human_maps("easy_vqa", tmp_path) == "vqa_hat" and choose_human_maps("easy_vqa", tmp_path / "x") is None
    )
    assert choose_human_maps("vqa_v2", tmp_path) is None and choose_human_maps("shapes", tmp_path) == "relevant regions"
    monkeypatch.setattr(f"{PACKAGE}.examples.boxes_of", lambda *_: None)
    examples = examples_of(replace(run, data=run.data | {"human": "vqa_hat"}), tmp_path)
    assert examples.people.rows.tolist() == [0, 1, 2] and examples.human is None
    human = score_epoch(build(run, examples, None), examples)["scores"]["human"]
    assert human.keys() == {"rank_correlation", "emd", "ranked"} and human["emd"] > 10
    corners = np.array([[0.0, 0.0, 1 / 3, 0.5]])
    monkeypatch.setattr(f"{PACKAGE}.examples.boxes_of", lambda *_: [corners] * 3)
    exact = find_people(examples.task, "shapes", tmp_path)
    maps = spread(np.eye(4)[[0, 0, 0]], exact.boxes)
    found = agreement_with_humans(maps, asked, exact.maps.maps, exact.maps.question_id)
    np.testing.assert_allclose(found.earth_movers_distance, 0, atol=1e-3)


@pytest.mark.parametrize(("variant", "head"), [("text mse", "word_attention"), ("image mse", "attention")])
def test_random_maps_know_nothing_but_what_is_there(variant, head, recipe_of, cache):
    run = recipe_of(variant)
    examples = examples_of(run)
    seen = there(head, build(run, examples, None), examples)
    maps = draw_maps(seen, run.seed)
    torch.testing.assert_close(maps.sum(1), torch.ones(len(examples.train)))
    assert not maps[seen == 0].any()
    if head == "word_attention":
        assert torch.equal(seen != 0, examples.train.inputs[0] != 0)
    assert torch.equal(maps, draw_maps(seen, run.seed))


def test_noise_makes_words_uninformative(recipe_of, cache):
    """Without it the type follows from the words; with it all, nothing is left of the question."""
    plain, noisy = (examples_of(recipe_of("text baseline", word_noise=x)) for x in (0.0, 1.0))
    words, replaced = plain.train.inputs[0], noisy.train.inputs[0]
    assert torch.equal(words == 0, replaced == 0) and words.ne(replaced)[words.ne(0)].float().mean() > 0.8
    assert torch.equal(plain.train.target, noisy.train.target)


def test_images_to_train_on_are_drawn_by_seed_and_test_is_not(recipe_of, cache):
    one, other = (examples_of(recipe_of("image baseline", seeds=(seed,))) for seed in (0, 1))
    assert len(one.train) == 100 and one.train.target.bincount().max() - one.train.target.bincount().min() <= 2
    assert not torch.equal(one.train.inputs[0], other.train.inputs[0])
    assert torch.equal(one.test.inputs[0], other.test.inputs[0])
    with pytest.raises(ValueError, match="image_train is below the .* of digits, got 5000; lower it"):
        examples_of(replace(recipe_of("image baseline"), data={"dataset": "digits", "n_train": 5000}))


def test_both_losses_are_brought_to_one_scale(recipe_of, cache):
    """γ times the attention's loss is the asked share of L_c, for every loss, before anything is learnt."""
    for name in ("vqa both adv", "vqa image coral", "vqa question mmd", "vqa image mmd @ paired"):
        run = recipe_of(name, vqa_share=0.5, word_share=2.0)
        model, table = make_supervised(run, examples_of(run))
        objective = supervise(run, model, table)
        plain, each = average_losses(objective, model, table, run.batch_size)
        for head, value in each.items():
            share = objective.weights[head] * value / plain
            assert share == pytest.approx({"attention": 0.5, "word_attention": 2.0}[head], rel=1e-5)


def test_a_discriminator_sees_the_question_only_where_asked(recipe_of, cache):
    for variant, given in (("vqa image adv @ given the question", 16), ("vqa image adv", 0)):
        run = recipe_of(variant)
        assert supervise(run, *make_supervised(run, examples_of(run))).losses["attention"].given == given


def test_shuffled_maps_are_the_same_maps_on_other_examples(recipe_of, cache):
    for variant, head in (("text mse", "word_attention"), ("image mse", "attention")):
        run = recipe_of(variant)
        examples = examples_of(run)
        seen = there(head, build(run, examples, None), examples)
        maps = draw_maps(seen, run.seed)
        dealt = deal_out(maps, seen.sum(1), run.seed)
        assert (dealt != maps).any(1).float().mean() > 0.8
        torch.testing.assert_close(dealt.sort(0).values, maps.sort(0).values)
        assert not dealt[seen == 0].any()


def test_what_is_kept_is_the_epoch_that_the_tables_report(recipe_of, produce, cache, tmp_path):
    """The baseline's maps are those of its best epoch on held-out examples, not of its last."""
    run = recipe_of("text baseline", text_epochs=6, text_lr=0.02)
    chosen = produce(run, tmp_path)["selection"]["best_by_valid"]
    examples = examples_of(run)
    model = build(run, examples, None)
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


def test_models_take_their_words_from_the_vectors_given(recipe_of, cache, monkeypatch):
    run = recipe_of("text baseline @ GloVe", glove=True)
    examples = examples_of(run)
    given = torch.randn(len(examples.words) + 2, 8)
    monkeypatch.setattr(f"{PACKAGE}.train.glove_vectors", lambda *_: given)
    assert torch.equal(build(run, examples, None).words.weight.detach(), given)
    monkeypatch.setattr(f"{PACKAGE}.train.glove_vectors", lambda *_: given[:, :4])
    with pytest.raises(ValueError, match="word vectors are .n_words, word. = .*set word to their width"):
        build(run, examples, None)
