"""CLEVR's questions in numbers."""

from pathlib import Path

import numpy as np
import torch

from vqabook.catalogue.description import Description, Picture, percent_right
from vqabook.data.clevr import ANSWER_KINDS, ANSWERS, FAMILIES, TEMPLATES, load_clevr


def describe(folder: Path) -> Description:
    """Counts, and which kinds of answer each template file asks for: what members of an ensemble can divide up."""
    clevr = load_clevr(folder)
    counts = np.zeros((len(FAMILIES), len(ANSWERS)), dtype=np.int64)
    np.add.at(counts, (clevr.train.side["family"].numpy(), clevr.train.target.numpy()), 1)
    totals = counts.sum(0)
    order = np.argsort(-totals, kind="stable")
    guess = torch.from_numpy(counts.argmax(1))[clevr.val.side["family"]]
    template = np.repeat(np.arange(len(TEMPLATES)), list(TEMPLATES.values()))
    kind = np.repeat(np.arange(len(ANSWER_KINDS)), [len(answers) for answers in ANSWER_KINDS.values()])
    shares = np.zeros((len(TEMPLATES), len(ANSWER_KINDS)))
    np.add.at(shares, (template[:, None], kind), counts)
    shares *= 100 / shares.sum(1, keepdims=True).clip(min=1)
    series = {name: [round(float(x), 2) for x in shares[:, i]] for i, name in enumerate(ANSWER_KINDS)}
    picture = Picture(
        "bars",
        {"labels": [name.replace("_", " ") for name in TEMPLATES], "series": series, "y_label": "% of questions"},
        "Kinds of answer, in percent of the train questions from each of CLEVR's nine template files: comparisons ask "
        "for yes or no alone, single or for numbers alone, the others for every kind.",
    )
    return Description(
        rows={"train": len(clevr.train), "val": len(clevr.val)},
        classes={ANSWERS[i]: int(totals[i]) for i in order if totals[i]},
        n_classes=len(ANSWERS),
        picture=picture,
        facts={
            "images, train": len(clevr.train.side["image"].unique()),
            "images, val": len(clevr.val.side["image"].unique()),
            "question families in train": int((counts.sum(1) > 0).sum()),
            "words in train": len(clevr.words),
            "longest question, tokens": clevr.train.inputs[1].shape[1],
            "accuracy on val of the family's most frequent answer, %": percent_right(guess, clevr.val.target),
        },
    )
