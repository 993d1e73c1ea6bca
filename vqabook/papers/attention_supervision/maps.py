"""Whose maps supervise: those that probing a baseline finds, or a control's."""

import math
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vqabook.core import Table
from vqabook.data.tables import deal_out
from vqabook.papers.attention_supervision.examples import Examples
from vqabook.papers.attention_supervision.recipes import RegionMasks, Run, WordMasks
from vqabook.surrogates.probing import Surrogates, pair_masks, region_masks, region_probe, surrogates, word_probe
from vqabook.training.stages import Stages

Masks = Float[Tensor, "_ o"] | Callable[[int], Tensor]  # of regions, or of a text of so many words

UNTRIED = ("random", "relevant")  # maps that no baseline is asked for
SURE = 0.99  # a probability of the truth that leaves a mask nothing to raise


def make_maps(head: str, run: Run, model: nn.Module, examples: Examples, stages: Stages) -> Surrogates:
    """The maps that supervise a head, over the regions or words of each training example.

    `model` is the trained baseline; for maps that are `UNTRIED` any model of its sizes will do.
    """
    kind = run.supervision.maps
    if kind in UNTRIED:
        drawn = kind == "random"
        maps = draw_maps(there(head, model, examples), run.seed) if drawn else torch.from_numpy(examples.human["train"])
        unknown = torch.full((len(maps),), torch.nan, dtype=torch.double)
        return Surrogates(maps, unknown, unknown, torch.zeros(len(maps), dtype=torch.long))
    if kind == "shuffled":
        best, length = find_maps(head, "best", run, model, examples, stages), there(head, model, examples).sum(1)
        return best._replace(attention=deal_out(best.attention, length, run.seed))  # among texts as long
    return find_maps(head, kind, run, model, examples, stages)


def find_maps(head: str, kind: str, run: Run, baseline: nn.Module, examples: Examples, stages: Stages) -> Surrogates:
    """The baseline's "own" maps, those of each example's "best" mask, or "weighted" over all; left for other runs."""
    masks, asked = draw_masks(run.masks[head], baseline, examples, run.seed), asdict(run.masks[head])
    if kind == "own":
        masks, asked = mask_nothing(masks), {}
    with stages.lock(run.baseline.asked() | {"head": head, "masks": asked}, f"{kind}-maps") as store:
        label = f"{run.task}, {kind} maps"
        return try_masks(masks, baseline, examples.train, weighted=kind == "weighted", store=store, label=label)


def try_masks(masks: Masks, model: nn.Module, table: Table, **how: Any) -> Surrogates:
    """The map kept for every row of a table; `how`: as `surrogates` takes it."""
    probe = region_probe if isinstance(masks, Tensor) else word_probe
    return surrogates(probe(model, table, masks), **how)


def draw_masks(asked: RegionMasks | WordMasks, model: nn.Module, examples: Examples, seed: int) -> Masks:
    """The masks that are asked for: of words, or random ones over a grid of cells, over objects one by one."""
    if isinstance(asked, WordMasks):
        return partial(pair_masks, short=True)
    width, height = grid_of(model, examples)
    scale = asked.scale if height > 1 else 1  # objects have no neighbours
    return region_masks(asked.n, width, height, scale=scale, generator=torch.Generator().manual_seed(seed))


def mask_nothing(masks: Masks) -> Masks:
    """The last of these masks alone, which masks nothing."""
    return masks[-1:] if isinstance(masks, Tensor) else lambda n_words: masks(n_words)[-1:]


def grid_of(model: nn.Module, examples: Examples) -> tuple[int, int]:
    """Regions along each side: of the network's map, of a feature file without boxes, else objects in one row."""
    if examples.task is None:
        return model.config.cells, model.config.cells
    features = examples.task.features
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
