"""One contest: rules trained side by side on one division, judged where classes at test are of three kinds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from vqabook import files
from vqabook.arena.contest import PLAIN, Protocol, Training, judge_all, learn
from vqabook.arena.own_loss import OwnLoss, load
from vqabook.metrics.priors import PRIORS
from vqabook.papers.arena.recipes import ContestRun, name_loss
from vqabook.papers.arena.rows import lay_out
from vqabook.training.stages import Scratch

UNIFORM = PRIORS[0]


def train(recipe: ContestRun, scratch: Scratch, *, data_root: Path | None, device: str = "auto") -> dict:
    """Rows by prior at test: validation rows pick a rule's own value for each of them, of the same classifiers.

    Heads are as many as tries: they are trained on the CPU, whatever the device.
    """
    examples, division = lay_out(recipe, files.data_root(data_root))
    protocol = Protocol((recipe.seed,), trials=recipe.trials, batch_size=recipe.batch_size)
    how, loss = Training(recipe.steps, recipe.decay), _load(recipe)
    heads, seconds = learn(
        division, protocol, how, recipe.seed, loss, checkpoint=scratch.checkpoint, label=recipe.label
    )
    rows = {}
    for prior in PRIORS:
        judged = judge_all(heads, division, examples, replace(protocol, prior=prior))
        rows[prior] = {row: _shorten(found, prior) for row, found in judged.items()}
    if loss is None:
        seconds = {row: seconds.get(row, seconds[PLAIN]) for row in rows[UNIFORM]}
    counts = [int(n) for n in division.counts]
    return {
        "rows": rows,
        "seconds": seconds,
        "sizes": {part: len(x) for part, x in division.x.items()} | {"classes": len(counts), "width": division.width},
        "most": max(counts),
        "least": min(counts),
    }


def prepare(recipe: ContestRun, *, data_root: Path | None, device: str = "auto") -> None:
    """Read what a run reads, and try a loss of one's own: whatever cannot be raises now."""
    _load(recipe)
    lay_out(recipe, files.data_root(data_root))


def _load(recipe: ContestRun) -> OwnLoss | None:
    if recipe.loss is None:
        return None
    loss = load(recipe.loss.word)
    if loss.digest != recipe.loss.digest:
        raise ValueError(
            f"a run trains by the loss that its recipe names: {name_loss(recipe.loss)} was edited; run anew"
        )
    return loss


def _shorten(found: dict, prior: str) -> dict:
    """What tables read: a prior's numbers by the tries that are best there. Those that are best where classes are alike
    also say what they cost elsewhere, and on which classes.
    """
    double = {UNIFORM, "nll_training", "ece_training", "average_precision_training"}
    double |= set() if prior == UNIFORM else {*PRIORS, "many", "medium", "few"}
    return {name: None if x is None else round(float(x), 4) for name, x in found.items() if name not in double}
