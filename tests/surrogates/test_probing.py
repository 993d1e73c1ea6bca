"""Surrogate maps equal those of a plain loop over masked examples, and are what the paper says they are."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from functools import partial

import pytest
import torch

from vqabook.core import Output, SparseScores, Table
from vqabook.models.images import SmallCnn, SmallCnnConfig
from vqabook.models.pooling import Avg, PoolingConfig
from vqabook.models.san import AttentiveSan, AttentiveSanConfig
from vqabook.models.words import SelfAttentiveText, TextConfig
from vqabook.surrogates import (
    Surrogates,
    mask_scores,
    pair_masks,
    region_masks,
    region_probe,
    surrogates,
    word_masks,
    word_probe,
)
from vqabook.surrogates.probing import _scores

SIZES = {"n_words": 12, "n_answers": 7, "feature": 5, "hidden": 6, "word": 4}
WORDS = torch.tensor([[3, 4, 5, 6, 0], [7, 0, 0, 0, 0], [2, 11, 1, 3, 8], [1, 1, 10, 0, 0], [9, 4, 0, 0, 0]])

SHORT = partial(pair_masks, short=True)  # texts of a word or two keep their plain maps


def made(kind, config):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return kind(config).eval()


@pytest.fixture
def table() -> Table:
    rng = torch.Generator().manual_seed(1)
    regions = torch.randn(5, 4, 5, generator=rng)
    regions[2, 3] = 0  # padding
    target = SparseScores(torch.tensor([[1, 2], [3, 0], [6, 5], [2, 4], [0, 1]]), torch.rand(5, 2, generator=rng), 7)
    return Table((torch.arange(5), WORDS), target, 7, lookup=lambda rows, words: (regions[rows], words))


@pytest.fixture
def masks() -> torch.Tensor:
    return region_masks(20, 2, 2, scale=1, generator=torch.Generator().manual_seed(0))


def test_masks_are_coins_enlarged(unchecked):
    rng = torch.Generator().manual_seed(0)
    fine = region_masks(400, 8, 8, scale=2, generator=rng)
    assert fine.shape == (401, 64) and fine.min() == 0 and fine.max() == 1
    assert fine[-1].eq(1).all() and abs(fine[:-1].mean() - 0.5) < 0.02
    coins = region_masks(50, 3, 2, scale=1, generator=rng)
    assert set(coins.unique().tolist()) == {0, 1}
    odd = region_masks(300, 14, 14, scale=6, generator=rng)  # the paper's, which does not divide: 3 x 3 coins
    assert len(odd[:-1].gt(0.5).unique(dim=0)) > 2**4 and odd.shape == (301, 196)
    for n, scale in ((0, 2), (5, 0), (5, 9)):
        with pytest.raises(ValueError, match="on a grid scale times coarser, 1 <= scale <= the longer side; got"):
            region_masks(n, 8, 8, scale=scale, generator=rng)


@pytest.mark.parametrize(("n", "pairs"), [(1, 0), (2, 0), (3, 3), (5, 10)])
def test_pairs_of_words(n, pairs):
    masks = pair_masks(n, short=True)
    assert masks.shape == (pairs + 1, n) and masks[-1].eq(1).all()
    assert (masks[:-1].sum(1) == n - 2).all() and len(masks.unique(dim=0)) == pairs + 1
    if n > 2:
        assert torch.equal(pair_masks(n), masks)
    else:
        with pytest.raises(ValueError, match=f"of texts of three or more, got a text of {n}; leave it out, or keep"):
            pair_masks(n)


@pytest.mark.parametrize("weighted", [False, True])
def test_regions_equal_a_loop_of_full_passes(table, masks, weighted):
    model = made(AttentiveSan, AttentiveSanConfig(**SIZES, attention=8, word_attention=5))
    found = surrogates(region_probe(model, table, masks, at_once=50), weighted=weighted)
    for row in range(5):
        regions, words = table.batch(torch.tensor([row])).inputs
        share = table.target[torch.tensor([row])][0]
        share = share / share.sum()
        with torch.no_grad():
            *fixed, real = model.prepare(regions, words)
            outs = [model.answer(*fixed, real * mask) for mask in masks]
        left = (masks * regions[0].ne(0).any(1)).amax(1) > 0  # what shows nothing scores nothing
        scores = torch.stack([(out.logits[0].double().softmax(0) * share).sum() for out in outs]) * left
        maps = torch.cat([out.attention for out in outs])
        best = int(scores.argmax())
        want = (scores[:, None] * maps).sum(0).float() / scores.sum().float() if weighted else maps[best]
        torch.testing.assert_close(found.attention[row], want, rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(found.score[row], scores[best])
        torch.testing.assert_close(found.plain[row], scores[-1])
    torch.testing.assert_close(found.attention.sum(1), torch.ones(5))
    assert (found.score >= found.plain).all() and not found.attention[2, 3]  # padding, whatever is masked
    assert (masks[:, :3].amax(1) == 0).any()  # some masks leave nothing of row 2


@pytest.mark.parametrize("weighted", [False, True])
def test_words_equal_a_loop_of_full_passes(weighted):
    model = made(SelfAttentiveText, TextConfig(12, 3, word=4, hidden=5, attention=6, hops=2, wide=7))
    table = Table((WORDS,), torch.tensor([0, 2, 1, 1, 0]), 3)
    found = surrogates(word_probe(model, table, SHORT, at_once=7), weighted=weighted)
    for row, words in enumerate(WORDS):
        n = int(words.ne(0).sum())
        with torch.no_grad():
            outs = [model(words[None, :n], keep_words=mask[None]) for mask in SHORT(n)]
        scores = torch.stack([out.logits[0].double().softmax(0)[table.target[row]] for out in outs])
        maps = torch.cat([out.word_attention for out in outs])
        want = (
            (scores[:, None] * maps).sum(0).float() / scores.sum().float() if weighted else maps[int(scores.argmax())]
        )
        torch.testing.assert_close(found.attention[row, :n], want, rtol=1e-5, atol=1e-6)
        assert not found.attention[row, n:].any()
    assert found.mask[1] == 0 and found.score[1] == found.plain[1]  # one word: nothing to conceal


def test_an_image_network_is_probed_behind_its_convolutions(masks):
    """Equal to a loop of full passes; a cell that is masked wholly gets no attention."""
    model = made(SmallCnn, SmallCnnConfig(3, side=8, channels=1, width=5, halvings=2, attention=4, hidden=6))
    images = torch.rand(6, 1, 8, 8, generator=torch.Generator().manual_seed(2))
    table = Table((images,), torch.tensor([0, 1, 2, 0, 1, 2]), 3)
    found = surrogates(region_probe(model, table, masks, at_once=45))
    for row in range(6):
        with torch.no_grad():
            cells, real = model.prepare(images[row : row + 1])
            outs = [model.answer(cells, real * mask) for mask in masks]
        scores = torch.stack([out.logits[0].double().softmax(0)[table.target[row]] for out in outs])
        scores = scores * (masks.amax(1) > 0)
        best = int(scores.argmax())
        torch.testing.assert_close(found.attention[row], outs[best].attention[0])
        torch.testing.assert_close((found.score[row], found.plain[row]), (scores[best], scores[-1]))
    cells, concealed = model.prepare(images)
    concealed[:, 2] = 0
    assert not model.answer(cells, concealed).attention[:, 2].any()
    with pytest.raises(ValueError, match="a side of 9 pixels is halved 2 times"):
        SmallCnn(SmallCnnConfig(3, side=9))


def test_an_answer_out_of_reach_keeps_the_plain_map(table, masks):
    model = made(AttentiveSan, AttentiveSanConfig(**SIZES, attention=8, word_attention=5))
    nothing = replace(table, target=replace(table.target, score=torch.zeros(5, 2)))
    for weighted in (False, True):
        found = surrogates(region_probe(model, nothing, masks), weighted=weighted)
        torch.testing.assert_close(found.attention, model(*table.batch(torch.arange(5)).inputs).attention.detach())
        assert found.mask.eq(len(masks) - 1).all()


def attentive() -> AttentiveSan:
    return made(AttentiveSan, AttentiveSanConfig(**SIZES, attention=8, word_attention=5))


def test_a_killed_probe_goes_on(table, masks, tmp_path, monkeypatch):
    """What was saved is not looked at again, but for a row that says how large maps are; a finished file is read."""
    for name in ("SAVE_EVERY", "SAVE_SHARE"):
        monkeypatch.setattr(f"vqabook.surrogates.probing.{name}", 0.0)
    model = made(AttentiveSan, AttentiveSanConfig(**SIZES, attention=8, word_attention=5))
    probe, store = region_probe(model, table, masks, at_once=1), tmp_path / "maps"
    whole, looked = surrogates(probe), []

    def look(rows):
        looked.append(int(rows[0]))
        if len(looked) == 3:
            raise KeyboardInterrupt
        return probe.look(rows)

    with pytest.raises(KeyboardInterrupt):
        surrogates(probe._replace(look=look), store=store)
    again = surrogates(probe._replace(look=look), store=store)
    assert looked == [0, 1, 2, 0, 2, 3, 4]
    for one, other in zip(again, whole, strict=True):
        assert torch.equal(one, other)
    assert torch.equal(surrogates(probe._replace(look=look), store=store).attention, whole.attention)
    assert len(looked) == 8 and [path.name for path in tmp_path.iterdir()] == ["maps"]


def test_maps_of_other_pieces_are_not_gone_on_with(table, masks, tmp_path):
    """A file that was begun in other pieces, on a device of another memory say, is begun anew."""
    model = made(AttentiveSan, AttentiveSanConfig(**SIZES, attention=8, word_attention=5))
    one, two = (region_probe(model, table, masks, at_once=n) for n in (1, 45))
    surrogates(two._replace(pieces=two.pieces[:1]), store=tmp_path / "maps")
    found = surrogates(one._replace(pieces=one.pieces[1:] + one.pieces[:1]), store=tmp_path / "maps")
    torch.testing.assert_close(found.attention, surrogates(one).attention)


def test_a_damaged_store_is_set_aside_and_made_again(damage, table, masks, tmp_path):
    probe, store = region_probe(attentive(), table, masks), tmp_path / "maps"
    whole = surrogates(probe, store=store)
    damage(store)
    for told in (
        pytest.warns(UserWarning, match="maps cannot .* is now maps.damaged, and is made again"),
        nullcontext(),
    ):
        with told:
            assert torch.equal(surrogates(probe, store=store).attention, whole.attention)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["maps", "maps.damaged"]


@pytest.mark.parametrize("part", ["attention", "mask", "rows", "pieces"])
def test_a_store_of_maps_of_another_size_is_set_aside(part, table, masks, tmp_path):
    probe, store = region_probe(attentive(), table, masks, at_once=1), tmp_path / "maps"
    whole = surrogates(probe, store=store)
    saved = torch.load(store)
    found = dict(zip(Surrogates._fields, saved["found"], strict=True))
    if part in found:
        found[part] = found[part][..., :-1]
    else:
        saved[part] = saved[part][:-1] if part == "rows" else 0
    torch.save(saved | {"found": tuple(found.values())}, store)
    with pytest.warns(UserWarning, match="maps cannot .* is now maps.damaged"):
        assert torch.equal(surrogates(probe, store=store).attention, whole.attention)


def test_a_sure_model_s_masks_are_still_told_apart():
    """Probabilities of a model that has learnt its examples by heart differ in digits that single precision lacks."""
    logits = torch.tensor([[25.0, 0.0], [26.0, 0.0], [24.0, 0.0]])
    score = _scores(logits, torch.tensor([0]), 3)[0]
    assert score[1] > score[0] > score[2] and torch.equal(logits.softmax(1)[:, 0], torch.ones(3))


def test_more_masks_find_no_lower_score(table, masks):
    model = made(AttentiveSan, AttentiveSanConfig(**SIZES, attention=8, word_attention=5))
    found, probe = surrogates(region_probe(model, table, masks)), region_probe(model, table, masks, at_once=50)
    scores = torch.cat([score for _, score in mask_scores(probe)])
    torch.testing.assert_close(scores.max(1).values, found.score)
    torch.testing.assert_close(scores[:, -1], found.plain)


def test_all_words_but_some():
    masks = word_masks(5, 2)
    assert masks.shape == (11, 5) and (masks[:-1].sum(1) == 2).all() and masks[-1].eq(1).all()
    assert word_masks(1, 2).tolist() == [[1.0], [1.0]]


def test_words_of_a_question_about_an_image(table):
    """AttentiveSan's words are probed with its regions in place."""
    model = made(AttentiveSan, AttentiveSanConfig(**SIZES, attention=8, word_attention=5))
    found = surrogates(word_probe(model, table, SHORT, at_once=12))
    regions, words = table.batch(torch.tensor([2])).inputs
    with torch.no_grad():
        out = model.reread(regions, words, SHORT(5)[found.mask[2]][None])
    torch.testing.assert_close(found.attention[2], out.word_attention[0])
    assert (found.score >= found.plain).all()


