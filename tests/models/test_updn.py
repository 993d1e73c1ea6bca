"""UpDn equals its formulas written the plain way, reads no padding, and treats regions as a set."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from vqabook.models import UpDn, UpDnConfig

CONFIG = UpDnConfig(n_words=12, n_answers=7, feature=5, hidden=6, word=4)
WORDS = torch.tensor([[3, 4, 5, 6, 0, 0], [7, 0, 0, 0, 0, 0], [2, 11, 1, 3, 8, 9], [1, 1, 10, 0, 0, 0]])


@pytest.fixture
def model() -> UpDn:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = UpDn(CONFIG)
        for name, parameter in model.named_parameters():
            if name.endswith("original0"):  # so that the norm and its scale are told apart
                parameter.data *= 1.5
    return model.eval()


@pytest.fixture
def regions() -> torch.Tensor:
    return torch.randn(4, 3, 5, generator=torch.Generator().manual_seed(1))


def plain_dense(layer: nn.Linear, x: torch.Tensor) -> torch.Tensor:
    """W = g v / |v| with one norm for the whole matrix."""
    g, v = layer.parametrizations.weight.original0, layer.parametrizations.weight.original1
    y = x @ (g * v / v.square().sum().sqrt()).T
    return y if layer.bias is None else y + layer.bias


def plain_gru(gru: nn.GRU, words: list[torch.Tensor]) -> torch.Tensor:
    """The last state over one question's word vectors (Cho et al. 2014)."""
    state = torch.zeros(gru.hidden_size)
    for word in words:
        ir, iz, inew = (gru.weight_ih_l0 @ word + gru.bias_ih_l0).chunk(3)
        hr, hz, hnew = (gru.weight_hh_l0 @ state + gru.bias_hh_l0).chunk(3)
        reset, update = (ir + hr).sigmoid(), (iz + hz).sigmoid()
        state = (1 - update) * (inew + reset * hnew).tanh() + update * state
    return state


def plain_updn(model: UpDn, regions: torch.Tensor, words: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits and attention of one example, term by term: w . (f(v) * f(q)) a region."""
    q = plain_gru(model.question_encoder, [model.words.weight[i] for i in words if i != 0])
    asked = plain_dense(model.attend_question[0], q).relu()
    looked = [plain_dense(model.attend_region[0], v).relu() for v in regions]
    attention = torch.stack([plain_dense(model.attend, v * asked)[0] for v in looked]).softmax(0)
    image = sum(a * v for a, v in zip(attention, regions, strict=True))
    joint = plain_dense(model.question_net[0], q).relu() * plain_dense(model.image_net[0], image).relu()
    first, _, _, last = model.classifier
    return plain_dense(last, plain_dense(first, joint).relu()), attention


def test_equals_its_formulas(model, regions):
    out = model(regions, WORDS)
    for i in range(len(WORDS)):
        logits, attention = plain_updn(model, regions[i], WORDS[i])
        torch.testing.assert_close(out.logits[i], logits, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(out.attention[i], attention, rtol=1e-5, atol=1e-5)


def test_output_shapes(model, regions):
    out = model(regions, WORDS)
    assert (out.logits.shape, out.hidden.shape, out.question.shape, out.mask) == ((4, 7), (4, 6), (4, 6), None)
    torch.testing.assert_close(out.attention.sum(1), torch.ones(4))


def test_padding_is_never_read(model, regions):
    logits = model(regions, WORDS).logits
    torch.testing.assert_close(model(regions, torch.nn.functional.pad(WORDS, (0, 5))).logits, logits)
    with torch.no_grad():
        model.words.weight[0] = 100.0
    torch.testing.assert_close(model(regions, WORDS).logits, logits, rtol=0, atol=0)
    with torch.no_grad():
        model.words.weight[3] = 100.0
    assert not torch.allclose(model(regions, WORDS).logits[0], logits[0])  # control: words are


def test_batch_mates_do_not_matter(model, regions):
    out = model(regions, WORDS)
    for i in range(4):
        alone = model(regions[i : i + 1], WORDS[i : i + 1])
        torch.testing.assert_close(alone.logits[0], out.logits[i])


def test_stepping_over_padding_equals_skipping_it(model):
    # what `encode` does on a GPU
    states, _ = model.question_encoder(model.words(WORDS))
    stepped = states[torch.arange(4), WORDS.ne(0).sum(1) - 1]
    torch.testing.assert_close(model.encode(WORDS), stepped)


def test_regions_are_a_set(model, regions):
    out, order = model(regions, WORDS), torch.tensor([2, 0, 1])
    moved = model(regions[:, order], WORDS)
    torch.testing.assert_close(moved.logits, out.logits)
    torch.testing.assert_close(moved.attention, out.attention[:, order])


def test_a_question_without_words_is_no_crash(model, regions):
    assert model(regions, torch.zeros(4, 6, dtype=torch.long)).logits.isfinite().all()


def test_state_dict_round_trip(model, regions):
    other = UpDn(CONFIG).eval()
    assert not torch.allclose(other(regions, WORDS).logits, model(regions, WORDS).logits)  # control
    other.load_state_dict(model.state_dict())
    torch.testing.assert_close(other(regions, WORDS).logits, model(regions, WORDS).logits, rtol=0, atol=0)


def test_whatever_is_not_zero_is_looked_at(model, regions):
    # the control of the law that zeros are padding
    almost = torch.nn.functional.pad(regions, (0, 0, 0, 5))
    almost[:, 3:, 0] = 1e-30
    assert model(almost, WORDS).attention[:, 3:].gt(0).all()


def test_without_padding_not_a_bit_changes(model, regions):
    q = model.encode(WORDS)
    looked = model.attend_region(regions)
    asked = model.attend.weight * model.attend_question(q)
    plain = torch.bmm(looked, asked[:, :, None]).squeeze(-1).softmax(-1)
    torch.testing.assert_close(model(regions, WORDS).attention, plain, rtol=0, atol=0)
