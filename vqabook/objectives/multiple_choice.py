"""Ensembles that specialise: independent, MCL, CMCL (versions 0 and 1) and MCL-KD, one rule with other leavings.

And one that does not: every member learns every example, and stays near its base model.

Mun et al. 2018, "Learning to Specialize with Knowledge Distillation for Visual Question Answering", Secs. 2-3.
"""

import warnings
from collections.abc import Callable, Iterator
from typing import Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vqabook.core import Batch, Output
from vqabook.losses import choice
from vqabook.losses.base import check_choice, check_number
from vqabook.objectives.base import Objective

Rule = Literal["ie", "mcl", "cmcl", "cmcl_v1", "mcl_kd", "self_kd"]
Scale = Literal["summed", "averaged"]
DWARFS = 1000.0  # times the task's loss, beyond which what the others do is likely on another scale


class MultipleChoice(Objective):
    """Eq. 4 for a model of m members, which returns logits [m, b, c]; `k` of them learn an example.

    `task(logits, target)` is [m, b], by default Eq. 6 on labels [b]; `per_member` makes one of any loss of one model.
    "mcl_kd" reads the members' base models, as they answered, from `batch.side["teacher"]` [b, m, c]. "self_kd" does,
    too, and has no specialists: every member learns task + β D_KL, whatever k, which is "ie" at β = 0. "cmcl_v1"
    assigns as "cmcl" does and gives the other members random labels. `by_chance` draws k members in place of the best:
    the same losses, and nothing to specialise in.

    `scale` is of what `beta` weighs: "summed", D_KL over the answers (Eqs. 3, 5), or "averaged", as in the release,
    whose β is c times as large: CMCL's D_KL(U || P) / c (the loss of random labels is not divided), and MCL-KD's
    cross-entropy with the base model over c, of which the base model's entropy moves the assignment.

    The sum over members is not divided: each has parameters of its own, and learns as if alone where k = m. (The
    release divides an independent ensemble by m.) Warns once if what β weighs dwarfs the task's loss.
    """

    def __init__(
        self,
        rule: Rule,
        *,
        k: int,
        beta: float = 0.0,
        temperature: float = 1.0,
        scale: Scale = "summed",
        task: Callable[[Tensor, Tensor], Tensor] = choice.member_cross_entropy,
        by_chance: bool = False,
    ):
        super().__init__()
        check_choice("rule", rule, get_args(Rule))
        check_choice("scale", scale, get_args(Scale))
        check_number("beta", beta, note="it weighs what members do with examples of others")
        check_number("temperature", temperature, above=True, note="1 leaves logits as they are")
        if beta == 0 and rule not in ("ie", "mcl", "self_kd"):
            raise ValueError(f"{rule} weighs what members do with examples of others, got beta 0; that is mcl")
        self.rule, self.k, self.beta, self.temperature, self.task = rule, k, beta, temperature, task
        self.scale, self.by_chance = scale, by_chance
        self.checked: float | None = None  # the progress at which `_warn` looked; inf: it spoke

    def steps(self, model: nn.Module, batch: Batch, progress: float) -> Iterator[Tensor]:
        logits = Output.of(model(*batch.inputs)).logits
        if logits.dim() != 3:
            raise ValueError(
                f"a multiple choice is among members, logits [m, b, c], got {tuple(logits.shape)}; wrap models in "
                "Members"
            )
        task = self.task(logits, batch.target)
        k = len(logits) if self.rule == "ie" else self.k
        other = self.other(logits, batch)
        if other is not None:
            self._warn(task, other, logits.shape[-1], progress)
            if self.rule == "self_kd":
                yield (task + self.beta * other).sum(0)
                return
        rank = torch.rand_like(task) if self.by_chance else None
        loss, chosen = choice.multiple_choice(task, k, other=other, beta=self.beta, rank=rank)
        if self.rule == "cmcl_v1":
            noise = choice.random_label_loss(logits)
            loss = (task * chosen + self.beta * noise * ~chosen).sum(0)
        yield loss

    def other(self, logits: Float[Tensor, "m b c"], batch: Batch) -> Float[Tensor, "m b"] | None:
        """What a member's leaving an example to others costs, before β."""
        if self.rule in ("ie", "mcl"):
            return None
        if self.rule not in ("mcl_kd", "self_kd"):
            return choice.uniform_divergence(logits) / (logits.shape[-1] if self.scale == "averaged" else 1)
        teacher = batch.side.get("teacher")
        if teacher is None:
            raise ValueError(
                'distillation reads the base models\' logits from batch.side["teacher"], which is missing; cache them '
                "first"
            )
        if (there := tuple(teacher.mT.shape[1:])) != (logits.shape[-1], len(logits)):
            raise ValueError(
                f"a member has one base model with its answers: {len(logits)} members of {logits.shape[-1]} answers, "
                f"got base models' logits [b, {there[1]}, {there[0]}]; cache those of these members"
            )
        divergence = choice.distillation if self.scale == "summed" else choice.released_distillation
        return divergence(logits, teacher.transpose(0, 1).to(logits.dtype), temperature=self.temperature)

    def _warn(self, task: Tensor, other: Tensor, n_answers: int, progress: float) -> None:
        """Once an epoch, which is one wait for a GPU; once for all if it speaks."""
        if self.checked == progress or self.checked == float("inf"):
            return
        self.checked = progress
        ratio = float((self.beta * other.mean() / task.mean().clamp(min=1e-12)).detach())
        if ratio > DWARFS:
            self.checked = float("inf")
            warnings.warn(
                f"beta times what members do with examples of others is {ratio:.0f} times the task's loss, got beta "
                f"{self.beta} on the {self.scale} scale; the release averages over the answers, where {self.beta} is "
                f"{self.beta / n_answers:.3g} of a sum",
                stacklevel=2,
            )


def per_member(loss: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Tensor, Tensor], Float[Tensor, "m b"]]:
    """A loss of logits [b, c] and targets [b, ...] for logits [m, b, c] and the same targets."""

    def each(logits: Float[Tensor, "m b c"], target: Tensor) -> Float[Tensor, "m b"]:
        m, b, _ = logits.shape
        return loss(logits.flatten(0, 1), target.expand(m, *target.shape).flatten(0, 1)).view(m, b)

    return each
