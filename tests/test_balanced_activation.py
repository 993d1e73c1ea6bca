"""Chapter 06: what its runs do, how they are judged, what its theory says, what is refused."""

from __future__ import annotations

import gzip
import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from vqabook.data.imbalanced import Cut, divide
from vqabook.evidence.record import key_of
from vqabook.losses.longtail import balanced_softmax, log_counts
from vqabook.models.heads import CosineClassifier, Decoupled
from vqabook.papers.balanced_activation import claims, counts, theory
from vqabook.papers.balanced_activation import recipes as paper
from vqabook.papers.balanced_activation import train as training
from vqabook.papers.balanced_activation.setting import COUNTS_ROWS, ROWS, TABLE, Method
from vqabook.report.verdicts import number

pytest.importorskip("sklearn")
CPU = torch.device("cpu")


def recipe_of(variant: str, **values: object) -> dict:
    recipes = paper.recipes(paper.setting(profile="smoke", **values), "balanced_activation")
    (recipe,) = [r for r in recipes if r["variant"] == variant]
    return recipe


def produced(variant: str, folder: Path, **values: object) -> dict:
    """The result of a smoke run, through JSON without NaN as a record goes."""
    recipe = recipe_of(variant, **values)
    folder.mkdir(exist_ok=True)
    result = paper.produce(recipe, folder / f"{key_of(recipe)}.checkpoint", data_root=None, device="cpu")
    return json.loads(json.dumps(result, allow_nan=False))


@pytest.mark.parametrize("row", ["softmax", "balanced softmax", "ldam @ drw", "balanced sigmoid", "crt", "cbs"])
def test_a_run_gives_what_its_claims_read(row, tmp_path):
    whole = paper.WHOLE | {"imbalances": (100.0,)}
    result, again = (produced(f"{row} at 100", tmp_path / str(i), **whole) for i in range(2))
    assert result | {"history": None} == again | {"history": None}
    assert result["test"]["overall"] == result["history"][-1]["test_accuracy"] <= result["best_on_test"]
    assert [r["epoch"] for r in result["history"]] == list(range(1, len(result["history"]) + 1))
    for claim in paper.CLAIMS:
        for side in (claim.more, claim.less):
            if side.where["variant"] == f"{row} at 100":
                assert number({"result": result}, side.metric) is not None, side.metric


@pytest.mark.parametrize("row", COUNTS_ROWS)
def test_classifiers_under_a_detectors_tail(row, tmp_path):
    result = produced(f"counts {row}", tmp_path)
    assert result | {"history": None} == produced(f"counts {row}", tmp_path) | {"history": None}
    assert 0 <= result["ap_top"]["f"] <= 100 and result["best"]["test"]["overall"] > result["test"]["overall"]


def test_every_printed_number_is_a_row_of_the_table():
    assert all(list(column) == list(TABLE) for column in claims.PRINTED.values())
    assert claims.PRINTED[100, 100]["equalisation"] == (47.3, 0.1)
    found = {claim.name: claim.printed for claim in paper.CLAIMS}
    assert found["balanced-10-100-over-softmax"] == 5.7
    assert found["balanced-10-gain-100-10"] == pytest.approx((83.1 - 77.4) - (90.9 - 90.0))
    assert (found["balanced-detector-over-repeat-factor"], found["balanced-detector-rare"]) == (3.0, 6.7)
    assert found["balanced-detector-gain"] == pytest.approx((18.3 - 11.6) - (29.3 - 27.8))


def test_a_second_stage_trains_the_classifier_alone(tmp_path, monkeypatch):
    """Features are the softmax run's, with or without that run's weights at hand, and batch norm stands still."""
    kept = {}
    fitted = training._fitted

    def watched(model: nn.Module, *others: object) -> list[dict]:
        history = fitted(model, *others)
        if isinstance(model, Decoupled):
            kept.setdefault("after", {k: v.clone() for k, v in model.trained.state_dict().items()})
        else:
            kept.setdefault("first", {k: v.clone() for k, v in model.state_dict().items()})
        return history

    monkeypatch.setattr(training, "_fitted", watched)
    produced("softmax at 10", tmp_path)
    (weights,) = tmp_path.glob("*.weights.stage")
    for row in ("crt", "lws"):
        found = produced(f"{row} at 10", tmp_path)
        assert all(torch.equal(kept["first"][name], value) for name, value in kept.pop("after").items())
        assert found | {"history": None} == produced(f"{row} at 10", tmp_path / row) | {"history": None}
        kept.pop("after")
    assert weights.exists()


