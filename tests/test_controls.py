"""Controls of the book's claims: what must not happen when its cause is taken away, and what must when it is there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from vqabook.papers.loss_rescaling import recipes as paper


def gain(tmp_path: Path, prior: str, what: str) -> float:
    """Points of test accuracy that Soft-CE gains by re-scaling."""
    setting = paper.setting(profile="small", questions=3000, seeds=(0,))
    wanted = {f"ce {module}{what}" for module in ("baseline", "re-scaling")}
    scores: dict[str, list[float]] = {name: [] for name in wanted}
    for recipe in paper.recipes(setting, "loss_rescaling"):
        if recipe["variant"] in wanted and recipe["prior"] == prior:
            result = paper.produce(recipe, tmp_path / "run.checkpoint", data_root=None)
            scores[recipe["variant"]].append(result["test"]["overall"])
    return float(np.mean(scores[f"ce re-scaling{what}"]) - np.mean(scores[f"ce baseline{what}"]))


@pytest.mark.slow
def test_rescaling_gains_when_priors_change(tmp_path: Path):
    assert gain(tmp_path, "changing", "") > 10


@pytest.mark.slow
def test_rescaling_gains_nothing_when_answers_are_uniform(tmp_path: Path):
    assert gain(tmp_path, "same", f" @ {paper.UNIFORM}") < 2
