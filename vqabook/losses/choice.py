"""Multiple choice learning: which of m models learn an example, and what the others do with it meanwhile.

Guzman-Rivera et al. 2012 (MCL); Lee et al. 2017, "Confident Multiple Choice Learning", arXiv:1706.03475 (CMCL); Mun et
al. 2018, "Learning to Specialize with Knowledge Distillation for Visual Question Answering" (MCL-KD), Secs. 2-3.

Losses here are [m, b], a row a member. All three rules are one: v_m in {0, 1} with k ones an example minimises
Σ_m v_m task_m + β (1 - v_m) other_m (Eqs. 2-4), where `other` is nothing, the divergence from uniform, or that from the
member's own base model. Moving a member into the set changes the sum by task_m - β other_m, so the k smallest of these
are the minimum: no enumeration.
"""

from math import log

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

from vqabook.losses.base import Reduction, check_ids, check_number, check_same, reduce


def assignment(score: Float[Tensor, "m b"], k: int) -> Bool[Tensor, "m b"]:
    """v (Eq. 2): of each example the `k` members with the lowest score. ValueError unless 1 <= k <= m."""
    if not 1 <= k <= len(score):
        raise ValueError(
            f"k members learn an example, 1 <= k <= m: got k = {k} with m = {len(score)} members; k = m is an "
            "independent ensemble"
        )
    return torch.zeros_like(score, dtype=torch.bool).scatter_(0, score.topk(k, 0, largest=False).indices, True)


def multiple_choice(
    task: Float[Tensor, "m b"],
    k: int,
    *,
    other: Float[Tensor, "m b"] | None = None,
    beta: float = 0.0,
    rank: Float[Tensor, "m b"] | None = None,
) -> tuple[Float[Tensor, " b"], Bool[Tensor, "m b"]]:
    """Σ_m v_m task_m + β (1 - v_m) other_m at the v that minimises it (Eqs. 2-4), and that v, which has no gradient.

    k = m is an independent ensemble, whose members then learn as each alone would. `rank` chooses in place of the
    losses: the k lowest.
    """
    check_number("beta", beta, note="it weighs what members do with examples of others, 0 is plain MCL")
    check_same("task", task, other=other, rank=rank)
    if rank is None:
        rank = (task if other is None else task - beta * other).detach()
    chosen = assignment(rank, k)
    if other is None:
        return (task * chosen).sum(0), chosen
    return torch.where(chosen, task, beta * other).sum(0), chosen


def uniform_divergence(logits: Float[Tensor, "*b c"], *, reduction: Reduction = "none") -> Float[Tensor, "*r"]:
    """D_KL(U || P) = -log c - mean_y log P(y) (Eq. 3): how sure a model is of anything."""
    return reduce(-logits.log_softmax(-1).mean(-1) - log(logits.shape[-1]), reduction)


def random_label_loss(logits: Float[Tensor, "m b c"]) -> Float[Tensor, "m b"]:
    """Cross-entropy of a label drawn evenly for every member and example: CMCL's "version 1", a noisy D_KL(U || P).

    Its mean is D_KL(U || P) + log c. What the release of Mun et al. compares with.
    """
    return member_cross_entropy(logits, torch.randint(logits.shape[-1], logits.shape[:-1], device=logits.device))


def distillation(
    logits: Float[Tensor, "*b c"],
    teacher: Float[Tensor, "*b c"],
    *,
    temperature: float = 1.0,
    reduction: Reduction = "none",
) -> Float[Tensor, "*r"]:
    """D_KL(P(φ, T) || P(θ, T)) (Eq. 5) from a student's and its teacher's logits; no T² as in Hinton et al. 2015."""
    _check(logits, teacher, temperature)
    p = (teacher / temperature).log_softmax(-1)
    gap = (p - (logits / temperature).log_softmax(-1)).masked_fill(p.isneginf(), 0)  # what a teacher rules out
    return reduce((p.exp() * gap).sum(-1), reduction)


def released_distillation(
    logits: Float[Tensor, "*b c"],
    teacher: Float[Tensor, "*b c"],
    *,
    temperature: float = 1.0,
    reduction: Reduction = "none",
) -> Float[Tensor, "*r"]:
    """What the release computes in its place: cross-entropy with the teacher, *averaged* over the c answers.

    That is (D_KL + H(teacher)) / c: its β of 50 on CLEVR (28 answers) and 5,000 on VQA v2 (3,129) are 1.8 and 1.6 on
    Eq. 5's scale. H moves no member, but the assignment: members' teachers are not equally sure.
    """
    _check(logits, teacher, temperature)
    p = (teacher / temperature).softmax(-1)
    log_q = (logits / temperature).log_softmax(-1).masked_fill(teacher.isneginf(), 0)
    return reduce(-(p * log_q).mean(-1), reduction)


def member_cross_entropy(logits: Float[Tensor, "m b c"], target: Int[Tensor, "*m b"]) -> Float[Tensor, "m b"]:
    """-log P(y) (Eq. 6) of each member; `target` is one label an example, or one a member and example."""
    if logits.dim() != 3 or target.is_floating_point() or target.shape not in (logits.shape[1:2], logits.shape[:2]):
        raise ValueError(
            "labels of members' logits [m, b, c] are integers, [b] or [m, b], got logits "
            f"{list(logits.shape)} and target {target.dtype} {list(target.shape)}; of other targets make a loss by "
            "objectives.per_member"
        )
    check_ids("target", target, logits.shape[-1])
    each = target.long().expand(logits.shape[:-1])
    return F.cross_entropy(logits.flatten(0, 1), each.flatten(), reduction="none").view(each.shape)


def _check(logits: Tensor, teacher: Tensor, temperature: float) -> None:
    check_same("logits", logits, teacher=teacher)
    check_number("temperature", temperature, above=True, note="it divides logits, 1 leaves them")
