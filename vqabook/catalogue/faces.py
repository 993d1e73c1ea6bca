"""LFW's seven people in numbers and pictures."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from vqabook.catalogue.description import Description, Picture
from vqabook.data.faces import load_faces

if TYPE_CHECKING:
    from jaxtyping import Float


def describe(folder: Path) -> Description:
    """Counts a person, and each person's mean face: a statistic of all photographs, no photograph."""
    faces = load_faces(folder)
    tables = {"train": faces.train, "valid": faces.valid, "test": faces.test}
    images = torch.cat([table.inputs[0] for table in tables.values()]).double()
    target = torch.cat([table.target for table in tables.values()])
    counts = torch.bincount(target, minlength=len(faces.people)).tolist()
    train = torch.bincount(faces.train.target, minlength=len(faces.people)).tolist()
    order = sorted(range(len(counts)), key=lambda i: -counts[i])
    picture = Picture(
        "images",
        {
            "labels": [f"{faces.people[i]} ({counts[i]})" for i in order],
            "png": [_png(images[target == i].mean(0)[0]) for i in order],
        },
        f"The mean face of each of the {len(counts)} people of LFW with 70 photographs or more, most photographed "
        "first, with the number of photographs.",
    )
    return Description(
        rows={name: len(table) for name, table in tables.items()},
        classes={faces.people[i]: train[i] for i in order},
        n_classes=len(faces.people),
        picture=picture,
        facts={
            "photographs": len(target),
            "height, pixels": images.shape[2],
            "width, pixels": images.shape[3],
            "largest over smallest class": round(max(counts) / min(counts), 1),
            "accuracy of always the commonest person, %": round(
                100 * (faces.test.target == max(range(len(train)), key=train.__getitem__)).double().mean().item(), 2
            ),
            "official split": "none; cut here, stratified by person",
        },
    )


def _png(grey: Float[Tensor, "h w"]) -> str:
    """A greyscale PNG file in base64."""
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(grey.round().clamp(0, 255).byte().numpy()).save(file, "PNG", optimize=True)
    return base64.b64encode(file.getvalue()).decode("ascii")
