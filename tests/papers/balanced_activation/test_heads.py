"""Heads on frozen features: every rule is trained as it would be alone, and judged under any prior."""

from __future__ import annotations

import json
from dataclasses import replace

import h5py
import numpy as np
import pytest
import torch

from vqabook.arena.heads import MINE
from vqabook.data import frozen as data
from vqabook.data.frozen import read_frozen
from vqabook.evidence.record import key_of
from vqabook.papers.balanced_activation import PAPER, head_tables, heads
from vqabook.papers.balanced_activation.head_recipes import HeadsRun
from vqabook.report.verdicts import number


def smoke(**values: object) -> HeadsRun:
    recipes = PAPER.recipes(PAPER.setting_of(profile="smoke", **values), "balanced_activation")
    (recipe,) = [recipe for recipe in recipes if recipe.part == "heads"]
    return recipe


@pytest.fixture(scope="module")
def result(tmp_path_factory) -> dict:
    asked = smoke(heads_steps=150).asked()
    path = tmp_path_factory.mktemp("heads") / f"{key_of(asked)}.checkpoint"
    return json.loads(json.dumps(PAPER.produce(asked, path, data_root=None, device="cpu"), allow_nan=False))


def test_a_run_gives_what_its_claims_read(result):
    claims = [claim for claim in PAPER.claims if "-heads-" in claim.name]
    sides = {side.metric for claim in claims for side in claim.sides()}
    assert claims and all(number({"result": result}, metric) is not None for metric in sides)
    assert all(claim.ours and not claim.headline for claim in claims)
    assert all(80 < row["uniform"] <= 100 for name, row in result["rows"].items() if name != "ncm")


def test_balanced_softmax_gains_where_classes_are_rare(result):
    plain, balanced = (result["rows"][row] for row in ("softmax", "balanced softmax"))
    assert balanced["few"] > plain["few"] and balanced["reversed"] > plain["reversed"]
    assert result["rows"]["softmax @ prior known"]["training"] == plain["training"]
    assert result["rows"]["softmax @ prior known"]["uniform"] == result["rows"]["adjusted"]["uniform"]


def test_equalisation_s_tail_is_the_paper_s_share():
    """52 of 100 classes, as the threshold of 0.5 % gives on CIFAR-100-LT at imbalance 100."""
    counts = torch.tensor([max(1, int(500 * 100 ** (-i / 99))) for i in range(100)])
    tail = heads.list_rules(counts)["equalisation"].loss.tail
    assert int(tail.sum()) == 52 and torch.equal(tail, counts < 0.005 * counts.sum())


def write_features(path, **more: np.ndarray) -> None:
    path.parent.mkdir(parents=True)
    about = dict.fromkeys(("backbone", "weights_sha256", "size", "resize", "mean", "std", "grid"), 1)
    with h5py.File(path, "w") as file:
        file["features"], file["image_ids"] = np.random.rand(8, 1, 3).astype(np.float16), np.arange(8)
        file.attrs["recipe"] = json.dumps(about)
        for name, values in more.items():
            file[name] = values


def test_features_are_asked_for_by_the_command_that_makes_them(tmp_path, monkeypatch):
    monkeypatch.setattr(data, "TRAIN", 6)
    with pytest.raises(FileNotFoundError, match="run: vqabook data features .*cifar10 .* --size 128 --grid 1"):
        smoke(heads_sets=("cifar10",), data_root=str(tmp_path))
    path = data.path_of("cifar10", 128, tmp_path)
    write_features(path)
    with pytest.raises(ValueError, match="one feature of each image, and its label"):
        read_frozen("cifar10", 128, tmp_path)
    path.unlink()
    path.parent.rmdir()
    write_features(path, labels=np.array([0, 1] * 4))
    frozen = read_frozen("cifar10", 128, tmp_path)
    assert (len(frozen.labels), len(frozen.truth), frozen.classes) == (6, 2, 2)
    recipe = smoke(heads_sets=("cifar10",), heads_imbalances=(3.0,), data_root=str(tmp_path))
    assert recipe.data.counts == [3, 1] and recipe.data.features == "efficientnet-lite0 at 128"
    with pytest.raises(ValueError, match="a run reads the features that its recipe names, other, got"):
        heads.prepare(replace(recipe, data=replace(recipe.data, digest="other")), data_root=tmp_path)


def recorded(at: int, seed: int, move: float = 0.0, longer: bool = False) -> dict:
    """A record in which balanced softmax leads by ten points, all rows moved alike."""
    variant = f"heads at {at}" + " @ twice as long" * longer
    recipe = {"variant": variant, "classes": 10, "part": "heads", "seed": seed, "data": {"imbalance": at}}
    metrics = (*head_tables.PRIORS.values(), *head_tables.CALIBRATION.values(), "many", "medium", "few")
    rows = [*head_tables.ROWS, *head_tables.KNOWN]
    numbers = {row: dict.fromkeys(metrics, 50 + seed + move + 10 * (row == MINE)) for row in rows}
    return {"recipe": recipe | {"many": 100, "few": 20}, "result": {"rows": numbers}, "provenance": {"machine": "m"}}


def test_tables_have_printed_cells_beside_ours():
    records = [recorded(at, seed) for at in (500, 100) for seed in range(3)]
    records += [recorded(100, seed, move, longer=True) for seed, move in enumerate((0.5, -0.1, 0.2))]
    cells = head_tables.tabulate_cells(records, 10)
    assert list(cells.columns) == ["500", "printed, 100", "100"] and len(cells) == len(head_tables.ROWS)
    assert cells.columns.name == "CIFAR-10-LT, by imbalance, %, n = 3"
    assert cells.loc["balanced softmax", "printed, 100"] == "<b>83.10</b>"
    assert cells.loc["balanced softmax", "100"] == "<b>61.00\u00a0±\u00a01.00</b>"
    assert head_tables.list_sets(records) == [10]
    assert head_tables.find_largest_move(records, 10) == pytest.approx(0.2)
    assert head_tables.find_largest_move(records[:3], 10) == 0
    for table, width in (("priors", 3), ("calibration", 4), ("groups", 3)):
        assert getattr(head_tables, f"tabulate_{table}")(records, 10).shape[1] == width
