"""LFW's seven people in numbers and pictures."""

from pathlib import Path

import torch

from vqabook.catalogue.description import Description, Picture, encode_png, percent_right
from vqabook.data.faces import load_faces


def describe(folder: Path) -> Description:
    """Counts a person, and each person's mean face: a statistic of all photographs, no photograph."""
    faces = load_faces(folder)
    tables = {"train": faces.train, "valid": faces.valid, "test": faces.test}
    images = torch.cat([table.inputs[0] for table in tables.values()]).double()
    target = torch.cat([table.target for table in tables.values()])
    counts = torch.bincount(target, minlength=len(faces.people)).tolist()
    train = torch.bincount(faces.train.target, minlength=len(faces.people)).tolist()
    commonest = max(range(len(train)), key=train.__getitem__)
    order = sorted(range(len(counts)), key=lambda i: -counts[i])
    picture = Picture(
        "images",
        {
            "labels": [f"{faces.people[i]} ({counts[i]})" for i in order],
            "png": [encode_png(images[target == i].mean(0)[0].round().byte().numpy()) for i in order],
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
            "accuracy of always the commonest person, %": percent_right(commonest, faces.test.target),
            "official split": "none; cut here, stratified by person",
        },
    )
