"""VQA-HAT's human maps in numbers, and how far people agree."""

from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8

from vqabook.catalogue.description import Description, Picture, encode_png
from vqabook.data.hat import GRID, SPLITS, HumanMaps, read_maps


def describe(folder: Path) -> Description:
    """Counts, the mean map, how far attention keeps to the middle, and how well people agree."""
    people = read_maps(folder)
    square = people.maps.astype(np.float64).reshape(-1, GRID, GRID)
    middle = square[:, 3:-3, 3:-3].sum((1, 2)).mean()
    peaks = np.bincount(people.maps.argmax(1), minlength=GRID * GRID)
    order = [i for i in np.argsort(-peaks, kind="stable")[:50] if peaks[i]]
    agreement = find_agreement(people)
    picture = Picture(
        "images",
        {"labels": [f"mean of {len(square)} maps"], "png": [encode_png(_enlarge(square.mean(0)))]},
        f"The mean of {len(square)} human attention maps on a grid of 14 by 14, white where people looked most.",
    )
    facts = {
        "questions": len(np.unique(people.question_id)),
        "blank maps left out": people.n_blank,
        "attention in the middle 8 x 8 of 14 x 14 cells, % (32.7 if even)": round(100 * middle.item(), 1),
    }
    if agreement is not None:
        facts["rank correlation between two people"] = round(agreement, 3)
    return Description(
        rows={name: int((people.split == i).sum()) for i, name in enumerate(SPLITS) if (people.split == i).any()},
        classes={f"peak in row {i // GRID}, column {i % GRID}": int(peaks[i]) for i in order},
        n_classes=GRID * GRID,
        picture=picture,
        facts=facts,
    )


def find_agreement(people: HumanMaps) -> float | None:
    """Mean Spearman correlation over pairs of people who saw the same question; None if no two did.

    Das et al. 2016 print 0.623 for val.
    """
    by_question: dict[int, list[int]] = {}
    for row, question in enumerate(people.question_id.tolist()):
        by_question.setdefault(question, []).append(row)
    pairs = [(a, b) for rows in by_question.values() for i, a in enumerate(rows) for b in rows[:i]]
    if not pairs:
        return None
    rows = sorted({row for pair in pairs for row in pair})
    ranks = {row: _ranks(people.maps[row]) for row in rows}
    return float(np.mean([ranks[a] @ ranks[b] for a, b in pairs]))


def _ranks(values: Float[np.ndarray, " cells"]) -> Float[np.ndarray, " cells"]:
    """Ranks, the mean rank for ties, centred and of length 1: a dot product of two is Spearman's correlation."""
    _, code, counts = np.unique(values, return_inverse=True, return_counts=True)
    rank = (np.cumsum(counts) - (counts - 1) / 2)[code]
    centred = rank - rank.mean()
    return centred / max(np.linalg.norm(centred), 1e-12)


def _enlarge(cells: Float[np.ndarray, "h w"]) -> UInt8[np.ndarray, "h10 w10"]:
    """White where the map is largest, ten pixels a cell."""
    return np.rint(255 * cells / cells.max()).astype(np.uint8).repeat(10, 0).repeat(10, 1)
