"""SAN equals its formulas written the plain way; masks act after the normalisation; padding is never read."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from vqabook.core import Output
from vqabook.models import San, SanConfig
from vqabook.models.san import _padding_first

CONFIG = SanConfig(n_words=12, n_answers=7, feature=5, hidden=6, word=4, attention=8)
WORDS = torch.tensor([[3, 4, 5, 6, 0, 0], [7, 0, 0, 0, 0, 0], [2, 11, 1, 3, 8, 9], [1, 1, 10, 0, 0, 0]])
KEEP = torch.tensor([[1.0, 0.5, 0.2], [0.3, 1.0, 1.0], [0.1, 0.9, 0.4], [0.7, 0.6, 1.0]])


@pytest.fixture
def model() -> San:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return San(CONFIG).eval()


@pytest.fixture
def regions() -> torch.Tensor:
    return torch.randn(4, 3, 5, generator=torch.Generator().manual_seed(1))


def plain_lstm(model: San, words: list[int]) -> torch.Tensor:
    """The cell after one question (Hochreiter & Schmidhuber 1997, with forget gates); biases in the last column."""
    lstm, state = model.question_encoder, torch.zeros(CONFIG.hidden)
    cell, weight, bias = state, lstm.weight_ih_l0[:, :-1], lstm.weight_ih_l0[:, -1]
    for word in words:
        gates = weight @ model.words.weight[word].tanh() + bias + lstm.weight_hh_l0 @ state
        i, f, g, o = gates.chunk(4)
        cell = f.sigmoid() * cell + i.sigmoid() * g.tanh()
        state = o.sigmoid() * cell.tanh()
    return cell


def plain_san(model: San, regions: torch.Tensor, words: torch.Tensor, keep: torch.Tensor):
    """Logits and mean attention of one example, glimpse by glimpse."""
    q = plain_lstm(model, [i for i in words.tolist() if i != 0])
    unit = [m * v / v.square().sum().sqrt() for v, m in zip(regions, keep, strict=True)]
    joint = [(model.attend_region(v) + model.attend_question(q)).relu() for v in unit]
    maps = [torch.stack([row @ x for x in joint]).softmax(0) for row in model.attend.weight]
    images = [sum(a * v for a, v in zip(attention, unit, strict=True)) for attention in maps]
    hidden = model.fuse[1](torch.cat([*images, q])).relu()
    return model.classifier[1](hidden), sum(maps) / len(maps)


@pytest.mark.parametrize("keep", [torch.ones(4, 3), KEEP], ids=["all", "scaled"])
def test_equals_its_formulas(model, regions, keep):
    out = mask(model, regions, WORDS, keep)
    for i in range(len(WORDS)):
        logits, attention = plain_san(model, regions[i], WORDS[i], keep[i])
        torch.testing.assert_close(out.logits[i], logits, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(out.attention[i], attention, rtol=1e-5, atol=1e-5)


def test_the_lstm_is_torchs_with_biases(model):
    ours, theirs = model.question_encoder, torch.nn.LSTM(CONFIG.word, CONFIG.hidden, batch_first=True)
    with torch.no_grad():
        theirs.weight_ih_l0.copy_(ours.weight_ih_l0[:, :-1])
        theirs.bias_ih_l0.copy_(ours.weight_ih_l0[:, -1])
        theirs.weight_hh_l0.copy_(ours.weight_hh_l0)
        theirs.bias_hh_l0.zero_()
    full = WORDS.clamp(min=1)
    torch.testing.assert_close(model.encode(full), theirs(model.words(full).tanh())[1][1][0])


def test_output_shapes(model, regions):
    out = model(regions, WORDS)
    assert (out.logits.shape, out.hidden.shape, out.question.shape, out.mask) == ((4, 7), (4, 6), (4, 6), None)
    torch.testing.assert_close(out.attention.sum(1), torch.ones(4))


def mask(model: San, regions: torch.Tensor, words: torch.Tensor, keep: torch.Tensor) -> Output:
    *fixed, real = model.prepare(regions, words)
    return model.answer(*fixed, real * keep)


def test_project_once_mask_after(model, regions):
    unit, projected, real = model.project(regions)
    torch.testing.assert_close(model.attend_region(KEEP[..., None] * unit), KEEP[..., None] * projected)
    once = model.answer(unit, projected, model.encode(WORDS), real * KEEP)
    torch.testing.assert_close(once.logits, mask(model, regions, WORDS, KEEP).logits, rtol=0, atol=0)
    model.attend_region.bias = torch.nn.Parameter(torch.ones(8))  # control: with a bias they are two things
    assert not torch.allclose(model.attend_region(KEEP[..., None] * unit), KEEP[..., None] * model.project(regions)[1])


def test_on_the_features_a_mask_cancels(model, regions):
    out = model(regions, WORDS)
    torch.testing.assert_close(model(KEEP[..., None] * regions, WORDS).logits, out.logits)
    assert not torch.allclose(mask(model, regions, WORDS, KEEP).logits, out.logits)  # control: after them it does not


def test_taking_regions_away_is_zeroing_them(model, regions):
    keep = torch.tensor([[1.0, 0.0, 1.0], [0.0, 0.0, 1.0], [1.0, 1.0, 1.0], [0.0, 1.0, 0.0]])
    out = mask(model, regions, WORDS, keep)
    torch.testing.assert_close(out.logits, model(regions * keep[..., None], WORDS).logits)
    assert not out.attention[keep == 0].any()
    alone = model(regions[:1, [0, 2]], WORDS[:1])  # and is not having them
    torch.testing.assert_close(alone.logits, out.logits[:1])


def test_keeping_all_changes_not_a_bit(model, regions):
    kept = mask(model, regions, WORDS, torch.ones(4, 3))
    torch.testing.assert_close(kept.logits, model(regions, WORDS).logits, rtol=0, atol=0)


def test_words_padding_is_never_read(model, regions):
    logits = model(regions, WORDS).logits
    torch.testing.assert_close(model(regions, F.pad(WORDS, (0, 5))).logits, logits)
    with torch.no_grad():
        model.words.weight[0] = 100.0
    torch.testing.assert_close(model(regions, WORDS).logits, logits, rtol=0, atol=0)
    with torch.no_grad():
        model.words.weight[3] = 100.0
    assert not torch.allclose(model(regions, WORDS).logits[0], logits[0])  # control: words are


def test_reading_padding_first_equals_skipping_it(model):
    # what `encode` does on a GPU
    first = _padding_first(WORDS)
    assert first.tolist()[:2] == [[0, 0, 3, 4, 5, 6], [0, 0, 0, 0, 0, 7]]
    torch.testing.assert_close(model._state(model._read(first)), model.encode(WORDS))
    nothing = torch.zeros(2, 6, dtype=torch.long)
    assert not model._state(model._read(nothing)).any()  # at rest it stays at rest
    assert model.encode(nothing).equal(torch.zeros(2, 6))


def test_regions_are_a_set(model, regions):
    out, order = mask(model, regions, WORDS, KEEP), torch.tensor([2, 0, 1])
    moved = mask(model, regions[:, order], WORDS, KEEP[:, order])
    torch.testing.assert_close(moved.logits, out.logits)
    torch.testing.assert_close(moved.attention, out.attention[:, order])


def test_gradients_reach_masks_and_regions(model, regions):
    model.double()
    inputs = regions[:2].double().requires_grad_(), KEEP[:2].double().requires_grad_()
    torch.autograd.gradcheck(lambda v, m: mask(model, v, WORDS[:2], m).logits, inputs)


def test_the_seed_is_the_model(regions):
    logits = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        logits.append(San(CONFIG).eval()(regions, WORDS).logits)
    assert logits[0].equal(logits[1]) and not logits[0].equal(logits[2])


def test_glimpses_may_be_one(regions):
    out = San(SanConfig(n_words=12, n_answers=7, feature=5, hidden=6, word=4, attention=8, glimpses=1))(regions, WORDS)
    assert out.logits.shape == (4, 7)
