"""Our LXMERT gives transformers' own numbers, reads no padding, and fails in one sentence."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch.nn import functional as F

from vqabook.models import Lxmert, LxmertConfig, bert_words

pytestmark = pytest.mark.skipif(importlib.util.find_spec("transformers") is None, reason="needs transformers")
SIZES = {"feature": 5, "hidden": 8, "heads": 2, "wide": 16, "positions": 12}
CONFIG = LxmertConfig.small(12, 7, **SIZES)
WORDS = torch.tensor([[3, 4, 5, 6, 0, 0], [7, 0, 0, 0, 0, 0], [2, 11, 1, 3, 8, 9], [1, 1, 10, 0, 0, 0]])
OUTPUTS = ("logits", "hidden", "question", "attention")


def made(config: LxmertConfig = CONFIG, seed: int = 0) -> Lxmert:
    """Weights larger than the small random ones, so that every input counts."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = Lxmert(config)
        for parameter in model.parameters():
            parameter.data.add_(0.2 * torch.randn_like(parameter))
    return model.eval()


@pytest.fixture
def model() -> Lxmert:
    return made()


@pytest.fixture
def regions() -> torch.Tensor:
    return torch.randn(4, 3, 5, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def boxes() -> torch.Tensor:
    return torch.rand(4, 3, 4, generator=torch.Generator().manual_seed(2))


@pytest.fixture(scope="session")
def transformers() -> ModuleType:
    """Imported when a test needs it, which takes a second: every worker reads this file, one runs it."""
    return importlib.import_module("transformers")


@pytest.fixture(scope="session")
def saved(transformers, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """A folder as `save_pretrained` writes it, of random weights of a kind of transformers' LXMERT."""

    def save(kind: str = "LxmertForQuestionAnswering") -> Path:
        folder = tmp_path_factory.mktemp("lxmert")
        config = transformers.LxmertConfig(
            vocab_size=30, num_qa_labels=7, visual_feat_dim=5, hidden_size=8, num_attention_heads=2,
            intermediate_size=16, max_position_embeddings=12, l_layers=2, r_layers=1, x_layers=2, num_object_labels=3,
            num_attr_labels=2,
        )  # fmt: skip
        with torch.random.fork_rng():
            torch.manual_seed(3)
            getattr(transformers, kind)(config).save_pretrained(folder)
        return folder

    return save


def test_a_pretrained_one_gives_transformers_own_logits(transformers, saved, regions, boxes):
    folder = saved()
    theirs = transformers.LxmertForQuestionAnswering.from_pretrained(folder).eval()
    ours = Lxmert.from_pretrained(folder).eval()
    out = ours(regions, WORDS, boxes)
    told = theirs(
        input_ids=WORDS, attention_mask=WORDS != 0, visual_feats=regions, visual_pos=boxes, output_attentions=True
    )
    torch.testing.assert_close(out.logits, told.question_answering_score, rtol=0, atol=0)
    torch.testing.assert_close(out.attention, told.cross_encoder_attentions[-1][:, :, 0].mean(1))
    unmasked = theirs(input_ids=WORDS, visual_feats=regions, visual_pos=boxes).question_answering_score
    assert not torch.allclose(out.logits, unmasked)  # control: our padding is their attention mask


def test_the_same_weights_in_ours_give_the_same_logits(transformers, model, regions, boxes):
    begun = F.pad(WORDS, (1, 0), value=12)  # [CLS] is the word after the last
    theirs = transformers.LxmertForQuestionAnswering(model.network.config).eval()
    theirs.load_state_dict(model.network.state_dict())
    told = theirs(input_ids=begun, attention_mask=begun != 0, visual_feats=regions, visual_pos=boxes)
    torch.testing.assert_close(model(regions, WORDS, boxes).logits, told.question_answering_score, rtol=0, atol=0)


def test_the_defaults_are_the_published_sizes(transformers):
    ours, published = LxmertConfig(30522, 9500), transformers.LxmertConfig()
    for name, theirs in importlib.import_module("vqabook.models.lxmert").THEIRS.items():
        assert getattr(ours, name) == getattr(published, theirs), name


def test_config_and_state_make_a_pretrained_one_again(saved, regions):
    pretrained = Lxmert.from_pretrained(saved()).eval()
    assert (pretrained.config.n_words, pretrained.config.add_cls) == (30, False)
    again = Lxmert(pretrained.config).eval()
    assert not torch.allclose(again(regions, WORDS).logits, pretrained(regions, WORDS).logits)  # control
    again.load_state_dict(pretrained.state_dict())
    torch.testing.assert_close(again(regions, WORDS).logits, pretrained(regions, WORDS).logits, rtol=0, atol=0)


def test_a_new_answer_head(saved, regions):
    torch.manual_seed(0)
    kept, fresh = (Lxmert.from_pretrained(saved("LxmertForPreTraining"), n) for n in (None, 4))
    assert kept.training and fresh.training and fresh.config.n_answers == 4
    kept, fresh = (model.eval()(regions, WORDS) for model in (kept, fresh))
    assert (kept.logits.shape, fresh.logits.shape) == ((4, 7), (4, 4))
    torch.testing.assert_close(kept.hidden, fresh.hidden, rtol=0, atol=0)
    torch.manual_seed(0)
    same = Lxmert.from_pretrained(saved("LxmertForPreTraining"), 4).eval()
    torch.testing.assert_close(same(regions, WORDS).logits, fresh.logits, rtol=0, atol=0)


def test_output_shapes(model, regions):
    out = model(regions, WORDS)
    assert (out.logits.shape, out.hidden.shape, out.question.shape, out.mask) == ((4, 7), (4, 8), (4, 8), None)
    for training in (False, True):  # dropout or not
        attention = model.train(training)(regions, WORDS).attention
        torch.testing.assert_close(attention.sum(1), torch.ones(4))


def test_the_question_has_not_seen_the_image(model, regions):
    here, there = model(regions, WORDS), model(regions.flip(0), WORDS)
    torch.testing.assert_close(here.question, there.question, rtol=0, atol=0)
    assert not torch.allclose(here.hidden, there.hidden)  # control


def test_words_padding_is_never_read(model, regions):
    logits = model(regions, WORDS).logits
    torch.testing.assert_close(model(regions, F.pad(WORDS, (0, 5))).logits, logits, rtol=1e-4, atol=1e-5)
    with torch.no_grad():
        model.network.lxmert.embeddings.word_embeddings.weight[0] = 100.0
    torch.testing.assert_close(model(regions, WORDS).logits, logits, rtol=0, atol=0)
    with torch.no_grad():
        model.network.lxmert.embeddings.word_embeddings.weight[3, 0] = 100.0
    assert not torch.allclose(model(regions, WORDS).logits[0], logits[0])  # control: words are


def test_regions_of_zeros_are_padding(model, regions, boxes):
    for given in ((), (boxes,)):
        out = model(regions, WORDS, *given)
        more = [F.pad(box, (0, 0, 0, 5), value=0.7) for box in given]
        padded = model(F.pad(regions, (0, 0, 0, 5)), WORDS, *more)
        torch.testing.assert_close(padded.logits, out.logits, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(padded.attention[:, :3], out.attention)
        assert not padded.attention[:, 3:].any()


def test_nothing_to_see_and_nothing_asked_is_no_crash(model):
    out = model(torch.zeros(4, 3, 5), torch.zeros(4, 6, dtype=torch.long))
    assert out.logits.isfinite().all()
    torch.testing.assert_close(out.attention, torch.full((4, 3), 1 / 3))


def test_batch_mates_do_not_matter(model, regions):
    out = model(regions, WORDS)
    for i in range(4):
        torch.testing.assert_close(model(regions[i : i + 1], WORDS[i : i + 1]).logits[0], out.logits[i])


def test_regions_are_a_set_of_features_and_boxes(model, regions, boxes):
    out, order = model(regions, WORDS, boxes), torch.tensor([2, 0, 1])
    moved = model(regions[:, order], WORDS, boxes[:, order])
    torch.testing.assert_close(moved.logits, out.logits, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(moved.attention, out.attention[:, order])
    assert not torch.allclose(model(regions, WORDS, boxes[:, order]).logits, out.logits)  # control: boxes count


def test_a_grid_stands_for_boxes(regions):
    gridded = made(LxmertConfig.small(12, 7, **SIZES, grid=2))
    cells = torch.tensor([[0, 0, 0.5, 0.5], [0.5, 0, 1, 0.5], [0, 0.5, 0.5, 1], [0.5, 0.5, 1, 1]])
    four = torch.cat([regions, regions[:, :1]], 1)
    told = gridded(four, WORDS, cells.expand(4, 4, 4)).logits
    torch.testing.assert_close(gridded(four, WORDS).logits, told, rtol=0, atol=0)
    anywhere = made()
    whole = torch.tensor([0.0, 0, 1, 1]).expand(4, 4, 4)
    torch.testing.assert_close(anywhere(four, WORDS).logits, anywhere(four, WORDS, whole).logits, rtol=0, atol=0)
    with pytest.raises(ValueError, match="grid=2 means 4 regions, got 3; give boxes"):
        gridded(regions, WORDS)


def test_parameters_learn_but_those_that_no_answer_reads(model, regions):
    torch.manual_seed(0)
    model.train()
    (model(regions, WORDS).logits * torch.arange(7)).square().sum().backward()
    silent = {name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()}
    last = "network.lxmert.encoder.x_layers.1."  # the last cross layer's image half ends in no answer
    assert {name for name in silent if not name.startswith(last + "visn_")} <= {
        "network.lxmert.embeddings.token_type_embeddings.weight",  # a pad in transformers, hence frozen
        *(f"network.lxmert.encoder.{part}.bias" for part in silent_keys()),
    }
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)


def silent_keys() -> list[str]:
    """A key's bias moves all scores of a query alike, and the softmax cancels it: its gradient is rounding."""
    selves = [f"layer.{i}.attention.self.key" for i in range(2)] + ["r_layers.0.attention.self.key"]
    cross = [f"x_layers.{i}.{part}.key" for i in range(2) for part in ("visual_attention.att", "lang_self_att.self")]
    return [*selves, *cross]


def test_it_fits_a_batch(regions):
    model, target = made().train(), torch.eye(7)[:4]
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-2)
    torch.manual_seed(0)
    losses = []
    for _ in range(15):
        loss = F.binary_cross_entropy_with_logits(model(regions, WORDS).logits, target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 2


def test_its_parts_have_the_names_that_others_have(model):
    names = {id(p): name for name, p in model.named_parameters()}
    question = {names[id(p)].split(".")[2] for p in model.question_encoder.parameters()}
    encoders = {names[id(p)].split(".")[3] for p in model.question_encoder[1].parameters()}
    assert (question, encoders) == ({"embeddings", "encoder"}, {"layer"})
    assert {names[id(p)].split(".")[1] for p in model.classifier.parameters()} == {"answer_head"}
    assert not [key for key in model.state_dict() if not key.startswith("network.")]


def test_the_seed_is_the_model(regions):
    logits = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        logits.append(Lxmert(CONFIG).eval()(regions, WORDS).logits)
    assert logits[0].equal(logits[1]) and not logits[0].equal(logits[2])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_gives_the_same_logits(model, regions):
    here = model(regions, WORDS).logits
    there = model.cuda()(regions.cuda(), WORDS.cuda()).logits.cpu()
    torch.testing.assert_close(there, here, rtol=1e-3, atol=1e-3)


def test_questions_become_word_pieces(transformers, saved):
    folder = saved()
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "what", "is", "a", "giraf", "##fe", "?"]
    (folder / "vocab.txt").write_text("\n".join(pieces) + "\n")
    transformers.BertTokenizer(str(folder / "vocab.txt")).save_pretrained(folder)
    words = bert_words(["What is a giraffe?", "is zebra"], folder)
    assert words.tolist() == [[2, 5, 6, 7, 8, 9, 10, 3], [2, 6, 1, 3, 0, 0, 0, 0]]
    assert bert_words(["What is a giraffe?"], folder, at_most=4).tolist() == [[2, 5, 6, 3]]
    assert Lxmert.from_pretrained(folder).eval()(torch.randn(2, 3, 5), words).logits.isfinite().all()


def test_bad_sizes_are_refused():
    with pytest.raises(ValueError, match="hidden must be a multiple of heads, got 8 and 3"):
        LxmertConfig(12, 7, hidden=8, heads=3)
    with pytest.raises(ValueError, match="at least 1, got 0, 5 and 1"):
        LxmertConfig(12, 7, language_layers=0)


def test_a_question_that_is_too_long(model, regions):
    with pytest.raises(ValueError, match="at most 12 words with .CLS., got 13; raise positions"):
        model(regions, F.pad(WORDS, (0, 6)))


def test_what_is_no_lxmert(transformers, saved, tmp_path):
    for make in (Lxmert.from_pretrained, lambda path: bert_words(["a"], path)):
        with pytest.raises(RuntimeError, match="a pretrained LXMERT is .* cannot be read .*give a local path"):
            make(tmp_path)
    whole = transformers.LxmertModel.from_pretrained(saved("LxmertModel"))
    whole.save_pretrained(tmp_path)  # has no answer head
    with pytest.raises(RuntimeError, match="lacks 6 .first: answer_head.* give n_answers"):
        Lxmert.from_pretrained(tmp_path)
    assert Lxmert.from_pretrained(tmp_path, 4).config.n_answers == 4
    (tmp_path / "model.safetensors").write_bytes(b"half")
    with pytest.raises(RuntimeError, match="cannot be read"):
        Lxmert.from_pretrained(tmp_path)


def test_without_transformers_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(
        RuntimeError, match=r"the package transformers, which is not installed: pip install 'vqabook\[data\]'"
    ):
        Lxmert(CONFIG)
