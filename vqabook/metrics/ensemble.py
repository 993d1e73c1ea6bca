"""An ensemble and its members: what all say together, what one of them knows, and how sure they are.

Mun et al. 2018, "Learning to Specialize with Knowledge Distillation for Visual Question Answering", Sec. 4.1, Eq. 7.
"""

import math

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from vqabook.metrics.calibration import calibration_gap


def answer_together(logits: Float[np.ndarray, "m n c"]) -> Int[np.ndarray, " n"]:
    """The answer with the highest mean probability (Eq. 7)."""
    shifted = np.exp(logits - logits.max(-1, keepdims=True))
    return (shifted / shifted.sum(-1, keepdims=True)).mean(0).argmax(-1)


def oracle(scores: Float[np.ndarray, "m n"]) -> Float[np.ndarray, " n"]:
    """Of each example the best member's score: 1 or 0 for right and wrong, or a VQA accuracy."""
    return scores.max(0)


def worth(chosen: Int[Tensor, "m b"], target: Tensor) -> Float[Tensor, "m b"]:
    """The score of each answer: 1 or 0 by a label [b], or the soft score [b, a], which is the VQA accuracy."""
    chosen = chosen.to(target.device)
    if target.dtype.is_floating_point:
        return target.gather(1, chosen.T).T
    return chosen.eq(target).float()


def disagreement(said: Int[Tensor, "m b"]) -> Float[Tensor, " b"]:
    """Of each example the share of pairs of members that answer differently; a member alone agrees with itself."""
    m = len(said)
    return (said[:, None] != said).sum((0, 1)) / max(1, m * (m - 1))


def ask_the_surest(p: Float[Tensor, "m b c"]) -> Int[Tensor, " b"]:
    """A router: of each example the answer of the member that gives its own answer the highest probability."""
    sure, said = p.max(-1)
    return said.gather(0, sure.argmax(0, keepdim=True))[0]


def measure_rows(logits: Float[Tensor, "m b c"], target: Tensor) -> Float[Tensor, "b 7"]:
    """What `measure` sums up, of each example: nobody keeps all logits. `target`: labels [b], or soft scores [b, c]."""
    log_p = logits.log_softmax(-1)
    together = log_p.logsumexp(0) - math.log(len(logits))  # of the mean probability (Eq. 7)
    sure, said = log_p.exp().max(-1)
    scores = worth(torch.vstack([together.argmax(-1), ask_the_surest(log_p.exp()), said]), target)
    best = _cost(log_p, target).argmin(0, keepdim=True)
    wrong = scores[2:].eq(0).scatter(0, best, False)  # who is wrong and does not know the example best
    columns = [_cost(together[None], target)[0], together.exp().amax(-1), *scores[:2], disagreement(said)]
    return torch.stack([*columns, (sure * wrong).sum(0), wrong.sum(0)], 1).double()


def measure(rows: Float[Tensor, "n 7"]) -> dict[str, float | None]:
    """How far an ensemble can be believed, what it gains from a choice among members, and how they differ.

    `nll` of the mean probability, in nats, and its calibration error `ece`; the score of a `router` to the surest
    member, at most the oracle's; the `disagreement` of members; how sure those are that answer wrongly and are not the
    best on an example, None where there are none (`sure_of_wrong`). All but the first in percent.
    """
    cost, confidence, score, routed, differ, sure, wrong = rows.unbind(1)
    return {
        "nll": float(cost.mean()),
        "ece": 100 * calibration_gap(confidence, score),
        "router": 100 * float(routed.mean()),
        "disagreement": 100 * float(differ.mean()),
        "sure_of_wrong": 100 * float(sure.sum() / wrong.sum()) if wrong.any() else None,
    }


def _cost(log_p: Float[Tensor, "m b c"], target: Tensor) -> Float[Tensor, "m b"]:
    """-log p of the label, or of all answers, weighed by their soft scores."""
    if target.dtype.is_floating_point:
        return -(target * log_p).sum(-1)
    return -log_p.gather(-1, target.long().expand(log_p.shape[:2])[..., None])[..., 0]


def frequent_answers(
    group: Int[np.ndarray, " n"],
    answer: Int[np.ndarray, "n k"],
    score: Float[np.ndarray, "n k"],
    n_groups: int,
    n_answers: int,
) -> Int[np.ndarray, "g a"]:
    """Of each group of training examples all answers, by the sum of their scores; of equals the one with the lower id.

    `answer`: those to each example, with the `score` of each.
    """
    sums = np.zeros((n_groups, n_answers))
    np.add.at(sums, (group[:, None], answer), score)
    return np.argsort(-sums, axis=1, kind="stable")


def constant_members(answers: Int[np.ndarray, "g a"], group: Int[np.ndarray, " n"], m: int) -> Int[np.ndarray, "m n"]:
    """What members say that read nothing but an example's group: the i-th of `m` says its i-th answer.

    A control for oracle accuracy, which rises with every other answer that is said, whoever says it.
    """
    if not 1 <= m <= answers.shape[1]:
        raise ValueError(f"each member says another answer, 1 <= m <= {answers.shape[1]} answers, got {m}")
    return answers[group, :m].T
