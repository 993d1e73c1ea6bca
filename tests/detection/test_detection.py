"""Detection under long tails, in an environment with torchvision: `make test-detection`."""

from __future__ import annotations

import gzip
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torch.nn import functional as F

pytest.importorskip("torchvision", reason="torchvision has an environment of its own: make test-detection")

from torchvision.models.detection import MaskRCNN  # noqa: E402
from torchvision.models.detection.backbone_utils import resnet_fpn_backbone  # noqa: E402

from vqabook.data.instances import load_lvis  # noqa: E402
from vqabook.data.lvis import BOUNDS  # noqa: E402
from vqabook.detection.mask_rcnn import Classification, DetectionLoss, DetectorConfig, mask_rcnn  # noqa: E402
from vqabook.detection.scenes import NAMES, Scenes, write_scenes  # noqa: E402
from vqabook.detection.table import Annotated, average_precision, detections, load_annotated, mirror_half, open_sets  # noqa: E402
from vqabook.evidence.record import key_of  # noqa: E402
from vqabook.losses.longtail import balanced_sigmoid, equalisation_sigmoid, sigmoid_offsets  # noqa: E402
from vqabook.papers.balanced_activation import PAPER  # noqa: E402
from vqabook.papers.balanced_activation import detection as part  # noqa: E402
from vqabook.papers.balanced_activation.recipes import DetectionRun  # noqa: E402
from vqabook.papers.balanced_activation.setting import DETECTION_ROWS  # noqa: E402
from vqabook.training.fit import FitConfig, fit  # noqa: E402
from vqabook.training.stages import Stages  # noqa: E402

SMALL = Scenes(train=12, val=4, side=64, radius=(8, 12))
COUNTS = torch.tensor([900, 90, 10, 3])


@pytest.fixture(scope="module")
def paths(tmp_path_factory) -> dict[str, Path]:
    return write_scenes(tmp_path_factory.mktemp("scenes"), SMALL)


@pytest.fixture(scope="module")
def val(paths) -> Annotated:
    return load_annotated(paths["val"], paths["val"].with_suffix(""))


def detector(n: int = 4, rule: str = "softmax", backbone: str = "resnet18", **more: object) -> MaskRCNN:
    torch.manual_seed(0)
    config = DetectorConfig(backbone, sides=(64,), longest=64, detections=20)
    return mask_rcnn(config, Classification(rule, torch.full((n,), 5) if n != 4 else COUNTS, **more))


def batch() -> tuple[list[torch.Tensor], list[dict]]:
    boxes, masks = torch.tensor([[4.0, 4, 30, 30], [30, 20, 60, 60]]), torch.zeros(2, 64, 64, dtype=torch.uint8)
    masks[0, 4:30, 4:30] = masks[1, 20:60, 30:60] = 1
    image = torch.rand(3, 64, 64, generator=torch.Generator().manual_seed(0))
    return [image, image.flip(2)], [{"boxes": boxes, "labels": torch.tensor([1, 4]), "masks": masks}] * 2


def test_scenes_are_in_lvis_format(paths, tmp_path):
    """Our loader of the real set reads them; categories of both files carry the counts of train, none of which is 0."""
    train, held_out = (load_lvis(paths[split]) for split in ("train", "val"))
    assert len(train.categories) == len(NAMES) and train.categories.instance_count.min() >= 1
    np.testing.assert_array_equal(np.bincount(train.table.target, minlength=30), train.categories.instance_count)
    np.testing.assert_array_equal(held_out.categories.instance_count, train.categories.instance_count)
    np.testing.assert_array_equal(train.categories.frequency, np.searchsorted(BOUNDS, train.categories.image_count))
    known = json.loads(paths["val"].read_text())
    for image in known["images"]:
        shown = {one["category_id"] for one in known["annotations"] if one["image_id"] == image["id"]}
        absent = set(image["neg_category_ids"])
        assert shown | absent == set(range(1, 31)) and not shown & absent
    again = write_scenes(tmp_path, SMALL)
    assert all(again[split].read_text() == paths[split].read_text() for split in paths)


