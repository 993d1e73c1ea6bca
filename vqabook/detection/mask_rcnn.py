"""torchvision's Mask R-CNN (He et al. 2017, arXiv:1703.06870) whose boxes are classified by a loss of ours.

Labels are torchvision's: 0 is background, 1 to c are categories. Losses for long tails count categories from 0 and have
background last; `Classification` is the place where one becomes the other.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torchvision.models.detection import MaskRCNN
from torchvision.models.detection.backbone_utils import BackboneWithFPN, resnet_fpn_backbone
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor
from torchvision.models.detection.roi_heads import RoIHeads
from torchvision.ops import FeaturePyramidNetwork, batched_nms, clip_boxes_to_image, remove_small_boxes
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool

from vqabook.core import Batch
from vqabook.objectives.base import Objective
from vqabook.objectives.longtail import LabelLoss, Rule, long_tail, start_rare

BOX_SIDE = 7  # places a side at which a box is read: torchvision's


@dataclass(frozen=True)
class DetectorConfig:
    """Sizes; the defaults are Ren et al. 2020, Sec. 4.2."""

    backbone: str = "resnet50"  # or resnet101; smaller ones of torchvision for small images
    # of the backbone, by torchvision's name (DEFAULT: ImageNet), with batch norm as they have it; None: random, learnt
    weights: str | None = None
    channels: int = 256  # of the feature pyramid and the head of masks; the head of boxes has four times as many
    sides: tuple[int, ...] = (640, 672, 704, 736, 768, 800)  # shorter side of a training image, drawn; last one at test
    longest: int = 1333
    regions: int = 512  # of an image that are classified in training: torchvision's, as all below
    proposals: tuple[int, int] = (2000, 1000)  # of an image, in training and at test
    detections: int = 300  # of an image: LVIS
    lowest: float = 1e-4  # score of a detection

    def __post_init__(self):
        if not self.sides:
            raise ValueError(f"a detector has sides of its images, got {self}; give one or more")


class Classification(nn.Module):
    """A rule of `objectives.longtail` over regions: per-region losses, and scores of the categories.

    Under the sigmoids background is no category; under the softmaxes it is one more, whose count is `background`.
    """

    def __init__(self, rule: Rule, counts: Int[Tensor, " c"], *, background: int | None = None, **options: Any):
        super().__init__()
        self.sigmoid, self.n = rule.endswith("sigmoid"), len(counts)
        if not self.sigmoid and rule != "softmax" and background is None:
            raise ValueError(
                f"under {rule} background is one more class with a count; give background, or use a sigmoid, which "
                "needs none"
            )
        if not self.sigmoid:
            counts = torch.cat([counts, torch.tensor([background or 1])])
            if options.get("tail") is not None:
                options["tail"] = torch.cat([options["tail"], torch.tensor([False])])
        self.rule: LabelLoss = long_tail(rule, counts, **options)

    def forward(self, logits: Float[Tensor, "r k"], labels: Int[Tensor, " r"]) -> Float[Tensor, " r"]:
        """`logits` [r, c + 1] of background and categories, `labels` 0 to c."""
        target = torch.where(labels == 0, self.n, labels - 1)
        return self.rule.cost(logits[:, 1:] if self.sigmoid else logits.roll(-1, 1), target)

    def scores(self, logits: Float[Tensor, "r k"]) -> Float[Tensor, "r c"]:
        """Of each category, 0 to 1."""
        return logits[:, 1:].sigmoid() if self.sigmoid else logits.softmax(1)[:, 1:]


class LongTailHeads(RoIHeads):
    """torchvision's heads with `classification` in place of softmax cross-entropy, in training and at test."""

    classification: Classification

    @classmethod
    def of(cls, heads: RoIHeads, classification: Classification) -> LongTailHeads:
        """The same heads, weights and sampling included; torchvision's `MaskRCNN` makes none but its own."""
        heads.__class__ = cls
        heads.classification = classification
        heads.box_predictor.register_forward_hook(lambda module, inputs, out: setattr(heads, "_logits", out[0]))
        return heads

    def select_training_samples(self, proposals: list[Tensor], targets: list[dict] | None) -> tuple:
        """What the parent samples; its labels are kept for the loss."""
        sampled = super().select_training_samples(proposals, targets)
        self._labels = torch.cat(sampled[2])
        return sampled

    def forward(
        self,
        features: Mapping[str, Tensor],
        proposals: list[Tensor],
        image_shapes: list[tuple[int, int]],
        targets: list[dict[str, Tensor]] | None = None,
    ) -> tuple[list[dict[str, Tensor]], dict[str, Tensor]]:
        """The parent's results and losses, but for the loss of the classifier."""
        result, losses = super().forward(features, proposals, image_shapes, targets)
        if self.training:
            losses["loss_classifier"] = self.classification(self._logits, self._labels).mean()
        return result, losses

    def postprocess_detections(
        self, logits: Tensor, regression: Tensor, proposals: list[Tensor], shapes: list[tuple[int, int]]
    ) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
        """Boxes, scores and labels of each image, most certain first."""
        sizes = [len(boxes) for boxes in proposals]
        boxes = self.box_coder.decode(regression, proposals)[:, 1:].split(sizes)
        scores = self.classification.scores(logits).split(sizes)
        kept = [self._of_an_image(*image) for image in zip(boxes, scores, shapes, strict=True)]
        regions, certainty, labels = (list(part) for part in zip(*kept, strict=True))
        return regions, certainty, labels

    def _of_an_image(self, boxes: Tensor, scores: Tensor, shape: tuple[int, int]) -> tuple[Tensor, Tensor, Tensor]:
        region, category = (scores > self.score_thresh).nonzero(as_tuple=True)
        boxes, scores = clip_boxes_to_image(boxes, shape)[region, category], scores[region, category]
        wide = remove_small_boxes(boxes, min_size=1e-2)
        boxes, scores, labels = boxes[wide], scores[wide], category[wide] + 1
        best = batched_nms(boxes, scores, labels, self.nms_thresh)[: self.detections_per_img]
        return boxes[best], scores[best], labels[best]


