"""LXMERT: Tan & Bansal 2019, arXiv:1908.07490, as transformers has it, behind the `Output` of our own models.

Imports transformers only when a model is made.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from vqabook.core import Output, Table
from vqabook.extras import import_extra
from vqabook.files import is_hindrance
from vqabook.models.words import is_region

THEIRS = {  # our names of sizes and transformers'
    "n_words": "vocab_size", "n_answers": "num_qa_labels", "feature": "visual_feat_dim", "hidden": "hidden_size",
    "heads": "num_attention_heads", "wide": "intermediate_size", "language_layers": "l_layers",
    "region_layers": "r_layers", "cross_layers": "x_layers", "positions": "max_position_embeddings",
    "dropout": "hidden_dropout_prob", "attention_dropout": "attention_probs_dropout_prob",
}  # fmt: skip


@dataclass(frozen=True)
class LxmertConfig:
    """Sizes and dropout rates; the defaults are the published model's (Sec. 3.3 and its release)."""

    n_words: int  # vocabulary with the pad (0) and unknown (1) words
    n_answers: int
    feature: int = 2048
    hidden: int = 768
    heads: int = 12
    wide: int = 3072  # of the feed-forward layers
    language_layers: int = 9
    region_layers: int = 5
    cross_layers: int = 5
    positions: int = 512  # longest question, with [CLS]
    dropout: float = 0.1
    attention_dropout: float = 0.1
    add_cls: bool = True  # [CLS] is put before each question; False: it begins with its own, as `bert_words` makes it
    grid: int = 1  # regions without boxes are the grid x grid cells of the image, row by row; 1: each may be anywhere

    def __post_init__(self):
        if self.hidden % self.heads:
            raise ValueError(f"hidden must be a multiple of heads, got {self.hidden} and {self.heads}; change one")
        if min(self.language_layers, self.cross_layers, self.grid) < 1:
            raise ValueError(
                f"language_layers, cross_layers and grid are at least 1, got {self.language_layers}, "
                f"{self.cross_layers} and {self.grid}; raise the one below"
            )

    @classmethod
    def small(cls, n_words: int, n_answers: int, **sizes: Any) -> LxmertConfig:
        """One that trains from scratch in minutes on a CPU (ours); `sizes` override its own."""
        ours = {"hidden": 128, "heads": 4, "wide": 256, "positions": 64}
        layers = {"language_layers": 2, "region_layers": 1, "cross_layers": 2}
        return cls(n_words, n_answers, **{**ours, **layers, **sizes})


