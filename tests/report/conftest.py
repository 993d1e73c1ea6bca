"""A claim, and records of both its sides."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from vqabook.report.claims import Claim, Side


@pytest.fixture(scope="session")
def claim() -> Claim:
    """A comparison with names that HTML must escape."""
    return Claim(
        name="both-over-baseline",
        statement="both <beats> baseline",
        where="Table V & more",
        more=Side({"variant": "both", "prior": "changing"}, printed=47.09),
        less=Side({"variant": "baseline", "prior": "changing"}, printed=38.80),
        page="02_loss_rescaling",
        paper='A "paper" <2021>',
        data="VQA-CP v2 test",
    )


@pytest.fixture(scope="session")
def run() -> Callable[..., dict]:
    """Factory of a record as `produce_or_load` gives it."""

    def make(variant: str, overall: float | None, seed: int = 0, *, machine="m", profile="small", **recipe) -> dict:
        asked = {"paper": "p", "profile": profile, "kind": "train", "variant": variant, "prior": "changing"}
        stamp = {"code": "now", "commit": "abc", "dirty": False, "started": "2026-01-02T03:04:05+00:00"}
        more = {"seconds": 7.0, "hardware": "a <CPU>", "machine": machine}
        return {
            "recipe": asked | {"seed": seed, "data": {"dataset": "shapes"}} | recipe,
            "result": {"test": {"overall": overall}, "history": [{"valid": 1.0}, {"valid": 2.5}]},
            "provenance": stamp | more | {"versions": {"python": "3.11", "torch": "2.13"}},
        }

    return make


@pytest.fixture(scope="session")
def runs(run: Callable[..., dict]) -> Callable[[list[float]], list[dict]]:
    """Factory of both sides of the claim, one pair a seed."""

    def make(differences: list[float]) -> list[dict]:
        pairs = [(run("both", 40 + 3 * i + d, i), run("baseline", 40 + 3 * i, i)) for i, d in enumerate(differences)]
        return [record for pair in pairs for record in pair]

    return make
