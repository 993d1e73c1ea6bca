"""Every run of pages 01 (diagnosis, Sec. III) and 02 (the method, Sec. IV-VI), and what is asked of it.

A run is one training. Baselines train as long as the two-stage method, and every run reports its last epoch, so that
nothing is selected.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from itertools import product
from typing import Any, cast

from vqabook.data.imbalanced import DIVISIONS, Cut, CutImages, select_images
from vqabook.data.layout import DataSpec, Prior, data_digest, source_files
from vqabook.files import data_root
from vqabook.papers.loss_rescaling import setting as known
from vqabook.papers.loss_rescaling.setting import NAME, UNIFORM, Backbone, Method, Setting, VisionOptions
from vqabook.papers.paper import Recipe
from vqabook.report.claims import LONGER
from vqabook.world import write as shapes

SIZES = ("epochs", "rescale_epochs", "batch_size", "lr", "hidden", "word", "attention_dropout")
OPTIONS = {field.name for field in fields(Backbone)}
AS_LONG_AGAIN = LONGER.removeprefix(" @ ")  # a change whose runs tell whether others have converged


@dataclass(frozen=True, kw_only=True)
class Run(Recipe):
    """One training of UpDn or of another backbone (`loss_rescaling.train:train`)."""

    method: Method
    epochs: int  # of the first stage
    rescale_epochs: int  # of the second; a run without weights trains as long
    batch_size: int
    lr: float
    hidden: int
    word: int
    attention_dropout: float
    backbone: Backbone | None = None  # None: UpDn
    glove: bool | None = None  # words start from GloVe's vectors
    blind: bool | None = None  # the rule trains a model that sees no image

    LEFT_OUT = (*Recipe.LEFT_OUT, "backbone", "glove", "blind")

    def asked(self) -> dict:
        """The recipe as its record keeps it; a backbone says its own options alone."""
        asked = super().asked()
        if self.backbone:
            asked["backbone"] = {name: value for name, value in asked["backbone"].items() if value is not None}
        return asked


@dataclass(frozen=True, kw_only=True)
class VisionRun(VisionOptions, Recipe):
    """One training of an image classifier (`loss_rescaling.vision:train`)."""

    data: CutImages


def list_recipes(s: Setting, page: str) -> list[Recipe]:
    """Every run of a page. `variant` is "<loss> <module>", off the paper's table "<loss> <module> @ <what>".

    A backbone other than UpDn comes first: "lmh bce both". Runs without weights come before those that go on from them.
    """
    if page == "class_imbalance":
        runs = [run for run in _updn(s) if run.variant.split(" @ ")[0] in known.DIAGNOSED]
    else:
        runs = [*_updn(s), *_backbones(s), *(_blind(_list_rules(s, known.BLINDED)) if s.blind else ())]
    runs = [replace(run, seed=seed) for seed in s.seeds for run in runs]
    runs.sort(key=lambda run: (run.method.rescale, run.backbone is not None))
    counted = [Recipe(**_what(s, "statistics", prior, "statistics")) for prior in s.priors]
    return [*counted, *runs, *(_vision_runs(s) if page == "class_imbalance" else ())]


def list_contest(s: Setting) -> list[Recipe]:
    """The runs of the arena, seed by seed: every rule of `CONTEST` with sight and blind, for each prior.

    A seed divides the questions anew, too, where the set's own division is not asked for.
    """
    runs = _list_rules(s, known.CONTEST)
    runs += _blind(runs)
    runs.sort(key=lambda run: run.method.rescale)
    counted = [Recipe(**_what(s, "statistics", prior, "statistics")) for prior in s.priors]
    return [
        *counted,
        *(replace(run, seed=seed, data=run.data | {"split_seed": seed}) for seed in s.seeds for run in runs),
    ]


def _list_rules(s: Setting, rules: Sequence[tuple]) -> list[Run]:
    return [_run(s, prior, row, what, change, of=of) for prior in s.priors for of, row, what, change in rules]


def _blind(runs: Sequence[Run]) -> list[Run]:
    """The same runs of a model without an image."""
    return [replace(run, variant=f"blind {run.variant}", blind=True) for run in runs]


def examples(s: Setting, n: int) -> list[dict]:
    """The first `n` images of the embedded world with their questions, for a picture of what is asked."""
    return shapes.examples(source_files(DataSpec("shapes", world=s.world()), None)[1], n)


def _updn(s: Setting) -> Iterator[Run]:
    """Table V's first column, Fig. 7's, the release's choices, and the control."""
    rows = [f"{loss} {module}" for loss in ("bce", "ce") for module in known.MODULES]
    yield from (_run(s, prior, row) for prior in s.priors for row in rows)
    if "changing" in s.priors:
        changes = [*_dropouts(s), *(known.DEPARTURES if s.departures else ())]
        yield from (_run(s, "changing", *change) for change in changes)
    if _divides_anew(s):
        yield from (_run(s, "changing", row, known.IN_TURN) for row in known.BLIND)
    if s.longer and "changing" in s.priors:
        yield from (_run(s, "changing", row, AS_LONG_AGAIN) for row in ("bce baseline", *known.BLIND))
    if s.dataset == "shapes" and "same" in s.priors:
        yield from (_run(s, "same", row, UNIFORM) for row in (*known.DIAGNOSED, "bce re-scaling", "ce re-scaling"))


