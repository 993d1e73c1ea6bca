"""What masks do to a trained baseline: Fig. 7, Sec. 4.5, and whether surrogate maps are more like people's (Fig. 3)."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from vqabook.core import Table
from vqabook.papers.attention_supervision.evaluation import SHOWN, compare_with_truth, round_map, spell
from vqabook.papers.attention_supervision.examples import Examples, load_examples
from vqabook.papers.attention_supervision.maps import draw_masks, mask_nothing, summarise, try_masks
from vqabook.papers.attention_supervision.recipes import Probing
from vqabook.papers.attention_supervision.train import train_or_load
from vqabook.surrogates.probing import Surrogates, mask_scores, region_probe, word_masks
from vqabook.training.fit import pick_device
from vqabook.training.stages import Scratch

COUNTS = (1, 10, 50, 100, 200, 500, 1000)  # of masks; the paper looks at 100, 500 and 1000
ENOUGH = 95.0  # percent of what twice as many masks gain; the paper gives no number
CLOSE = 0.9  # a score of nine tenths of the whole question's counts as close to it; the paper gives no number


def probe(run: Probing, scratch: Scratch, *, data_root: Path | None, device: str = "auto") -> dict:
    """What masks do to the run's baseline on `probed` training examples."""
    examples = load_examples(run.task, run.data, run.seed, data_root, pick_device(device))
    model, _ = train_or_load(run, examples, scratch.stages, data_root)
    rows = np.sort(np.random.default_rng(run.seed).permutation(len(examples.train))[: run.probed])
    table = examples.train.subset(torch.from_numpy(rows))
    result: dict = {"n": len(table)}
    for head, asked in run.masks.items():
        masks = draw_masks(asked, model, examples, run.seed)
        own, best = try_masks(mask_nothing(masks), model, table), try_masks(masks, model, table)
        result[head] = {"own": summarise(own), "best": summarise(best), "examples": picture(own, best, rows, examples)}
        if head == "word_attention":
            result["words"] = {str(kept): read_words_alone(model, table, kept) for kept in (1, 2, 3)}
            continue
        many = draw_masks(replace(asked, n=max(COUNTS)), model, examples, run.seed)
        result["masks"] = count_masks(model, table, many)
        if examples.human is not None:
            human, boxes = (of["train"][rows] for of in (examples.human, examples.boxes))
            for name, maps in (("own", own), ("best", best)):
                result[head][name]["human"] = compare_with_truth(maps.attention.cpu().numpy(), human, boxes)
    return result


def count_masks(model: nn.Module, table: Table, masks: Float[Tensor, "m o"]) -> dict:
    """Fig. 7: the highest probability of the ground truth (%) under the first n masks, or under none, in the mean.

    `share_100` and `share_500` are how much of what all masks gain 100 and 500 do (%).
    """
    probed = mask_scores(region_probe(model, table, masks))
    scores = torch.cat([score.roll(1, 1).cummax(1).values.cpu() for _, score in probed])  # no mask comes first
    best = {str(n): 100 * float(scores[:, n].mean()) for n in COUNTS}
    plain = 100 * float(scores[:, 0].mean())
    most = best[str(max(COUNTS))] - plain
    shares = {f"share_{n}": 100 * (best[str(n)] - plain) / most if most > 0 else None for n in (100, 500)}
    return {"plain": plain, "best": best, **shares, "enough": ENOUGH}


def read_words_alone(model: nn.Module, table: Table, kept: int) -> dict:
    """Sec. 4.5: the best score that `kept` words of a question reach without the others, against all words' score.

    `close` and `beats` are the percentages of texts whose best words come close to the whole one or do better;
    `further` and `worse` the others. Texts of so many words or fewer are left out.
    """
    length = table.inputs[-1].ne(0).sum(1)
    longer = table.subset((length > kept).nonzero()[:, 0].cpu())
    if not len(longer):
        return {}
    score = try_masks(lambda n_words: word_masks(n_words, kept)[:-1], model, longer).score
    whole = try_masks(lambda n_words: torch.ones(1, n_words), model, longer).plain
    beats, close = (100 * float((score > level).double().mean()) for level in (whole, CLOSE * whole))
    shares = {"beats": beats, "worse": 100 - beats, "close": close, "further": 100 - close}
    return {"score": 100 * float(score.mean()), "plain": 100 * float(whole.mean()), **shares}


def picture(own: Surrogates, best: Surrogates, rows: Int[np.ndarray, " n"], examples: Examples) -> list[dict]:
    """The baseline's own maps and the best masks' (Figs. 3, 5) on some training examples, from the largest gain on."""
    order, words = (best.score - own.score).argsort(descending=True, stable=True), examples.train.inputs[-1]
    return [
        {
            "row": int(rows[i]),
            "words": spell(words[rows[i]], examples) if examples.words else [],
            "plain": float(own.score[i]),
            "score": float(best.score[i]),
            "own": round_map(own.attention[i]),
            "best": round_map(best.attention[i]),
        }
        for i in order[:: max(1, len(rows) // SHOWN)][:SHOWN].tolist()
    ]
