"""Chapter 06: what its runs do, how they are judged, what its theory says, what is refused."""

from __future__ import annotations

import copy
import gzip
import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from vqabook.data.image_tables import divide
from vqabook.data.imbalanced import Cut
from vqabook.data.lvis import BOUNDS
from vqabook.evidence.record import key_of, read_record
from vqabook.losses.longtail import balanced_softmax, log_counts
from vqabook.losses.margins import optimal_margins
from vqabook.models.heads import CosineClassifier, Decoupled
from vqabook.objectives import MetaSampler
from vqabook.papers.balanced_activation import PAPER, counts, printed, recipes, theory
from vqabook.papers.balanced_activation import train as training
from vqabook.papers.balanced_activation.recipes import Row, Run, Tail, read_tail
from vqabook.papers.balanced_activation.setting import COUNTS_ROWS, FULL, HALVED, IN_BF16, ROWS, TABLE, Method
from vqabook.report.verdicts import number
from vqabook.world.mixture import Mixture

ROOT = Path(__file__).resolve().parents[3]
pytest.importorskip("sklearn")
CPU = torch.device("cpu")


def list_smoke(**values: object) -> list[Row]:
    return PAPER.recipes(PAPER.setting_of(profile="smoke", **values), "balanced_activation")


def recipe_of(variant: str, **values: object) -> Row:
    (recipe,) = [recipe for recipe in list_smoke(**values) if recipe.variant == variant]
    return recipe


def produce(variant: str, folder: Path, **values: object) -> dict:
    """The result of a smoke run, through JSON without NaN as a record goes."""
    asked = recipe_of(variant, **values).asked()
    folder.mkdir(exist_ok=True)
    result = PAPER.produce(asked, folder / f"{key_of(asked)}.checkpoint", data_root=None, device="cpu")
    return json.loads(json.dumps(result, allow_nan=False))


def test_a_recipe_is_what_its_record_keeps():
    for recipe in list_smoke(detection=True):
        asked = recipe.asked()
        assert type(recipe).of(json.loads(json.dumps(asked))) == recipe
        assert PAPER.parts[asked.get("part", "train")].recipe is type(recipe)


@pytest.mark.parametrize(
    "row",
    [
        "softmax", "balanced softmax", "softmax @ as long", "balanced softmax @ second stage",
        "balanced softmax @ second stage, evenly", "balanced meta-softmax", "ldam @ drw", "crt", "cbs",
    ],
)  # fmt: skip
def test_a_run_gives_what_its_claims_read(row, tmp_path):
    whole = PAPER.whole | {"imbalances": (100.0,)}
    result, again = (produce(f"{row} at 100", tmp_path / str(i), **whole) for i in range(2))
    assert result | {"history": None} == again | {"history": None}
    assert result["test"]["overall"] == result["history"][-1]["test_accuracy"] <= result["best_on_test"]
    assert len(result["train"]["per_class"]) == 10 and 0 <= result["train"]["few"] <= 100
    assert [r["epoch"] for r in result["history"]] == list(range(1, len(result["history"]) + 1))
    for claim in PAPER.claims:
        for side in (claim.more, claim.less):
            if side.where["variant"] == f"{row} at 100":
                assert number({"result": result}, side.metric) is not None, side.metric


def test_second_stages_draw_their_rows_as_they_say(tmp_path, monkeypatch):
    """A new classifier, the same for all three; classes evenly but where rows come as they are."""
    given = {}

    def watch(model: nn.Module, objective: nn.Module, table: object, config: object, **more: object) -> list[dict]:
        if isinstance(model, Decoupled):
            given[len(given)] = (copy.deepcopy(model.classifier.state_dict()), objective, more["order"])
        return [{"test_accuracy": 0.0, "rates": [50.0] * 10}]

    monkeypatch.setattr(training, "fit", watch)
    for row in ("balanced meta-softmax", "balanced softmax @ second stage", "balanced softmax @ second stage, evenly"):
        produce(f"{row} at 10", tmp_path)
    weights, objectives, orders = zip(*given.values(), strict=True)
    assert all(torch.equal(own[name], x) for own in weights for name, x in weights[0].items())
    assert [isinstance(objective, MetaSampler) for objective in objectives] == [True, False, False]
    assert [order is None for order in orders] == [False, True, False]


