"""TREC's questions in numbers."""

from pathlib import Path

import torch

from vqabook.catalogue.description import Description, Picture, rank, score_majority
from vqabook.data.trec import LABELS, NAMES, load_trec


def describe(folder: Path) -> Description:
    """Counts, the shift of the classes' shares from train to test, and how far the first word alone goes."""
    trec = load_trec(folder)
    tables = {"train": trec.train, "test": trec.test}
    counts = {name: torch.bincount(table.target, minlength=len(LABELS)).tolist() for name, table in tables.items()}
    shares = {name: [round(100 * n / sum(column), 2) for n in column] for name, column in counts.items()}
    picture = Picture(
        "bars",
        {"labels": list(NAMES), "series": shares, "y_label": "% of questions"},
        "Shares of TREC's six classes in train and in test: abbreviations are rare, descriptions are commoner in test.",
    )
    guessed = score_majority(trec.train, trec.test, lambda table: table.inputs[0][:, 0])
    return Description(
        rows={name: len(table) for name, table in tables.items()},
        classes=rank(LABELS, counts["train"]),
        n_classes=len(LABELS),
        picture=picture,
        facts={
            "fine classes in train": len(trec.fine_labels),
            "words in train": len(trec.words),
            "longest question, tokens": trec.train.inputs[0].shape[1],
            "largest over smallest class in train": round(max(counts["train"]) / min(counts["train"]), 1),
            "accuracy on test of the first word's most frequent class, %": guessed,
        },
    )
