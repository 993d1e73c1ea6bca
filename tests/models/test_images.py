"""The residual network has the paper's parameters, equals its formula written plainly, and is an identity at birth."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from vqabook.models.images import ResNet, ResNetConfig


def images(n: int = 4, size: tuple[int, int, int] = (3, 32, 32), seed: int = 0) -> torch.Tensor:
    return torch.randn(n, *size, generator=torch.Generator().manual_seed(seed))


def network(depth: int = 8, **config) -> ResNet:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return ResNet(ResNetConfig(10, depth=depth, **config))


@pytest.mark.parametrize(
    ("depth", "millions"), [(20, 0.27), (32, 0.46), (44, 0.66), (56, 0.85)], ids=lambda x: str(x)
)  # He et al. 2016, Table 6
def test_parameters_are_those_of_the_papers_table(depth, millions):
    assert round(sum(p.numel() for p in network(depth).parameters()) / 1e6, 2) == millions


def test_weighted_layers_are_the_depth():
    layers = [m for m in network(20).modules() if isinstance(m, torch.nn.Conv2d | torch.nn.Linear)]
    assert len(layers) == 20


def plain(model: ResNet, x: torch.Tensor) -> torch.Tensor:
    """Pooled features in eval mode by He et al. 2016, Eqs. 1 and 2, convolution and normalisation written out."""

    def layer(x, conv, norm):
        y = F.conv2d(x, conv.weight, stride=conv.stride, padding=1)
        scale = norm.weight / (norm.running_var + norm.eps).sqrt()
        return (y - norm.running_mean[:, None, None]) * scale[:, None, None] + norm.bias[:, None, None]

    x = layer(x, model.stem[0], model.stem[1]).clamp(min=0)
    for block in model.blocks:
        y = layer(layer(x, block.conv1, block.norm1).clamp(min=0), block.conv2, block.norm2)
        shortcut = torch.zeros_like(y)
        stride = x.shape[-1] // y.shape[-1]
        shortcut[:, : x.shape[1]] = x[:, :, ::stride, ::stride]
        x = (shortcut + y).clamp(min=0)
    return x.flatten(2).mean(2)


@pytest.mark.parametrize("depth", [8, 14])
def test_equals_its_formula(depth):
    model = network(depth)
    model(images(16, seed=1))  # running statistics other than 0 and 1
    model.eval()
    with torch.no_grad():
        out, hidden = model(images()), plain(model, images())
    torch.testing.assert_close(out.hidden, hidden, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(out.logits, model.classifier(hidden), rtol=1e-4, atol=1e-5)


def test_without_residuals_a_block_hands_its_input_on():
    model = network(20).eval()
    for block in model.blocks:
        torch.nn.init.zeros_(block.norm2.weight)  # F(x) = 0: only the shortcuts are left
    with torch.no_grad():
        stem = model.stem(images())
        hidden = model(images()).hidden
    torch.testing.assert_close(hidden[:, :16], stem[:, :, ::4, ::4].mean((2, 3)))
    assert not hidden[:, 16:].any()  # option A: new channels are zeros


@pytest.mark.parametrize(
    ("size", "config"),
    [((1, 62, 47), {"channels": 1, "stem_stride": 2}), ((1, 8, 8), {"channels": 1, "width": 4}), ((3, 33, 31), {})],
)
def test_any_size_of_image(size, config):
    model = network(**config)
    out = model(images(2, size))
    assert (out.logits.shape, out.hidden.shape) == ((2, 10), (2, 4 * model.config.width))
    assert out.attention is None and out.mask is None


def test_channels_last_changes_speed_alone():
    model, last = network().eval(), network().eval().to(memory_format=torch.channels_last)
    torch.testing.assert_close(model(images()).logits, last(images()).logits, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("depth", [2, 9, 18])
def test_a_depth_between_blocks_is_refused(depth):
    with pytest.raises(ValueError, match=rf"depth is 6 n \+ 2 with n >= 1, got {depth}; the paper trains 20"):
        ResNetConfig(10, depth=depth)
