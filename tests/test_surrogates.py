"""Surrogate maps equal those of a plain loop over masked examples, and are what the paper says they are."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from vqabook.core import SparseScores, Table
from vqabook.models import Avg, PoolingConfig, San, SanConfig
from vqabook.models.text import SelfAttentiveText, TextConfig
from vqabook.surrogates import pair_masks, region_masks, region_surrogates, word_surrogates

SIZES = {"n_words": 12, "n_answers": 7, "feature": 5, "hidden": 6, "word": 4}
WORDS = torch.tensor([[3, 4, 5, 6, 0], [7, 0, 0, 0, 0], [2, 11, 1, 3, 8], [1, 1, 10, 0, 0], [9, 4, 0, 0, 0]])


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
    return region_masks(20, 2, 2, scale=1, generator=torch.Generator().manual_seed(0)).clamp(min=0.1)


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
        with pytest.raises(ValueError, match="on a grid scale times coarser, 1 <= scale <= both sides; got"):
            region_masks(n, 8, 8, scale=scale, generator=rng)


@pytest.mark.parametrize(("n", "pairs"), [(1, 0), (2, 0), (3, 3), (5, 10)])
def test_pairs_of_words(n, pairs):
    masks = pair_masks(n)
    assert masks.shape == (pairs + 1, n) and masks[-1].eq(1).all()
    assert (masks[:-1].sum(1) == n - 2).all() and len(masks.unique(dim=0)) == pairs + 1


@pytest.mark.parametrize("weighted", [False, True])
def test_regions_equal_a_loop_of_full_passes(table, masks, weighted):
    model = made(San, SanConfig(**SIZES, attention=8))
    found = region_surrogates(model, table, masks, weighted=weighted, at_once=2)
    for row in range(5):
        regions, words = table.batch(torch.tensor([row])).inputs
        share = table.target[torch.tensor([row])][0]
        share = share / share.sum()
        with torch.no_grad():
            outs = [model(regions, words, keep=mask[None]) for mask in masks]
        scores = torch.stack([(out.logits[0].softmax(0) * share).sum() for out in outs])
        maps = torch.cat([out.attention for out in outs])
        best = int(scores.argmax())
        want = (scores[:, None] * maps).sum(0) / scores.sum() if weighted else maps[best]
        torch.testing.assert_close(found.attention[row], want, rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(found.score[row], scores[best])
        torch.testing.assert_close(found.plain[row], scores[-1])
    torch.testing.assert_close(found.attention.sum(1), torch.ones(5))
    assert (found.score >= found.plain).all() and not found.attention[2, 3]


@pytest.mark.parametrize("weighted", [False, True])
def test_words_equal_a_loop_of_full_passes(weighted):
    model = made(SelfAttentiveText, TextConfig(12, 3, word=4, hidden=5, attention=6, hops=2, wide=7))
    table = Table((WORDS,), torch.tensor([0, 2, 1, 1, 0]), 3)
    found = word_surrogates(model, table, weighted=weighted, at_once=7)
    for row, words in enumerate(WORDS):
        n = int(words.ne(0).sum())
        with torch.no_grad():
            outs = [model(words[None, :n], keep=mask[None]) for mask in pair_masks(n)]
        scores = torch.stack([out.logits[0].softmax(0)[table.target[row]] for out in outs])
        maps = torch.cat([out.attention for out in outs])
        want = (scores[:, None] * maps).sum(0) / scores.sum() if weighted else maps[int(scores.argmax())]
        torch.testing.assert_close(found.attention[row, :n], want, rtol=1e-5, atol=1e-6)
        assert not found.attention[row, n:].any()
    assert found.mask[1] == 0 and found.score[1] == found.plain[1]  # one word: nothing to conceal


def test_concealed_words_get_no_attention_and_keep_their_place():
    model = made(SelfAttentiveText, TextConfig(12, 3, word=4, hidden=5, attention=6, hops=2, wide=7))
    keep = torch.ones_like(WORDS, dtype=torch.float)
    keep[:, 1] = 0
    out = model(WORDS, keep=keep)
    assert not out.attention[:, 1].any()
    other = WORDS.clone()
    other[0, 1] = 9
    torch.testing.assert_close(model(other, keep=keep).logits, out.logits)
    assert (model(torch.cat([WORDS[:1, :1], WORDS[:1, 2:]], 1)).logits - out.logits[:1]).abs().max() > 1e-4


def test_what_cannot_be_probed_is_refused(table, masks):
    with pytest.raises(ValueError, match="with project, encode and answer, which Avg has not"):
        region_surrogates(made(Avg, PoolingConfig(**SIZES)), table, masks)
    model = made(SelfAttentiveText, TextConfig(12, 3, word=4, hidden=5, attention=6, hops=2, wide=7))
    empty = Table((WORDS * torch.tensor([1, 1, 0, 1, 1])[:, None],), torch.zeros(5, dtype=torch.long), 3)
    with pytest.raises(ValueError, match=r"1 of 5 have none \(first: row 2\); leave them out"):
        word_surrogates(model, empty)


def test_the_penalty_is_zero_where_hops_look_at_words_of_their_own():
    model = made(SelfAttentiveText, TextConfig(12, 3, word=4, hidden=5, attention=6, hops=2, wide=7))
    apart = torch.tensor([[[1.0, 0, 0, 0, 0], [0, 1.0, 0, 0, 0]]]).expand(5, 2, 5)
    model.attend.forward = lambda states, keep: apart
    torch.testing.assert_close(model(WORDS).penalty, torch.zeros(5))
    model.attend.forward = lambda states, keep: apart[:, :1].expand(5, 2, 5)
    torch.testing.assert_close(model(WORDS).penalty, torch.full((5,), 2.0))
    assert replace(model.config, hops=30).hops == 30
