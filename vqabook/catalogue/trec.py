"""TREC's questions in numbers."""

from pathlib import Path

import torch

from vqabook.catalogue.description import Description, Picture, percent_right
from vqabook.data.trec import LABELS, NAMES, load_trec


def describe(folder: Path) -> Description:
    """Counts, the shift of the classes' shares from train to test, and how far the first word alone goes."""
    trec = load_trec(folder)
    counts = [torch.bincount(table.target, minlength=len(LABELS)) for table in (trec.train, trec.test)]
    shares = [[round(100 * n / sum(c), 2) for n in c] for c in (count.tolist() for count in counts)]
    picture = Picture(
        "bars",
        {"labels": list(NAMES), "series": {"train": shares[0], "test": shares[1]}, "y_label": "% of questions"},
        "Shares of TREC's six classes in train and in test: abbreviations are rare, descriptions are commoner in test.",
    )
    order = counts[0].argsort(descending=True, stable=True).tolist()
    by_word = torch.zeros(len(trec.words) + 2, len(LABELS), dtype=torch.long)
    by_word.index_put_((trec.train.inputs[0][:, 0].long(), trec.train.target), torch.tensor(1), accumulate=True)
    guess = torch.where(by_word.sum(1) > 0, by_word.argmax(1), counts[0].argmax())[trec.test.inputs[0][:, 0].long()]
    return Description(
        rows={"train": len(trec.train), "test": len(trec.test)},
        classes={LABELS[i]: int(counts[0][i]) for i in order},
        n_classes=len(LABELS),
        picture=picture,
        facts={
            "fine classes in train": len(trec.fine_labels),
            "words in train": len(trec.words),
            "longest question, tokens": trec.train.inputs[0].shape[1],
            "largest over smallest class in train": round(max(counts[0].tolist()) / min(counts[0].tolist()), 1),
            "accuracy on test of the first word's most frequent class, %": percent_right(guess, trec.test.target),
        },
    )
