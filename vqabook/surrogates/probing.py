"""Surrogate attention maps: where a trained model looks when it is shown the part that convinces it most.

Patro et al. 2021, "Self Supervision for Attention Networks", masks by Secs. 3.2, 4.2, 4.5, probing by Secs. 3.1-3.2. A
frozen model is probed with many masked versions of an example; the map of the one that gives the ground truth the
highest probability is kept. A masked image is not computed from the image: regions are projected once and masked after,
W(m v) = m W v, and all masks of an example are rows of one batch.
"""

import time
from collections.abc import Callable, Iterable
from inspect import signature
from itertools import combinations
from pathlib import Path
from typing import NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from vqabook.core import Output, Table
from vqabook.files import load_saved, read_or_set_aside, save_whole
from vqabook.progress import Bar

MASKS = 500  # Sec. 4.2


def region_masks(n: int, width: int, height: int, *, scale: int, generator: torch.Generator) -> Float[Tensor, "m o"]:
    """`n` random masks in [0, 1] over width x height regions in reading order, and a last one of ones (Sec. 4.2).

    Coins on a grid `scale` times coarser, enlarged bilinearly. Where `scale` does not divide a side, the coarse grid
    takes one cell more: 14 regions at the paper's scale of 6 give 3 cells, since 2 would be a scale of 7.
    """
    if n < 1 or not 1 <= scale <= max(width, height):
        raise ValueError(
            f"masks: at least 1, on a grid scale times coarser, 1 <= scale <= the longer side; got {n} masks, "
            f"scale {scale}, {width} x {height} regions"
        )
    coarse = torch.randint(0, 2, (n, 1, -(-height // scale), -(-width // scale)), generator=generator)
    fine = F.interpolate(coarse.float(), size=(height, width), mode="bilinear", align_corners=False)
    return torch.cat([fine.flatten(1), torch.ones(1, width * height)])


def pair_masks(n_words: int, *, short: bool = False) -> Float[Tensor, "m t"]:
    """Every way to conceal two of `n_words` words, and a last one that conceals none (Sec. 3.2).

    Of fewer than three words a pair would leave nothing to read: ValueError, or, if `short` ones are let through, none
    is concealed, and what is kept is the plain map.
    """
    if n_words < 3 and not short:
        raise ValueError(
            f"two words are concealed of texts of three or more, got a text of {n_words}; leave it out, or keep its "
            "plain map: masks=partial(pair_masks, short=True)"
        )
    pairs = list(combinations(range(n_words), 2)) if n_words > 2 else []
    masks = torch.ones(len(pairs) + 1, n_words)
    for row, pair in zip(masks, pairs, strict=False):
        row[list(pair)] = 0
    return masks


def word_masks(n_words: int, n_kept: int) -> Float[Tensor, "m t"]:
    """Every way to show `n_kept` of `n_words` words alone, and a last one that shows all (Sec. 4.5)."""
    choices = list(combinations(range(n_words), min(n_kept, n_words)))
    masks = torch.zeros(len(choices) + 1, n_words)
    for row, words in zip(masks, choices, strict=False):
        row[list(words)] = 1
    masks[-1] = 1
    return masks


SAVE_EVERY = 20.0  # seconds
SAVE_SHARE = 10.0  # ... and this many times as long as the last saving took
TEXTS = 2048  # masked texts in a pass
PASS_BYTES = {"cpu": 2**25, "cuda": 2**31}  # of what masks do not change, repeated for each of them


class Surrogates(NamedTuple):
    """What probing found for each of n examples."""

    attention: Float[Tensor, "n o"]  # over regions or words, sums to 1
    score: Float[Tensor, " n"]  # probability of the ground truth under the mask kept
    plain: Float[Tensor, " n"]  # the same without a mask
    mask: Int[Tensor, " n"]  # which one was kept; the last is the one that masks nothing


@runtime_checkable
class ShowsRegions(Protocol):
    """A model to which masked regions can be shown, computed once an example: see `region_probe`."""

    def prepare(self, *inputs: Tensor) -> tuple[Tensor, ...]: ...

    def answer(self, *prepared: Tensor) -> Output: ...


@runtime_checkable
class Rereads(Protocol):
    """A model that reads a question anew under a mask of its words: see `word_probe`."""

    def reread(self, *inputs: Tensor) -> Output: ...


class Probe(NamedTuple):
    """Probing in pieces: `look(rows)` answers for each of `pieces` of the rows of a table."""

    pieces: list[Int[Tensor, " b"]]
    look: Callable[[Int[Tensor, " b"]], tuple[Float[Tensor, "b m"], Float[Tensor, "b m o"]]]


def region_probe(model: nn.Module, table: Table, masks: Float[Tensor, "m o"], *, at_once: int | None = None) -> Probe:
    """How `model` answers the examples of `table` under each mask of their regions, `at_once` of them in a pass.

    The model offers `*fixed, real = prepare(*inputs)`, computed once an example, and `answer(*fixed, real * mask)`. A
    mask that leaves nothing of an example scores 0: what is answered to nothing has looked at nothing. By default a
    pass has what fits into a processor's cache, or into a part of a GPU's memory.
    """
    if not isinstance(model, ShowsRegions):
        raise ValueError(
            f"masked regions are shown to a model that has prepare and answer, {type(model).__name__} has not; "
            "use one that attends to regions, as AttentiveSan or SmallCnn do"
        )
    masks, rows = masks.to(table.device), torch.arange(len(table), device=table.device)
    at_once = at_once or _at_once(model.eval(), table)

    @torch.no_grad()
    def look(rows: Int[Tensor, " b"]) -> tuple[Tensor, Tensor]:
        model.eval()
        batch = table.batch(rows)
        fixed = model.prepare(*batch.inputs)
        outs: list[tuple[Tensor, Tensor]] = []
        for part in masks.split(at_once):
            *inputs, real = (x[:, None].expand(-1, len(part), *x.shape[1:]).flatten(0, 1) for x in fixed)
            keep = real * part.repeat(len(rows), 1)
            out = model.answer(*inputs, keep)
            there = keep.amax(1).gt(0).view(len(rows), -1)
            outs.append((_scores(out.logits, batch.target, len(part)) * there, _maps(out.attention, len(part))))
        scores, maps = (torch.cat(parts, 1) for parts in zip(*outs, strict=True))
        return scores, maps

    return Probe(list(rows.split(max(1, at_once // len(masks)))), look)


def word_probe(
    model: nn.Module,
    table: Table,
    masks: Callable[[int], Float[Tensor, "m t"]] = pair_masks,
    *,
    at_once: int | None = None,
) -> Probe:
    """The same under masks of words, the last input of `table`; `masks` makes those of a text of so many words.

    The model takes `keep_words` and returns `word_attention`; one that looks at regions as well offers `reread`, so
    that they are projected once. Texts of one length share their masks and are read to that length only. ValueError for
    a text without a word, or too short for its masks.
    """
    if not hasattr(model, "reread") and "keep_words" not in signature(model.forward).parameters:
        raise ValueError(
            f"masked words are shown to a model that takes keep_words, {type(model).__name__} does not; use one that "
            "attends to words, as SelfAttentiveText or AttentiveSan do"
        )
    words = table.inputs[-1]
    length = words.ne(0).sum(1)
    if (empty := (length == 0).nonzero()[:, 0]).numel():
        raise ValueError(
            f"a text has at least one word, {empty.numel()} of {len(words)} have none (first: row {int(empty[0])}); "
            "leave them out"
        )

    @torch.no_grad()
    def look(rows: Int[Tensor, " b"]) -> tuple[Tensor, Tensor]:
        model.eval()
        batch, n = table.batch(rows), int(length[rows[0]])
        keep, read = masks(n).to(table.device), batch.inputs[-1][:, :n]
        if isinstance(model, Rereads):
            out = model.reread(*batch.inputs[:-1], read, keep)
        else:
            out = model(read.repeat_interleave(len(keep), 0), keep_words=keep.repeat(len(rows), 1))
        maps = _maps(out.word_attention, len(keep))
        return _scores(out.logits, batch.target, len(keep)), F.pad(maps, (0, words.shape[1] - n))

    if at_once is None:
        at_once = _at_once(model.eval(), table) if isinstance(model, ShowsRegions) else TEXTS
    pieces = []
    for n in length.unique().tolist():
        pieces += (length == n).nonzero()[:, 0].split(max(1, at_once // len(masks(n))))
    return Probe(pieces, look)


def surrogates(probe: Probe, *, weighted: bool = False, store: Path | None = None, label: str = "masks") -> Surrogates:
    """The map kept for every row; `weighted` takes the mean of all maps by their probability, which the paper says is
    worse (Sec. 3.1).

    With `store` they are kept in that file, written whole or not at all: a finished one is read, and a killed probe
    goes on from its last save. Whoever gives the same path says that model, table and masks are the same. A file that
    cannot be read back, or has maps of another size, is set aside with a warning.
    """
    done, kept = _load(store, probe)
    clock, pause = time.monotonic(), SAVE_EVERY
    rest = Bar(probe.pieces[done:], label, len(probe.pieces), initial=done, unit="batch", delay=2)
    for n, rows in enumerate(rest, start=done + 1):
        kept.append(Surrogates(*(x.cpu() for x in _choose(*probe.look(rows), weighted))))
        if store is not None and (n == len(probe.pieces) or time.monotonic() - clock >= pause):
            kept, started = [_join(kept)], time.monotonic()
            rows = torch.cat(probe.pieces[:n]).cpu()
            save_whole({"pieces": n, "rows": rows, "found": tuple(kept[0])}, store)
            clock, pause = time.monotonic(), max(SAVE_EVERY, SAVE_SHARE * (time.monotonic() - started))
    order = torch.cat(probe.pieces).cpu().argsort()
    return Surrogates(*(column[order] for column in _join(kept)))


def _load(store: Path | None, probe: Probe) -> tuple[int, list[Surrogates]]:
    """How many pieces a file has, and what was kept; none if it was cut into other pieces, on another device say."""
    if store is None or not store.exists():
        return 0, []
    one = _choose(*probe.look(probe.pieces[0][:1]), False)
    saved = read_or_set_aside(store, lambda path: _check(load_saved(path), one))
    if not saved or not torch.equal(torch.cat(probe.pieces[: saved["pieces"]]).cpu(), saved["rows"]):
        return 0, []
    return saved["pieces"], [Surrogates(*saved["found"])]


def _check(saved: dict, one: Surrogates) -> dict:
    """What `surrogates` saved, if its columns are as those of `one` row, for as many rows as it says."""
    kinds = [(len(saved["rows"]), *x.shape[1:], x.dtype) for x in one]
    if [(*x.shape, x.dtype) for x in Surrogates(*saved["found"])] != kinds or saved["pieces"] < 1:
        raise ValueError("maps are a row an example, of as many regions or words as the model looks at")
    return saved


def _join(kept: list[Surrogates]) -> Surrogates:
    return Surrogates(*(torch.cat(column) for column in zip(*kept, strict=True)))


def _at_once(model: ShowsRegions, table: Table) -> int:
    """How many masked examples make a pass, by what `prepare` holds for each."""
    with torch.no_grad():
        first = table.batch(torch.zeros(1, dtype=torch.long, device=table.device))
        bytes_each = sum(x.nbytes for x in model.prepare(*first.inputs))
    return max(1, PASS_BYTES.get(table.device.type, PASS_BYTES["cpu"]) // bytes_each)


def mask_scores(probe: Probe) -> Iterable[tuple[Int[Tensor, " b"], Float[Tensor, "b m"]]]:
    """(rows, probability of the ground truth under each mask) piece by piece; the last mask masks nothing."""
    return ((rows, probe.look(rows)[0]) for rows in probe.pieces)


def _scores(logits: Float[Tensor, "n a"], target: Tensor, n_masks: int) -> Float[Tensor, "b m"]:
    """Probability of the ground truth, in double precision; of soft scores, the mean over answers by their score.

    By its log odds: where a model is sure, as on what it was trained on, probabilities near 1 would be all alike.
    """
    logits = logits.double().view(-1, n_masks, logits.shape[-1])
    if not target.dtype.is_floating_point:
        true = target.long()[:, None, None].expand(-1, n_masks, 1)
        others = logits.scatter(2, true, -torch.inf).logsumexp(2)
        return (logits.gather(2, true).squeeze(2) - others).sigmoid()
    share = target / target.sum(-1, keepdim=True).clamp(min=torch.finfo(target.dtype).tiny)
    return (logits.softmax(-1) @ share.double()[..., None]).squeeze(2)


def _maps(attention: Float[Tensor, "n o"] | None, n_masks: int) -> Float[Tensor, "b m o"]:
    if attention is None:
        raise ValueError("a surrogate is the attention of a probed model, got None; use a model that attends")
    return attention.view(-1, n_masks, attention.shape[-1])


def _choose(score: Float[Tensor, "b m"], maps: Float[Tensor, "b m o"], weighted: bool) -> Surrogates:
    """Where no mask is better than none, as for an example whose answer the model cannot give, none is kept."""
    plain, best = score[:, -1], score.argmax(1)
    best = torch.where(score.gather(1, best[:, None]).squeeze(1) > plain, best, score.shape[1] - 1)
    if weighted:
        share = torch.where(score.sum(1, keepdim=True) > 0, score, F.one_hot(best, score.shape[1]).to(score.dtype))
        kept = ((share / share.sum(1, keepdim=True)).to(maps.dtype)[:, None] @ maps).squeeze(1)
    else:
        kept = maps[torch.arange(len(best), device=best.device), best]
    return Surrogates(kept, score.gather(1, best[:, None]).squeeze(1), plain, best)