def test_masks_are_the_outlines(paths, val):
    (images, targets), areas = val.table.batch(torch.tensor([0, 1])).inputs, load_lvis(paths["val"]).table.side["area"]
    assert images[0].shape == (3, 64, 64) and images[0].min() >= 0 and images[0].max() <= 1
    drawn = torch.cat([target["masks"].sum((1, 2)) for target in targets]).float()
    torch.testing.assert_close(drawn, areas[: len(drawn)], rtol=0.15, atol=10.0)
    for (x0, y0, x1, y1), mask in zip(targets[0]["boxes"], targets[0]["masks"], strict=True):
        rows, columns = mask.any(1).nonzero(), mask.any(0).nonzero()
        found = torch.stack([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]).float()
        torch.testing.assert_close(found, torch.stack([x0, y0, x1, y1]), rtol=0, atol=1.5)


def test_mirrored_images_have_mirrored_objects(val):
    torch.manual_seed(1)
    table, row = mirror_half(val.table), torch.tensor([0])
    (plain,), (target,) = val.table.batch(row).inputs
    seen = [table.batch(row).inputs for _ in range(8)]
    mirrored = [(images[0], targets[0]) for images, targets in seen if not torch.equal(images[0], plain)]
    assert 0 < len(mirrored) < 8
    for image, found in mirrored:
        assert torch.equal(image, plain.flip(2)) and torch.equal(found["masks"], target["masks"].flip(2))
        assert torch.equal(found["boxes"][:, [0, 2]], 64 - target["boxes"][:, [2, 0]])


def test_files_that_are_not_whole_are_refused(paths, tmp_path):
    known = json.loads(paths["val"].read_text())
    broken = {
        "LVIS lists categories": [{"id": 1, "name": "yak", "image_count": 1, "instance_count": 1}],
        "an object's category is listed in its file": known["categories"][:1],
    }
    path = tmp_path / "val.json"
    for message, categories in broken.items():
        path.write_text(json.dumps(known | {"categories": categories}))
        with pytest.raises(ValueError, match=message):
            load_annotated(path, paths["val"].with_suffix(""))
    with pytest.raises(FileNotFoundError, match="every image of the annotations is there"):
        load_annotated(paths["val"], tmp_path)


def test_softmax_is_torchvision_s_own_detector():
    """The same losses and the same detections as `MaskRCNN` gives with its own heads."""
    mine, (images, targets) = detector(), batch()
    torch.manual_seed(0)
    backbone = resnet_fpn_backbone(
        backbone_name="resnet18", weights=None, trainable_layers=5, norm_layer=torch.nn.BatchNorm2d
    )
    theirs = MaskRCNN(backbone, 5, min_size=(64,), max_size=64, box_detections_per_img=20, box_score_thresh=1e-4)
    theirs.load_state_dict(mine.state_dict())
    losses = []
    for model in (mine, theirs):
        torch.manual_seed(1)
        losses.append(model.train()(images, targets))
    for name in losses[0]:
        torch.testing.assert_close(losses[0][name], losses[1][name])
    for found, want in zip(mine.eval()(images), theirs.eval()(images), strict=True):
        torch.testing.assert_close(found, want)


def test_rules_count_background_last():
    logits, labels = torch.randn(6, 5, generator=torch.Generator().manual_seed(0)), torch.tensor([0, 1, 2, 3, 4, 0])
    plain = Classification("softmax", COUNTS)
    torch.testing.assert_close(plain(logits, labels), F.cross_entropy(logits, labels, reduction="none"))
    torch.testing.assert_close(plain.scores(logits), logits.softmax(1)[:, 1:])
    target = torch.tensor([4, 0, 1, 2, 3, 4])
    balanced = Classification("balanced_sigmoid", COUNTS)
    want = balanced_sigmoid(logits[:, 1:], target, sigmoid_offsets(COUNTS))
    torch.testing.assert_close(balanced(logits, labels), want)
    torch.testing.assert_close(balanced.scores(logits), logits[:, 1:].sigmoid())
    tail = torch.tensor([False, False, True, True])
    equal = Classification("equalisation_sigmoid", COUNTS, tail=tail)
    torch.testing.assert_close(equal(logits, labels), equalisation_sigmoid(logits[:, 1:], target, tail))
    counted = torch.cat([torch.tensor([1000.0]), COUNTS])
    softmax = Classification("balanced_softmax", COUNTS, background=1000)
    want = F.cross_entropy(logits + counted.log(), labels, reduction="none")
    torch.testing.assert_close(softmax(logits, labels), want)
    leaving = Classification("equalisation", COUNTS, background=1000, tail=tail)
    assert leaving(logits, labels).isfinite().all()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Classification("balanced_softmax", COUNTS), "background is one more class with a count"),
        (lambda: Classification("balanced_sigmoid", torch.tensor([3, 0, 2])), "every class has training rows: class 1"),
        (lambda: DetectorConfig(sides=()), "a detector has sides of its images"),
    ],
)
def test_what_does_not_fit_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("backbone", ["resnet50", "resnet101"])
def test_the_papers_backbones_train_and_detect(backbone, paths):
    some = load_annotated(paths["val"], paths["val"].with_suffix(""))
    model = detector(30, "balanced_sigmoid", backbone)
    two = some.table.subset(torch.arange(2))
    config = FitConfig(epochs=1, batch_size=2, optimizer="sgd", lr=1e-3, clip=10.0)
    (row,) = fit(model, DetectionLoss(), mirror_half(two), config)
    assert np.isfinite(row["loss"])
    found = average_precision(some.path, detections(model, some))
    assert all(value is None or 0 <= value <= 100 for kind in found.values() for value in kind.values())


