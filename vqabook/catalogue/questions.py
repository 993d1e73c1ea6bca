"""CLEVR's and TREC's questions in numbers."""

from pathlib import Path

import numpy as np
import pandas as pd
import torch

from vqabook.catalogue.description import Description, Picture, score_majority
from vqabook.data.clevr import ANSWER_KINDS, ANSWERS, TEMPLATES, load_clevr
from vqabook.data.trec import LABELS, NAMES, load_trec


def describe_clevr(folder: Path) -> Description:
    """Counts, and which kinds of answer each template file asks for: what members of an ensemble can divide up."""
    clevr = load_clevr(folder)
    families, answers = clevr.train.side["family"].numpy(), clevr.train.labels.numpy()
    template = np.repeat(list(TEMPLATES), list(TEMPLATES.values()))[families]
    kind = np.repeat(list(ANSWER_KINDS), [len(names) for names in ANSWER_KINDS.values()])[answers]
    shares = 100 * pd.crosstab(template, kind, normalize="index")
    shares = shares.reindex(index=list(TEMPLATES), columns=list(ANSWER_KINDS), fill_value=0.0).round(2)
    labels = [name.replace("_", " ") for name in TEMPLATES]
    picture = Picture(
        "bars",
        {"labels": labels, "series": shares.to_dict("list"), "y_label": "% of questions"},
        "Kinds of answer, in percent of the train questions from each of CLEVR's nine template files: comparisons ask "
        "for yes or no alone, single or for numbers alone, the others for every kind.",
    )
    guessed = score_majority(clevr.train, clevr.val, lambda table: table.side["family"])
    facts = {
        "images, train": len(clevr.train.side["image"].unique()),
        "images, val": len(clevr.val.side["image"].unique()),
        "question families in train": len(np.unique(families)),
        "words in train": len(clevr.words),
        "longest question, tokens": clevr.train.inputs[1].shape[1],
        "accuracy on val of the family's most frequent answer, %": guessed,
    }
    return Description.of({"train": clevr.train, "val": clevr.val}, ANSWERS, picture, facts)


def describe_trec(folder: Path) -> Description:
    """Counts, the shift of the classes' shares from train to test, and how far the first word alone goes."""
    trec = load_trec(folder)
    tables = {"train": trec.train, "test": trec.test}
    counts = {name: torch.bincount(table.labels, minlength=len(LABELS)).tolist() for name, table in tables.items()}
    shares = {name: [round(100 * n / sum(column), 2) for n in column] for name, column in counts.items()}
    picture = Picture(
        "bars",
        {"labels": list(NAMES), "series": shares, "y_label": "% of questions"},
        "Shares of TREC's six classes in train and in test: abbreviations are rare, descriptions are commoner in test.",
    )
    guessed = score_majority(trec.train, trec.test, lambda table: table.inputs[0][:, 0])
    facts = {
        "fine classes in train": len(trec.fine_labels),
        "words in train": len(trec.words),
        "longest question, tokens": trec.train.inputs[0].shape[1],
        "largest over smallest class in train": round(max(counts["train"]) / min(counts["train"]), 1),
        "accuracy on test of the first word's most frequent class, %": guessed,
    }
    return Description.of(tables, LABELS, picture, facts)
