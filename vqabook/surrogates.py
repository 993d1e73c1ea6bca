"""Surrogate attention maps: where a trained model looks when it is shown the part that convinces it most.

Patro et al. 2021, "Self Supervision for Attention Networks", Sec. 3.1-3.2. A frozen model is probed with many masked
versions of an example; the map of the one that gives the ground truth the highest probability is kept. A masked image
is not computed from the image: regions are projected once and masked after, W(m v) = m W v, and every mask of an
example is a row of one batch.
"""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vqabook.core import Output, Table

if TYPE_CHECKING:
    from jaxtyping import Float, Int

MASKS = 500  # Sec. 4.2


class Surrogates(NamedTuple):
    """What probing found for each of n examples."""

    attention: Float[Tensor, "n o"]  # sums to 1
    score: Float[Tensor, " n"]  # probability of the ground truth under the mask kept
    plain: Float[Tensor, " n"]  # the same without a mask
    mask: Int[Tensor, " n"]  # which one was kept; the last is the one that masks nothing


def region_masks(n: int, width: int, height: int, *, scale: int, generator: torch.Generator) -> Float[Tensor, "m o"]:
    """`n` random masks in [0, 1] over width x height regions in reading order, and a last one of ones (Sec. 4.2).

    Coins on a grid `scale` times coarser, enlarged bilinearly. Where `scale` does not divide a side, the coarse grid
    takes one cell more: 14 regions at the paper's scale of 6 give 3 cells, since 2 would be a scale of 7.
    """
    if n < 1 or not 1 <= scale <= min(width, height):
        raise ValueError(
            f"masks: at least 1, on a grid scale times coarser, 1 <= scale <= both sides; got {n} masks, "
            f"scale {scale}, {width} x {height} regions"
        )
    coarse = torch.randint(0, 2, (n, 1, -(-height // scale), -(-width // scale)), generator=generator)
    fine = F.interpolate(coarse.float(), size=(height, width), mode="bilinear", align_corners=False)
    return torch.cat([fine.flatten(1), torch.ones(1, width * height)])


def pair_masks(n_words: int) -> Float[Tensor, "m t"]:
    """Every way to conceal two of `n_words` words, and a last one that conceals none (Sec. 3.2).

    Of fewer than three words a pair would leave nothing to read, so there is none: what is kept is the plain map.
    """
    pairs = list(combinations(range(n_words), 2)) if n_words > 2 else []
    masks = torch.ones(len(pairs) + 1, n_words)
    for row, pair in zip(masks, pairs, strict=False):
        row[list(pair)] = 0
    return masks


@torch.no_grad()
def region_surrogates(
    model: nn.Module, table: Table, masks: Float[Tensor, "m o"], *, weighted: bool = False, at_once: int = 8
) -> Surrogates:
    """Maps over the regions of each example of `table`; `weighted` takes the mean of all by their probability instead.

    The model is as San: `project(regions)`, `encode(words)` and `answer(projected..., question, keep)`. The paper says
    that the weighted mean is worse (Sec. 3.1). `at_once` examples are probed in one batch.
    """
    if not all(hasattr(model, part) for part in ("project", "encode", "answer")):
        raise ValueError(
            f"masked regions are probed by a model with project, encode and answer, which {type(model).__name__} has "
            "not; use one that attends, as San does"
        )
    model.eval()
    masks = masks.to(table.device)

    def probe(rows: Int[Tensor, " b"]) -> tuple[Output, int]:
        regions, words = table.batch(rows).inputs
        unit, projected, real = (x.repeat_interleave(len(masks), 0) for x in model.project(regions))
        question = model.encode(words).repeat_interleave(len(masks), 0)
        return model.answer(unit, projected, question, real * masks.repeat(len(rows), 1)), len(masks)

    rows = torch.arange(len(table), device=table.device)
    return _joined([_chosen(*probe(some), table.target[some], weighted) for some in rows.split(at_once)])


@torch.no_grad()
def word_surrogates(
    model: nn.Module, table: Table, *, weighted: bool = False, at_once: int = 512, attention: str = "attention"
) -> Surrogates:
    """Maps over the words of each example of `table`, whose last input is words [n, t]; the model takes `keep`.

    `attention` names the output that is kept: "word_attention" of a model that attends to regions as well. Examples of
    one length share their masks; about `at_once` masked examples make a batch.
    """
    model.eval()
    words = table.inputs[-1]
    length = words.ne(0).sum(1)
    if (empty := (length == 0).nonzero()[:, 0]).numel():
        raise ValueError(
            f"a text has at least one word, {empty.numel()} of {len(words)} have none (first: row {int(empty[0])}); "
            "leave them out"
        )
    found: dict[int, Surrogates] = {}
    for n_words in length.unique().tolist():
        masks = F.pad(pair_masks(n_words), (0, words.shape[1] - n_words)).to(table.device)
        rows = (length == n_words).nonzero()[:, 0]
        for some in rows.split(max(1, at_once // len(masks))):
            batch = table.batch(some)
            inputs = (x.repeat_interleave(len(masks), 0) for x in batch.inputs)
            out = model(*inputs, keep=masks.repeat(len(some), 1))
            one = _chosen(out._replace(attention=getattr(out, attention)), len(masks), batch.target, weighted)
            found |= {int(row): Surrogates(*(x[i : i + 1] for x in one)) for i, row in enumerate(some)}
    return _joined([found[row] for row in range(len(words))])


def _chosen(out: Output, n_masks: int, target: Tensor, weighted: bool) -> Surrogates:
    """Of outputs that lie mask by mask within each example, the map kept."""
    if out.attention is None:
        raise ValueError("a surrogate is the attention of a probed model, got None; use a model that attends")
    p = out.logits.softmax(-1).view(-1, n_masks, out.logits.shape[-1])
    if target.dtype.is_floating_point:  # soft scores: their mean probability
        share = target / target.sum(-1, keepdim=True).clamp(min=torch.finfo(target.dtype).tiny)
        score = (p * share[:, None]).sum(-1)
    else:
        score = p.gather(2, target.long()[:, None, None].expand(-1, n_masks, 1)).squeeze(2)
    maps = out.attention.view(*score.shape, -1)
    best = score.argmax(1)
    if weighted:
        kept = (score[..., None] * maps).sum(1) / score.sum(1, keepdim=True)
    else:
        kept = maps[torch.arange(len(best), device=best.device), best]
    return Surrogates(kept, score.max(1).values, score[:, -1], best)


def _joined(parts: list[Surrogates]) -> Surrogates:
    return Surrogates(*(torch.cat(column) for column in zip(*parts, strict=True)))