def truths(annotated: Annotated, score: float = 0.9) -> list[dict]:
    """What is annotated, as results."""
    found = []
    for image_id, objects in zip(annotated.image_ids, annotated.table.lookup.objects, strict=True):
        for (x0, y0, x1, y1), label, outline in zip(
            objects.boxes.tolist(), objects.labels.tolist(), objects.outlines, strict=True
        ):
            box = [x0, y0, x1 - x0, y1 - y0]
            found.append({"image_id": image_id, "category_id": annotated.category_ids[label - 1], "bbox": box,
                          "score": score, "segmentation": outline})  # fmt: skip
    return found


def test_average_precision_by_hand(val):
    right = truths(val)
    groups = {key: value for key, value in average_precision(val.path, right)["mask"].items() if value is not None}
    assert set(groups.values()) == {100.0} and "overall" in groups
    assert average_precision(val.path, [])["box"]["overall"] == 0
    wrong = [one | {"category_id": one["category_id"] % 30 + 1} for one in right]
    assert average_precision(val.path, wrong)["mask"]["overall"] < 20
    first = right[0]["category_id"]
    n = len({one["category_id"] for one in right})
    without = average_precision(val.path, [one for one in right if one["category_id"] != first])
    assert without["mask"]["overall"] == pytest.approx(100 * (n - 1) / n)


def test_lvis_own_annotations(real_data, tmp_path):
    """100 official images' annotations, on blank images of their sizes: what is there has a precision of 100."""
    path = tmp_path / "val.json"
    path.write_bytes(gzip.decompress(real_data("lvis/lvis_val_100.json.gz").read_bytes()))
    known = json.loads(path.read_text())
    for image in known["images"]:
        file = tmp_path / (image.get("file_name") or "/".join(image["coco_url"].split("/")[-2:]))
        file.parent.mkdir(exist_ok=True)
        Image.new("RGB", (image["width"], image["height"])).save(file)
    found = load_annotated(path, tmp_path)
    assert len(found.counts) == len(known["categories"]) and found.shown.any(1).all()
    assert int(found.shown.sum()) == len({(one["image_id"], one["category_id"]) for one in known["annotations"]})
    precision = average_precision(path, truths(found))
    assert all(value == pytest.approx(100) for kind in precision.values() for value in kind.values())
    images, (target,) = found.table.batch(torch.tensor([0])).inputs
    assert target["masks"].shape[1:] == images[0].shape[1:]


def test_a_still_detector_has_the_whole_ones_loss(val):
    """What second stages leave out moves neither the classifier's loss nor its gradient."""
    images, targets = val.table.batch(torch.tensor([0, 1])).inputs
    found = []
    for still in (False, True):
        model = detector(30, "balanced_sigmoid")
        frozen = part.Still(model).train()
        torch.manual_seed(1)
        loss = (frozen if still else model)(images, targets)["loss_classifier"]
        loss.backward()
        found.append((loss.detach(), model.roi_heads.box_predictor.cls_score.weight.grad))
    torch.testing.assert_close(*found)


def test_a_narrow_detector_has_narrow_heads(val):
    config = DetectorConfig("resnet18", channels=32, sides=(64,), longest=64)
    model = mask_rcnn(config, Classification("sigmoid", torch.full((30,), 5)))
    widths = {p.shape[0] for name, p in model.named_parameters() if "fpn" in name or "mask_head" in name}
    assert widths == {32} and model.roi_heads.box_predictor.cls_score.in_features == 128
    assert sum(model(*val.table.batch(torch.tensor([0])).inputs).values()).isfinite()


