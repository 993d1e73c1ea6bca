"""Guo et al. 2021, "Loss re-scaling VQA: Revisiting the Language Prior Problem ...", IEEE TIP, arXiv:2010.16010.

Pages 01 (diagnosis, Sec. III) and 02 (the method, Sec. IV-VI). A run is one training; baselines train as long as
the two-stage method, and every run reports its last epoch, so that nothing is selected.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from importlib import import_module
from pathlib import Path

from vqabook.data import sets
from vqabook.data.sets import DataSpec, data_digest
from vqabook.knobs import asking, root_of
from vqabook.papers.loss_rescaling import vision
from vqabook.papers.loss_rescaling.claims import BESIDE, CLAIMS, FURTHER, RECORDED
from vqabook.papers.loss_rescaling.evaluation import statistics
from vqabook.papers.loss_rescaling.setting import (
    BACKBONES,
    COMPARED,
    DEPARTURES,
    DIAGNOSED,
    LOSSES,
    MASKED,
    MODULES,
    NAME,
    PROFILES,
    UNIFORM,
    Method,
    Setting,
)
from vqabook.papers.loss_rescaling.train import build, task_of, train
from vqabook.world import write as shapes
from vqabook.world.write import World

__all__ = [
    "BACKBONES",
    "BESIDE",
    "CLAIMS",
    "DEPARTURES",
    "FURTHER",
    "MODULES",
    "PAGES",
    "RECORDED",
    "UNIFORM",
    "Setting",
    "build",
    "produce",
    "recipes",
]

PARTS = ("backbones", "vision")  # files beside this one with a `produce` of their own
APART = ()  # parts with an environment of their own
SIZES = ("epochs", "rescale_epochs", "batch_size", "lr", "hidden", "word", "attention_dropout")
PAGES = {"class_imbalance": DIAGNOSED, "loss_rescaling": None}  # the trained variants that each shows; None: all
VARIED = (  # page 02: a run of a backbone, and what it changes
    ("lm", "bce baseline", {"frozen gate": {"frozen": True}}),
    ("lmh", "bce baseline", {"frozen gate": {"frozen": True}}),
    ("css", "bce baseline", {"V-CSS alone": {"q_share": 0.0}}),
    ("css", "bce baseline", {"Q-CSS alone": {"q_share": 1.0}}),
    ("css", "bce re-scaling", {"positive term only": {"positive_only": True}}),
    ("lxmert", "bce re-scaling", {"positive term only": {"positive_only": True}}),
    ("focal", "bce baseline", {"released": {"softmax": True}}),
)
DROPPED = ("lm", "lmh", "css")  # Fig. 7, beside UpDn


page, setting = asking(Setting, PROFILES)


def recipes(s: Setting, page: str) -> list[dict]:
    """Every run that a page shows. `variant` is "<loss> <module>", off the paper's table "<loss> <module> @ <what>".

    A backbone other than UpDn comes first: "lmh bce both". Runs without weights come before those that go on from them.
    """
    shown = PAGES[page]
    methods = [m for m in _methods(s) if shown is None or m[1].split(" @ ")[0] in shown]
    trained = [_recipe(s, "train", seed, *method) for seed in s.seeds for method in methods]
    if shown is None:
        trained += [_backbone_recipe(s, seed, *run) for seed in s.seeds for run in _backbone_runs(s)]
    trained.sort(key=lambda recipe: (recipe["method"]["rescale"], "part" in recipe))
    found = [_recipe(s, "statistics", 0, prior, "statistics") for prior in s.priors] + trained
    return found + (vision.recipes(s) if page == "class_imbalance" else [])


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


def _backbone_runs(s: Setting) -> list[tuple[str, str, str, str, dict]]:
    """(prior, backbone, loss, module, changed options with the name of the change) of everything but UpDn."""
    runs = []
    for name in s.backbones:
        losses = LOSSES.get(name, ("bce",))
        ours = () if name in COMPARED else ("both",) if name in MASKED else ("re-scaling",)
        shown = [m for m in s.backbone_modules if name in MASKED or m in ("baseline", *ours)]
        if "changing" in s.priors:
            runs += [("changing", name, loss, module, {}) for loss in losses for module in shown]
            varied = [(*run.split(" ", 1), change) for of, run, change in VARIED if of == name]
            runs += [("changing", name, *run) for run in varied if run[1] in s.backbone_modules]
            if name in DROPPED and "both" in s.backbone_modules:
                for rate in s.mask_dropouts:
                    runs.append(("changing", name, "bce", "both", {f"mask dropout {rate}": {"mask_dropout": rate}}))
        if "same" in s.priors:
            ends = [module for module in ("baseline", *ours) if module in s.backbone_modules]
            runs += [("same", name, loss, module, {}) for loss in losses for module in ends]
    return runs


def _backbone_recipe(s: Setting, seed: int, prior: str, name: str, loss: str, module: str, changed: Mapping) -> dict:
    what = "".join(f" @ {what}" for what in changed)
    options, method = {"name": name, **BACKBONES[name]}, {"loss": loss, **MODULES[module]}
    for change in changed.values():
        (options if change.keys() <= options.keys() else method).update(change)
    recipe = _recipe(s, "train", seed, prior, f"{name} {loss} {module}{what}", method)
    if method.get("positive_only") and name not in ("css", "lxmert"):
        raise ValueError(f"positive_only weighs the terms of Sigm-BCE, which {name} does not train with; leave it out")
    if name == "lxmert":
        if len(s.lxmert_layers) != 3:
            raise ValueError(f"lxmert_layers are language, regions, cross, got {list(s.lxmert_layers)}; give three")
        layers = dict(zip(("language_layers", "region_layers", "cross_layers"), s.lxmert_layers, strict=True))
        heads = max(1, s.lxmert_hidden // (64 if s.lxmert_hidden >= 512 else 16))
        if s.lxmert_hidden % heads:
            raise ValueError(
                f"lxmert_hidden has heads of 16, of 64 from 512 on, got {s.lxmert_hidden}; give a multiple"
            )
        wide = s.lxmert_hidden * (4 if s.lxmert_hidden >= 512 else 2)
        dropout = dict.fromkeys(("dropout", "attention_dropout"), s.lxmert_dropout)
        options["sizes"] = {"hidden": s.lxmert_hidden, "heads": heads, "wide": wide, **layers, **dropout}
        recipe |= {"epochs": s.lxmert_epochs, "rescale_epochs": s.lxmert_rescale_epochs, "lr": s.lxmert_lr}
    return recipe | {"part": "backbones", "backbone": options}


def examples(s: Setting, n: int) -> list[dict]:
    """The first `n` images of the embedded world with their questions, for a picture of what is asked."""
    world = World(**_recipe(s, "statistics", 0, "same", "statistics")["data"]["world"])
    return shapes.examples(sets.source_files(DataSpec("shapes", world=world), None)[1], n)


def produce(recipe: Mapping, checkpoint: Path, *, data_root: Path | None, device: str = "auto") -> dict:
    """Train or count what `recipe` says; the record's result. Its `part`, if any, is the file beside this that does."""
    if "part" in recipe:
        module = import_module(f"{__package__}.{recipe['part']}")
        return module.produce(recipe, checkpoint, data_root=data_root, device=device)
    task = task_of(recipe, data_root, device)
    return statistics(task) if recipe["kind"] == "statistics" else train(recipe, task, checkpoint, *build(recipe, task))
