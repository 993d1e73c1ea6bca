"""What every model of regions and words in MODELS must satisfy; a new one joins the list and inherits it."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from vqabook.models import Avg, Pool, PoolingConfig, San, SanConfig, UpDn, UpDnConfig

SIZES = {"n_words": 12, "n_answers": 7, "feature": 5, "hidden": 6, "word": 4}
MODELS = {
    "updn": lambda: UpDn(UpDnConfig(**SIZES)),
    "san": lambda: San(SanConfig(**SIZES, attention=8)),
    "pool": lambda: Pool(PoolingConfig(**SIZES, joint=8)),
    "avg": lambda: Avg(PoolingConfig(**SIZES)),
}
WORDS = torch.tensor([[3, 4, 5, 6, 0, 0], [7, 0, 0, 0, 0, 0], [2, 11, 1, 3, 8, 9], [1, 1, 10, 0, 0, 0]])


@pytest.fixture(params=MODELS)
def model(request) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return MODELS[request.param]().eval()


@pytest.fixture
def regions() -> torch.Tensor:
    return torch.randn(4, 3, 5, generator=torch.Generator().manual_seed(1))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_gives_the_same_logits(model, regions):
    here = model(regions, WORDS).logits
    there = model.cuda()(regions.cuda(), WORDS.cuda()).logits.cpu()
    torch.testing.assert_close(there, here, rtol=1e-3, atol=1e-3)


def test_regions_of_zeros_are_padding(model, regions):
    out = model(regions, WORDS)
    padded = model(F.pad(regions, (0, 0, 0, 5)), WORDS)
    torch.testing.assert_close(padded.logits, out.logits)
    if out.attention is not None:  # AVG looks at none in particular
        torch.testing.assert_close(padded.attention[:, :3], out.attention)
        assert not padded.attention[:, 3:].any()


def test_an_image_of_zeros_alone_is_looked_at_alike(model):
    regions = torch.zeros(4, 3, 5, requires_grad=True)
    out = model(regions, WORDS)
    if out.attention is not None:
        torch.testing.assert_close(out.attention, torch.full((4, 3), 1 / 3))
    out.logits.sum().backward()
    assert out.logits.isfinite().all() and regions.grad.abs().max() < 10


def test_the_order_of_the_regions_does_not_matter(model, regions):
    turned = model(regions.flip(1), WORDS)
    torch.testing.assert_close(turned.logits, model(regions, WORDS).logits)


def test_padding_is_never_read(model, regions):
    cut = model(regions[1:2], WORDS[1:2, :1])
    torch.testing.assert_close(model(regions, WORDS).logits[1:2], cut.logits)


def test_all_parameters_learn(model, regions):
    model.train()
    torch.manual_seed(0)
    (model(regions, WORDS).logits * torch.arange(7)).square().sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad.isfinite().all() and parameter.grad.any(), name
    (words,) = (module for module in model.modules() if isinstance(module, nn.Embedding))
    assert not words.weight.grad[0].any()  # the pad