@pytest.mark.parametrize("row", ["repeat factor", "crt"])
def test_sigmoids_start_at_one_of_all_categories(row, val):
    """The detector's, and the classifier that cRT makes anew: a region's losses add up to some 1, not 30 log 2."""
    recipe = recipe_of(row)
    model = part.build(recipe, val)
    if recipe.method.second:
        model.roi_heads.box_predictor.cls_score.bias.data.zero_()
        part.free_classifier(model, recipe, val)
    torch.testing.assert_close(model.roi_heads.box_predictor.cls_score.bias.sigmoid(), torch.full((31,), 1 / 30))
    loss = model.train()(*val.table.batch(torch.tensor([0, 1])).inputs)["loss_classifier"]
    assert float(loss.detach()) < 1 + np.log(30)


def test_rare_and_common_categories_are_equalised(val):
    """By the share of images below which LVIS' are, as much larger as repeat factors' threshold is."""
    model = detector(30, "sigmoid")
    part.free_classifier(model, recipe_of("equalisation"), val)
    tail, shares = model.roi_heads.classification.rule.loss.tail, val.shown.double().mean(0)
    assert torch.equal(tail, shares < 0.11) and 0 < tail.sum() < 30


def recipe_of(row: str, **more: object) -> DetectionRun:
    values = {"detection": True, "detection_seeds": (0,), "detection_images": 4, "detection_epochs": 1}
    values |= {"detection_channels": 32, "detection_second_epochs": 1, "detection_side": 64} | more
    recipes = PAPER.recipes(PAPER.setting_of(profile="smoke", **values), "balanced_activation")
    (recipe,) = [recipe for recipe in recipes if recipe.variant == f"detector {row}"]
    return recipe


def test_a_new_classifier_is_its_seed_s(val):
    starts = []
    for seed in (0, 0, 1):
        recipe = replace(recipe_of("crt"), seed=seed)
        model = detector(30, "sigmoid")
        torch.manual_seed(len(starts))  # another state each time, as whatever ran before in a process leaves it
        part.free_classifier(model, recipe, val)
        starts.append(model.roi_heads.box_predictor.cls_score.weight)
    assert torch.equal(starts[0], starts[1]) and not torch.equal(starts[0], starts[2])


@pytest.fixture
def lvis(real_data, tmp_path) -> dict:
    """A data root with LVIS 1.0 in its official layout: a few annotated images, whose pixels are drawn at random."""
    with gzip.open(real_data("lvis/lvis_val_100.json.gz")) as file:
        known = json.load(file)
    for category in known["categories"]:  # of 0.5: 1.0 has none without an image
        category |= {name: max(1, category[name]) for name in ("image_count", "instance_count")}
    shown = {entry["image_id"] for entry in known["annotations"]}
    bare = [image for image in known["images"] if image["id"] not in shown]
    full = [image for image in known["images"] if image["id"] in shown]
    parts = {"train": full[:4] + bare[:1], "val": full[4:6] + bare[1:2]}
    names = {"train": "train2014/COCO_train2014_{:012d}.jpg", "val": "val2017/{:012d}.jpg"}  # either year's
    (tmp_path / "lvis").mkdir()
    for split, images in parts.items():
        for image in images:
            image.pop("file_name")  # of 0.5: 1.0 gives addresses
            path = tmp_path / "coco_images" / names[split].format(image["id"])
            path.parent.mkdir(parents=True, exist_ok=True)
            pixels = np.random.default_rng(image["id"]).integers(0, 255, (image["height"], image["width"], 3))
            Image.fromarray(pixels.astype(np.uint8)).save(path)
        own = {image["id"] for image in images}
        listed = [entry for entry in known["annotations"] if entry["image_id"] in own]
        content = known | {"images": images, "annotations": listed}
        (tmp_path / "lvis" / f"lvis_v1_{split}.json").write_text(json.dumps(content))
    return {"detection_dataset": "lvis_v1", "data_root": str(tmp_path), "detection_sides": (64, 80)}


