"""What masks do to a trained baseline: the maps that supervise, or a control's; Fig. 7 and Sec. 4.5."""

import math
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from vqabook.core import Table
from vqabook.data.tables import deal_out
from vqabook.data.vqa import spell
from vqabook.models.images import SmallCnn
from vqabook.papers.attention_supervision.evaluation import SHOWN, compare_with_truth, round_map
from vqabook.papers.attention_supervision.examples import Examples
from vqabook.papers.attention_supervision.recipes import Probing, RegionMasks, Run, WordMasks
from vqabook.surrogates import probing
from vqabook.surrogates.probing import Surrogates
from vqabook.training.stages import Stages

Masks = Float[Tensor, "_ o"] | Callable[[int], Tensor]  # of regions, or of a text of so many words

UNTRIED = ("random", "relevant")  # maps that no baseline is asked for
SURE = 0.99  # a probability of the truth that leaves a mask nothing to raise
COUNTS = (1, 10, 50, 100, 200, 500, 1000)  # of masks; the paper looks at 100, 500 and 1000
ENOUGH = 95.0  # percent of what twice as many masks gain; the paper gives no number
CLOSE = 0.9  # a score of nine tenths of the whole question's counts as close to it; the paper gives no number


def make_maps(head: str, run: Run, model: nn.Module, examples: Examples, stages: Stages) -> Surrogates:
    """The maps that supervise a head, over the regions or words of each training example.

    `model` is the trained baseline; for maps that are `UNTRIED` any model of its sizes will do.
    """
    kind = run.supervised.maps
    if kind in UNTRIED:
        drawn = kind == "random"
        check_maps(run, examples)
        truth = examples.human or {}  # it is known: `check_maps`
        maps = draw_maps(there(head, model, examples), run.seed) if drawn else torch.from_numpy(truth["train"])
        unknown = torch.full((len(maps),), torch.nan, dtype=torch.double)
        return Surrogates(maps, unknown, unknown, torch.zeros(len(maps), dtype=torch.long))
    if kind == "shuffled":
        best, length = find_maps(head, "best", run, model, examples, stages), there(head, model, examples).sum(1)
        return best._replace(attention=deal_out(best.attention, length, run.seed))  # among texts as long
    return find_maps(head, kind, run, model, examples, stages)


def check_maps(run: Run, examples: Examples) -> None:
    """ValueError where nobody knows the maps that are to supervise a run."""
    if run.supervised.maps == "relevant" and examples.human is None:
        raise ValueError(f"questions of {run.data['dataset']} name no relevant regions; leave {run.variant!r} out")


def find_maps(head: str, kind: str, run: Run, baseline: nn.Module, examples: Examples, stages: Stages) -> Surrogates:
    """The baseline's "own" maps, those of each example's "best" mask, or "weighted" over all; left for other runs."""
    probed = (run.masks or {})[head]
    masks, asked = draw_masks(probed, baseline, examples, run.seed), asdict(probed)
    if kind == "own":
        masks, asked = mask_nothing(masks), {}
    with stages.lock(run.baseline.asked() | {"head": head, "masks": asked}, f"{kind}-maps") as store:
        label = f"{run.task}, {kind} maps"
        return try_masks(masks, baseline, examples.train, weighted=kind == "weighted", store=store, label=label)


def try_masks(masks: Masks, model: nn.Module, table: Table, **how: Any) -> Surrogates:
    """The map kept for every row of a table; `how`: as `surrogates` takes it."""
    if isinstance(masks, Tensor):
        return probing.surrogates(probing.region_probe(model, table, masks), **how)
    return probing.surrogates(probing.word_probe(model, table, masks), **how)


def draw_masks(asked: RegionMasks | WordMasks, model: nn.Module, examples: Examples, seed: int) -> Masks:
    """The masks that are asked for: of words, or random ones over a grid of cells, over objects one by one."""
    if isinstance(asked, WordMasks):
        return partial(probing.pair_masks, short=True)
    width, height = grid_of(model, examples)
    if height == 1 < asked.scale:
        raise ValueError(
            f"a mask of {asked.scale} x {asked.scale} neighbours is drawn on a grid, and these regions are {width} "
            "objects without neighbours; set vqa_scale to 1, or take features of a grid"
        )
    generator = torch.Generator().manual_seed(seed)
    return probing.region_masks(asked.n, width, height, scale=asked.scale, generator=generator)


