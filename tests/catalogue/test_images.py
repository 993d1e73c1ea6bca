"""LFW as the book shows it: the mean face of each of the seven."""

from __future__ import annotations

import base64
import io
import json

import numpy as np
from PIL import Image

from vqabook.catalogue.images import describe_faces


def test_description(real_data):
    description = describe_faces(real_data("lfw_home"))
    json.dumps([dict(description.classes), dict(description.facts), dict(description.picture.data)])
    assert list(description.classes)[0] == "George W Bush" and description.facts["photographs"] == 1288
    assert description.picture.data["labels"][0] == "George W Bush (530)"
    means = [np.asarray(Image.open(io.BytesIO(base64.b64decode(p)))) for p in description.picture.data["png"]]
    assert len(means) == 7 and means[0].shape == (62, 47) and 30 < means[0].mean() < 220
