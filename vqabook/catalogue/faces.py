"""LFW's seven people in numbers and pictures."""

from pathlib import Path

import torch

from vqabook.catalogue.description import Description, Picture, encode_png, rank, score_majority
from vqabook.data.faces import load_faces


def describe(folder: Path) -> Description:
    """Counts a person, and each person's mean face: a statistic of all photographs, no photograph."""
    faces = load_faces(folder)
    tables = {"train": faces.train, "valid": faces.valid, "test": faces.test}
    images = torch.cat([table.inputs[0] for table in tables.values()]).double()
    target = torch.cat([table.target for table in tables.values()])
    counts = rank(faces.people, torch.bincount(target, minlength=len(faces.people)))
    means = [images[target == faces.people.index(name)].mean(0)[0] for name in counts]
    picture = Picture(
        "images",
        {
            "labels": [f"{name} ({n})" for name, n in counts.items()],
            "png": [encode_png(mean.round().byte().numpy()) for mean in means],
        },
        f"The mean face of each of the {len(counts)} people of LFW with 70 photographs or more, most photographed "
        "first, with the number of photographs.",
    )
    return Description(
        rows={name: len(table) for name, table in tables.items()},
        classes=rank(faces.people, torch.bincount(faces.train.target, minlength=len(faces.people))),
        n_classes=len(faces.people),
        picture=picture,
        facts={
            "photographs": len(target),
            "height, pixels": images.shape[2],
            "width, pixels": images.shape[3],
            "largest over smallest class": round(max(counts.values()) / min(counts.values()), 1),
            "accuracy of always the commonest person, %": score_majority(
                faces.train, faces.test, lambda table: torch.zeros_like(table.target)
            ),
            "official split": "none; cut here, stratified by person",
        },
    )
