"""What masks do to a trained baseline: Fig. 7, Sec. 4.5, and whether surrogate maps are more like people's (Fig. 3)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from vqabook.core import Table
from vqabook.papers.attention_supervision.baseline import baseline
from vqabook.papers.attention_supervision.evaluation import SHOWN, against_human, spelt
from vqabook.papers.attention_supervision.examples import Examples
from vqabook.papers.attention_supervision.maps import masks_of, probe_of, summary
from vqabook.surrogates.masks import word_masks
from vqabook.surrogates.probing import mask_scores, region_probe, surrogates, word_probe

if TYPE_CHECKING:
    from jaxtyping import Int

COUNTS = (1, 10, 50, 100, 200, 500, 1000)  # of masks; the paper looks at 100, 500 and 1000
ENOUGH = 95.0  # percent of what twice as many masks gain; the paper gives no number
CLOSE = 0.9  # a score of nine tenths of the whole question's counts as close to it; the paper gives no number


def look(recipe: Mapping, examples: Examples, checkpoint: Path, data_root: Path | None) -> dict:
    """The record's result, on `probed` training examples of the recipe's baseline."""
    model = baseline(recipe, examples, checkpoint, data_root)
    rows = np.sort(np.random.default_rng(recipe["seed"]).permutation(len(examples.train))[: recipe["probed"]])
    table = examples.train.subset(torch.from_numpy(rows))
    found: dict = {"n": len(table)}
    if recipe["task"] != "text":
        found["masks"] = curve(model, table, recipe, examples)
    if recipe["task"] != "image":
        found["words"] = {str(kept): words_alone(model, table, kept) for kept in (1, 2, 3)}
    heads = {"text": ("word_attention",), "image": ("attention",)}.get(recipe["task"], ("attention", "word_attention"))
    for head in heads:
        found[head] = pictured(model, table, head, recipe, examples, rows)
    return found


def curve(model: nn.Module, table: Table, recipe: Mapping, examples: Examples) -> dict:
    """Fig. 7: the highest probability of the ground truth (%) under the first n masks, or under none, in the mean.

    `share_100` and `share_500` are how much of what 1,000 masks gain 100 and 500 do (%).
    """
    probe = region_probe(model, table, masks_of(recipe, examples, n=max(COUNTS)))
    scores = torch.cat(
        [score.roll(1, 1).cummax(1).values.cpu() for _, score in mask_scores(probe)]
    )  # no mask comes first
    best = {str(n): 100 * float(scores[:, n].mean()) for n in COUNTS}
    plain = 100 * float(scores[:, 0].mean())
    most = best[str(max(COUNTS))] - plain
    found = {f"share_{n}": 100 * (best[str(n)] - plain) / most if most > 0 else None for n in (100, 500)}
    return {"plain": plain, "best": best, **found, "enough": ENOUGH}


def words_alone(model: nn.Module, table: Table, kept: int) -> dict:
    """Sec. 4.5: the best score that `kept` words of a question reach without the others, against all words' score.

    `close` and `beats` are the percentages of texts whose best words come close to the whole one or do better;
    `further` and `worse` the others. Texts of so many words or fewer are left out.
    """
    length = table.inputs[-1].ne(0).sum(1)
    longer = table.subset((length > kept).nonzero()[:, 0].cpu())
    if not len(longer):
        return {}
    found = surrogates(word_probe(model, longer, lambda n: word_masks(n, kept)[:-1]))
    whole = surrogates(word_probe(model, longer, lambda n: torch.ones(1, n))).plain
    score = found.score
    beats, close = (100 * float((score > level).double().mean()) for level in (whole, CLOSE * whole))
    return {
        "score": 100 * float(score.mean()),
        "plain": 100 * float(whole.mean()),
        "beats": beats,
        "worse": 100 - beats,
        "close": close,
        "further": 100 - close,
    }


def pictured(
    model: nn.Module, table: Table, head: str, recipe: Mapping, examples: Examples, rows: Int[np.ndarray, " n"]
) -> dict:
    """The baseline's own maps and the best masks' (Figs. 3, 5) on some examples, and how alike people's both are."""
    own = surrogates(probe_of(head, model, table, recipe, examples, masked=False))
    best = surrogates(probe_of(head, model, table, recipe, examples))
    found: dict = {"own": summary(own), "best": summary(best)}
    if head == "attention" and examples.human is not None:
        boxes = examples.boxes["train"][rows]
        for name, maps in (("own", own), ("best", best)):
            found[name]["human"] = against_human(maps.attention.cpu().numpy(), examples.human["train"][rows], boxes)
    gain = (best.score - own.score).argsort(descending=True, stable=True)[:: max(1, len(table) // SHOWN)][:SHOWN]
    found["examples"] = [
        {
            "row": int(rows[i]),
            "words": spelt(table.inputs[-1][i], examples) if examples.words else [],
            "plain": float(own.score[i]),
            "score": float(best.score[i]),
            **{
                name: [round(x, 4) for x in maps.attention[i].tolist()] for name, maps in (("own", own), ("best", best))
            },
        }
        for i in gain.tolist()
    ]
    return found
