"""CLEVR's questions in numbers."""

from pathlib import Path

import numpy as np
import pandas as pd

from vqabook.catalogue.description import Description, Picture, rank, score_majority
from vqabook.data.clevr import ANSWER_KINDS, ANSWERS, TEMPLATES, load_clevr


def describe(folder: Path) -> Description:
    """Counts, and which kinds of answer each template file asks for: what members of an ensemble can divide up."""
    clevr = load_clevr(folder)
    families, answers = clevr.train.side["family"].numpy(), clevr.train.target.numpy()
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
    return Description(
        rows={"train": len(clevr.train), "val": len(clevr.val)},
        classes=rank(ANSWERS, np.bincount(answers, minlength=len(ANSWERS))),
        n_classes=len(ANSWERS),
        picture=picture,
        facts={
            "images, train": len(clevr.train.side["image"].unique()),
            "images, val": len(clevr.val.side["image"].unique()),
            "question families in train": len(np.unique(families)),
            "words in train": len(clevr.words),
            "longest question, tokens": clevr.train.inputs[1].shape[1],
            "accuracy on val of the family's most frequent answer, %": guessed,
        },
    )