def test_lvis_is_trained_on_and_judged_from_end_to_end(lvis, tmp_path):
    """By the sizes that are asked for; images without an object are judged, but teach nothing."""
    for row in ("repeat factor", "balanced sigmoid"):
        recipe = recipe_of(row, **lvis)
        asked = json.loads(json.dumps(recipe.asked()))
        assert DetectionRun.of(asked) == recipe and asked["sides"] == [64, 80] and "weights" not in asked
        with open_sets(recipe.data, tmp_path) as sets:
            train, val = load_annotated(*sets["train"]), load_annotated(*sets["val"], bare=True)
        assert (len(train.table), len(val.table)) == (4, 3) and not val.shown[2].any()
        (image,), (target,) = val.table.batch(torch.tensor([2])).inputs
        assert target["masks"].shape == (0, *image.shape[1:]) and target["boxes"].shape == (0, 4)
        result = PAPER.produce(asked, tmp_path / f"{key_of(asked)}.checkpoint", data_root=tmp_path, device="cpu")
        assert json.loads(json.dumps(result, allow_nan=False)) == result
        assert 0 <= result["test"]["overall"] <= 100 and len(result["history"]) == 1


def test_lvis_is_told_by_its_annotations_and_asked_for_whole(lvis, tmp_path):
    known = recipe_of("crt", **lvis).data
    path = tmp_path / "lvis" / "lvis_v1_val.json"
    path.write_bytes(path.read_bytes() + b" ")
    assert recipe_of("crt", **lvis).data != known == replace(known)
    path.unlink()
    with pytest.raises(FileNotFoundError, match="lvis_v1_val.json does not exist; check data_root, or run: vqabook"):
        recipe_of("crt", **lvis)


def test_the_paper_s_detectors_have_its_sizes(lvis):
    """Sec. 4.2: both backbones from ImageNet's weights, sides of 640 to 800, 25 and 10 epochs."""
    setting = PAPER.setting_of(profile="paper", detection=True)
    assert (setting.detection_epochs, setting.detection_second_epochs, setting.detection_batch_size) == (25, 10, 16)
    values = {name: getattr(setting, name) for name in vars(setting) if name.startswith("detection")}
    del values["detection_dataset"], values["detection"]
    setting = PAPER.setting_of(profile="smoke", detection=True, **values | {**lvis, "detection_sides": (640, 800)})
    runs = [run for run in PAPER.recipes(setting, "balanced_activation") if run.part == "detection"]
    assert {run.weights for run in runs} == {"imagenet"} and {run.sides for run in runs} == {(640, 800)}
    names = {run.variant: run.backbone for run in runs}
    assert names["detector crt"] == "resnet50" and names["detector crt @ resnet101"] == "resnet101"
    assert len(names) == 2 * len(DETECTION_ROWS)


def test_rows_train_one_detector_and_then_its_classifier_alone(tmp_path, monkeypatch):
    """The first stage that other code left is not among what they go on from."""
    states, fit_detector = {}, part.fit_detector

    def watch(model: nn.Module, checkpoint: Path, recipe: DetectionRun, *data: object, **more: object) -> list[dict]:
        before = {k: v.clone() for k, v in model.state_dict().items()}
        history = fit_detector(model, checkpoint, recipe, *data, **more)
        states[recipe.variant] = (before, model.state_dict())
        return history

    monkeypatch.setattr(part, "fit_detector", watch)
    monkeypatch.setattr("vqabook.papers.paper.code_hash", lambda: "now")
    stage = Stages(tmp_path, "older").path(recipe_of("crt").first_stage().asked(), "weights")
    stage.write_bytes(b"what these rows would not survive")
    for row in DETECTION_ROWS:
        recipe = recipe_of(row)
        asked = json.loads(json.dumps(recipe.asked()))
        assert DetectionRun.of(asked) == recipe
        result = PAPER.produce(asked, tmp_path / f"{key_of(asked)}.checkpoint", data_root=None, device="cpu")
        assert json.loads(json.dumps(result, allow_nan=False)) == result and len(result["history"]) == 1
        assert {"overall", "r", "c", "f"} == result["test"].keys() == result["box"].keys()
    assert len(list(tmp_path.glob("*.now.weights.stage"))) == 1
    del states["first stage"]
    assert len(states) == len(DETECTION_ROWS) - 1
    for before, after in states.values():
        moved = [name for name, value in before.items() if not torch.equal(value, after[name])]
        assert moved and all("cls_score" in name for name in moved)
