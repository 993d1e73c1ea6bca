"""What an ensemble of the MCL-KD paper is judged by: its answer, its best member's, and who knows what."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from vqabook.core import Batch, Output, SparseScores, Table
from vqabook.metrics.ensemble import averaged, dependence, oracle
from vqabook.objectives.multiple_choice import MultipleChoice
from vqabook.papers.mcl_kd.examples import Examples
from vqabook.training.fit import predict

if TYPE_CHECKING:
    from jaxtyping import Float, Int

SHOWN = 6  # test examples whose members' answers a record keeps
SAID = 3  # of each member's answers, by probability


class Judged:
    """After every epoch: top-1 and oracle accuracy (%) on held-out rows and on test, and each member's on test."""

    def __init__(self, examples: Examples):
        self.examples = examples

    def __call__(self, model: nn.Module) -> dict:
        valid, _ = scores_of(model, self.examples.valid)
        test, members = scores_of(model, self.examples.test)
        each = 100 * members.mean(1)
        scores = {
            "overall": 100 * float(test.mean()),
            "oracle": 100 * float(oracle(members).mean()),
            "single": float(each.mean()),
            "best_member": float(each.max()),
            "worst_member": float(each.min()),
        }
        return {"valid": 100 * float(valid.mean()), "test": scores["overall"], "scores": scores}


def scores_of(model: nn.Module, table: Table) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, "m n"]]:
    """Score, 0 to 1, of the ensemble's answer (Eq. 7) to each row, and of each member's."""
    logits = predict(model, table, _logits).numpy().swapaxes(0, 1)
    chosen = torch.from_numpy(np.vstack([averaged(logits)[None], logits.argmax(-1)]))
    rows = torch.arange(len(table), device=table.device)
    found = torch.cat([worth(ids, table.target[some]) for ids, some in _in_pieces(chosen, rows)], 1).numpy()
    return found[0], found[1:]


def worth(chosen: Int[Tensor, "m b"], target: Tensor) -> Float[Tensor, "m b"]:
    """The score of each answer: 1 or 0 by a label [b], or the soft score [b, a], which is the VQA accuracy."""
    chosen = chosen.to(target.device)
    if target.dtype.is_floating_point:
        return target.gather(1, chosen.T).T.cpu()
    return chosen.eq(target).float().cpu()


def _in_pieces(chosen: Tensor, rows: Tensor, size: int = 4096) -> list[tuple[Tensor, Tensor]]:
    return list(zip(chosen.split(size, 1), rows.split(size), strict=True))


@torch.no_grad()
def owners(model: nn.Module, objective: MultipleChoice, table: Table) -> Float[np.ndarray, "n m"]:
    """What it costs that a member learns an example and does nothing else with it: the lowest owns it (Eq. 4)."""
    model.eval()

    def read(out: Output, batch: Batch) -> Tensor:
        task = objective.task(out.logits, batch.target)
        other = objective.other(out.logits, batch)
        return (task if other is None else task - objective.beta * other).T

    return predict(model, table, read).numpy()


def specialised(cost: Float[np.ndarray, "n m"], group: Int[np.ndarray, " n"], families: tuple[str, ...]) -> dict:
    """Fig. 3: of each family with 20 rows or more, the share that each member owns; and whether that is chance."""
    owner = cost.argmin(1)
    counts = np.zeros((len(families), cost.shape[1]), dtype=np.int64)
    np.add.at(counts, (group, owner), 1)
    there = np.flatnonzero(counts.sum(1) >= 20)
    return {"families": [families[i] for i in there], "owned": counts[there].tolist()} | depending(owner, group)


def depending(owner: Int[np.ndarray, " n"], group: Int[np.ndarray, " n"]) -> dict:
    """How much an example's owner says about its group, in nats, and against chance."""
    if min(len(np.unique(owner)), len(np.unique(group))) < 2:  # one member owns all: nothing depends on anything
        return {"information": 0.0, "by_chance": 0.0, "p": 1.0, "beyond_chance": 0.0}
    found = dependence(owner, group)
    read = {"information": found.information, "by_chance": found.by_chance, "p": found.p}
    return read | {"beyond_chance": found.information - found.by_chance}


def labels_of(table: Table) -> Int[np.ndarray, " n"]:
    """The answer to each row; where ten people answered, the one with the highest score."""
    target = table.target
    if isinstance(target, SparseScores):
        return target.answer.gather(1, target.score.argmax(1, keepdim=True).cpu()).squeeze(1).cpu().numpy()
    return target.cpu().numpy()


@torch.no_grad()
def shown(model: nn.Module, examples: Examples, n: int = SHOWN) -> list[dict]:
    """Fig. 4: what each member says, with which probability, on `n` test examples, the same ones for every model."""
    table = examples.test
    rows = torch.linspace(0, len(table) - 1, n, device=table.device).long()
    batch = table.batch(rows)
    probability = model.eval()(*batch.inputs).logits.softmax(-1)
    together = probability.mean(0)
    truth = batch.target.argmax(1) if batch.target.dtype.is_floating_point else batch.target
    return [
        {
            "row": int(row),
            "family": examples.families[examples.group["test"][int(row)]],
            "words": spelt(batch.inputs[-1][i], examples) if examples.words else [],
            "truth": examples.answers[int(truth[i])],
            "together": _said(together[i], examples.answers)[0],
            "members": [_said(one[i], examples.answers) for one in probability],
        }
        for i, row in enumerate(rows)
    ]


def _said(probability: Float[Tensor, " c"], answers: tuple[str, ...]) -> list[tuple[str, float]]:
    top = probability.topk(min(SAID, len(probability)))
    return [(answers[i], round(p, 4)) for p, i in zip(top.values.tolist(), top.indices.tolist(), strict=True)]


def spelt(ids: Int[Tensor, " t"], examples: Examples) -> list[str]:
    """A text's words, "?" for one that train lacks."""
    return [examples.words[k - 2] if k > 1 else "?" for k in ids.tolist() if k]


def questions_of(examples: Examples, most: Mapping[str, int], n: int = 2) -> dict[str, list[str]]:
    """Table 3: the first `n` training questions of each family in `most`."""
    found = {}
    for family in most:
        rows = np.flatnonzero(examples.group["train"] == examples.families.index(family))[:n]
        words = examples.train.subset(torch.from_numpy(rows)).inputs[-1]
        found[family] = [" ".join(spelt(ids, examples)) for ids in words]
    return found


def _logits(out: Output, batch: Batch) -> Float[Tensor, "b m c"]:
    return out.logits.transpose(0, 1).float()