@pytest.mark.parametrize("row", COUNTS_ROWS)
def test_classifiers_under_a_detectors_tail(row, tmp_path):
    result = produce(f"counts {row}", tmp_path)
    assert result | {"history": None} == produce(f"counts {row}", tmp_path) | {"history": None}
    assert 0 <= result["ap_top"]["f"] <= 100 and result["best"]["test"]["overall"] > result["test"]["overall"]


def test_every_printed_number_is_a_row_of_the_table():
    assert all(list(column) == list(TABLE) for column in (*printed.PRINTED.values(), *printed.SPREAD.values()))
    assert printed.PRINTED.keys() == printed.SPREAD.keys()
    assert (printed.PRINTED[100, 100]["equalisation"], printed.SPREAD[10, 100]["cbs"]) == (47.3, 2.2)
    assert printed.DETECTED["ResNet-101", "test-dev"]["balanced sigmoid"] == {
        "test.overall": 26.1, "test.f": 30.4, "test.c": 25.0, "test.r": 19.5,
    }  # fmt: skip
    found = {claim.name: claim.printed for claim in PAPER.claims}
    assert found["balanced-10-100-over-softmax"] == 5.7
    assert (found["balanced-10-meta-over-softmax"], found["balanced-100-meta-over-balanced-softmax"]) == (7.5, 0.5)
    assert found["balanced-10-meta-over-crt"] is None
    assert found["balanced-10-gain-100-10"] == pytest.approx((83.1 - 77.4) - (90.9 - 90.0))
    assert (found["balanced-detector-over-repeat-factor"], found["balanced-detector-rare"]) == (3.0, 6.7)
    assert "balanced-100-gain-200-100" not in found and found["balanced-100-gain-100-10"] == 3.8
    assert found["balanced-detector-gain"] == pytest.approx((18.3 - 11.6) - (29.3 - 27.8))


def test_a_second_stage_trains_the_classifier_alone(tmp_path, monkeypatch):
    """Features are the softmax run's, with or without that run's weights at hand, and batch norm stands still."""
    kept = {}
    fit_network = training.fit_network

    def watch(model: nn.Module, checkpoint: Path, **asked: object) -> list[dict]:
        history = fit_network(model, checkpoint, **asked)
        if isinstance(model, Decoupled):
            kept.setdefault("after", {k: v.clone() for k, v in model.trained.state_dict().items()})
        else:
            kept.setdefault("first", {k: v.clone() for k, v in model.state_dict().items()})
        return history

    monkeypatch.setattr(training, "fit_network", watch)
    produce("softmax at 10", tmp_path)
    (weights,) = tmp_path.glob("*.weights.stage")
    for row in ("crt", "lws", "balanced meta-softmax"):
        result = produce(f"{row} at 10", tmp_path)
        assert all(torch.equal(kept["first"][name], value) for name, value in kept.pop("after").items())
        assert result | {"history": None} == produce(f"{row} at 10", tmp_path / row) | {"history": None}
        kept.pop("after")
    assert weights.exists()


@pytest.mark.parametrize(("first", "second"), [("softmax at 10", "crt at 10"), ("counts sigmoid", "counts lws")])
def test_a_first_stage_that_other_code_left_is_not_used(first, second, tmp_path, monkeypatch):
    """As though a loss were edited between two runs in one folder: the second stage makes a first one of its own."""
    produce(first, tmp_path)
    (older,) = tmp_path.glob("*.weights.stage")
    state = torch.load(older, weights_only=True)
    torch.save({name: torch.zeros_like(value) for name, value in state.items()}, older)  # who goes on from it, shows it
    misled = produce(second, tmp_path)
    monkeypatch.setattr("vqabook.papers.paper.code_hash", lambda: "edited")
    result, alone = produce(second, tmp_path), produce(second, tmp_path / "alone")
    assert result | {"history": None} == alone | {"history": None} != misled | {"history": None}
    assert len(list(tmp_path.glob("*.weights.stage"))) == 2


