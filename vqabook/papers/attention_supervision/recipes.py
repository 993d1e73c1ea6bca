"""Every run of page 04, and what is asked of it: baselines, their probes, runs whose attention is supervised."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import torch

from vqabook.data.sets import DataSpec, data_digest
from vqabook.data.tables import digest_tables
from vqabook.files import data_root
from vqabook.papers.attention_supervision.examples import RELEVANT, choose_human_maps, load_examples
from vqabook.papers.attention_supervision.setting import HEADS, NAME, Setting, Supervision, list_supervised
from vqabook.papers.paper import Recipe


@dataclass(frozen=True)
class RegionMasks:
    """Random masks of regions that a baseline is probed with (Sec. 3.1)."""

    n: int
    scale: int  # cells along a coin's side


@dataclass(frozen=True)
class WordMasks:
    """Every way to conceal so many words (Sec. 3.2)."""

    concealed: int


@dataclass(frozen=True, kw_only=True)
class Run(Recipe):
    """One training. What a baseline lacks is None; mappings are by head, "attention" (to regions) and to words."""

    task: str
    model: Mapping[str, Any]  # sizes, as the configuration of the task's model calls them
    epochs: int
    batch_size: int
    lr: float
    hop_penalty: float | None = None  # of texts
    supervision: Supervision | None = None
    shares: Mapping[str, float] | None = None  # of the plain loss: what γ or β make of the loss on a head
    bandwidth: float | None = None  # of MMD's kernel
    masks: Mapping[str, RegionMasks | WordMasks] | None = None  # that surrogate maps are found with

    LEFT_OUT = (*Recipe.LEFT_OUT, "hop_penalty", "shares", "bandwidth", "masks")

    @property
    def supervised(self) -> Supervision:
        """Whose maps supervise it, and how. Raises ValueError for a baseline, which none do."""
        if self.supervision is None:
            raise ValueError(f"a supervised run has a supervision, {self.variant!r} has none; give another run")
        return self.supervision

    @property
    def baseline(self) -> Run:
        """The run whose maps supervise this one or are probed, whatever it is called."""
        own = ("supervision", "shares", "bandwidth", "masks")
        plain = {field.name: getattr(self, field.name) for field in fields(Run) if field.name not in own}
        return Run(**plain | {"kind": "train", "variant": f"{self.task} baseline"})


@dataclass(frozen=True, kw_only=True)
class Probing(Run):
    """What masks do to a baseline."""

    probed: int  # training examples


def list_recipes(s: Setting, page: str) -> list[Recipe]:
    """Every run of the page, baselines first.

    Maps of the relevant regions supervise where questions name these: in the embedded world. `variant` is "<task>
    baseline", "<task> [question | image | both] <loss>", or either with "@ <what is ours>";
    "<task> probe" looks at what masks do to the baseline.
    """
    baselines = [_baseline(s, task, seed) for seed in s.seeds for task in s.tasks]
    texts = [baseline for baseline in baselines if baseline.task == "text" and s.glove]
    glove = [replace(text, variant="text baseline @ GloVe", model={**text.model, "glove": True}) for text in texts]
    others: list[Recipe] = []
    for baseline in baselines:
        probe = {"kind": "probe", "variant": f"{baseline.task} probe", "masks": _masks(s, baseline.task)}
        others.append(Probing(**vars(baseline) | probe, probed=s.probed))
        others += [
            _supervise(s, baseline, name, supervision)
            for name, supervision in list_supervised(baseline.task)
            if supervision.loss in s.losses
            and (s.controls or "@" not in name)
            and (supervision.maps != "relevant" or baseline.data["human"] == RELEVANT)
        ]
    others += [_supervise(s, baseline, "adv @ GloVe", Supervision("adv", HEADS["text"])) for baseline in glove]
    return [*baselines, *glove, *others]


def _baseline(s: Setting, task: str, seed: int) -> Run:
    return Run(
        paper=NAME,
        profile=s.profile,
        kind="train",
        variant=f"{task} baseline",
        prior="same" if task == "vqa" else "none",
        seed=seed,
        data=_data(s, task, seed),
        task=task,
        model=_sizes(s, task),
        epochs=getattr(s, f"{task}_epochs"),
        batch_size=getattr(s, f"{task}_batch"),
        lr=getattr(s, f"{task}_lr"),
        hop_penalty=s.hop_penalty if task == "text" else None,
    )


def _sizes(s: Setting, task: str) -> dict:
    if task == "image":
        return {"hidden": s.image_hidden, "dropout": s.image_dropout, "halvings": 2 * (s.image_data == "cifar10")}
    if task == "text":
        sizes = {"word": s.word, "hidden": s.hidden, "attention": s.word_attention, "hops": s.hops, "wide": s.wide}
        return sizes | {"dropout": s.text_dropout, "glove": False}
    sizes = {"word": s.vqa_word, "hidden": s.vqa_hidden, "attention": s.vqa_attention, "hops": s.vqa_hops}
    return sizes | {"word_attention": s.vqa_attention, "dropout": s.vqa_dropout}


def _data(s: Setting, task: str, seed: int) -> dict:
    root, dataset = data_root(s.data_root), {"text": s.text_data, "image": s.image_data, "vqa": s.dataset}[task]
    if task == "image" or dataset == "trec":
        data = {"dataset": dataset} | ({"n_train": s.image_train} if task == "image" else {})
        examples = load_examples(task, data, seed, root, torch.device("cpu"))
        return data | {"digest": digest_tables((examples.train, examples.valid, examples.test))}
    world = s.world(dataset, n_train=s.text_questions if task == "text" else s.questions)
    spec = DataSpec(dataset, "same", world, s.min_answer_count, s.max_words)
    more = {"word_noise": s.word_noise} if task == "text" else {"human": choose_human_maps(dataset, root)}
    return spec.asked() | more | {"digest": data_digest(spec, root)}


def _masks(s: Setting, task: str) -> dict[str, RegionMasks | WordMasks]:
    """What each head is probed with; texts always with every pair of words."""
    of_regions = (s.image_masks, s.image_scale) if task == "image" else (s.vqa_masks, s.vqa_scale)
    masks: dict[str, RegionMasks | WordMasks] = {"attention": RegionMasks(*of_regions)}
    masks["word_attention"] = WordMasks(concealed=2)
    return {head: masks[head] for head in HEADS[task]}


def _supervise(s: Setting, baseline: Run, name: str, supervision: Supervision) -> Run:
    task, masks = baseline.task, _masks(s, baseline.task)
    regions = masks.get("attention")
    if supervision.n_masks is not None and isinstance(regions, RegionMasks):
        masks["attention"] = replace(regions, n=supervision.n_masks)
    shares = {
        "attention": s.image_share if task == "image" else s.vqa_share,
        "word_attention": s.text_share if task == "text" else s.word_share,
    }
    return replace(
        baseline,
        variant=f"{task} {name}",
        supervision=supervision,
        shares={head: shares[head] for head in supervision.heads},
        bandwidth=s.bandwidth,
        masks={head: masks[head] for head in supervision.heads},
    )
