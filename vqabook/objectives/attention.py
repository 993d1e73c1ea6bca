"""Patro et al. 2021: a classification loss, and one between the model's attention and surrogate maps (Secs. 3, 4.3)."""

from collections.abc import Iterator, Mapping
from typing import Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from vqabook.core import Batch, Output
from vqabook.losses import attention as losses
from vqabook.losses.base import check_choice, check_number
from vqabook.objectives.base import Objective

Kind = Literal["mse", "mmd", "coral", "adv"]
KINDS = get_args(Kind)
HEADS = ("attention", "word_attention")


class AttentionLoss(nn.Module):
    """One of the paper's four losses between maps [b, o] and surrogates [b, o]; "adv" owns a discriminator.

    `width` is the number of regions or words, `bandwidth` that of MMD's kernel; `paired` is the release's MMD. The
    discriminator is ours, since the paper prints none: two layers of `hidden`, on maps times their width, which makes
    an even map all ones. With `given` > 0 it sees `x` [b, given] as well: Eq. 3 prints D(g/x), and without x it
    compares sets of maps alone.
    """

    def __init__(
        self, kind: Kind, *, width: int, bandwidth: float = 0.3, paired: bool = False, hidden: int = 64, given: int = 0
    ):
        super().__init__()
        check_choice("kind", kind, KINDS)
        check_number("bandwidth", bandwidth, above=True)
        self.kind, self.width, self.bandwidth, self.paired, self.given = kind, width, bandwidth, paired, given
        layers = [nn.Linear(width + given, hidden), nn.LeakyReLU(0.2), nn.Linear(hidden, hidden), nn.LeakyReLU(0.2)]
        self.discriminator = nn.Sequential(*layers, nn.Linear(hidden, 1)) if kind == "adv" else nn.Sequential()

    def forward(
        self,
        attention: Float[Tensor, "b o"],
        surrogate: Float[Tensor, "b o"],
        x: Float[Tensor, "b given"] | None = None,
    ) -> Float[Tensor, " b"]:
        with torch.autocast(attention.device.type, enabled=False):  # small differences of small numbers
            attention, surrogate = attention.float(), surrogate.float()
            match self.kind:
                case "mse":
                    return losses.attention_mse(attention, surrogate)
                case "mmd":
                    return losses.attention_mmd(attention, surrogate, bandwidth=self.bandwidth, paired=self.paired)
                case "coral" if len(attention) < 2:  # the last batch of an epoch may be one example
                    return attention.new_zeros(len(attention))
                case "coral":
                    return losses.attention_coral(attention, surrogate)
            seen = [self.width * maps for maps in (losses.reverse_gradient(attention), surrogate)]
            if self.given:
                if x is None:
                    raise ValueError(f"the discriminator is given x [b, {self.given}], got None; pass it, or given=0")
                seen = [torch.cat([maps, F.layer_norm(x.detach().float(), (self.given,))], 1) for maps in seen]
            return losses.attention_adversarial(*(self.discriminator(maps).squeeze(-1) for maps in seen))


class _Watched(nn.Module):
    """A model whose last output can be read after an objective used it: one forward pass serves both losses."""

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model

    def forward(self, *inputs: Tensor) -> Output:
        self.seen = Output.of(self.model(*inputs))
        return self.seen


class AttentionSupervision(Objective):
    """L_c + Σ weight · L_att (Sec. 4.2; Sec. 3.3 for regions and words at once, with γ and β as their weights).

    Wraps the objective of L_c. `losses` maps "attention" and, or, "word_attention" to an `AttentionLoss`, `weights` to
    their γ or β; surrogate maps are `batch.side["surrogate_attention"]` and `["surrogate_word_attention"]`. A loss that
    is `given` something gets the model's question encoding.
    """

    def __init__(self, objective: Objective, losses: Mapping[str, AttentionLoss], weights: Mapping[str, float]):
        super().__init__()
        if not losses or set(losses) != set(weights) or not set(losses) <= set(HEADS):
            raise ValueError(
                f"losses and weights are for the same ones of {', '.join(HEADS)}, got {sorted(losses)} and "
                f"{sorted(weights)}"
            )
        for head, weight in weights.items():
            check_number(f"the weight of {head}", weight)
        self.objective, self.losses, self.weights = objective, nn.ModuleDict(losses), dict(weights)

    def steps(self, model: nn.Module, batch: Batch, progress: float) -> Iterator[Tensor]:
        watched = _Watched(model)
        for loss in self.objective.steps(watched, batch, progress):
            values = self.each(watched.seen, batch)
            yield loss + sum(self.weights[head] * value for head, value in values.items())

    def each(self, out: Output, batch: Batch) -> dict[str, Float[Tensor, " b"]]:
        """Every head's loss by itself, without its weight."""
        values = {}
        for head, loss in self.losses.items():
            maps, surrogate = getattr(out, head), batch.side.get(f"surrogate_{head}")
            if maps is None or surrogate is None:
                lacks = f"the model's {head}" if maps is None else f'batch.side["surrogate_{head}"]'
                raise ValueError(f"supervised attention needs maps and surrogates, {lacks} is missing; make them first")
            values[head] = loss(maps, surrogate, out.question)
        return values


class HopPenalty(Objective):
    """L + `weight` ‖A Aᵀ - I‖²_F (Lin et al. 2017, Eq. 8), by which hops of attention come to look at other words.

    Wraps the objective of L; the model returns `penalty` [b]. The paper and its release leave it out.
    """

    def __init__(self, objective: Objective, weight: float):
        super().__init__()
        check_number("weight", weight, note="0 is no penalty")
        self.objective, self.weight = objective, weight

    def steps(self, model: nn.Module, batch: Batch, progress: float) -> Iterator[Tensor]:
        watched = _Watched(model)
        for loss in self.objective.steps(watched, batch, progress):
            if watched.seen.penalty is None:
                raise ValueError("hops are kept apart by the model's penalty [b], got None; use one that returns it")
            yield loss + self.weight * watched.seen.penalty
