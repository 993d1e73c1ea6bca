"""What only the paper's own sizes ask for: a pretrained LXMERT in its own words and batches, and words from GloVe."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from vqabook.evidence.record import key_of
from vqabook.papers.loss_rescaling import PAPER
from vqabook.papers.loss_rescaling.evaluation import counts_of
from vqabook.papers.loss_rescaling.setting import RELEASE
from vqabook.papers.loss_rescaling.train import build, load, prepare

PAGE = "loss_rescaling"
PIECES = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "is", "there", "a", "how", "many", "?")


def runs_of(**values: object) -> dict:
    recipes = PAPER.recipes(PAPER.setting_of(profile="smoke", **values), PAGE)
    return {recipe.variant: recipe for recipe in recipes if recipe.prior == "changing"}


def test_names_of_records_do_not_move():
    """Recipes as they were before these options: a new name would orphan its recorded run."""
    runs = runs_of()
    assert RELEASE["out_of_type"] == 1.6931
    assert not {"glove", "weights"} & runs["bce baseline"].asked().keys()
    assert {*runs["lxmert bce baseline"].asked()["backbone"]} == {"name", "optimizer", "clip", "sizes"}
    assert len({key_of(run.asked()) for run in runs.values()}) == len(runs)


def test_the_profile_is_the_papers():
    setting = PAPER.setting_of(profile="paper")
    assert (setting.glove, setting.word, setting.lxmert_batch) == (True, 300, 32)
    assert setting.lxmert_weights == "unc-nlp/lxmert-base-uncased"


def test_only_what_reads_words_by_number_starts_from_glove():
    runs = runs_of(glove=True, lxmert_weights="somewhere", lxmert_batch=7)
    assert {name for name, run in runs.items() if run.kind == "train" and not run.glove} == {
        name for name in runs if name.startswith("lxmert")
    }
    lxmert = runs["lxmert bce re-scaling"]
    assert lxmert.batch_size == 7 and lxmert.asked()["backbone"]["weights"] == "somewhere"
    assert "sizes" not in lxmert.asked()["backbone"]  # its own are in the file


@pytest.mark.parametrize("variant", ["bce baseline", "bce both", "css bce baseline", "san bce baseline"])
def test_words_start_from_the_vectors_given(variant, cache, monkeypatch):
    run = runs_of(glove=True)[variant]
    task = load(run, None, "cpu")
    given = torch.randn(len(task.vocabulary.words) + 2, run.word)
    monkeypatch.setattr("vqabook.papers.loss_rescaling.train.glove_vectors", lambda *_: given)
    model, _ = build(run, task, counts_of(task))
    (words,) = [value for name, value in model.named_parameters() if name.endswith("words.weight")]
    assert torch.equal(words[: len(given)].detach(), given)  # CSS has a row more, of [MASK]
    monkeypatch.undo()
    unaided = dict(build(replace(run, glove=None), task, counts_of(task))[0].named_parameters())
    assert not any(torch.equal(value[: len(given)], given) for name, value in unaided.items() if "words" in name)


def pretend(folder: Path, width: int) -> Path:
    """An untrained LXMERT for regions of `width` numbers, as `save_pretrained` writes it, with a tokenizer."""
    transformers = pytest.importorskip("transformers")
    sizes = {"hidden_size": 8, "num_attention_heads": 2, "intermediate_size": 16, "max_position_embeddings": 24}
    layers = {"l_layers": 1, "r_layers": 1, "x_layers": 1, "num_object_labels": 3, "num_attr_labels": 2}
    config = transformers.LxmertConfig(vocab_size=len(PIECES), visual_feat_dim=width, **sizes, **layers)
    transformers.LxmertForQuestionAnswering(config).save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(PIECES) + "\n")
    transformers.BertTokenizer(str(folder / "vocab.txt")).save_pretrained(folder)
    return folder


def test_a_pretrained_lxmert_reads_its_own_words(tmp_path, cache):
    plain = load(runs_of()["bce baseline"], None, "cpu")
    run = runs_of(lxmert_weights=str(pretend(tmp_path / "lxmert", plain.features.width)))["lxmert bce baseline"]
    task = load(run, None, "cpu")
    for part in ("train", "valid", "test"):
        words, before = getattr(task, part).inputs[-1], getattr(plain, part).inputs[-1]
        assert len(words) == len(before) and bool((words[:, 0] == PIECES.index("[CLS]")).all())
    prepare(run, data_root=None, device="cpu")
    model, _ = build(run, task, counts_of(task))
    logits = model.eval()(*task.test.batch(torch.arange(3)).inputs).logits
    assert logits.shape == (3, task.train.n_classes) and bool(logits.isfinite().all())
    other = runs_of(lxmert_weights=str(pretend(tmp_path / "other", plain.features.width + 1)))["lxmert bce baseline"]
    with pytest.raises(ValueError, match="reads regions of .* numbers, got .*; use features of its width"):
        prepare(other, data_root=None, device="cpu")