def test_models_are_what_their_rules_want():
    data = divide(Cut("digits", "imbalanced", 10.0, 0.4, 0), Path())
    recipe = recipe_of("softmax at 10")
    ldam, sigmoid = (training.build(recipe, Method(rule), data) for rule in ("ldam", "balanced_sigmoid"))
    assert isinstance(ldam.classifier, CosineClassifier)
    torch.testing.assert_close(sigmoid.classifier.bias.sigmoid(), torch.full((10,), 0.1))
    same = [training.build(recipe, Method("softmax"), data).state_dict() for _ in range(2)]
    assert all(torch.equal(same[0][name], same[1][name]) for name in same[0])


def test_a_controls_counts_are_dealt_out_to_other_classes():
    data, recipe = divide(Cut("digits", "imbalanced", 10.0, 0.4, 0), Path()), recipe_of("softmax at 10")
    x, y = torch.zeros(1, 10), torch.tensor([0])
    true, dealt = (
        training.objective_of(recipe, Method("balanced_softmax", dealt=some), data).loss(x, y) for some in (False, True)
    )
    torch.testing.assert_close(true, -(torch.tensor([data.frequency[0] / data.frequency.sum()]).log()).float())
    assert not torch.allclose(true, dealt)


def test_steps_become_whole_epochs_with_their_schedule():
    recipe = recipe_of("softmax at 10") | {"batch_size": 512, "steps": 13_000, "warmup": 800}
    config = training.config_of(recipe, 11_203, 13_000, CPU)
    assert config.epochs == round(13_000 / 22) and config.schedule.warmup == pytest.approx(800 / 22)
    ends = [config.schedule.factor(epoch, config.epochs) for epoch in (0, config.epochs)]
    assert ends == pytest.approx([0.5, 0])
    second = training.config_of(recipe, 11_203, 1300, CPU)
    assert second.schedule.warmup == pytest.approx(80 / 22)
    plain = training.config_of(recipe | {"schedule": "steps", "warmup": 5 * 97}, 12_406, 200 * 25, CPU)
    factors = [plain.schedule.factor(epoch, plain.epochs) for epoch in (159, 160, 180)]
    assert plain.epochs == 200 and factors == pytest.approx([1, 0.01, 0.0001])


def test_accuracies_by_hand():
    logits, truth = torch.eye(3)[torch.tensor([0, 0, 1, 0, 2, 0])], torch.tensor([0, 0, 1, 1, 2, 2])
    found = training.accuracies(logits, truth, torch.tensor([200, 100, 20]), many=100, few=20)
    assert found.pop("overall") == pytest.approx(400 / 6)
    assert found == {"many": 100, "medium": 50, "few": None, "per_class": [100, 50, 50]}


def test_a_marginal_that_is_uniform_has_no_divergence():
    assert training.marginal(torch.eye(5) * 3)["divergence"] == pytest.approx(0, abs=1e-9)
    sure = training.marginal(torch.tensor([[1e4, 0.0], [1e4, 0.0]]))
    assert sure["divergence"] == pytest.approx(np.log(2)) and sure["p"] == [1, 0]


MIXTURE = theory.Mixture((4000, 400, 400))


def test_balanced_softmax_learns_the_balanced_posterior():
    """Theorem 1; plain softmax, the exponent of Corollary 1, and counts of other classes do not."""
    losses = [F.cross_entropy] + [
        partial(balanced_softmax, log_n=log_counts(torch.tensor(n)), exponent=x)
        for n, x in (((4000, 400, 400), 1.0), ((4000, 400, 400), 0.25), ((400, 400, 4000), 1.0))
    ]
    plain, balanced, quarter, others = (theory.learnt(MIXTURE, loss, seed=0) for loss in losses)
    assert balanced["balanced"] < 0.03 < 0.2 < balanced["training"]
    assert plain["training"] < 0.03 < 0.2 < plain["balanced"]
    assert min(quarter["balanced"], others["balanced"]) > 5 * balanced["balanced"]


@pytest.mark.parametrize("sizes", [(10, 10, 10), (5000, 500, 50, 1), (10**6, 1)])
def test_a_minimiser_finds_the_margins_of_theorem_2(sizes):
    found, closed = (margins(np.array(sizes), 2.0) for margins in (theory.found_margins, theory.optimal_margins))
    np.testing.assert_allclose(found, closed, rtol=1e-4)
    assert closed.sum() == pytest.approx(2)


