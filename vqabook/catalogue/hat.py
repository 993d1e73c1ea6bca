"""VQA-HAT's human maps in numbers, and how far people agree."""

from pathlib import Path

import numpy as np
from scipy.stats import rankdata

from vqabook.catalogue.description import Description, Picture, encode_png, rank
from vqabook.data.hat import GRID, SPLITS, HumanMaps, read_maps


def describe(folder: Path) -> Description:
    """Counts, the mean map, how far attention keeps to the middle, and how well people agree."""
    people = read_maps(folder)
    square = people.maps.astype(np.float64).reshape(-1, GRID, GRID)
    middle = square[:, 3:-3, 3:-3].sum((1, 2)).mean()
    mean = square.mean(0)
    pixels = np.rint(255 * mean / mean.max()).astype(np.uint8).repeat(10, 0).repeat(10, 1)
    facts = {
        "questions": len(np.unique(people.question_id)),
        "blank maps left out": people.n_blank,
        "attention in the middle 8 x 8 of 14 x 14 cells, % (32.7 if even)": round(100 * middle.item(), 1),
    }
    if (agreement := find_agreement(people)) is not None:
        facts["rank correlation between two people"] = round(agreement, 3)
    picture = Picture(
        "images",
        {"labels": [f"mean of {len(square)} maps"], "png": [encode_png(pixels)]},
        f"The mean of {len(square)} human attention maps on a grid of 14 by 14, white where people looked most.",
    )
    rows = {name: n for i, name in enumerate(SPLITS) if (n := int((people.split == i).sum()))}
    cells = [f"peak in row {row}, column {column}" for row in range(GRID) for column in range(GRID)]
    classes = rank(cells, np.bincount(people.maps.argmax(1), minlength=len(cells)))
    return Description(rows, classes, len(cells), picture, facts)


def find_agreement(people: HumanMaps) -> float | None:
    """Mean Spearman correlation over pairs of people who saw the same question; None if no two did.

    Das et al. 2016 print 0.623 for val.
    """
    questions, counts = np.unique(people.question_id, return_counts=True)
    pairs: list[float] = []
    for question in questions[counts > 1]:
        ranks = rankdata(people.maps[people.question_id == question], axis=1)
        pairs += np.nan_to_num(
            np.corrcoef(ranks)[np.triu_indices(len(ranks), 1)]
        ).tolist()  # an even map agrees with none
    return float(np.mean(pairs)) if pairs else None
