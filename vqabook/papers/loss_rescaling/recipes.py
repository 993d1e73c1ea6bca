"""Every run of pages 01 (diagnosis, Sec. III) and 02 (the method, Sec. IV-VI), and what is asked of it.

A run is one training. Baselines train as long as the two-stage method, and every run reports its last epoch, so that
nothing is selected.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, NamedTuple

from vqabook.data.imbalanced import DIVISIONS, Cut, divide
from vqabook.data.sets import DataSpec, data_digest, source_files
from vqabook.files import data_root
from vqabook.papers.loss_rescaling.setting import (
    BACKBONES,
    DEPARTURES,
    DIAGNOSED,
    DROPPED,
    LOSSES,
    MODULES,
    NAME,
    UNIFORM,
    VARIED,
    VISION,
    VISION_CHANGES,
    VISION_CUTS,
    Backbone,
    Method,
    Setting,
    VisionOptions,
    modules_of,
)
from vqabook.papers.paper import Recipe
from vqabook.world import write as shapes
from vqabook.world.write import World

SIZES = ("epochs", "rescale_epochs", "batch_size", "lr", "hidden", "word", "attention_dropout")
OPTIONS = {field.name for field in fields(Backbone)}


@dataclass(frozen=True, kw_only=True)
class Run(Recipe):
    """One training of UpDn (`loss_rescaling.train:train`) or of another backbone (`loss_rescaling.backbones:train`)."""

    method: Method
    epochs: int  # of the first stage
    rescale_epochs: int  # of the second; a run without weights trains as long
    batch_size: int
    lr: float
    hidden: int
    word: int
    attention_dropout: float
    backbone: Backbone | None = None  # None: UpDn

    LEFT_OUT = ("part", "backbone")

    def asked(self) -> dict:
        """The recipe as its record keeps it; a backbone says its own options alone."""
        asked = super().asked()
        if self.backbone:
            asked["backbone"] = {name: value for name, value in asked["backbone"].items() if value is not None}
        return asked


@dataclass(frozen=True, kw_only=True)
class VisionRun(VisionOptions, Recipe):
    """One training of an image classifier (`loss_rescaling.vision:train`)."""

    @property
    def cut(self) -> Cut:
        """How its rows are chosen."""
        return Cut(**{field.name: self.data[field.name] for field in fields(Cut)})


class Trial(NamedTuple):
    """A row of the tables, of which every seed makes a run."""

    prior: str
    variant: str
    method: Mapping[str, Any]  # what differs from the setting's Method
    backbone: Backbone | None


def list_recipes(s: Setting, page: str) -> list[Recipe]:
    """Every run of a page. `variant` is "<loss> <module>", off the paper's table "<loss> <module> @ <what>".

    A backbone other than UpDn comes first: "lmh bce both". Runs without weights come before those that go on from them.
    """
    diagnosis = page == "class_imbalance"
    if diagnosis:
        trials = [trial for trial in _updn(s) if trial.variant.split(" @ ")[0] in DIAGNOSED]
    else:
        trials = [*_updn(s), *_backbones(s)]
    counted = [Recipe(**_what(s, "statistics", prior, "statistics", 0)) for prior in s.priors]
    runs = [_run(s, seed, trial) for seed in s.seeds for trial in trials]
    runs.sort(key=lambda run: (run.method.rescale, run.backbone is not None))
    return [*counted, *runs, *(_vision_runs(s) if diagnosis else ())]


def examples(s: Setting, n: int) -> list[dict]:
    """The first `n` images of the embedded world with their questions, for a picture of what is asked."""
    world = DataSpec("shapes", world=_world(s, s.world_prior))
    return shapes.examples(source_files(world, None)[1], n)


def _updn(s: Setting) -> Iterator[Trial]:
    """Table V's first column, Fig. 7's, the release's choices, and the control."""
    rows = [f"{loss} {module}" for loss in ("bce", "ce") for module in MODULES]
    yield from (_trial(prior, row) for prior in s.priors for row in rows)
    if "changing" in s.priors:
        yield from (_trial("changing", *change) for change in _dropouts(s))
        yield from (_trial("changing", *change) for change in (DEPARTURES if s.departures else ()))
    if s.dataset == "shapes" and "same" in s.priors:
        yield from (_trial("same", row, UNIFORM) for row in (*DIAGNOSED, "bce re-scaling", "ce re-scaling"))


