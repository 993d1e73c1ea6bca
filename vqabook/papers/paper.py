"""What a paper is to the book: its pages, what may be asked, every run with its recipe, its claims, who produces."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from functools import cache
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

from pydantic import TypeAdapter

from vqabook.evidence.fingerprint import code_hash
from vqabook.knobs import PageSetting, from_values, knob, positive, within
from vqabook.report.claims import Claim
from vqabook.world.scenes import World


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What was asked of a run: everything its numbers depend on but code and machine. Its JSON names the record."""

    paper: str
    profile: str
    kind: str  # train, probe or statistics
    variant: str  # the run's name in tables and claims
    prior: str  # of the answers at test: changing, same or none
    seed: int
    data: Any  # the data set, its division, and a digest of its files: a mapping, or a dataclass of the paper's
    part: str | None = None  # the paper's part that produces it
    precision: str | None = None  # bf16, if the layers of its network are trained so

    LEFT_OUT: ClassVar[tuple[str, ...]] = ("part", "precision")  # fields that the JSON lacks where they are None

    @property
    def label(self) -> str:
        """What its progress is shown under."""
        return f"{self.variant}, seed {self.seed}"

    def asked(self) -> dict:
        """The recipe as its record keeps it."""
        asked = asdict(self)
        return {name: value for name, value in asked.items() if value is not None or name not in self.LEFT_OUT}

    @classmethod
    def of(cls, asked: Mapping) -> Recipe:
        """The recipe that a record keeps: tuples that came as lists are tuples again, nested parts what they were."""
        if unknown := asked.keys() - {field.name for field in fields(cls)}:
            raise ValueError(f"a recipe of {asked['paper']} has no {', '.join(sorted(unknown))}; check its part")
        reader = _reader_of(cls)  # type: ignore[arg-type]  # mypy asks the class for its instances' hash
        return reader.validate_python(dict(asked))


@cache
def _reader_of(kind: type) -> TypeAdapter:
    """What reads a kind of recipes: its plan is made once, which takes as long as a hundred reads."""
    return TypeAdapter(kind)


@dataclass(frozen=True)
class QuestionSetting(PageSetting):
    """What a reader may change besides on a page whose runs answer questions, by default in the embedded world."""

    dataset: str = "shapes"
    questions: int = knob(20_000, rule=positive())  # of the embedded world's training split
    world_objects: tuple[int, int] = knob(World.objects, rule=within(1, 10))  # fewest and most in a scene
    world_noise: float = knob(World.noise, rule=within(0, 5))  # of its region features
    world_prior: float = knob(World.prior, rule=within(0, 5))  # Zipf exponent of its answers; 0 is uniform

    def world(self, dataset: str | None = None, **changes: Any) -> World | None:
        """The embedded world that is asked for, with some knobs changed; None where the questions are real."""
        if (dataset or self.dataset) != "shapes":
            return None
        seen = {"objects": self.world_objects, "regions": max(self.world_objects), "noise": self.world_noise}
        return World(**{"n_train": self.questions, "prior": self.world_prior, **seen, **changes})


@dataclass(frozen=True)
class Part:
    """Runs that one function produces, "module:function": (recipe, scratch, *, data_root, device) -> a record's result.

    It is imported when a run is made: claims and recipes need no model. `ready`, a function of the same module: builds
    what a recipe's run trains, (recipe, *, data_root, device), and raises what the run would.
    """

    call: str
    recipe: type[Recipe]
    ready: str | None = None
    apart: bool = False  # needs an environment of its own: elsewhere its recorded runs are shown
    halves: bool = False  # trains networks whose layers may be in bf16


@dataclass(frozen=True)
class Paper:
    """A paper of the book.

    `real`: data sets whose recorded runs verdicts on real data come from, the main one first; `further`: real ones with
    verdicts of their own; each with what it can show; `report.claims.HAS` says what each has. `whole`: what makes a
    profile run all of the paper.
    """

    name: str
    title: str
    pages: tuple[str, ...]  # notebooks, by the name behind their number
    setting: type[Any]
    profiles: Mapping[str, Mapping]
    recipes: Callable[[Any, str], Sequence[Recipe]]  # (setting, page) -> every run that the page shows
    claims: tuple[Claim, ...]
    live: tuple[str, ...]  # claims whose runs every build of the book makes again, with a seed of their own
    parts: Mapping[str, Part]  # by a recipe's `part`, or its `kind` if it has none
    real: Mapping[str, str]
    further: Mapping[str, str] = field(default_factory=dict)
    whole: Mapping[str, Any] = field(default_factory=dict)
    contradictions: tuple[tuple[str, str], ...] = ()  # where, what the paper prints there
    untested: tuple[tuple[str, str, str], ...] = ()  # where, what its text says, why no claim of ours tests it

    def setting_of(self, **values: Any) -> Any:
        """The setting that these parameters ask for: `setting_of(profile="small", seeds=(0,))`."""
        return from_values(self.setting, self.profiles, values)

    def asked(self, setting: Any, page: str) -> list[dict]:
        """The recipes of a page as records keep them."""
        recipes = self.recipes(setting, page)
        if setting.precision == "bf16":
            halved = {name for name, part in self.parts.items() if part.halves}
            recipes = [replace(r, precision="bf16") if (r.part or r.kind) in halved else r for r in recipes]
        return [recipe.asked() for recipe in recipes]

    @property
    def apart(self) -> tuple[str, ...]:
        """Parts with an environment of their own."""
        return tuple(name for name, part in self.parts.items() if part.apart)

    def produce(self, asked: Mapping, checkpoint: Path, *, data_root: Path | None, device: str = "auto") -> dict:
        """Train, probe or count what a recipe says; the record's result."""
        from vqabook.training.stages import Scratch, Stages  # with torch, as the part that it is for

        scratch = Scratch(checkpoint, Stages(checkpoint.parent, code_hash()))
        part, module = self._part(asked)
        make = getattr(module, part.call.partition(":")[2])
        return make(part.recipe.of(asked), scratch, data_root=data_root, device=device)

    def check(self, recipes: Sequence[Mapping], *, data_root: Path | None, device: str = "auto") -> None:
        """Raise what some of these recipes would end with, before anything is trained; of equal runs one seed's."""
        unique = {(asked["variant"], asked["prior"]): asked for asked in reversed(recipes)}
        for asked in sorted(unique.values(), key=lambda asked: json.dumps(asked["data"])):  # data are loaded once
            part, module = self._part(asked)
            if part.ready:
                getattr(module, part.ready)(part.recipe.of(asked), data_root=data_root, device=device)

    def _part(self, asked: Mapping) -> tuple[Part, ModuleType]:
        """The part that a recipe names, and its module, which an environment may lack."""
        part = self.parts[asked.get("part") or asked["kind"]]
        return part, import_module(part.call.partition(":")[0])
