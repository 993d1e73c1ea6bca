"""Every run of page 04, and what is asked of it: baselines, their probes, runs whose attention is supervised."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from vqabook.data.imbalanced import Cut, Images, digest_images, select_images
from vqabook.data.layout import ASKED_BY_HAT, DataSpec, data_digest
from vqabook.files import data_root
from vqabook.papers.attention_supervision.setting import HEADS, NAME, Setting, Supervision, list_supervised
from vqabook.papers.paper import Recipe

HAT = "vqa_hat"
RELEVANT = "relevant regions"


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
    own = {"text": s.text_seeds or s.seeds}
    every = dict.fromkeys((*s.seeds, *own["text"]))
    baselines = [_baseline(s, task, seed) for seed in every for task in s.tasks if seed in own.get(task, s.seeds)]
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
    if task == "image":
        digest = digest_images(choose_images(dataset, s.image_train, seed, root)[:3])
        return {"dataset": dataset, "n_train": s.image_train, "digest": digest}
    if dataset == "trec":
        from vqabook.papers.attention_supervision.examples import trec_examples  # Tables, which cost torch

        return {"dataset": dataset, "digest": trec_examples(root).digest}
    world = s.world(dataset, n_train=s.text_questions if task == "text" else s.questions)
    spec = DataSpec(dataset, "same", world, s.min_answer_count, s.max_words)
    more = {"word_noise": s.word_noise} if task == "text" else {"human": choose_human_maps(dataset, root)}
    return spec.asked() | more | {"digest": data_digest(spec, root)}


def choose_images(dataset: str, n_train: int, seed: int, root: Path) -> tuple[Images, Images, Images, tuple[str, ...]]:
    """Images to train on, to choose an epoch by and to test, and the names of their classes.

    `n_train` are trained on and the rest of train is held out, as many of each class, drawn by `seed`. Digits, which
    have no official test split, hold out six in ten for it, the same for every seed.
    """
    images = select_images(Cut(dataset, "balanced", None, 0.6 if dataset == "digits" else None, 0), root)
    n = len(images.train)
    if not n_train < n:
        raise ValueError(
            f"images are trained on and some held out: image_train is below the {n} of {dataset}, got {n_train}; "
            "lower it"
        )
    return *images.train.hold_out(1 - n_train / n, seed=seed), images.held_out, images.names


def choose_human_maps(dataset: str, root: Path) -> str | None:
    """Whose maps a VQA set is compared with: the world's own, VQA-HAT's if it is at hand and has its ids, or none."""
    if dataset == "shapes":
        return RELEVANT
    return HAT if dataset in ASKED_BY_HAT and (root / HAT).is_dir() else None


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