class Lxmert(nn.Module):
    """Transformers' `LxmertModel` and answer head, in `network`.

    Of the Output, `hidden` is the pooled [CLS] state; `question` is the [CLS] state before the cross layers, which has
    not seen the image; `attention` is [CLS] over regions in the last cross layer, averaged over heads.
    Word 0 is padding, and a region that is zero throughout: neither is attended to.
    """

    places: Tensor

    def __init__(self, config: LxmertConfig, *, network: nn.Module | None = None):
        """`network`: a `LxmertForQuestionAnswering` of these sizes; None makes one with random weights."""
        super().__init__()
        self.config = config
        if network is None:
            transformers = import_extra("transformers")
            sizes = {theirs: getattr(config, ours) for ours, theirs in THEIRS.items()}
            sizes["vocab_size"] += config.add_cls  # [CLS] is the last word
            network = transformers.LxmertForQuestionAnswering(transformers.LxmertConfig(**sizes))
        self.network = network
        self.register_buffer("places", _cells(config.grid), persistent=False)

    @classmethod
    def from_pretrained(
        cls, name_or_path: str | Path, n_answers: int | None = None, *, grid: int = 1, feature: int | None = None
    ) -> Lxmert:
        """The weights of a local folder or of the hub, such as `unc-nlp/lxmert-base-uncased`.

        Its questions are BERT's word pieces: give the Table's column of words through `bert_words`.
        `n_answers`: of a new answer head with random weights; None keeps the file's. `feature`: numbers a region has
        in the data; weights for others are refused.
        """
        theirs = import_extra("transformers").LxmertForQuestionAnswering
        how = {"dtype": torch.float32, "output_loading_info": True}
        network, report = _load(theirs, "config.json and weights", name_or_path, **how)
        new = "answer_head." if n_answers is not None else ()
        if missing := sorted(key for key in report["missing_keys"] if not (new and key.startswith(new))):
            raise RuntimeError(
                f"LXMERT's weights are all in its file: {name_or_path} lacks {len(missing)} (first: {missing[0]}); "
                "get it whole, or give n_answers if only the answer head is missing"
            )
        if n_answers is not None:
            network.config.num_qa_labels = network.num_qa_labels = n_answers
            network.answer_head = type(network.answer_head)(network.config, n_answers)
            network.answer_head.apply(network._init_weights)
        sizes = {ours: getattr(network.config, theirs) for ours, theirs in THEIRS.items()}
        if feature not in (None, sizes["feature"]):
            raise ValueError(
                f"{name_or_path} reads regions of {sizes['feature']} numbers, got {feature}; use features of its "
                "width, or random weights"
            )
        return cls(LxmertConfig(**sizes, add_cls=False, grid=grid), network=network).train()

    def forward(
        self, regions: Float[Tensor, "b o d"], words: Int[Tensor, "b t"], boxes: Float[Tensor, "b o 4"] | None = None
    ) -> Output:
        """`boxes`: left, top, right, bottom of each region as fractions of the image; None: see `LxmertConfig.grid`."""
        if self.config.add_cls:
            words = nn.functional.pad(words, (1, 0), value=self.config.n_words)
        if words.shape[1] > self.config.positions:
            most = self.config.positions
            raise ValueError(f"a question has at most {most} words with [CLS], got {words.shape[1]}; raise positions")
        seen = self.network.get_submodule("lxmert")(
            input_ids=words,
            visual_feats=regions,
            visual_pos=self._somewhere(regions) if boxes is None else boxes,
            attention_mask=words.ne(0),
            visual_attention_mask=is_region(regions),
            output_attentions=True,
            output_hidden_states=True,
        )
        looked = seen.cross_encoder_attentions[-1][:, :, 0].mean(1)  # in training, after dropout: no longer of sum 1
        return Output(
            self.classifier(seen.pooled_output),
            hidden=seen.pooled_output,
            question=seen.language_hidden_states[self.config.language_layers - 1][:, 0],
            attention=looked / looked.sum(-1, keepdim=True).clamp(min=torch.finfo(looked.dtype).tiny),
        )

    @property
    def question_encoder(self) -> nn.ModuleList:
        """The part that reads the question alone, by the name that it has in other models."""
        parts = ("lxmert.embeddings", "lxmert.encoder.layer")
        return nn.ModuleList([self.network.get_submodule(name) for name in parts])

    @property
    def classifier(self) -> nn.Module:
        """The answer head, by the name that it has in other models."""
        return self.network.get_submodule("answer_head")

    def _somewhere(self, regions: Float[Tensor, "b o d"]) -> Float[Tensor, "b o 4"]:
        n, cells = regions.shape[1], len(self.places)
        if cells not in (1, n):
            raise ValueError(f"grid={self.config.grid} means {cells} regions, got {n}; give boxes or another grid")
        return self.places.expand(len(regions), n, 4)


def bert_words(questions: Sequence[str], name_or_path: str | Path, *, at_most: int = 20) -> Int[Tensor, "n t"]:
    """Questions as the word pieces of a pretrained LXMERT: [CLS] ... [SEP], then 0s; its release cuts them at 20."""
    tokenizer = _load(import_extra("transformers").AutoTokenizer, "a tokenizer beside its weights", name_or_path)
    pieces = tokenizer(list(questions), padding=True, truncation=True, max_length=at_most, return_tensors="pt")
    return pieces["input_ids"].masked_fill(pieces["attention_mask"] == 0, 0)


def reword(table: Table, questions: Sequence[str], name_or_path: str | Path) -> Table:
    """A Table whose last input, the words of these questions, is what a pretrained LXMERT reads."""
    return replace(table, inputs=(*table.inputs[:-1], bert_words(questions, name_or_path).to(table.device)))


def _cells(grid: int) -> Float[Tensor, "o 4"]:
    """Corners of a grid's cells, row by row; the one cell of the grid 1 is the whole image."""
    top, left = torch.meshgrid(*[torch.arange(grid) / grid] * 2, indexing="ij")
    corner = torch.stack([left, top], -1).flatten(0, 1)
    return torch.cat([corner, corner + 1 / grid], -1)


@runtime_checkable
class _Pretrained(Protocol):
    """A class of transformers'."""

    def from_pretrained(self, name_or_path: str, /, **how: Any) -> Any: ...


def _load(theirs: _Pretrained, what: str, name_or_path: str | Path, **how: Any) -> Any:
    try:
        return theirs.from_pretrained(str(name_or_path), **how)
    except Exception as error:  # the hub, JSON, safetensors and pickle each fail with a kind of their own
        if is_hindrance(error):
            raise
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise RuntimeError(
            f"a pretrained LXMERT is {what}, local or on the hub: {name_or_path} cannot be read ({reason}); "
            "give a local path, or fetch it where there is a network"
        ) from error
