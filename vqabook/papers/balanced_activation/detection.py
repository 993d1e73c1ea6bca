"""Table 2 of Ren et al. 2020 on generated scenes: Mask R-CNN under repeat-factor sampling, then its classifier anew.

As in Sec. 4.2 the whole detector is trained once; every other row starts from it and trains the classifier of regions
alone, boxes and masks as they are. Needs torchvision: `vqabook[detection]`.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from filelock import FileLock
from torch import nn

try:
    from torchvision.models.detection import MaskRCNN
except ModuleNotFoundError as error:
    raise RuntimeError(
        "Mask R-CNN comes with torchvision, which is not in this environment; make another one: pip install "
        "vqabook[detection], or leave detection out"
    ) from error

from vqabook.data.sampling import repeat_factors, repeated_order
from vqabook.detection.evaluation import average_precision, detections
from vqabook.detection.loss import DetectionLoss
from vqabook.detection.mask_rcnn import Classification, DetectorConfig, mask_rcnn
from vqabook.detection.scenes import Scenes, write_scenes
from vqabook.detection.table import Annotated, flipped, load_annotated
from vqabook.evidence.record import key_of
from vqabook.files import save_whole
from vqabook.models.heads import ScaledClassifier
from vqabook.papers.balanced_activation.setting import DETECTION_ROWS, Method
from vqabook.training.fit import FitConfig, fit, pick_device
from vqabook.training.schedule import Schedule

if TYPE_CHECKING:
    from jaxtyping import Float, Int
    from torch import Tensor

FIRST = DETECTION_ROWS["repeat factor"]
THRESHOLD = 0.1  # of repeat factors; LVIS' 0.001 would repeat nothing among some hundred images
CLIP = 10.0  # ours: random weights


def produce(recipe: Mapping, checkpoint: Path, *, data_root: Path | None, device: str = "auto") -> dict:
    """Train the detector of `recipe`, or its classifier anew; the record's result. `data_root` is not read."""
    asked = {name: recipe["data"][name] for name in Scenes.__dataclass_fields__}
    scenes = Scenes(**{name: tuple(x) if isinstance(x, list) else x for name, x in asked.items()})
    with tempfile.TemporaryDirectory() as folder:
        paths = write_scenes(Path(folder), scenes)
        on = pick_device(device)
        train, val = (load_annotated(path, path.with_suffix(""), on) for path in paths.values())
        return _trained(recipe, train, val, checkpoint, on)


def _trained(recipe: Mapping, train: Annotated, val: Annotated, checkpoint: Path, on: torch.device) -> dict:
    method = Method(**recipe["method"])
    model, history = _first(recipe, train, checkpoint, on)
    if method != FIRST:
        model, history = _again(model, recipe, method, train, checkpoint, on)
    found = average_precision(val.path, detections(model, val))
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    return {"test": found["mask"], "box": found["box"], "trained_parameters": trained, "history": history}


def config_of(recipe: Mapping, n_classes: int) -> DetectorConfig:
    """Images as they are drawn, an eighth smaller and larger in training, and as many proposals as they need."""
    side = recipe["data"]["side"]
    sides = (round(0.875 * side), round(1.125 * side), side)
    return DetectorConfig(
        n_classes, backbone=recipe["backbone"], frozen_norms=False, sides=sides, longest=2 * side,
        channels=recipe["channels"], regions=32, proposals=(100, 50), detections=100,
    )  # fmt: skip


def _first(recipe: Mapping, train: Annotated, checkpoint: Path, device: torch.device) -> tuple[MaskRCNN, list[dict]]:
    """The detector under repeat-factor sampling: the one that a run of this seed left, or trained here."""
    path = weights_of(recipe, checkpoint)
    with torch.random.fork_rng():
        torch.manual_seed(recipe["seed"])
        config = config_of(recipe, train.table.n_classes)
        model = mask_rcnn(config, Classification(FIRST.rule, train.counts)).to(device)
    with FileLock(f"{path}.lock"):
        if not path.exists():
            history = fitted(model, recipe, FIRST, train, recipe["epochs"], path.with_suffix(".checkpoint"))
            save_whole({"model": model.state_dict(), "history": history}, path)
        saved = torch.load(path, map_location=device, weights_only=True)
    model.load_state_dict(saved["model"])
    return model, saved["history"]


def _again(
    model: MaskRCNN, recipe: Mapping, method: Method, train: Annotated, checkpoint: Path, device: torch.device
) -> tuple[MaskRCNN, list[dict]]:
    """The same detector with its classifier trained anew by a row's rule."""
    heads = model.roi_heads
    rare = train.frequency == 0
    heads.classification = Classification(method.rule, train.counts, tail=rare).to(device)
    model.requires_grad_(False)
    if method.second == "lws":
        heads.box_predictor.cls_score = ScaledClassifier(heads.box_predictor.cls_score)
    else:
        heads.box_predictor.cls_score.requires_grad_(True)
        if method.second == "crt":
            heads.box_predictor.cls_score.reset_parameters()
    frozen = Still(model)
    return model, fitted(frozen, recipe, method, train, recipe["second_epochs"], checkpoint)


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


def fitted(
    model: nn.Module, recipe: Mapping, method: Method, train: Annotated, epochs: int, checkpoint: Path
) -> list[dict]:
    """The history of `model`, trained with the images that a row draws."""
    factors = factors_of(method, train)
    config = FitConfig(
        epochs=epochs, batch_size=recipe["batch_size"], optimizer="sgd", lr=recipe["lr"], weight_decay=1e-4, clip=CLIP,
        schedule=Schedule(warmup=min(1.0, epochs / 4), cosine=True), seed=recipe["seed"],
    )  # fmt: skip
    order = partial(_repeated, factors) if factors is not None else None
    label = f"{recipe['variant']}, seed {recipe['seed']}"
    rule = DetectionLoss()
    return fit(model, rule, flipped(train.table), config, checkpoint=checkpoint, order=order, label=label)


def factors_of(method: Method, train: Annotated) -> Float[Tensor, " n"] | None:
    """How often each image is shown: by its rarest category; evenly by categories as far as images allow; or once."""
    if method.draw == "repeat":
        return repeat_factors(train.shown, threshold=THRESHOLD)
    if method.draw == "classes":
        share = 1 / train.shown.double().sum(0).clamp(min=1)
        weight = (train.shown * share).sum(1)
        return weight / weight.mean()
    return None


def _repeated(factors: Float[Tensor, " n"], generator: torch.Generator) -> Int[Tensor, " shown"]:
    return repeated_order(factors, generator=generator)


def weights_of(recipe: Mapping, checkpoint: Path) -> Path:
    """Where runs of one seed leave and find the first stage; the file goes the way of stages."""
    shared = {k: v for k, v in recipe.items() if k not in ("variant", "method", "second_epochs")}
    return checkpoint.with_name(f"{key_of(shared | {'variant': 'first stage'})}.weights.stage")
