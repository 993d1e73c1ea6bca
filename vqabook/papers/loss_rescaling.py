"""Guo et al. 2021, "Loss re-scaling VQA: Revisiting the Language Prior Problem ...", IEEE TIP, arXiv:2010.16010.

Pages 01 (diagnosis, Sec. III) and 02 (the method, Sec. IV-VI). A run is one training; baselines train as long as
the two-stage method, and every run reports its last epoch, so that nothing is selected.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import torch
from torch import nn

from vqabook.data import root, sets, shapes
from vqabook.data.sets import DataSpec, Task, data_digest, load_task
from vqabook.data.shapes import World
from vqabook.evaluate import counts_of, mistakes, score, statistics
from vqabook.fit import FitConfig, fit, pick_device, predict, soft_score
from vqabook.knobs import from_page, from_values, knob, one_of, positive, within
from vqabook.losses.rescale import in_type, rescaling_weights
from vqabook.losses.soft import sigmoid_bce, soft_cross_entropy
from vqabook.models.answer_mask import AnswerMask
from vqabook.models.updn import UpDn, UpDnConfig
from vqabook.objectives.rescaling import LossRescaling
from vqabook.papers.loss_rescaling_claims import CLAIMS, DEPARTURES, DIAGNOSED, FURTHER, MODULES, RECORDED, UNIFORM

__all__ = [
    "CLAIMS",
    "DEPARTURES",
    "FURTHER",
    "MODULES",
    "PAGES",
    "RECORDED",
    "UNIFORM",
    "Setting",
    "produce",
    "recipes",
]

NAME = "loss_rescaling"
SIZES = ("epochs", "rescale_epochs", "batch_size", "lr", "hidden", "word", "attention_dropout")


@dataclass(frozen=True)
class Method:
    """The paper's own knobs. Defaults follow its equations; `RELEASE` is what its code does instead."""

    loss: str = knob("bce", rule=one_of("bce", "ce"))  # Sigm-BCE (Eq. 2) or Soft-CE (Eq. 3)
    mask: str | None = knob(None, rule=one_of("sigmoid", "softplus_g"))  # f in Eq. 4
    rescale: bool = False  # Eqs. 7-8
    mask_dropout: float = knob(0.0, rule=within(0, 1))  # Sec. V-D tunes 0 to 1; UpDn prefers little (Fig. 7)
    mask_combine: str = knob("add_log", rule=one_of("add_log", "multiply"))  # the paper does not say; release: multiply
    mask_weight: float = knob(1.0, rule=positive())  # Sec. V-D
    mask_second_sigmoid: bool = False  # release
    mask_reduction: str = knob("sum", rule=one_of("sum", "mean"))  # Eq. 5 sums over answers, the release averages
    min_votes: int = knob(1, rule=positive())  # votes that make an answer in-type; release: 10
    out_of_type: float = knob(1.0, rule=positive())  # below Eq. 7; release: 1 + log 2
    cap: float = knob(100.0, rule=positive())  # Eq. 8
    positive_only: bool = False  # Eq. 11 weighs both terms; the release the positive one
    from_start: bool = False  # weigh from the first epoch on instead of in a second stage


@dataclass(frozen=True)
class Setting:
    """What a reader may change on the pages. None in a notebook means the profile's value."""

    profile: str
    dataset: str = "shapes"
    data_root: str | None = None  # default: $VQABOOK_DATA, else data/ of the project
    runs: str | None = None  # folder of records; default: data/runs of the project
    device: str = "auto"
    seeds: tuple[int, ...] = knob((0, 1, 2), rule=within(0, 2**31))
    priors: tuple[str, ...] = knob(("changing", "same"), rule=one_of("changing", "same"))
    epochs: int = knob(20, rule=positive())  # first stage; release, main.py
    rescale_epochs: int = knob(10, rule=positive())  # second stage, "another ten epochs" (Sec. V-D)
    batch_size: int = knob(512, rule=positive())  # UpDn code
    lr: float = knob(2e-3, rule=positive())  # Adamax, UpDn code
    hidden: int = knob(1024, rule=positive())
    word: int = knob(300, rule=positive())
    attention_dropout: float = knob(0.2, rule=within(0, 1))  # UpDn code; 0 in CPU profiles: a third of a step
    min_answer_count: int = knob(9, rule=positive())  # UpDn preprocessing
    questions: int = knob(20_000, rule=positive())  # of the embedded world's training split
    world_prior: float = knob(World.prior, rule=within(0, 5))  # Zipf exponent of its answers; 0 is uniform
    world_objects: tuple[int, ...] = knob(World.objects, rule=within(1, 10))  # fewest and most in a scene
    world_noise: float = knob(World.noise, rule=within(0, 5))  # of its region features
    mask_dropouts: tuple[float, ...] = knob((0.2, 0.4, 0.6, 0.8), rule=within(0, 1))  # Fig. 7, beside 0
    departures: bool = True  # the release's choices, one by one
    min_votes: int = knob(1, rule=positive())
    out_of_type: float = knob(1.0, rule=positive())
    cap: float = knob(100.0, rule=positive())


