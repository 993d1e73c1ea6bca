"""Whose maps supervise: those that probing a baseline finds, or a control's."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from filelock import FileLock
from torch import Tensor, nn

from vqabook.core import Table
from vqabook.evidence.record import key_of
from vqabook.papers.attention_supervision.baseline import baseline, beside
from vqabook.papers.attention_supervision.examples import Examples
from vqabook.surrogates.masks import pair_masks, region_masks
from vqabook.surrogates.probing import Probe, Surrogates, region_probe, surrogates, word_probe

if TYPE_CHECKING:
    from jaxtyping import Float

SURE = 0.99  # a probability of the truth that leaves a mask nothing to raise


def maps_of(
    head: str, kind: str, recipe: Mapping, examples: Examples, checkpoint: Path, data_root: Path | None
) -> Surrogates:
    """Maps over the regions or words of each training example: what probing its baseline finds, or a control's."""
    table = examples.train
    if kind in ("random", "relevant"):
        relevant = kind == "relevant"
        maps = torch.from_numpy(examples.human["train"]) if relevant else random_maps(head, recipe, examples)
        unknown = torch.full((len(table),), float("nan"), dtype=torch.double)
        return Surrogates(maps, unknown, unknown, torch.zeros(len(table), dtype=torch.long))
    if kind == "shuffled":
        best = maps_of(head, "best", recipe, examples, checkpoint, data_root)
        return best._replace(attention=dealt_out(best.attention, head, recipe, examples))
    model = baseline(recipe, examples, checkpoint, data_root)
    asked = {} if kind == "own" else recipe["masks"][head]
    store = beside(recipe, checkpoint, f"{head}-{kind}-{key_of(asked)}")
    with FileLock(f"{store}.lock"):
        probe = probe_of(head, model, table, recipe, examples, masked=kind != "own")
        return surrogates(probe, weighted=kind == "weighted", store=store, label=f"{recipe['task']}, {kind} maps")


def dealt_out(maps: Float[Tensor, "n o"], head: str, recipe: Mapping, examples: Examples) -> Float[Tensor, "n o"]:
    """The same maps, each on another example: of those with as many words, or of all."""
    n, rng = len(maps), torch.Generator().manual_seed(recipe["seed"])
    group = examples.train.inputs[-1].ne(0).sum(1).cpu() if head == "word_attention" else torch.zeros(n)
    order = torch.randperm(n, generator=rng)
    takers, givers = group.argsort(stable=True), order[group[order].argsort(stable=True)]
    found = maps.clone()
    found[takers] = maps[givers]
    return found


def probe_of(
    head: str, model: nn.Module, table: Table, recipe: Mapping, examples: Examples, *, masked: bool = True
) -> Probe:
    """The baseline on a table under all masks of a recipe, or under the one that masks nothing."""
    if head == "word_attention":
        return word_probe(model, table, partial(pair_masks, short=True) if masked else lambda n: torch.ones(1, n))
    masks = masks_of(recipe, examples)
    return region_probe(model, table, masks if masked else masks[-1:])


def masks_of(recipe: Mapping, examples: Examples, *, n: int | None = None) -> Float[Tensor, "m o"]:
    """The random masks of a recipe's seed, `n` of them: over a grid of cells, or over objects one by one."""
    asked, (width, height) = recipe["masks"]["attention"], grid_of(recipe, examples)
    rng = torch.Generator().manual_seed(recipe["seed"])
    scale = asked["scale"] if height > 1 else 1  # objects have no neighbours
    return region_masks(n or asked["n"], width, height, scale=scale, generator=rng)


def grid_of(recipe: Mapping, examples: Examples) -> tuple[int, int]:
    """Regions along each side: of the network's map, of a feature file without boxes, else objects in one row."""
    if recipe["task"] == "image":
        side = examples.train.inputs[0].shape[-1] // 2 ** recipe["model"]["halvings"]
        return side, side
    features = examples.task.features
    side = math.isqrt(features.n_regions)
    return (side, side) if features.boxes is None and side**2 == features.n_regions else (features.n_regions, 1)


def random_maps(head: str, recipe: Mapping, examples: Examples) -> Float[Tensor, "n o"]:
    """Maps drawn evenly from all there are, over an example's words or over all regions."""
    rng, table = torch.Generator().manual_seed(recipe["seed"]), examples.train
    if head == "word_attention":
        there = table.inputs[-1].ne(0).float().cpu()
    else:
        there = torch.ones(len(table), math.prod(grid_of(recipe, examples)))
    maps = torch.empty_like(there).exponential_(generator=rng) * there
    return maps / maps.sum(1, keepdim=True)


def summary(found: Surrogates) -> dict:
    """Mean probability of the truth without and with the mask kept, how often one was kept, or none needed (%)."""
    known, plain = bool(found.score.isfinite().all()), found.plain
    return {
        "plain": 100 * float(plain.mean()) if known else None,
        "score": 100 * float(found.score.mean()) if known else None,
        "masked": 100 * float((found.score > plain).double().mean()) if known else None,
        "sure": 100 * float((plain > SURE).double().mean()) if known else None,
        "entropy": float(torch.special.entr(found.attention).sum(1).mean()),
    }
