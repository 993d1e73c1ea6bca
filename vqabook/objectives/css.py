"""CSS: Chen et al. 2020, "Counterfactual Samples Synthesizing for Robust VQA", arXiv:2003.06576, around any loss.

What the answer rests on is taken out of the image (V-CSS) or the question (Q-CSS), and the answers that the rest does
not give are no longer right. "Release" is the authors' code, repository yanxinzju/CSS-VQA.
"""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, Literal, get_args

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from vqabook.core import Batch, Output
from vqabook.losses.base import check_choice, check_number
from vqabook.objectives.base import Objective, only_step

Hint = Literal["gradient", "released_order"]
PAD = 0  # the word of padding


class Css(Objective):
    """Two steps a batch, each with the loss of `base`: on the batch, then on its counterfactuals (Algorithm 1).

    A coin for each batch, Q-CSS with probability `q_share`, else V-CSS. After the first update the model answers from
    what is critical alone; its `top_answers` best are right there, so they are wrong in the counterfactual.
    Inputs are regions [b, o, d], words [b, t], and whatever else the model takes. A question of `type_words` alone and
    an image of padding alone have nothing critical: they are trained on once more, unchanged.

    Where the release departs: its model answers in training mode, with dropout (ours: evaluation mode); it masks the
    padding of Q+ too, and some word of a question that has only type words.
    """

    type_words: Tensor

    def __init__(
        self,
        base: Objective,
        *,
        type_words: Int[Tensor, " q"],
        mask_word: int,
        top_answers: int = 5,
        q_share: float = 0.5,
        mass: float = 0.65,
        temperature: float = 10.0,
        hint: Hint = "gradient",
    ):
        """`type_words`: how many words, from the first, make each question type; `mask_word`: the id of [MASK].

        `mass`, `temperature`: see `critical_regions`. `hint="released_order"`: what the release computes, where
        gradients only say how many regions are critical; those with the highest `side["hint"]` [b, o] are.
        """
        super().__init__()
        check_choice("hint", hint, get_args(Hint))
        check_number("q_share", q_share, high=1.0, note="it is the share of batches whose question is changed")
        check_number("mass", mass, high=1.0, above=True)
        check_number("temperature", temperature, above=True)
        if top_answers < 1:
            raise ValueError(f"top_answers is at least 1, got {top_answers}; raise it")
        self.base, self.mask_word, self.top_answers, self.q_share = base, mask_word, top_answers, q_share
        self.hint, self.selection = hint, {"mass": mass, "temperature": temperature}
        self.register_buffer("type_words", type_words, persistent=False)  # known from the data

    def steps(self, model: nn.Module, batch: Batch, progress: float) -> Iterator[Tensor]:
        ask = float(torch.rand((), device="cpu")) < self.q_share  # the host's generator: no sync, and resumed by `fit`
        loss, importance = self._explain(model, batch, progress, ask=ask)
        yield loss
        torch.clear_autocast_cache()  # it has the weights from before the update
        critical, only, without = (self._words if ask else self._regions)(batch, importance)
        target = remove_answers(batch.target, _answers(model, only), self.top_answers)
        target = torch.where(critical.any(1, keepdim=True), target, batch.target)
        torch.clear_autocast_cache()  # it has weights that know no gradient
        yield only_step(self.base.steps(model, batch._replace(inputs=without, target=target), progress))

    def _explain(self, model: nn.Module, batch: Batch, progress: float, *, ask: bool) -> tuple[Tensor, Tensor]:
        """The base loss [b], and from the same forward pass what each word [b, t] or region [b, o] adds to the answers.

        That is the gradient of the sum of the right answers' logits, summed over the feature (Sec. 3.2).
        """
        model = getattr(model, "_orig_mod", model)  # a compiled graph shows no tensor from within
        regions = batch.inputs[0] if ask else batch.inputs[0].detach().requires_grad_()
        batch = batch._replace(inputs=(regions, *batch.inputs[1:]))
        inputs = _keep_outputs(self._embedding(model)) if ask else nullcontext([regions])
        with _keep_outputs(model) as outputs, inputs as explained:
            loss = only_step(self.base.steps(model, batch, progress))
        right = (Output.of(outputs[0]).logits * (batch.target > 0)).sum()
        (gradient,) = torch.autograd.grad(right, explained[0], retain_graph=True)
        return loss, gradient.sum(-1)

    def _embedding(self, model: nn.Module) -> nn.Embedding:
        modules = model.named_modules()
        words = [m for name, m in modules if name.split(".")[-1] == "words" and isinstance(m, nn.Embedding)]
        if len(words) != 1:
            raise ValueError(
                f"Q-CSS reads the one nn.Embedding of the model that is called `words`, got {len(words)}; "
                "name it so, or set q_share=0"
            )
        if not PAD < self.mask_word < words[0].num_embeddings:
            raise ValueError(
                f"mask_word is a word of the model, 1 to {words[0].num_embeddings - 1}, got {self.mask_word}; "
                "make the model with one word more"
            )
        return words[0]

    def _words(self, batch: Batch, importance: Float[Tensor, "b t"]) -> tuple[Tensor, tuple, tuple]:
        """Critical [b, t], the inputs with no other word than the critical and the type's (Q+), and without it (Q-)."""
        regions, words, *rest = batch.inputs
        place = torch.arange(words.shape[1], device=words.device)
        free = (place >= self.type_words[batch.side["question_type"]][:, None]) & (words != PAD)
        critical = critical_word(importance, free)
        only, without = (words.masked_fill(mask, self.mask_word) for mask in (free & ~critical, critical))
        return critical, (regions, only, *rest), (regions, without, *rest)

    def _regions(self, batch: Batch, importance: Float[Tensor, "b o"]) -> tuple[Tensor, tuple, tuple]:
        """Critical [b, o], the inputs with these regions alone (I+), and without them (I-); the others are zeros."""
        regions, *rest = batch.inputs
        candidate = torch.linalg.vector_norm(regions, ord=1, dim=-1) > 0  # else padding
        order = batch.side.get("hint") if self.hint == "released_order" else None
        if order is None and self.hint == "released_order":
            raise ValueError('hint="released_order" reads side["hint"] [b, o], which the table lacks; add it')
        critical = critical_regions(importance, candidate, order=order, **self.selection)
        only, without = (regions.masked_fill(mask[..., None], 0.0) for mask in (~critical, critical))
        return critical, (only, *rest), (without, *rest)


