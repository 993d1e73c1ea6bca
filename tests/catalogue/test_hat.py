"""VQA-HAT as the book shows it: how people agree, and their mean map."""

from __future__ import annotations

import base64
import io
import json

import numpy as np
import pytest
import scipy.stats
from PIL import Image

from vqabook.catalogue.hat import describe, find_agreement
from vqabook.data.hat import HumanMaps, read_maps


def save(folder, name: str, pixels: np.ndarray) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(folder / name)


def test_agreement_is_spearmans(hat_folder):
    found = read_maps(hat_folder, grid=4)
    maps = np.round(found.maps * 1000) // 2 + 1.0  # with ties, of more than two values
    assert all(2 < len(np.unique(values)) < 16 for values in maps[2:])
    tied = HumanMaps(found.question_id, found.annotator, found.split, maps.astype(np.float32), 0)
    val = maps[2:]
    expected = np.mean([scipy.stats.spearmanr(val[a], val[b])[0] for a, b in ((1, 0), (2, 0), (2, 1))])
    assert find_agreement(tied) == pytest.approx(expected)
    assert find_agreement(read_maps(hat_folder, question_ids=[4870250])) is None


def test_description(hat_folder):
    centre = np.zeros((140, 140), dtype=np.uint8)
    centre[65:75, 65:75] = 255
    for annotator in (1, 2):
        save(hat_folder / "vqahat_val", f"99_{annotator}.png", centre)
    description = describe(hat_folder)
    json.dumps([dict(description.classes), dict(description.facts), dict(description.picture.data)])
    assert description.rows == {"train": 2, "val": 5} and description.n_classes == 196
    assert sum(description.classes.values()) == 7 and max(description.classes.values()) >= 2
    assert description.facts["questions"] == 4 and 0 < description.facts["rank correlation between two people"] < 1
    share = description.facts["attention in the middle 8 x 8 of 14 x 14 cells, % (32.7 if even)"]
    assert share == pytest.approx((5 * 32.7 + 2 * 100) / 7, abs=3)
    (png,) = description.picture.data["png"]
    mean = np.asarray(Image.open(io.BytesIO(base64.b64decode(png))))
    assert mean.shape == (140, 140) and mean[70, 70] > 240 and mean.max() == 255
