"""Controls of the claims: what must not happen when its cause is taken away, and what must when it is there."""

from __future__ import annotations

from pathlib import Path

import pytest

from vqabook.papers.loss_rescaling import PAPER
from vqabook.papers.loss_rescaling.setting import UNIFORM


def gain(tmp_path: Path, prior: str, what: str) -> float:
    """Points of test accuracy that Soft-CE gains by re-scaling."""
    setting = PAPER.setting_of(profile="small", questions=3000, seeds=(0,))
    scores = {f"ce {module}{what}": 0.0 for module in ("baseline", "re-scaling")}
    for asked in PAPER.asked(setting, "loss_rescaling"):
        if asked["variant"] in scores and asked["prior"] == prior:
            result = PAPER.produce(asked, tmp_path / "run.checkpoint", data_root=None)
            scores[asked["variant"]] = result["test"]["overall"]
    baseline, rescaled = scores.values()
    return rescaled - baseline


@pytest.mark.slow
def test_rescaling_gains_when_priors_change(tmp_path: Path):
    assert gain(tmp_path, "changing", "") > 10


@pytest.mark.slow
def test_rescaling_gains_nothing_when_answers_are_uniform(tmp_path: Path):
    assert gain(tmp_path, "same", f" @ {UNIFORM}") < 2