def test_concealed_words_get_no_attention_and_keep_their_place():
    model = made(SelfAttentiveText, TextConfig(12, 3, word=4, hidden=5, attention=6, hops=2, wide=7))
    keep = torch.ones_like(WORDS, dtype=torch.float)
    keep[:, 1] = 0
    out = model(WORDS, keep_words=keep)
    assert not out.word_attention[:, 1].any()
    other = WORDS.clone()
    other[0, 1] = 9
    torch.testing.assert_close(model(other, keep_words=keep).logits, out.logits)
    assert (model(torch.cat([WORDS[:1, :1], WORDS[:1, 2:]], 1)).logits - out.logits[:1]).abs().max() > 1e-4


def test_what_cannot_be_probed_is_refused(table, masks):
    with pytest.raises(ValueError, match="a model that has prepare and answer, Avg has not"):
        region_probe(made(Avg, PoolingConfig(**SIZES)), table, masks)
    model = made(SelfAttentiveText, TextConfig(12, 3, word=4, hidden=5, attention=6, hops=2, wide=7))
    with pytest.raises(ValueError, match="masked words are shown to a model that takes keep_words, Avg does not"):
        word_probe(made(Avg, PoolingConfig(**SIZES)), table)
    empty = Table((WORDS * torch.tensor([1, 1, 0, 1, 1])[:, None],), torch.zeros(5, dtype=torch.long), 3)
    with pytest.raises(ValueError, match=r"1 of 5 have none \(first: row 2\); leave them out"):
        word_probe(model, empty)
    with pytest.raises(ValueError, match="got a text of 1; leave it out"):
        word_probe(model, table)
    plain = Table((WORDS,), torch.zeros(5, dtype=torch.long), 3)
    model.forward = lambda words, keep_words: Output(torch.zeros(len(words), 3))
    with pytest.raises(ValueError, match="a surrogate is the attention of a probed model, got None"):
        surrogates(word_probe(model, plain, SHORT))


def test_the_penalty_is_zero_where_hops_look_at_words_of_their_own():
    model = made(SelfAttentiveText, TextConfig(12, 3, word=4, hidden=5, attention=6, hops=2, wide=7))
    apart = torch.tensor([[[1.0, 0, 0, 0, 0], [0, 1.0, 0, 0, 0]]]).expand(5, 2, 5)
    model.attend.forward = lambda states, keep: apart
    torch.testing.assert_close(model(WORDS).penalty, torch.zeros(5))
    model.attend.forward = lambda states, keep: apart[:, :1].expand(5, 2, 5)
    torch.testing.assert_close(model(WORDS).penalty, torch.full((5,), 2.0))
    assert replace(model.config, hops=30).hops == 30
