"""The question-only model is UpDn with an image factor of one, and nothing of the image reaches it."""

from __future__ import annotations

import pytest
import torch

from vqabook.models import QuestionBranch, QuestionOnly, QuestionOnlyConfig, UpDn, UpDnConfig

SIZES = {"n_words": 12, "n_answers": 7, "hidden": 6, "word": 4}
WORDS = torch.tensor([[3, 4, 5, 6, 0, 0], [7, 0, 0, 0, 0, 0], [2, 11, 1, 3, 8, 9], [1, 1, 10, 0, 0, 0]])


@pytest.fixture
def model() -> QuestionOnly:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return QuestionOnly(QuestionOnlyConfig(**SIZES)).eval()


@pytest.fixture
def regions() -> torch.Tensor:
    return torch.randn(4, 3, 5, generator=torch.Generator().manual_seed(1))


def test_equals_updn_with_an_image_factor_of_one(model, regions):
    class One(torch.nn.Module):
        def forward(self, image):
            return torch.ones(len(image), SIZES["hidden"])

    updn = UpDn(UpDnConfig(**SIZES, feature=5)).eval()
    theirs = updn.state_dict()
    model.load_state_dict({key: theirs[key.removeprefix("branch.")] for key in model.state_dict()})
    seen = updn(regions, WORDS)
    assert not torch.allclose(model(regions, WORDS).logits, seen.logits)  # control: the image counts
    updn.image_net = One()
    ours, blind = model(regions, WORDS), updn(regions, WORDS)
    for name in ("logits", "hidden", "question"):
        torch.testing.assert_close(getattr(ours, name), getattr(blind, name), rtol=0, atol=0)


def test_output_shapes(model, regions):
    out = model(regions, WORDS)
    assert (out.logits.shape, out.hidden.shape, out.question.shape) == ((4, 7), (4, 6), (4, 6))
    assert out.attention is None and out.mask is None


def test_the_image_is_never_read(model, regions):
    out = model(regions, WORDS)
    torch.testing.assert_close(model(regions * torch.nan, WORDS).logits, out.logits, rtol=0, atol=0)
    torch.testing.assert_close(model(WORDS).logits, out.logits, rtol=0, atol=0)
    assert not torch.allclose(model(regions, WORDS.roll(1, 0)).logits, out.logits)  # control: the words are


def test_padding_is_never_read(model):
    logits = model(WORDS).logits
    torch.testing.assert_close(model(torch.nn.functional.pad(WORDS, (0, 5))).logits, logits)
    with torch.no_grad():
        model.words.weight[0] = 100.0
    torch.testing.assert_close(model(WORDS).logits, logits, rtol=0, atol=0)


def test_the_branch_serves_another_models_question(model, regions):
    question = UpDn(UpDnConfig(**SIZES, feature=5))(regions, WORDS).question
    branch = QuestionBranch(6, 7)
    branch(question.detach()).logits.sum().backward()  # as RUBi trains it
    assert all(parameter.grad.isfinite().all() for parameter in branch.parameters())
    torch.testing.assert_close(model.branch(model.encode(WORDS)).logits, model(WORDS).logits, rtol=0, atol=0)


def test_its_parts_have_the_names_that_others_have(model):
    assert model.classifier is model.branch.classifier
    assert {key.split(".")[0] for key in model.state_dict()} == {"words", "question_encoder", "branch"}


def test_all_parameters_learn(model):
    model.train()
    torch.manual_seed(0)
    (model(WORDS).logits * torch.arange(7)).square().sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad.isfinite().all() and parameter.grad.any(), name


def test_the_seed_is_the_model():
    models = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        models.append(QuestionOnly(QuestionOnlyConfig(**SIZES)).eval()(WORDS).logits)
    assert models[0].equal(models[1]) and not models[0].equal(models[2])
