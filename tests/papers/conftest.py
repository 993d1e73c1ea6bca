"""What the tests of every paper ask for: a smoke run's recipe by its name, and its result as a record keeps it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from vqabook.evidence.record import key_of
from vqabook.papers.paper import Paper, Recipe


@pytest.fixture
def paper(request: pytest.FixtureRequest) -> Paper:
    """The paper that a module tests, its `PAPER`."""
    return request.module.PAPER


@pytest.fixture
def recipe_of(paper: Paper) -> Callable[..., Recipe]:
    """Finder of the one recipe with a variant among those of the paper's last page at smoke size."""

    def find(variant: str, **values: object) -> Recipe:
        recipes = paper.recipes(paper.setting_of(profile="smoke", **values), paper.pages[-1])
        (recipe,) = [recipe for recipe in recipes if recipe.variant == variant]
        return recipe

    return find


@pytest.fixture
def produce(paper: Paper) -> Callable[[Recipe, Path], dict]:
    """Maker of a run's result, through JSON without NaN as a record goes; `folder` keeps what it leaves for others."""

    def make(recipe: Recipe, folder: Path) -> dict:
        asked = recipe.asked()
        folder.mkdir(exist_ok=True)
        result = paper.produce(asked, folder / f"{key_of(asked)}.checkpoint", data_root=None, device="cpu")
        return json.loads(json.dumps(result, allow_nan=False))

    return make