def _backbones(s: Setting) -> Iterator[Run]:
    """Table V's other columns, what Tables II and III compare with, and what is changed of these."""
    for name in s.backbones:
        rows = known.ROWS_OF.get(name) or tuple(f"bce {module}" for module in known.MODULES)
        modules = [row.split(" ", 1)[1] for row in rows]
        ends = (modules[0], modules[-1])  # all that is trained where priors stay
        for prior, trained in (("changing", modules), ("same", ends)):
            if prior in s.priors:
                asked = [
                    row for row, of in zip(rows, modules, strict=True) if of in s.backbone_modules and of in trained
                ]
                yield from (_run(s, prior, row, of=name) for row in asked)
        if name == "question_only" and _divides_anew(s):
            yield from (_run(s, "changing", row, known.IN_TURN, of=name) for row in known.BLIND)
        if name in ("question_only", "lm", "lmh", "css_lmh") and s.longer and "changing" in s.priors:
            yield _run(s, "changing", "bce baseline", AS_LONG_AGAIN, of=name)
        if "changing" in s.priors:
            changes: list[tuple[Any, ...]] = [tuple(change) for of, *change in known.VARIED if of == name]
            changes += _dropouts(s) if name in known.DROPPED else []
            kept = [change for change in changes if change[0].split(" ", 1)[1] in s.backbone_modules]
            yield from (_run(s, "changing", *change, of=name) for change in kept)


def _divides_anew(s: Setting) -> bool:
    """Whether priors change because real questions are divided anew: the set's own division keeps them."""
    if s.dataset == "shapes" or "changing" not in s.priors:
        return False
    return source_files(DataSpec(s.dataset), data_root(s.data_root))[0].native == "same"


def _dropouts(s: Setting) -> list[tuple]:
    """Fig. 7: a run, the name of a change, and the change."""
    return [("bce both", f"mask dropout {rate}", {"mask_dropout": rate}) for rate in s.mask_dropouts]


def _run(s: Setting, prior: str, row: str, what: str = "", change: Mapping | None = None, *, of: str = "") -> Run:
    """The run of a row, "<loss> <module>", with a change of the method's or the backbone's options."""
    (loss, module), change = row.split(" ", 1), change or {}
    sizes: dict[str, Any] = {size: getattr(s, size) for size in SIZES}
    options: dict[str, Any] = {k: v for k, v in change.items() if k in OPTIONS}
    if of == "lxmert":
        random = s.lxmert_weights == "random"
        options["sizes" if random else "weights"] = _lxmert_sizes(s) if random else s.lxmert_weights
        sizes |= {"epochs": s.lxmert_epochs, "rescale_epochs": s.lxmert_rescale_epochs, "lr": s.lxmert_lr}
        sizes["batch_size"] = s.lxmert_batch
    if of in known.MIXINS:
        sizes["lr"] *= s.mixin_step
    if what == AS_LONG_AGAIN:
        sizes |= {size: 2 * sizes[size] for size in ("epochs", "rescale_epochs")}
    method: dict[str, Any] = {"loss": loss}
    method |= {name: getattr(s, name) for name in ("min_votes", "out_of_type", "cap")} | known.MODULES[module]
    method |= {k: v for k, v in change.items() if k not in OPTIONS}
    return Run(
        **_what(s, "train", prior, f"{of} {row}".strip() + (f" @ {what}" if what else "")),
        part="backbones" if of else None,
        method=Method(**method),
        backbone=replace(known.BACKBONES[of], **options) if of else None,
        glove=(s.glove and of != "lxmert") or None,
        **sizes,
    )


def _lxmert_sizes(s: Setting) -> dict:
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


def _what(s: Setting, kind: str, prior: str, variant: str) -> dict:
    """What every recipe on questions says; runs are repeated with other seeds."""
    world = s.world(prior=0.0) if variant.endswith(UNIFORM) else s.world()
    spec = DataSpec(s.dataset, cast(Prior, prior), world, s.min_answer_count, as_typed=s.as_typed or None)
    if prior == "changing" and _divides_anew(s):
        spec = replace(spec, test_share=s.test_share, in_turn=variant.endswith(known.IN_TURN) or None)
    data = spec.asked() | {"digest": data_digest(spec, data_root(s.data_root))}
    what = {"paper": NAME, "profile": s.profile, "kind": kind, "variant": variant, "prior": prior}
    return what | {"seed": 0, "data": data}


def _vision_runs(s: Setting) -> Iterator[VisionRun]:
    """Each image set, imbalanced and balanced, for every seed."""
    what: dict[str, Any] = {"paper": NAME, "part": "vision", "profile": s.profile, "kind": "train", "prior": "none"}
    for dataset, division, seed in product(s.vision, DIVISIONS, s.seeds):
        options = asdict(known.VISION[dataset]) | known.VISION_CHANGES.get(s.profile, {})
        cut = Cut(dataset, division, *known.VISION_CUTS[dataset], seed)
        data = select_images(cut, data_root(s.data_root))
        options["epochs"] = max(1, round(options["epochs"] * data.frequency.sum() / len(data.train)))
        yield VisionRun(**what, **options, seed=seed, variant=f"{dataset} {division}", data=data.describe(cut))