@pytest.mark.timeout(900)
def test_an_edit_between_the_stages_makes_the_first_one_again(tmp_path):
    """With another momentum from the second process on, a folder with older stages gives what a new one does."""
    code, folder = tmp_path / "code", tmp_path / "folder"
    shutil.copytree(ROOT / "vqabook", code / "vqabook", ignore=shutil.ignore_patterns("__pycache__"))

    def make(variant: str, *outs: Path) -> list[dict]:
        """Its result in each folder, by a process with the copied code."""
        asked = recipe_of(variant).asked()
        (tmp_path / "recipes.json").write_text(json.dumps([asked]))
        script = "import sys\nfrom pathlib import Path\nfrom vqabook.cli.pages import make\n"
        script += "for out in sys.argv[2:]:\n    make(Path(out), Path(sys.argv[1]))"
        words = [sys.executable, "-c", script, str(tmp_path / "recipes.json"), *map(str, outs)]
        subprocess.run(words, cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(code)}, check=True)
        return [read_record(out / f"{key_of(asked)}.json")["result"] | {"history": None} for out in outs]

    produce("softmax at 10", folder)
    before = produce("crt at 10", folder) | {"history": None}
    assert len(list(folder.glob("*.weights.stage"))) == 1
    edited = code / "vqabook" / "training" / "solver.py"
    edited.write_text(edited.read_text("utf-8").replace("momentum: float = 0.9", "momentum: float = 0.5"), "utf-8")
    after, alone = make("crt at 10", folder, tmp_path / "alone")
    assert len(list(folder.glob("*.weights.stage"))) == 2
    assert after == alone != before


def test_no_rival_is_softmax(tmp_path):
    """Under every tail that is asked for, a row that draws rows as they come has a loss or a classifier of its own."""
    x, y = torch.randn(200, 10, generator=torch.Generator().manual_seed(0)), torch.arange(200) % 10
    for profile in ("smoke", "small"):
        runs = PAPER.recipes(PAPER.setting_of(profile=profile, seeds=(0,)), "balanced_activation")
        for run in (run for run in runs if run.part is None and run.method.draw == "rows" and not run.method.second):
            data = divide(Cut("digits", "imbalanced", run.data.imbalance, 0.4, 0), tmp_path)
            plain = F.cross_entropy(x, y, reduction="none")
            same = torch.allclose(training.build_objective(run, data).cost(x, y, 0.9), plain)
            assert same == (run.method == Run.FIRST), run.variant


def test_rows_as_long_have_the_steps_of_both_stages():
    runs = {recipe.variant: recipe for recipe in list_smoke() if recipe.part is None}
    crt = runs["crt at 10"]
    for row in ("softmax", "balanced softmax"):
        longer = runs[f"{row} @ as long at 10"]
        assert longer.steps == crt.steps + crt.second_steps and longer.method == runs[f"{row} at 10"].method
    assert longer.steps > runs["softmax at 10"].steps == crt.first_stage().steps


def test_on_lvis_rare_and_common_categories_are_equalised(real_data):
    lvis = read_tail("lvis_v1", 0, 1.0, real_data(recipes.CATEGORIES).parents[1])
    assert lvis.equalised.sum() == 817
    assert lvis.equalised[lvis.frequency < 2].all() and not lvis.equalised.all()


@pytest.mark.parametrize("row", ["sigmoid", "crt", "balanced sigmoid"])
def test_logistic_classifiers_of_regions_start_rare(row, tmp_path, monkeypatch):
    starts = []
    monkeypatch.setattr(counts, "fit", lambda model, *data, **more: starts.append(copy.deepcopy(model)) or [])
    produce(f"counts {row}", tmp_path)
    for model in starts:
        torch.testing.assert_close(model.classifier.bias.sigmoid(), torch.full((20,), 1 / 20))


def of_rule(rule: str, **values: object) -> Run:
    return replace(recipe_of("softmax at 10"), method=Method(rule, **values))


def test_models_are_what_their_rules_want():
    data = divide(Cut("digits", "imbalanced", 10.0, 0.4, 0), Path())
    ldam, sigmoid = (training.build(of_rule(rule), data) for rule in ("ldam", "balanced_sigmoid"))
    assert isinstance(ldam.classifier, CosineClassifier)
    torch.testing.assert_close(sigmoid.classifier.bias.sigmoid(), torch.full((10,), 0.1))
    same = [training.build(of_rule("softmax"), data).state_dict() for _ in range(2)]
    assert all(torch.equal(same[0][name], same[1][name]) for name in same[0])


def test_a_controls_counts_are_dealt_out_to_other_classes():
    data = divide(Cut("digits", "imbalanced", 10.0, 0.4, 0), Path())
    x, y = torch.zeros(1, 10), torch.tensor([0])
    true, dealt = (
        training.build_objective(of_rule("balanced_softmax", dealt=dealt), data).loss(x, y) for dealt in (False, True)
    )
    torch.testing.assert_close(true, -(torch.tensor([data.frequency[0] / data.frequency.sum()]).log()).float())
    assert not torch.allclose(true, dealt)


