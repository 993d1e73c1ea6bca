"""Every run of page 05, and what is asked of it.

Five base models learn apart; then, from their weights, an ensemble by each rule. Members train side by side as one
model. The epoch is chosen on rows held out of train.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

from vqabook.data.imbalanced import Cut, Images, digest_images, select_images
from vqabook.data.layout import DataSpec, data_digest
from vqabook.files import data_root
from vqabook.papers.mcl_kd.setting import NAME, SOLVERS, TASK_OF, Ensemble, Setting, runs_of
from vqabook.papers.paper import Recipe
from vqabook.training.solver import Solver

HELD_OUT = 0.1  # of train, to choose an epoch on
DIGITS_HELD_OUT = 0.5  # of which there are fewer; first for test, then for validation
WIDTHS = ("word", "hidden", "attention", "wide", "width")  # of a network's sizes


@dataclass(frozen=True, kw_only=True)
class Run(Recipe):
    """The base models, or an ensemble that starts from their weights."""

    network: str
    members: int
    model: Mapping[str, Any]  # the network's sizes
    base_epochs: int
    epochs: int
    batch_size: int
    lr: float
    ensemble: Ensemble | None = None  # None: the base models
    beta: float | None = None
    cmcl_beta: float | None = None
    temperature: float | None = None
    solver: Solver | None = None  # None: Adam at a constant rate, no clipping

    OWN: ClassVar[tuple[str, ...]] = ("beta", "cmcl_beta", "temperature")  # of ensembles alone
    LEFT_OUT = (*Recipe.LEFT_OUT, *OWN, "solver")

    @property
    def base(self) -> Run:
        """The run that this one starts from; itself, if from none."""
        if self.ensemble is None:
            return self
        own: dict[str, Any] = dict.fromkeys(("ensemble", *self.OWN))
        return replace(self, variant=f"{self.network} base", epochs=self.base_epochs, **own)


@dataclass(frozen=True, kw_only=True)
class Unread(Recipe):
    """Members that read nothing: a level that base models must leave behind, and an oracle accuracy."""

    members: int


def list_recipes(s: Setting, page: str) -> list[Recipe]:
    """Every run of the page, base models first. `variant` is "<network> base" or "<network> <rule> k<k>"; after an @,
    ours; "<task> unread" reads nothing.
    """
    data = {task: describe_data(s, task) for task in dict.fromkeys(TASK_OF[network] for network in s.networks)}
    unread = [Unread(**_what(s, "statistics", f"{task} unread", 0, task, data[task])) for task in data]
    base = [_base(s, network, seed, data[TASK_OF[network]]) for seed in s.seeds for network in s.networks]
    runs: list[Recipe] = [*unread, *base]
    for run in base:
        ks = s.vqa_specialists if run.network == "updn" else s.specialists
        runs += [_specialise(s, run, *row) for row in runs_of(run.network, ks, controls=s.controls)]
        runs += [_ask_more(s, run, how) for how in s.more]
        runs += [swept for k in ks for swept in _sweep(s, run, k)]
    return runs


def _what(s: Setting, kind: str, variant: str, seed: int, task: str, data: dict) -> dict[str, Any]:
    what = {"paper": NAME, "profile": s.profile, "kind": kind, "variant": variant, "seed": seed}
    return what | {"prior": "none" if task == "image" else "same", "data": data, "members": s.members}


def _base(s: Setting, network: str, seed: int, data: dict) -> Run:
    task = TASK_OF[network]
    words = {"word": s.word, "hidden": s.hidden, "dropout": s.dropout}
    if task == "reasoning" and data.get("features") == "images":
        words |= {"blocks": s.blocks}
    sizes_of: dict[str, dict[str, Any]] = {
        "mlp": words | {"wide": s.wide},
        "san": words | {"attention": s.attention},
        "updn": {"word": s.vqa_word, "hidden": s.vqa_hidden},
        "resnet": {"depth": s.depth, "width": s.image_width},
        "vgg": {"width": s.vgg_width},
    }
    epochs, batch_size, lr = {
        "reasoning": (s.base_epochs, s.batch_size, s.lr),
        "vqa": (s.vqa_base_epochs, s.vqa_batch, s.vqa_lr),
        "image": (s.image_base_epochs, s.image_batch, s.image_lr),
    }[task]
    what = _what(s, "train", f"{network} base", seed, task, data) | {"network": network}
    what |= {"solver": SOLVERS.get(network) if s.solvers == "paper" else None}
    return Run(**what, model=sizes_of[network], base_epochs=epochs, epochs=epochs, batch_size=batch_size, lr=lr)


def _specialise(s: Setting, base: Run, name: str, ensemble: Ensemble) -> Run:
    epochs, beta, cmcl_beta, temperature = {
        "reasoning": (s.epochs, s.beta, s.cmcl_beta, s.temperature),
        "vqa": (s.vqa_epochs, s.vqa_beta, s.cmcl_beta, s.vqa_temperature),
        "image": (s.image_epochs, s.image_beta, s.image_cmcl_beta, s.image_temperature),
    }[TASK_OF[base.network]]
    own: dict[str, Any] = {"epochs": epochs, "beta": beta, "cmcl_beta": cmcl_beta, "temperature": temperature}
    return replace(base, variant=f"{base.network} {name}", ensemble=ensemble, **own)


def _ask_more(s: Setting, base: Run, how: str) -> Run:
    """What `more` asks for: members that are distilled and do not specialise; one member as many times as wide as there
    are members, trained as long as an ensemble and its base models, or as many times as long.
    """
    distilled = _specialise(s, base, "ie @ distilled", Ensemble("self_kd", None))
    if how == "distilled":
        return distilled
    epochs = (base.base_epochs + distilled.epochs) * (base.members if "long" in how else 1)
    times = base.members if "wide" in how else 1
    model = {name: size * times if name in WIDTHS else size for name, size in base.model.items()}
    what: dict[str, Any] = {"variant": f"{base.network} one member @ {how}", "members": 1, "model": model}
    return replace(base, **what, base_epochs=epochs, epochs=epochs)


def _sweep(s: Setting, base: Run, k: int) -> list[Run]:
    """MCL-KD with other β and T, by what each is multiplied with."""
    runs = []
    for name, times in (("beta", s.betas), ("temperature", s.temperatures)):
        for x in times:
            run = _specialise(s, base, f"mcl_kd k{k} @ {name} x {x:g}", Ensemble("mcl_kd", k))
            changed: dict[str, Any] = {name: x * getattr(run, name)}
            runs.append(replace(run, **changed))
    return runs


def describe_data(s: Setting, task: str) -> dict:
    """What a task's recipes say of their data; its hash reads all of them."""
    dataset = {"reasoning": s.reasoning_data, "vqa": s.dataset, "image": s.image_data}[task]
    root = data_root(s.data_root)
    if task == "vqa" or dataset == "shapes":
        # reasoning is about what is there, not about words
        own = {} if task == "vqa" else {"disagreement": s.world_disagreement, "synonyms": 0.0}
        spec = DataSpec(dataset, "same", s.world(dataset, **own), s.min_answer_count, s.max_words)
        return spec.asked() | {"labels": task == "reasoning", "digest": data_digest(spec, root)}
    data: dict = {"dataset": dataset}
    if task == "image":
        data |= {"n_train": s.image_train, "side": s.image_side if dataset == "cifar100" else None}
    else:
        data |= {"features": s.reasoning_features}
    if dataset == "digits":
        return data | {"digest": digest_images(choose_images(dataset, s.image_train, root)[:3])}
    from vqabook.papers.mcl_kd.examples import load_examples  # Tables, which cost torch

    return data | {"digest": load_examples(data, root).digest}


def choose_images(dataset: str, n_train: int, root: Path) -> tuple[Images, Images, Images, tuple[str, ...]]:
    """`n_train` images, those held out to choose an epoch by, and those of test; and the names of their classes."""
    tested = DIGITS_HELD_OUT if dataset == "digits" else None
    images = select_images(Cut(dataset, "balanced", None, tested, 0), root)
    kept, valid = images.train.hold_out(tested or HELD_OUT)
    if n_train > len(kept):
        raise ValueError(
            f"images are trained on that are not held out: image_train is at most {len(kept)} of {dataset}, got "
            f"{n_train}; lower it"
        )
    if n_train < len(kept):
        kept = kept.hold_out(n_train / len(kept))[1]
    return kept, valid, images.held_out, images.names
