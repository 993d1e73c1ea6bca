"""Table 2 of Ren et al. 2020, on LVIS or generated scenes: Mask R-CNN with repeat factors, then its classifier anew.

As in Sec. 4.2 the whole detector is trained once; every other row starts from it and trains the classifier of regions
alone, boxes and masks as they are. Needs torchvision: `vqabook[detection]`.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import cast

import torch

try:
    from torchvision.models.detection import MaskRCNN
except ImportError as error:
    raise RuntimeError(
        "Mask R-CNN comes with torchvision, which is not in this environment; make another one: pip install "
        "vqabook[detection], or leave detection out"
    ) from error

from jaxtyping import Float, Int
from torch import Tensor, nn

from vqabook.core import pick_device
from vqabook.data.lvis import EQUALISED
from vqabook.data.sampling import repeat_factors, repeated_order
from vqabook.detection.mask_rcnn import Classification, DetectionLoss, DetectorConfig, mask_rcnn
from vqabook.detection.scenes import Scenes
from vqabook.detection.table import Annotated, average_precision, detections, load_annotated, mirror_half, open_sets
from vqabook.files import data_root as root_of
from vqabook.models.heads import ScaledClassifier
from vqabook.objectives.longtail import start_rare
from vqabook.papers.balanced_activation.recipes import DetectionRun
from vqabook.papers.balanced_activation.setting import Method
from vqabook.papers.balanced_activation.train import rule_of
from vqabook.training.fit import FitConfig, Schedule, fit
from vqabook.training.stages import Scratch

SCALE = {"scenes": 100.0, "lvis_v1": 1.0}  # of shares of images: LVIS' own are none among some hundred images
THRESHOLD = 1e-3  # of repeat factors
CLIP = 10.0  # ours: random weights


def train(recipe: DetectionRun, scratch: Scratch, *, data_root: Path | None, device: str = "auto") -> dict:
    """Train the detector of `recipe`, or its classifier anew; the record's result."""
    with open_sets(recipe.data, root_of(data_root)) as sets:
        on = pick_device(device)
        train, val = load_annotated(*sets["train"], on), load_annotated(*sets["val"], on, bare=True)
        first, whole = recipe.first_stage(), recipe.method == recipe.FIRST
        model = build(recipe, train).to(on)
        fit_whole = partial(fit_detector, recipe=cast(DetectionRun, first), train=train, epochs=recipe.epochs)
        if whole:
            history = scratch.stages.go_on(model, first.asked(), fit_whole, anew=scratch.checkpoint)
        else:
            scratch.stages.go_on(model, first.asked(), fit_whole)
            free_classifier(model, recipe, train)
            history = fit_detector(Still(model), scratch.checkpoint, recipe, train, recipe.second_epochs)
        precision = average_precision(val.path, detections(model, val))
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    return {"test": precision["mask"], "box": precision["box"], "trained_parameters": trained, "history": history}


def build(recipe: DetectionRun, train: Annotated) -> MaskRCNN:
    """The whole detector, freshly initialised. Scenes are shown as drawn, in training also an eighth smaller and
    larger, with as many proposals as they need.
    """
    if isinstance(recipe.data, Scenes):
        side = recipe.data.side
        sides = (round(0.875 * side), round(1.125 * side), side)
        config = DetectorConfig(
            recipe.backbone, channels=recipe.channels, sides=sides, longest=2 * side, regions=32, proposals=(100, 50),
            detections=100,
        )  # fmt: skip
    else:
        weights = "DEFAULT" if recipe.weights else None
        config = DetectorConfig(recipe.backbone, weights, recipe.channels, recipe.sides or ())
    with torch.random.fork_rng():
        torch.manual_seed(recipe.seed)
        return mask_rcnn(config, Classification(rule_of(recipe.FIRST), train.counts))


def free_classifier(model: MaskRCNN, recipe: DetectionRun, train: Annotated) -> None:
    """Leave nothing to learn but the classifier, or its scales, by a row's rule."""
    heads, predictor, device = model.roi_heads, model.roi_heads.box_predictor, train.table.device
    rule, second = rule_of(recipe.method), recipe.method.second
    tail = train.shown.double().mean(0) < SCALE[recipe.data.dataset] * EQUALISED["1.0"]
    heads.classification = Classification(rule, train.counts, tail=tail).to(device)
    model.requires_grad_(False)
    if second == "lws":
        predictor.cls_score = ScaledClassifier(predictor.cls_score).to(device)
    else:
        predictor.cls_score.requires_grad_(True)
    if second == "crt":
        with torch.random.fork_rng():
            torch.manual_seed(recipe.seed)
            predictor.cls_score.reset_parameters()
        start_rare(predictor.cls_score, len(train.counts))


class Still(nn.Module):
    """A detector in training whose batch norms stand still."""

    def __init__(self, model: MaskRCNN):
        super().__init__()
        self.model = model

    def train(self, mode: bool = True) -> Still:
        super().train(mode)
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()
        return self

    def forward(self, images: list[Tensor], targets: list[dict]) -> dict[str, Tensor]:
        """The detector's own loss of this name, without the branches that do not learn."""
        model, heads = self.model, self.model.roi_heads
        with torch.no_grad():
            batch, targets = model.transform(images, targets)
            features = model.backbone(batch.tensors)
            proposals, _ = model.rpn(batch, features, targets)
            regions, _, labels, _ = heads.select_training_samples(proposals, targets)
            hidden = heads.box_head(heads.box_roi_pool(features, regions, batch.image_sizes))
        logits, _ = heads.box_predictor(hidden)
        return {"loss_classifier": heads.classification(logits, torch.cat(labels)).mean()}


def fit_detector(model: nn.Module, checkpoint: Path, recipe: DetectionRun, train: Annotated, epochs: int) -> list[dict]:
    """The history of `model`, trained with the images that a row draws."""
    table = mirror_half(train.table)
    factors = image_factors(recipe.method, train, THRESHOLD * SCALE[recipe.data.dataset])
    how = {"optimizer": "sgd", "schedule": Schedule(warmup=min(1.0, epochs / 4), cosine=True), "clip": CLIP}
    config = FitConfig.of(recipe, epochs=epochs, weight_decay=1e-4, **how)

    def order(generator: torch.Generator) -> Int[Tensor, " shown"]:
        return repeated_order(factors, generator=generator)

    return fit(model, DetectionLoss(), table, config, checkpoint=checkpoint, keep=True, order=order, label=recipe.label)


def image_factors(method: Method, train: Annotated, threshold: float) -> Float[Tensor, " n"]:
    """How often each image is shown: by its rarest category, or evenly by categories as far as images allow."""
    if not method.evenly:
        return repeat_factors(train.shown, threshold=threshold)
    weight = (train.shown / train.shown.double().sum(0).clamp(min=1)).sum(1)
    return weight / weight.mean()
