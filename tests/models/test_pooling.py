"""AVG and POOL equal their formulas written the plain way; the sizes are those of the released code."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from vqabook.models import Avg, Pool, PoolingConfig

CONFIG = PoolingConfig(n_words=12, n_answers=7, feature=5, hidden=6, word=4, joint=8)
WORDS = torch.tensor([[3, 4, 5, 6, 0, 0], [7, 0, 0, 0, 0, 0], [2, 11, 1, 3, 8, 9], [1, 1, 10, 0, 0, 0]])


@pytest.fixture
def regions() -> torch.Tensor:
    return torch.randn(4, 3, 5, generator=torch.Generator().manual_seed(1))


def made(kind: type[nn.Module]) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return kind(CONFIG).eval()


def last_output(model: nn.Module, words: torch.Tensor) -> torch.Tensor:
    """The recurrent layer's output after one question, without its padding."""
    reader = model.question_encoder
    return reader.recurrent(reader.words(words[words != 0])[None])[0][0, -1]


def test_avg_equals_its_formula(regions):
    model = made(Avg)
    first, second = (layer for layer in model.image_net if isinstance(layer, nn.Linear))
    out = model(regions, WORDS)
    for i, words in enumerate(WORDS):
        image = second(first(sum(regions[i]) / 3).relu()).tanh()
        logits = model.classifier[1](image * last_output(model, words))
        torch.testing.assert_close(out.logits[i], logits, rtol=1e-5, atol=1e-5)
    assert out.attention is None


def test_pool_equals_its_formula(regions):
    model = made(Pool)
    out = model(regions, WORDS)
    for i, words in enumerate(WORDS):
        q = last_output(model, words)
        asked = model.attend_question[1](q).tanh()
        maps = [
            torch.stack([row @ (asked * model.attend_region[1](v).tanh()) for v in regions[i]]).softmax(0)
            for row in model.attend.weight
        ]
        seen = torch.cat([sum(a * v for a, v in zip(one, regions[i], strict=True)) for one in maps])
        logits = model.classifier[1](model.image_net[1](seen).tanh() * model.question_net[1](q).tanh())
        torch.testing.assert_close(out.logits[i], logits, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(out.attention[i], sum(maps) / 2, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", [Avg, Pool])
def test_a_gpu_steps_over_the_padding_that_a_cpu_skips(kind):
    reader = made(kind).question_encoder
    states, _ = reader.recurrent(reader.words(WORDS))
    stepped = states[torch.arange(4), WORDS.ne(0).sum(1) - 1]
    torch.testing.assert_close(reader(WORDS), stepped)


def test_both_glimpses_are_used(regions):
    model = made(Pool)
    with torch.no_grad():
        before = model(regions, WORDS).logits
        for row in range(2):
            kept = model.attend.weight.clone()
            model.attend.weight[row] += 1
            assert (model(regions, WORDS).logits - before).abs().max() > 1e-4
            model.attend.weight.copy_(kept)


def test_sizes_are_the_releases():
    sizes = PoolingConfig(n_words=10, n_answers=3000)
    with torch.device("meta"):
        avg, pool = Avg(sizes), Pool(sizes)
    layers = [layer for layer in avg.image_net if isinstance(layer, nn.Linear)]
    assert [(layer.in_features, layer.out_features) for layer in layers] == [(2048, 4800), (4800, 2400)]
    assert isinstance(avg.question_encoder.recurrent, nn.GRU) and isinstance(pool.question_encoder.recurrent, nn.LSTM)
    assert pool.attend.weight.shape == (2, 1500) and pool.classifier[1].in_features == 1500