def test_steps_become_whole_epochs_with_their_schedule():
    recipe = replace(recipe_of("softmax at 10"), batch_size=512, steps=13_000, second_steps=1300, warmup=800)
    config = training.fit_config(recipe, 11_203)
    assert config.epochs == round(13_000 / 22) and config.schedule.warmup == pytest.approx(800 / 22)
    ends = [config.schedule.factor(epoch, config.epochs) for epoch in (0, config.epochs)]
    assert ends == pytest.approx([0.5, 0])
    second = training.fit_config(replace(recipe, method=ROWS["crt"]), 11_203)
    assert second.schedule.warmup == pytest.approx(80 / 22)
    plain = training.fit_config(replace(recipe, schedule="steps", warmup=5 * 25, steps=200 * 25), 12_406)
    factors = [plain.schedule.factor(epoch, plain.epochs) for epoch in (159, 160, 180)]
    assert plain.epochs == 200 and factors == pytest.approx([1, 0.01, 0.0001])


MIXTURE = Mixture((4000, 400, 400))


def test_balanced_softmax_learns_the_balanced_posterior():
    """Theorem 1; plain softmax, the exponent of Corollary 1, and counts of other classes do not."""
    losses = [F.cross_entropy] + [
        partial(balanced_softmax, log_n=log_counts(torch.tensor(n)), exponent=x)
        for n, x in (((4000, 400, 400), 1.0), ((4000, 400, 400), 0.25), ((400, 400, 4000), 1.0))
    ]
    plain, balanced, quarter, others = (theory.measure_distances(MIXTURE, loss, seed=0) for loss in losses)
    assert balanced["balanced"] < 0.03 < 0.2 < balanced["training"]
    assert plain["training"] < 0.03 < 0.2 < plain["balanced"]
    assert min(quarter["balanced"], others["balanced"]) > 5 * balanced["balanced"]


@pytest.mark.parametrize("sizes", [(10, 10, 10), (5000, 500, 50, 1), (10**6, 1)])
def test_a_minimiser_finds_the_margins_of_theorem_2(sizes):
    found, closed = (margins(np.array(sizes), 2.0) for margins in (theory.find_margins, optimal_margins))
    np.testing.assert_allclose(found, closed, rtol=1e-4)
    assert closed.sum() == pytest.approx(2)


def test_the_bound_of_theorem_2_bounds():
    """Eq. 23 is above what it bounds, smallest at the margins of Eq. 26, and 1 with as many rows as it says."""
    classifier, sizes = theory.fit_linear(MIXTURE, F.cross_entropy, 0), np.array(MIXTURE.counts, float)
    bounds = {}
    for exponent in (0.0, 0.25, 0.5):
        margins = sizes**-exponent / np.sum(sizes**-exponent)
        bounds[exponent] = theory.bound_classifier(MIXTURE, classifier, margins)
    assert all(0 < bound.error <= bound.total for bound in bounds.values())
    assert min(bounds, key=lambda x: bounds[x].complexity) == min(bounds, key=lambda x: bounds[x].total) == 0.25
    best = bounds[0.25]
    assert best.in_margin + (best.complexity + best.low_order) / best.rows_for_one**0.5 == pytest.approx(1)
    sure = replace(classifier, weight=100 * classifier.weight)
    assert theory.bound_classifier(MIXTURE, sure, np.full(3, 0.3)).complexity > 50 * bounds[0.0].complexity


def test_the_sigmoids_offset_is_exact_where_the_others_are_mixed_alike():
    assert np.abs(theory.offset_errors(Mixture((1000, 10)))).max() < 1e-6
    one_against_equals = np.abs(theory.offset_errors(Mixture((1000, 10, 10)))).max(0)
    assert one_against_equals[0] < 1e-6 and one_against_equals[1:].min() > 1
    assert np.abs(theory.offset_errors(Mixture((50, 50, 50)))).max() < 1e-6


def tail(*sizes: int) -> Tail:
    rows = np.array(sizes)
    return Tail(rows, rows / rows.sum(), np.searchsorted(BOUNDS, rows))


def test_precision_of_all_scores_ignores_a_shift_of_a_class():
    """What balanced sigmoid adds to a class' score reorders classes of a region, not regions of a class."""
    rng, truth = np.random.default_rng(0), np.arange(60) % 4  # 3 is background
    scores = rng.random((60, 3)) + np.eye(4)[truth][:, :3]
    plain, shifted = (counts.judge(scores + by, truth, tail(200, 50, 5)) for by in (0, np.array([-1.0, 0.0, 0.6])))
    assert plain["ap"] == shifted["ap"] and plain["ap_top"] != shifted["ap_top"] and plain["test"] != shifted["test"]
    assert set(plain["ap"]) == {"overall", "r", "c", "f"}