def test_the_sigmoids_offset_is_exact_where_the_others_are_mixed_alike():
    assert np.abs(theory.offset_errors(theory.Mixture((1000, 10)))).max() < 1e-6
    one_against_equals = np.abs(theory.offset_errors(theory.Mixture((1000, 10, 10)))).max(0)
    assert one_against_equals[0] < 1e-6 and one_against_equals[1:].min() > 1
    assert np.abs(theory.offset_errors(theory.Mixture((50, 50, 50)))).max() < 1e-6


def tail(*sizes: int) -> counts.Tail:
    found = np.array(sizes)
    return counts.Tail(found, found / found.sum(), np.searchsorted(counts.BOUNDS, found))


def test_precision_of_all_scores_ignores_a_shift_of_a_class():
    """What balanced sigmoid adds to a class' score reorders classes of a region, not regions of a class."""
    rng, truth = np.random.default_rng(0), np.arange(60) % 4  # 3 is background
    scores = rng.random((60, 3)) + np.eye(4)[truth][:, :3]
    plain, shifted = (counts.judged(scores + by, truth, tail(200, 50, 5)) for by in (0, np.array([-1.0, 0.0, 0.6])))
    assert plain["ap"] == shifted["ap"] and plain["ap_top"] != shifted["ap_top"] and plain["test"] != shifted["test"]
    assert set(plain["ap"]) == {"overall", "r", "c", "f"}


def test_rows_are_drawn_as_asked():
    some, labels = tail(90, 9, 1), torch.tensor([0] * 90 + [1] * 9 + [2] + [3] * 100)
    evenly = counts.weights_of("classes", some, labels).double()
    mass = [float(evenly[labels == i].sum()) for i in range(4)]
    assert mass[:3] == pytest.approx([100 / 3] * 3) and mass[3] == pytest.approx(100)
    rare = counts.Tail(some.counts, np.array([0.5, 0.01, 0.00025]), some.frequency)
    repeated = counts.weights_of("repeat", rare, labels)
    assert [float(repeated[labels == i][0]) for i in range(4)] == pytest.approx([1, 1, 2, 1])


def test_the_best_classifier_is_known():
    data = recipe_of("counts softmax")["data"]
    found = counts.regions(data, counts.tail_of("made", 20, 1.0, Path()), 0, CPU)
    background = found.train.target.eq(20).double().mean()
    assert float(background) == pytest.approx(data["background"], abs=1e-3)
    assert len(found.test) == 2 * 20 * counts.TEST_ROWS and found.best.shape == (len(found.test), 20)


def test_a_real_tail_needs_its_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="cat_info.json.gz does not exist; check data_root, .* or set counts"):
        counts.tail_of("lvis_v1", 0, 1.0, tmp_path)
    path = tmp_path / counts.CATEGORIES
    path.parent.mkdir()
    entry = {"id": 1, "name": "yam", "frequency": "r", "image_count": 2, "instance_count": 9}
    for entries, message in (
        ([{k: v for k, v in entry.items() if k != "frequency"}], "a category has id, name, frequency"),
        ([entry, entry | {"id": 2, "name": "yak", "instance_count": 0}], "every category has training instances, yak"),
    ):
        path.write_bytes(gzip.compress(json.dumps(entries).encode()))
        with pytest.raises(ValueError, match=message):
            counts.tail_of("lvis_v1", 0, 1.0, tmp_path)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"imbalances": (0.5,)}, r"imbalances must be in \[1, 1000000.0\], got 0.5"),
        ({"imbalances": (500.0,)}, "every class keeps at least one row, but 10. rows at imbalance 500.0 leave none"),
        ({"dataset": "mnist"}, "dataset is one of cifar10, cifar100, digits, got 'mnist'"),
        ({"augment": "mixup"}, "augment is one of none, shift, crop and flip, autoaugment, got 'mixup'"),
    ],
)
def test_bad_settings_are_refused_before_anything_runs(values, message):
    with pytest.raises(ValueError, match=message):
        paper.recipes(paper.setting(profile="smoke", **values), "balanced_activation")


def test_rows_off_the_table_run_where_asked():
    recipes = paper.recipes(paper.setting(profile="smoke", imbalances=(10.0, 5.0)), "balanced_activation")
    trained = [r for r in recipes if "part" not in r]
    assert len(trained) == len(ROWS) + len(TABLE)
    second = [r["method"]["second"] is not None for r in trained]
    assert second == sorted(second)
