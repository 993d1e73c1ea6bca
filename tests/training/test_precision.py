"""Layers in bf16: weights, outputs and losses stay in fp32, and a recipe says so only where it is asked for."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from vqabook.core import Batch, Output, Table
from vqabook.evidence.record import key_of
from vqabook.models.images import ResNet, ResNetConfig
from vqabook.objectives import Objective
from vqabook.papers import OURS, PAPERS, paper_of
from vqabook.training.fit import FitConfig, fit
from vqabook.training.precision import layers_in_bf16


class Watching(Objective):
    """Cross-entropy that keeps what it was given, and in which precision layers would compute beside it."""

    def __init__(self):
        super().__init__()
        self.logits: list[Tensor] = []

    def steps(self, model: nn.Module, batch: Batch, progress: float) -> Iterator[Tensor]:
        logits = Output.of(model(*batch.inputs)).logits
        self.logits.append(logits.detach())
        assert not torch.is_autocast_enabled("cpu")
        yield cross_entropy(logits, batch.target, reduction="none")


@pytest.fixture
def images() -> Table:
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(32) % 4
    pixels = torch.randn(32, 3, 8, 8, generator=generator) + labels[:, None, None, None]
    return Table((pixels,), labels, 4)


def resnet() -> ResNet:
    torch.manual_seed(0)
    return ResNet(ResNetConfig(4, depth=8, width=4))


def train(images: Table, precision: str) -> tuple[ResNet, Watching, list[dict]]:
    model, objective = resnet(), Watching()
    config = FitConfig(epochs=4, batch_size=16, lr=0.02, optimizer="sgd", precision=precision)
    return model, objective, fit(model, objective, images, config)


def test_what_is_learnt_from_and_judged_by_is_single_precision(images):
    model, objective, history = train(images, "bf16")
    assert {x.dtype for x in objective.logits} == {torch.float32}
    assert all(weight.dtype == torch.float32 for weight in model.state_dict().values() if weight.is_floating_point())
    assert model(*images.inputs).logits.dtype == torch.float32
    assert all(isinstance(row["loss"], float) for row in history)


def test_layers_are_in_bf16_and_nearly_the_same(images):
    (_, single, first), (_, half, second) = (train(images, precision) for precision in ("fp32", "bf16"))
    assert not torch.equal(single.logits[0], half.logits[0])  # a control: something was rounded
    torch.testing.assert_close(single.logits[0], half.logits[0], rtol=0.05, atol=0.05)
    assert second[-1]["loss"] == pytest.approx(first[-1]["loss"], rel=0.1)


def test_convolutions_are_channels_last_and_the_model_is_as_it_was(images):
    model = resnet()
    want = model.eval()(*images.inputs).logits
    with layers_in_bf16(model, "cpu"):
        rounded = model(*images.inputs).logits
        weights = [layer.weight for layer in model.modules() if isinstance(layer, nn.Conv2d)]
        assert weights and all(w.is_contiguous(memory_format=torch.channels_last) for w in weights)
    assert not torch.equal(rounded, want) and "forward" not in vars(model)
    torch.testing.assert_close(model(*images.inputs).logits, want)


def test_a_model_that_returns_a_tensor_is_trained_too(images):
    model = nn.Sequential(nn.Flatten(), nn.Linear(192, 4))
    config = FitConfig(epochs=3, batch_size=16, lr=0.01, precision="bf16")
    history = fit(model, Watching(), images, config)
    assert history[-1]["loss"] < history[0]["loss"]
    assert isinstance(model(*images.inputs), Tensor)


@pytest.mark.parametrize("name", (*PAPERS, *OURS))
def test_a_recipe_says_its_precision_where_its_network_has_one(name):
    paper = paper_of(name)
    whole = {"profile": "smoke", **paper.whole}
    plain, half = (paper.setting_of(**whole, precision=precision) for precision in ("fp32", "bf16"))
    for page in paper.pages:
        asked = paper.asked(plain, page)
        assert [key_of(recipe) for recipe in asked] == [
            key_of(recipe) for recipe in paper.asked(paper.setting_of(**whole), page)
        ]
        assert all(("precision" in recipe) == ("bf16" in recipe["variant"]) for recipe in asked)
        for one, other in zip(asked, paper.asked(half, page), strict=True):
            said = {"precision": "bf16"} if paper.parts[one.get("part") or one["kind"]].halves else {}
            assert other == one | said