def test_rows_are_drawn_as_asked():
    some, labels = tail(90, 9, 1), torch.tensor([0] * 90 + [1] * 9 + [2] + [3] * 100)
    evenly = counts.sampling_weights(Method("sigmoid", draw="classes"), some, labels)
    mass = [float(evenly[labels == i].sum()) for i in range(4)]
    assert mass[:3] == pytest.approx([100 / 3] * 3) and mass[3] == pytest.approx(100)
    rare = Tail(some.counts, np.array([0.5, 0.01, 0.00025]), some.frequency)
    repeated = counts.sampling_weights(Method("sigmoid", draw="repeat"), rare, labels)
    assert [float(repeated[labels == i][0]) for i in range(4)] == pytest.approx([1, 1, 2, 1])
    assert counts.sampling_weights(Method("sigmoid"), rare, labels) is None


def test_the_best_classifier_is_known():
    data = recipe_of("counts softmax").data
    regions = counts.draw_regions(data, read_tail("made", 20, 1.0, Path()), 0, CPU)
    background = regions.train.target.eq(20).double().mean()
    assert float(background) == pytest.approx(data.background, abs=1e-3)
    assert len(regions.test) == 2 * 20 * counts.TEST_ROWS and regions.best.shape == (len(regions.test), 20)


def test_a_real_tail_needs_its_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="cat_info.json.gz does not exist; check data_root, .* or set counts"):
        read_tail("lvis_v1", 0, 1.0, tmp_path)
    path = tmp_path / recipes.CATEGORIES
    path.parent.mkdir()
    entry = {"id": 1, "name": "yam", "frequency": "r", "image_count": 2, "instance_count": 9}
    for entries, message in (
        ([{k: v for k, v in entry.items() if k != "frequency"}], "LVIS lists categories"),
        ([entry, entry | {"id": 2, "name": "yak", "instance_count": 0}], "every category has training instances, yak"),
    ):
        path.write_bytes(gzip.compress(json.dumps(entries).encode()))
        with pytest.raises(ValueError, match=message):
            read_tail("lvis_v1", 0, 1.0, tmp_path)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"imbalances": (0.5,)}, r"imbalances must be in \[1, 1000000.0\], got 0.5"),
        ({"imbalances": (500.0,)}, "every class keeps at least one row, but 10. rows at imbalance 500.0 leave none"),
        ({"dataset": "mnist"}, "dataset is one of cifar10, cifar100, digits, got 'mnist'"),
        (
            {"augment": "mixup"},
            "augment is one of none, shift, crop and flip, autoaugment, autoaugment, bicubic, got 'mixup'",
        ),
    ],
)
def test_bad_settings_are_refused_before_anything_runs(values, message):
    with pytest.raises(ValueError, match=message):
        list_smoke(**values)


def test_networks_of_full_size_never_look_at_test(tmp_path):
    runs = {run.variant: run for run in list_smoke(full_precision="bf16") if run.part == FULL}
    assert list(runs) == ["full softmax at 10", "full softmax at 10 @ twice as long", "full crt at 10"]
    plain, longer, crt = runs.values()
    for name in ("steps", "second_steps", "warmup"):
        assert getattr(longer, name) == 2 * getattr(plain, name)
    assert crt.first_stage() == plain.first_stage() != longer.first_stage()
    assert {run.precision for run in runs.values()} == {"bf16"}
    assert recipe_of("full crt at 10").precision is None
    assert plain.depth == 8 and plain.stem_stride == 1
    result = produce("full crt at 10", tmp_path, full_precision="bf16")
    assert result["best_on_test"] is None and not any("test_accuracy" in epoch for epoch in result["history"])
    assert 0 <= result["test"]["overall"] <= 100


def test_rows_off_the_table_run_where_asked():
    trained = [recipe for recipe in list_smoke(imbalances=(10.0, 5.0)) if recipe.part is None]
    assert len(trained) == len(ROWS) + len(TABLE) + len(HALVED)
    assert [r.variant for r in trained if r.precision] == [f"{row}{IN_BF16} at 10" for row in HALVED]
    second = [recipe.method.second is not None for recipe in trained]
    assert second == sorted(second)
