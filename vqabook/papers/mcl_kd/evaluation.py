"""What an ensemble of the MCL-KD paper is judged by: its answer, its best member's, and who knows what."""

from collections.abc import Mapping

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from vqabook.core import Batch, Output, SparseScores, Table
from vqabook.data.vqa import spell
from vqabook.metrics import ensemble
from vqabook.metrics.owners import count_owned, find_specialities, measure_dependence
from vqabook.objectives.multiple_choice import MultipleChoice
from vqabook.papers.mcl_kd.examples import Examples
from vqabook.training.fit import predict, select

FAMILIES, QUESTIONS = 4, 2  # in Table 3
SHOWN = 6  # test examples whose members' answers a record keeps
SAID = 3  # of each member's answers, by probability


def judge(model: nn.Module, objective: MultipleChoice, history: list[dict], examples: Examples) -> dict:
    """A record's result, once the model has the weights that were best on held-out rows."""
    selection, scores = select(history, first=0), [row.pop("scores") for row in history]
    costs = owners_cost(model, objective, examples.train)
    owned, by_task = (count_owned(cost, examples.group["train"], examples.families) for cost in costs)
    answers = target.best if isinstance(target := examples.train.target, SparseScores) else target
    return {
        "test": scores[selection["best_by_valid"]["epoch"] - 1],
        "selection": selection,
        "specialised": owned,
        "by_task": by_task,
        "divided": measure_dependence(costs[0].argmin(1), answers.cpu().numpy()),
        "questions": list_questions(examples, owned, by_task) if examples.words else {},
        "shown": show_members(model, examples),
        "parameters": {"model": sum(p.numel() for p in model.parameters())},
        "history": history,
        "measures": measure(model, examples.test),  # last: shared features are drawn anew
    }


def score_epoch(model: nn.Module, examples: Examples) -> dict:
    """Top-1 and oracle accuracy (%) on held-out rows and on test, and each member's on test."""
    valid, _ = score(model, examples.valid)
    test, members = score(model, examples.test)
    each = 100 * members.mean(1)
    scores = {
        "overall": 100 * float(test.mean()),
        "oracle": 100 * float(ensemble.oracle(members).mean()),
        "single": float(each.mean()),
        "best_member": float(each.max()),
        "worst_member": float(each.min()),
    }
    return {"valid": 100 * float(valid.mean()), "test": scores["overall"], "scores": scores}


def score(model: nn.Module, table: Table) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, "m n"]]:
    """Score, 0 to 1, of the ensemble's answer (Eq. 7) to each row, and of each member's."""

    def read(out: Output, batch: Batch) -> Float[Tensor, "b all"]:
        logits = out.logits.float().cpu()
        together = torch.from_numpy(ensemble.answer_together(logits.numpy()))
        return ensemble.worth(torch.vstack([together, logits.argmax(-1)]), batch.target).T

    scores = predict(model, table, read).T.contiguous().numpy()
    return scores[0], scores[1:]


def measure(model: nn.Module, table: Table) -> dict[str, float | None]:
    """Calibration, disagreement and a router: `metrics.ensemble.measure`."""

    def read(out: Output, batch: Batch) -> Float[Tensor, "b 7"]:
        return ensemble.measure_rows(out.logits.float(), batch.target)

    return ensemble.measure(predict(model, table, read))


def owners_cost(model: nn.Module, objective: MultipleChoice, table: Table) -> Float[np.ndarray, "2 n m"]:
    """What it costs that a member learns an example: the lowest owns it.

    First as training assigns it, where what the member does otherwise counts (Eq. 4); then by the task's loss alone,
    which is one definition for all rules.
    """

    def read(out: Output, batch: Batch) -> Float[Tensor, "b 2 m"]:
        task = objective.task(out.logits, batch.target)
        other = None if objective.rule == "self_kd" else objective.other(out.logits, batch)
        return torch.stack([task if other is None else task - objective.beta * other, task]).permute(2, 0, 1)

    return predict(model, table, read).numpy().transpose(1, 0, 2)


@torch.no_grad()
def show_members(model: nn.Module, examples: Examples) -> list[dict]:
    """Fig. 4: what each member says, with which probability, on some test examples, the same ones for every model."""
    table = examples.test
    rows = torch.linspace(0, len(table) - 1, SHOWN, device=table.device).long()
    batch = table.batch(rows)
    probability = model.eval()(*batch.inputs).logits.softmax(-1)
    together = probability.mean(0)
    truth = batch.target.argmax(1) if batch.target.dtype.is_floating_point else batch.target
    return [
        {
            "row": int(row),
            "family": examples.families[examples.group["test"][int(row)]],
            "words": spell(batch.inputs[-1][i], examples.words) if examples.words else [],
            "truth": examples.answers[int(truth[i])],
            "together": _most_probable(together[i], examples.answers)[0],
            "members": [_most_probable(member[i], examples.answers) for member in probability],
        }
        for i, row in enumerate(rows)
    ]


def _most_probable(probability: Float[Tensor, " c"], answers: tuple[str, ...]) -> list[tuple[str, float]]:
    top = probability.topk(min(SAID, len(probability)))
    return [(answers[i], round(p, 4)) for p, i in zip(top.values.tolist(), top.indices.tolist(), strict=True)]


def list_questions(examples: Examples, *owners: Mapping) -> dict[str, list[str]]:
    """Table 3: the first training questions of each member's speciality, by either definition of an owner.

    And of the families of which one member owns the most questions, by the first.
    """
    most = {family: max(counts) for family, counts in zip(owners[0]["families"], owners[0]["owned"], strict=True)}
    kept = sorted(most, key=most.__getitem__, reverse=True)[:FAMILIES]
    kept += [family for owned in owners for family, _ in find_specialities(owned).values()]
    questions = {}
    for family in dict.fromkeys(kept):
        rows = np.flatnonzero(examples.group["train"] == examples.families.index(family))[:QUESTIONS]
        words = examples.train.subset(torch.from_numpy(rows)).inputs[-1]
        questions[family] = [" ".join(spell(ids, examples.words)) for ids in words]
    return questions


def judge_unread(examples: Examples, members: int) -> dict:
    """Accuracies (%) without reading: the i-th member says the i-th most frequent answer to each kind of question.

    The first is the guess; of images no kind is known. A level that says nothing of a model, and an oracle accuracy.
    """
    group = {part: rows if examples.words else np.zeros_like(rows) for part, rows in examples.group.items()}
    target, n = examples.train.target, examples.train.n_classes
    if isinstance(target, SparseScores):
        answer, score = target.answer, target.score
    else:
        answer, score = target[:, None], torch.ones(len(target), 1)
    counted = group["train"], answer.long().cpu().numpy(), score.cpu().numpy()
    frequent = ensemble.frequent_answers(*counted, len(examples.families) if examples.words else 1, n)
    valid, test = (
        ensemble.worth(
            torch.from_numpy(ensemble.constant_members(frequent, group[part], members)),
            table.target[torch.arange(len(table), device=table.device)],
        )
        for part, table in (("valid", examples.valid), ("test", examples.test))
    )
    scores = {"overall": 100 * float(test[0].mean()), "oracle": 100 * float(test.amax(0).mean())}
    sizes = {part: len(rows) for part, rows in group.items()}
    return {"valid": 100 * float(valid[0].mean()), "test": scores, "sizes": sizes}
