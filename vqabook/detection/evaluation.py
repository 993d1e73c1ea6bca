"""LVIS' average precision of boxes and masks, by faster-coco-eval: of all categories, and of rare, common, frequent."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path

import numpy as np
import torch
from faster_coco_eval import COCO, COCOeval_faster
from faster_coco_eval.core import mask as rle
from torch import Tensor, nn

from vqabook.detection.table import Annotated

KINDS = {"mask": "segm", "box": "bbox"}
LABELS = {"overall": "AP_all", "r": "APr", "c": "APc", "f": "APf"}


@torch.no_grad()
def detections(model: nn.Module, annotated: Annotated, *, batch_size: int = 4) -> list[dict]:
    """What a detector finds in every image, as LVIS' result file has it."""
    model.eval()
    results = []
    for rows in torch.arange(len(annotated.table), device=annotated.table.device).split(batch_size):
        images, _ = annotated.table.batch(rows).inputs
        for row, out in zip(rows.tolist(), model(images), strict=True):
            results += _results(annotated, row, out)
    return results


def _results(annotated: Annotated, row: int, out: dict[str, Tensor]) -> list[dict]:
    masks = np.asfortranarray((out["masks"][:, 0] > 0.5).permute(1, 2, 0).to(torch.uint8).cpu().numpy())
    corners = out["boxes"].cpu()
    boxes = torch.cat([corners[:, :2], corners[:, 2:] - corners[:, :2]], 1).tolist()
    columns = (out["labels"].tolist(), boxes, out["scores"].tolist(), rle.encode(masks))
    return [
        {"image_id": annotated.image_ids[row], "category_id": annotated.category_ids[label - 1], "bbox": box,
         "score": score, "segmentation": outline}
        for label, box, score, outline in zip(*columns, strict=True)
    ]  # fmt: skip


def average_precision(path: Path, results: list[dict]) -> dict[str, dict[str, float | None]]:
    """{"mask", "box"} -> {"overall", "r", "c", "f"} -> percent; None without such a category. `path`: annotations."""
    if not results:
        return {kind: dict.fromkeys(LABELS, 0.0) for kind in KINDS}
    without_masks = [{k: v for k, v in result.items() if k != "segmentation"} for result in results]
    with contextlib.redirect_stdout(io.StringIO()):
        truth, precision = COCO(str(path)), {}
        for kind, theirs in KINDS.items():
            detected = truth.loadRes(results if kind == "mask" else without_masks)
            evaluator = COCOeval_faster(truth, detected, theirs, lvis_style=True)
            evaluator.params.maxDets = [300]
            evaluator.run()
            stats = evaluator.stats_as_dict
            precision[kind] = {name: _percent(stats[label]) for name, label in LABELS.items()}
    return precision


def _percent(value: float) -> float | None:
    """They write -1 where there is nothing to judge."""
    return None if value < 0 else 100 * float(value)