class DetectionLoss(Objective):
    """The sum of Mask R-CNN's losses: of proposals, boxes, masks, and of its `Classification`; so `fit` trains it.

    torchvision takes their means over a batch's regions, so that every image of the batch has the same share.
    """

    def steps(self, model: nn.Module, batch: Batch, progress: float) -> Iterator[Tensor]:
        losses = model(*batch.inputs)
        yield sum(losses.values()).expand(len(batch.rows))


def mask_rcnn(config: DetectorConfig, classification: Classification) -> MaskRCNN:
    """Mask R-CNN with a feature pyramid, of the categories that `classification` counts; its sigmoids start rare."""
    width, n = config.channels, classification.n + 1
    model = MaskRCNN(
        _backbone(config),
        box_head=TwoMLPHead(width * BOX_SIDE**2, 4 * width),
        box_predictor=FastRCNNPredictor(4 * width, n),
        mask_head=MaskRCNNHeads(width, (width,) * 4, 1),
        mask_predictor=MaskRCNNPredictor(width, width, n),
        min_size=config.sides,
        max_size=config.longest,
        box_batch_size_per_image=config.regions,
        rpn_pre_nms_top_n_train=config.proposals[0],
        rpn_post_nms_top_n_train=config.proposals[0],
        rpn_pre_nms_top_n_test=config.proposals[1],
        rpn_post_nms_top_n_test=config.proposals[1],
        box_detections_per_img=config.detections,
        box_score_thresh=config.lowest,
    )
    if classification.sigmoid:
        start_rare(model.roi_heads.box_predictor.cls_score, classification.n)
    LongTailHeads.of(model.roi_heads, classification)
    return model


def _backbone(config: DetectorConfig) -> BackboneWithFPN:
    """A residual network and its pyramid, which torchvision makes with 256 channels only."""
    more = {} if config.weights else {"trainable_layers": 5, "norm_layer": nn.BatchNorm2d}
    backbone = resnet_fpn_backbone(backbone_name=config.backbone, weights=config.weights, **more)
    if config.channels != backbone.out_channels:
        seen = [block[0].in_channels for block in backbone.fpn.inner_blocks]
        backbone.fpn = FeaturePyramidNetwork(seen, config.channels, LastLevelMaxPool())
        backbone.out_channels = config.channels
    return backbone