def _backbones(s: Setting) -> Iterator[Trial]:
    """Table V's other columns, what Tables II and III compare with, and what is changed of these."""
    for name in s.backbones:
        losses, modules = LOSSES.get(name, ("bce",)), modules_of(name)
        ends = (modules[0], modules[-1])  # all that is trained where priors stay
        for prior, rows in (("changing", modules), ("same", ends)):
            if prior in s.priors:
                rows = [module for module in s.backbone_modules if module in rows]
                yield from (_trial(prior, f"{loss} {module}", of=name) for loss in losses for module in rows)
        if "changing" in s.priors:
            changes = [change for of, *change in VARIED if of == name] + (_dropouts(s) if name in DROPPED else [])
            kept = [change for change in changes if change[0].split(" ", 1)[1] in s.backbone_modules]
            yield from (_trial("changing", *change, of=name) for change in kept)


def _dropouts(s: Setting) -> list[tuple]:
    """Fig. 7: a run, the name of a change, and the change."""
    return [("bce both", f"mask dropout {rate}", {"mask_dropout": rate}) for rate in s.mask_dropouts]


def _trial(prior: str, row: str, what: str = "", change: Mapping | None = None, *, of: str = "") -> Trial:
    """The trial of a row, "<loss> <module>", with a change of the method's or the backbone's options."""
    (loss, module), change = row.split(" ", 1), change or {}
    backbone = replace(BACKBONES[of], **{k: v for k, v in change.items() if k in OPTIONS}) if of else None
    method = {k: v for k, v in change.items() if k not in OPTIONS}
    variant = f"{of} {row}".strip() + (f" @ {what}" if what else "")
    return Trial(prior, variant, {"loss": loss, **MODULES[module], **method}, backbone)


def _run(s: Setting, seed: int, trial: Trial) -> Run:
    backbone, sizes = trial.backbone, {size: getattr(s, size) for size in SIZES}
    if backbone and backbone.name == "lxmert":
        backbone = replace(backbone, sizes=_lxmert_sizes(s))
        sizes |= {"epochs": s.lxmert_epochs, "rescale_epochs": s.lxmert_rescale_epochs, "lr": s.lxmert_lr}
    return Run(
        **_what(s, "train", trial.prior, trial.variant, seed),
        part="backbones" if backbone else None,
        method=Method(**{name: getattr(s, name) for name in ("min_votes", "out_of_type", "cap")} | trial.method),
        backbone=backbone,
        **sizes,
    )


def _lxmert_sizes(s: Setting) -> dict:
    if len(s.lxmert_layers) != 3:
        raise ValueError(f"lxmert_layers are language, regions, cross, got {list(s.lxmert_layers)}; give three")
    large = s.lxmert_hidden >= 512
    heads = max(1, s.lxmert_hidden // (64 if large else 16))
    if s.lxmert_hidden % heads:
        raise ValueError(f"lxmert_hidden has heads of 16, of 64 from 512 on, got {s.lxmert_hidden}; give a multiple")
    return {
        "hidden": s.lxmert_hidden,
        "heads": heads,
        "wide": s.lxmert_hidden * (4 if large else 2),
        **dict(zip(("language_layers", "region_layers", "cross_layers"), s.lxmert_layers, strict=True)),
        **dict.fromkeys(("dropout", "attention_dropout"), s.lxmert_dropout),
    }


def _what(s: Setting, kind: str, prior: str, variant: str, seed: int) -> dict:
    """What every recipe on questions says."""
    world = _world(s, 0.0 if variant.endswith(UNIFORM) else s.world_prior) if s.dataset == "shapes" else None
    spec = DataSpec(s.dataset, prior, world, s.min_answer_count)
    data = asdict(spec) | {"digest": data_digest(spec, data_root(s.data_root))}
    what = {"paper": NAME, "profile": s.profile, "kind": kind, "variant": variant, "prior": prior, "seed": seed}
    return what | {"data": data}


def _world(s: Setting, prior: float) -> World:
    seen = {"objects": s.world_objects, "regions": max(s.world_objects), "noise": s.world_noise}
    return World(n_train=s.questions, prior=prior, **seen)


def _vision_runs(s: Setting) -> list[VisionRun]:
    """Each image set, imbalanced and balanced, for every seed."""
    sets = [(name, division, seed) for name in s.vision for division in DIVISIONS for seed in s.seeds]
    return [_vision_run(s, *run) for run in sets]


def _vision_run(s: Setting, dataset: str, division: str, seed: int) -> VisionRun:
    options = asdict(VISION[dataset]) | VISION_CHANGES.get(s.profile, {})
    cut = Cut(dataset, division, *VISION_CUTS[dataset], seed)
    data = divide(cut, data_root(s.data_root))
    options["epochs"] = max(1, round(options["epochs"] * data.frequency.sum() / len(data.train)))
    what = {"paper": NAME, "part": "vision", "profile": s.profile, "kind": "train", "prior": "none", "seed": seed}
    return VisionRun(**what, variant=f"{dataset} {division}", data=asdict(cut) | data.about(), **options)