def mask_nothing(masks: Masks) -> Masks:
    """The last of these masks alone, which masks nothing."""
    return masks[-1:] if isinstance(masks, Tensor) else lambda n_words: masks(n_words)[-1:]


def grid_of(model: nn.Module, examples: Examples) -> tuple[int, int]:
    """Regions along each side: of the network's map, of a feature file without boxes, else objects in one row."""
    if isinstance(model, SmallCnn):
        return model.config.cells, model.config.cells
    features = examples.vqa.features
    side = math.isqrt(features.n_regions)
    return (side, side) if features.boxes is None and side**2 == features.n_regions else (features.n_regions, 1)


def there(head: str, model: nn.Module, examples: Examples) -> Float[Tensor, "n o"]:
    """1 at each training example's words, 0 at padding; 1 at all regions."""
    if head == "word_attention":
        return examples.train.inputs[-1].ne(0).float().cpu()
    return torch.ones(len(examples.train), math.prod(grid_of(model, examples)))


def draw_maps(there: Float[Tensor, "n o"], seed: int) -> Float[Tensor, "n o"]:
    """Maps drawn evenly from all there are over what is `there`."""
    maps = torch.empty_like(there).exponential_(generator=torch.Generator().manual_seed(seed)) * there
    return maps / maps.sum(1, keepdim=True)


def summarise(maps: Surrogates) -> dict:
    """Mean probability of the truth without and with the mask kept, how often one was kept, or none needed (%)."""
    known, plain = bool(maps.score.isfinite().all()), maps.plain
    columns = {"plain": plain, "score": maps.score, "masked": maps.score > plain, "sure": plain > SURE}
    means = {name: 100 * float(column.double().mean()) if known else None for name, column in columns.items()}
    return means | {"entropy": float(torch.special.entr(maps.attention).sum(1).mean())}


def read_masks(run: Probing, model: nn.Module, examples: Examples) -> dict:
    """What masks do to a baseline on `probed` training examples."""
    rows = np.sort(np.random.default_rng(run.seed).permutation(len(examples.train))[: run.probed])
    table = examples.train.subset(torch.from_numpy(rows))
    result: dict = {"n": len(table)}
    for head, asked in (run.masks or {}).items():
        masks = draw_masks(asked, model, examples, run.seed)
        own, best = try_masks(mask_nothing(masks), model, table), try_masks(masks, model, table)
        result[head] = {"own": summarise(own), "best": summarise(best), "examples": picture(own, best, rows, examples)}
        if head == "word_attention":
            result["words"] = {str(kept): read_words_alone(model, table, kept) for kept in (1, 2, 3)}
            continue
        if isinstance(asked, RegionMasks):
            many = draw_masks(replace(asked, n=max(COUNTS)), model, examples, run.seed)
            result["masks"] = count_masks(model, table, many) if isinstance(many, Tensor) else None
        if examples.human is not None and examples.boxes is not None:
            human, boxes = (of["train"][rows] for of in (examples.human, examples.boxes))
            for name, maps in (("own", own), ("best", best)):
                result[head][name]["human"] = compare_with_truth(maps.attention.cpu().numpy(), human, boxes)
    return result


def count_masks(model: nn.Module, table: Table, masks: Float[Tensor, "m o"]) -> dict:
    """Fig. 7: the highest probability of the ground truth (%) under the first n masks, or under none, in the mean.

    `share_100` and `share_500` are how much of what all masks gain 100 and 500 do (%).
    """
    probed = probing.mask_scores(probing.region_probe(model, table, masks))
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
    score = try_masks(lambda n_words: probing.word_masks(n_words, kept)[:-1], model, longer).score
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
            "words": spell(words[rows[i]], examples.words) if examples.words else [],
            "plain": float(own.score[i]),
            "score": float(best.score[i]),
            "own": round_map(own.attention[i]),
            "best": round_map(best.attention[i]),
        }
        for i in order[:: max(1, len(rows) // SHOWN)][:SHOWN].tolist()
    ]