PROFILES: dict[str, dict] = {
    "smoke": {
        "questions": 400, "epochs": 1, "rescale_epochs": 1, "hidden": 16, "word": 16, "batch_size": 64,
        "seeds": (0,), "min_answer_count": 2, "mask_dropouts": (), "world_objects": (2, 4),
    },
    "small": {
        "questions": 4000, "world_objects": (2, 4), "world_noise": 0.3, "min_answer_count": 3,
        "epochs": 8, "rescale_epochs": 4, "hidden": 64, "word": 64, "batch_size": 256, "lr": 1e-2,
        "attention_dropout": 0.0, "mask_dropouts": (0.4, 0.8),
    },
    "real": {
        "dataset": "vqacp_v1_coco16k", "priors": ("changing",), "min_answer_count": 5, "mask_dropouts": (),
        "epochs": 6, "rescale_epochs": 3, "hidden": 256, "word": 128, "batch_size": 256, "attention_dropout": 0.0,
    },
    "paper": {"dataset": "vqacp_v2"},
}  # fmt: skip


def page(namespace: Mapping) -> Setting:
    """The setting that a notebook's parameters ask for; `namespace` is its `globals()`."""
    return from_page(Setting, PROFILES, namespace)


def setting(**values: object) -> Setting:
    """The setting of a profile with some values changed: `setting(profile="small", seeds=(0,))`."""
    return from_values(Setting, PROFILES, values)


def root_of(s: Setting) -> Path:
    """Where the data sets lie; the embedded world needs none."""
    return root.data_root(s.data_root)


PAGES = {"class_imbalance": DIAGNOSED, "loss_rescaling": None}  # the trained variants that each shows; None: all


def recipes(s: Setting, page: str) -> list[dict]:
    """Every run that a page shows. `variant` is "<loss> <module>", off the paper's table "<loss> <module> @ <what>"."""
    shown = PAGES[page]
    methods = [m for m in _methods(s) if shown is None or m[1].split(" @ ")[0] in shown]
    trained = [_recipe(s, "train", seed, *method) for seed in s.seeds for method in methods]
    return [_recipe(s, "statistics", 0, prior, "statistics") for prior in s.priors] + trained


def _methods(s: Setting) -> list[tuple[str, str, dict]]:
    """(prior, variant, what differs from the default Method) of everything trained."""
    on = {f"{loss} {name}": {"loss": loss, **module} for loss in ("bce", "ce") for name, module in MODULES.items()}
    methods = [(prior, variant, method) for prior in s.priors for variant, method in on.items()]
    if "changing" in s.priors:
        for rate in s.mask_dropouts:
            methods.append(("changing", f"bce both @ mask dropout {rate}", on["bce both"] | {"mask_dropout": rate}))
        for variant, name, change in DEPARTURES if s.departures else ():
            methods.append(("changing", f"{variant} @ {name}", on[variant] | change))
    if s.dataset == "shapes" and "same" in s.priors:
        for variant in (*DIAGNOSED, "bce re-scaling", "ce re-scaling"):
            methods.append(("same", f"{variant} @ {UNIFORM}", on[variant]))
    return methods


def _recipe(s: Setting, kind: str, seed: int, prior: str, variant: str, method: Mapping | None = None) -> dict:
    world_prior = 0.0 if variant.endswith(UNIFORM) else s.world_prior
    seen = {"objects": s.world_objects, "regions": max(s.world_objects), "noise": s.world_noise}
    world = World(n_train=s.questions, prior=world_prior, **seen) if s.dataset == "shapes" else None
    data = DataSpec(s.dataset, prior, world, s.min_answer_count)
    what = {"paper": NAME, "profile": s.profile, "kind": kind, "variant": variant, "prior": prior, "seed": seed}
    what["data"] = asdict(data) | {"digest": data_digest(data, root_of(s))}
    if method is None:
        return what
    knobs = {"min_votes": s.min_votes, "out_of_type": s.out_of_type, "cap": s.cap} | method
    return what | {"method": asdict(Method(**knobs))} | {size: getattr(s, size) for size in SIZES}


