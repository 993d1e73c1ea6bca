"""Which regions an answer is about: the embedded world's stand-in for human attention."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from vqabook.data.sets import DataSpec, source_files

if TYPE_CHECKING:
    from jaxtyping import Float, Int


def relevant_maps(
    spec: DataSpec, question_id: Int[np.ndarray, " n"], *, n_regions: int, data_root: Path | None = None
) -> Float[np.ndarray, "n o"]:
    """For each question a map over regions that is even over the relevant ones, 0 elsewhere, and sums to 1.

    ValueError for a set whose questions do not name `relevant_regions`.
    """
    source, folder = source_files(spec, data_root)
    regions: dict[int, list[int]] = {}
    if spec.dataset == "shapes":
        for split in (source.train, source.test):
            asked = json.loads((folder / split.questions).read_text())
            asked = asked if isinstance(asked, list) else asked["questions"]
            regions |= {question["question_id"]: question["relevant_regions"] for question in asked}
    if lacking := [i for i in question_id.tolist() if i not in regions]:
        raise ValueError(
            f"only the embedded world's questions name their relevant regions, {len(lacking)} of {len(question_id)} of "
            f"{spec.dataset} do not; take human maps for another set"
        )
    maps = np.zeros((len(question_id), n_regions), np.float32)
    for row, question in zip(maps, question_id.tolist(), strict=True):
        row[regions[question]] = 1 / len(regions[question])
    return maps
