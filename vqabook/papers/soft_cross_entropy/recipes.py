"""Every run of page 03, and what is asked of it.

A run is one training; its epoch is chosen on questions held out of train, where the paper reports the best epoch on the
questions it is judged by. Both are recorded.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, cast

from vqabook.data.layout import DataSpec, votes_digest
from vqabook.files import data_root
from vqabook.papers.paper import Recipe
from vqabook.papers.soft_cross_entropy.setting import FURTHER_RUNS, IMAGES, MODELS, NAME, UNANIMOUS, Options, Setting
from vqabook.training.solver import Schedule

Target = Literal["modal", "votes", "scores"]


@dataclass(frozen=True, kw_only=True)
class Run(Recipe):
    """One training."""

    model: str
    target: Target  # what a question's answers weigh in the loss
    options: Options
    epochs: int
    batch_size: int
    lr: float
    hidden: int
    word: int
    joint: int
    dropout: float
    reach: float  # validation accuracy whose epoch is compared
    schedule: Schedule | None = None  # of lr; None: it stays

    LEFT_OUT = (*Recipe.LEFT_OUT, "schedule")


def list_recipes(s: Setting, page: str) -> list[Recipe]:
    """Every run of the page. `variant` is "<model> <target>", off the paper's table "<model> <target> @ <what>"."""
    runs: list[tuple[str, str, str, dict, dict]] = [
        (model, target, "", {}, {}) for model in s.models for target in s.targets
    ]
    if s.further:
        runs += [(*run, {}) for run in FURTHER_RUNS]
    if s.dataset == "shapes" and "avg" in s.models:
        worlds = {UNANIMOUS: {"disagreement": 0.0, "synonyms": 0.0}}
        worlds |= {f"disagreement {level}": {"disagreement": level} for level in s.disagreements}
        runs += [("avg", target, name, {}, world) for name, world in worlds.items() for target in ("modal", "votes")]
    what: dict[str, Any] = {"paper": NAME, "profile": s.profile, "prior": "same", "seed": 0}
    drops = tuple((epoch, 10.0**-i) for i, epoch in enumerate(sorted(s.lr_drops), start=1))
    counted = Recipe(**what, kind="statistics", variant="statistics", data=_data(s, (*s.models, *MODELS)[0], {}))
    trained = [
        Run(
            **what | {size: getattr(s, size) for size in ("batch_size", "lr", "hidden", "word", "joint", "dropout")},
            kind="train",
            variant=f"{model} {target}" + (f" @ {name}" if name else ""),
            data=_data(s, model, world),
            model=model,
            target=cast(Target, target),  # `Setting` has no others
            options=Options(**change),
            epochs=s.epochs if model in IMAGES else s.question_epochs,
            schedule=Schedule(drops=drops) if drops else None,
            reach=s.pool_reach if model == "pool" else s.reach,
        )
        for model, target, name, change, world in runs
        if model in s.models and target in s.targets
    ]
    return [counted, *(replace(run, seed=seed) for seed in s.seeds for run in trained)]


def _data(s: Setting, model: str, changed: Mapping) -> dict:
    world = s.world(**{"disagreement": s.world_disagreement, **changed})
    spec, images = DataSpec(s.dataset, "same", world, s.min_answer_count, s.max_words), model in IMAGES
    return spec.asked() | {"images": images, "digest": votes_digest(spec, data_root(s.data_root), images=images)}