def examples(s: Setting, n: int) -> list[dict]:
    """The first `n` images of the embedded world with their questions, for a picture of what is asked."""
    world = World(**_recipe(s, "statistics", 0, "same", "statistics")["data"]["world"])
    return shapes.examples(sets.source_files(DataSpec("shapes", world=world), None)[1], n)


def produce(recipe: Mapping, checkpoint: Path, *, data_root: Path | None, device: str = "auto") -> dict:
    """Train or count what `recipe` says; the record's result."""
    data = {k: v for k, v in recipe["data"].items() if k != "digest"}
    spec = DataSpec(**data | {"world": World(**data["world"]) if data["world"] else None})
    task = load_task(spec, data_root, pick_device(device))
    return statistics(task) if recipe["kind"] == "statistics" else train(recipe, task, checkpoint)


def build(recipe: Mapping, task: Task) -> tuple[nn.Module, LossRescaling]:
    """Model and objective of a recipe, freshly initialised from its seed."""
    m, counts = Method(**recipe["method"]), counts_of(task)
    config = UpDnConfig(
        n_words=len(task.vocabulary.words) + 2,
        n_answers=task.train.n_classes,
        feature=task.features.width,
        hidden=recipe["hidden"],
        word=recipe["word"],
        attention_dropout=recipe["attention_dropout"],
    )
    with torch.random.fork_rng():
        torch.manual_seed(recipe["seed"])
        model: nn.Module = UpDn(config)
        if m.mask:
            model = AnswerMask(
                model,
                config.hidden,
                config.n_answers,
                activation=m.mask,
                combine=m.mask_combine,
                dropout=m.mask_dropout,
            )
    weight = (
        rescaling_weights(counts, min_votes=m.min_votes, cap=m.cap, out_of_type=m.out_of_type) if m.rescale else None
    )
    objective = LossRescaling(
        m.loss,
        weight=weight,
        label=in_type(counts, min_votes=m.min_votes),
        after=0.0 if m.from_start else recipe["epochs"] / (recipe["epochs"] + recipe["rescale_epochs"]),
        mask_weight=m.mask_weight,
        positive_only=m.positive_only,
        mask_second_sigmoid=m.mask_second_sigmoid,
        mask_reduction=m.mask_reduction,
    )
    return model.to(task.train.device), objective


def train(recipe: Mapping, task: Task, checkpoint: Path) -> dict:
    """One training run and everything the pages read off it."""
    model, objective = build(recipe, task)
    core = model.model if isinstance(model, AnswerMask) else model
    config = FitConfig(
        epochs=recipe["epochs"] + recipe["rescale_epochs"],
        batch_size=recipe["batch_size"],
        lr=recipe["lr"],
        seed=recipe["seed"],
        bf16=task.train.device.type == "cuda",
    )
    plain = not recipe["method"]["mask"] and not recipe["method"]["rescale"]
    diagnose = partial(
        mistakes, task=task, per_example=sigmoid_bce if recipe["method"]["loss"] == "bce" else soft_cross_entropy
    )

    def evaluate(model: nn.Module) -> dict:
        valid = 100 * float(predict(model, task.valid, soft_score).mean())
        return {"valid": valid, **(diagnose(model)[0] if plain else {})}

    watch = {"question": core.question_encoder.parameters(), "classifier": core.classifier.parameters()}
    label = f"{recipe['variant']}, {recipe['prior']} priors, seed {recipe['seed']}"
    history = fit(
        model, objective, task.train, config, evaluate=evaluate, watch=watch, checkpoint=checkpoint, label=label
    )
    sizes = {"model": model, "question": core.question_encoder, "classifier": core.classifier}
    parameters = {name: sum(p.numel() for p in part.parameters()) for name, part in sizes.items()}
    result = {"test": score(model, task), "valid": history[-1]["valid"], "history": history, "parameters": parameters}
    return result | ({"matrices": diagnose(model)[1]} if plain else {})