def critical_regions(
    importance: Float[Tensor, "b o"],
    candidate: Bool[Tensor, "b o"],
    *,
    order: Float[Tensor, "b o"] | None = None,
    mass: float = 0.65,
    temperature: float = 10.0,
) -> Bool[Tensor, "b o"]:
    """CO_SEL: the most important candidates, as many as hold at most `mass` of softmax(`temperature` * importance).

    The first is always in. That is the release; the paper has no temperature (1.0) and also takes the region that
    brings the sum above `mass`. With `order`, as many regions, but those first in that order.
    """
    ranked, by_importance = importance.masked_fill(~candidate, -torch.inf).sort(dim=1, descending=True, stable=True)
    share = (temperature * ranked).softmax(1).cumsum(1).clamp(max=1)  # rounding may carry it above
    inside = share <= mass
    inside[:, 0] = True
    if order is not None:
        by_importance = order.masked_fill(~candidate, -torch.inf).argsort(dim=1, descending=True, stable=True)
    return torch.zeros_like(candidate).scatter(1, by_importance, inside) & candidate


def critical_word(importance: Float[Tensor, "b t"], candidate: Bool[Tensor, "b t"]) -> Bool[Tensor, "b t"]:
    """CW_SEL with K = 1: the most important candidate of each row; nowhere in a row that has none."""
    first = importance.masked_fill(~candidate, -torch.inf).argmax(1, keepdim=True)
    return torch.zeros_like(candidate).scatter(1, first, True) & candidate


def remove_answers(target: Float[Tensor, "b a"], logits: Float[Tensor, "b a"], top: int) -> Float[Tensor, "b a"]:
    """DA_ASS: `target` without the `top` answers of the highest logits, a-; it may be left with none."""
    return target.scatter(1, logits.topk(min(top, logits.shape[1])).indices, 0.0)


@contextmanager
def _keep_outputs(module: nn.Module) -> Iterator[list[Any]]:
    """What `module` returns meanwhile; a tensor among it is made to take gradients (an embedding may be frozen)."""
    kept: list[Any] = []

    def keep(_module: nn.Module, _inputs: tuple, output: Any) -> None:
        kept.append(output.requires_grad_() if isinstance(output, Tensor) and output.is_leaf else output)

    with module.register_forward_hook(keep):
        yield kept


@torch.no_grad()
def _answers(model: nn.Module, inputs: tuple[Tensor, ...]) -> Float[Tensor, "b a"]:
    """The logits of `model` in evaluation mode; each of its modules then gets its own mode back."""
    training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        return Output.of(model(*inputs)).logits
    finally:
        for module in training:
            module.training = True
