"""Members are the models they were made of, one by one: answers, gradients, whole trainings; and back again."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from vqabook.models.images import ResNet, ResNetConfig, Vgg, VggConfig
from vqabook.models.members import FeatureSharing, Members
from vqabook.models.san import Mlp, MlpConfig, San, SanConfig
from vqabook.models.updn import UpDn, UpDnConfig

M, B = 3, 5


def san(n_answers: int = 4) -> San:
    return San(SanConfig(9, n_answers, feature=6, hidden=8, word=5, attention=7, dropout=0.0))


def updn(n_answers: int = 4) -> UpDn:
    sizes = {"feature": 6, "hidden": 8, "word": 5, "attention_dropout": 0.0, "classifier_dropout": 0.0}
    return UpDn(UpDnConfig(9, n_answers, **sizes))


def mlp(n_answers: int = 4) -> Mlp:
    return Mlp(MlpConfig(9, n_answers, feature=6, regions=4, hidden=8, word=5, wide=12))


def resnet(n_answers: int = 4) -> ResNet:
    return ResNet(ResNetConfig(n_answers, depth=8, width=4))


def vgg(n_answers: int = 4) -> Vgg:
    return Vgg(VggConfig(n_answers, width=2, side=16))


MADE = {"san": san, "mlp": mlp, "updn": updn, "resnet": resnet, "vgg": vgg}
IMAGES = ("resnet", "vgg")


def inputs_of(kind: str) -> tuple[torch.Tensor, ...]:
    if kind in IMAGES:
        return (torch.randn(B, 3, 16, 16, dtype=torch.double),)
    regions = torch.randn(B, 4, 6, dtype=torch.double)
    regions[0, 3] = 0  # padding
    return regions, torch.tensor([[1, 2, 3, 0], [4, 0, 0, 0], [8, 7, 6, 5], [2, 2, 0, 0], [0, 0, 0, 0]])


@pytest.fixture(params=list(MADE))
def alike(request) -> tuple[list[nn.Module], tuple[torch.Tensor, ...]]:
    torch.manual_seed(0)
    models = [MADE[request.param]().double() for _ in range(M)]
    return models, inputs_of(request.param)


@pytest.mark.parametrize("mode", ["train", "eval"])
def test_members_answer_as_the_models_alone(alike, mode):
    models, inputs = alike
    together = Members(models).double()
    for module in (together, *models):
        module.train(mode == "train")
    out = together(*inputs)
    for i, model in enumerate(models):
        alone = model(*inputs)
        torch.testing.assert_close(out.logits[i], alone.logits)
        assert (out.attention is None) == (alone.attention is None)
        if alone.attention is not None:
            torch.testing.assert_close(out.attention[i], alone.attention)


def test_a_training_of_members_is_that_of_the_models_alone(alike):
    """Adam's steps, batch norm's statistics and all."""
    models, inputs = alike
    together = Members(models).double()
    weight = torch.randn(M, B, 4, dtype=torch.double)

    def trained(module: nn.Module, weight: torch.Tensor) -> None:
        module.train()
        optimizer = torch.optim.Adam(module.parameters(), lr=0.01)
        for _ in range(3):
            optimizer.zero_grad()
            (module(*inputs).logits * weight).sum().backward()
            optimizer.step()

    trained(together, weight)
    for i, model in enumerate(models):
        trained(model, weight[i])
        like = together.single(i, copy.deepcopy(model))
        for name, value in model.state_dict().items():
            torch.testing.assert_close(like.state_dict()[name], value, msg=name)


def test_what_members_learn_is_kept(alike):
    models, inputs = alike
    together, other = Members(models).double().eval(), Members(models[::-1]).double().eval()
    assert not torch.equal(together(*inputs).logits, other(*inputs).logits)
    other.load_state_dict(together.state_dict())
    torch.testing.assert_close(together(*inputs).logits, other(*inputs).logits, rtol=0, atol=0)


def test_dropout_is_every_member_s_own():
    torch.manual_seed(0)
    one = San(SanConfig(9, 4, feature=6, hidden=8, word=5, attention=7, dropout=0.5))
    together = Members([one, copy.deepcopy(one)]).train()
    logits = together(torch.randn(B, 4, 6), torch.ones(B, 3, dtype=torch.long)).logits
    assert not torch.allclose(logits[0], logits[1])


def test_members_are_alike():
    with pytest.raises(ValueError, match=r"with the same answers: classifier\.1\.weight of model 1 has shape \(5, 8\)"):
        Members([san(), san(5)])
    with pytest.raises(ValueError, match="one model or more"):
        Members([])
    with pytest.raises(ValueError, match="early and late part, San has none"):
        Members([san(), san()], share=FeatureSharing())


def test_features_are_shared():
    features = torch.rand(M, B, 2, 3, 3) + 1
    share = FeatureSharing(keep=1.0).train()
    torch.testing.assert_close(share(features), features.sum(0).expand_as(features))
    torch.testing.assert_close(FeatureSharing(keep=0.0)(features), features)
    share = FeatureSharing(keep=0.7)
    mixed = torch.stack([share(features) for _ in range(2000)]).mean(0)
    torch.testing.assert_close(mixed, features + 0.7 * (features.sum(0) - features), rtol=0.03, atol=0)
    assert not torch.equal(share.eval()(features), share(features))  # the release draws at test time, too
    settled = FeatureSharing(at_test=False).eval()
    torch.testing.assert_close(settled(features), features + 0.7 * (features.sum(0) - features))
    with pytest.raises(ValueError, match=r"in \[0, 1\], got 2"):
        FeatureSharing(keep=2)


@pytest.mark.parametrize("kind", MADE)
def test_in_turn_is_the_same(kind):
    """Outputs, gradients, and the running means of batch norm."""
    torch.manual_seed(0)
    models, inputs = [MADE[kind]().double() for _ in range(M)], inputs_of(kind)
    beside, in_turn = (Members(models, in_turn=one).double().train() for one in (False, True))
    for members in (beside, in_turn):
        members(*inputs).logits.square().sum().backward()
    torch.testing.assert_close(in_turn(*inputs).logits, beside(*inputs).logits)
    for (name, mine), (_, other) in zip(in_turn.named_parameters(), beside.named_parameters(), strict=True):
        torch.testing.assert_close(mine.grad, other.grad, msg=name)
    for (name, mine), (_, other) in zip(in_turn.named_buffers(), beside.named_buffers(), strict=True):
        torch.testing.assert_close(mine, other, msg=name)


@pytest.mark.parametrize("kind", IMAGES)
def test_members_that_share_nothing_are_alone(kind):
    torch.manual_seed(0)
    models, inputs = [MADE[kind]().double() for _ in range(M)], inputs_of(kind)
    together, alone = (Members(models, share=share).double() for share in (FeatureSharing(keep=0.0), None))
    torch.testing.assert_close(together(*inputs).logits, alone(*inputs).logits)
    shared = Members(models, share=FeatureSharing(keep=1.0)).double()
    x = sum(model.early(*inputs) for model in models)
    for logits, model in zip(shared(*inputs).logits, models, strict=True):
        torch.testing.assert_close(logits, model.late(x).logits)


def test_vgg_has_seventeen_layers_with_weights():
    model = Vgg(VggConfig(100))
    assert sum(isinstance(m, nn.Conv2d | nn.Linear) for m in model.modules()) == 17
    assert model(torch.randn(2, 3, 32, 32)).logits.shape == (2, 100)
    with pytest.raises(ValueError, match="halved four times, got 24"):
        Vgg(VggConfig(10, side=24))
