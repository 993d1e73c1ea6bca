"""Controls of the claims: what must not happen when its cause is taken away, and what must when it is there."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from vqabook.data.layout import DataSpec
from vqabook.data.sets import load_task
from vqabook.papers.loss_rescaling import PAPER
from vqabook.papers.loss_rescaling.setting import UNIFORM
from vqabook.papers.loss_rescaling.train import load


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


def test_the_shuffled_control_sees_the_same_images_with_other_questions():
    setting = PAPER.setting_of(profile="smoke", backbones=["shuffled"])
    recipe = next(run for run in PAPER.recipes(setting, "loss_rescaling") if run.variant.startswith("shuffled"))
    shown = load(recipe, None, "cpu")
    own = load_task(DataSpec.of(recipe.data), None, torch.device("cpu"))
    for part in ("train", "valid", "test"):
        (image, words), (other, others) = getattr(own, part).inputs, getattr(shown, part).inputs
        assert torch.equal(words, others) and torch.equal(image.sort().values, other.sort().values)
        assert (image != other).float().mean() > 0.9
        assert getattr(shown, part).target is getattr(own, part).target


def test_only_a_set_whose_own_priors_stay_is_divided_at_a_share(real_data):
    root = str(real_data("vqa_v2_60k").parent)
    for dataset, prior, share in (
        ("vqa_v2_60k", "changing", 0.25),
        ("vqa_v2_60k", "same", None),
        ("vqacp_v1_coco16k", "changing", None),
        ("shapes", "changing", None),
    ):
        values = {"dataset": dataset, "priors": [prior], "data_root": root, "test_share": 0.25}
        setting = PAPER.setting_of(profile="smoke", **values)
        assert {r["data"].get("test_share") for r in PAPER.asked(setting, "loss_rescaling")} == {share}
