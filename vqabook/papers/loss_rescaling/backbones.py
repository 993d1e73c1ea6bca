"""Models and objectives: UpDn, every other backbone (Guo et al. 2021, Sec. V-C), what Tables II and III compare with."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from vqabook.data.sets import Task
from vqabook.data.vqa import tokenise
from vqabook.losses.debias import bias_table
from vqabook.losses.rescale import in_type, rescaling_weights
from vqabook.models.answer_mask import AnswerMask
from vqabook.models.lxmert import Lxmert, LxmertConfig
from vqabook.models.question_only import QuestionBranch, QuestionOnly, QuestionOnlyConfig
from vqabook.models.san import San, SanConfig
from vqabook.models.updn import UpDn, UpDnConfig
from vqabook.objectives.base import Objective
from vqabook.objectives.criteria import BiasProduct, Criterion, Focal, LearnedMixin, Plain, Reweight, Rubi
from vqabook.objectives.css import Css
from vqabook.objectives.rescaling import LossRescaling
from vqabook.papers.loss_rescaling.recipes import Run

if TYPE_CHECKING:
    from jaxtyping import Int


def build(recipe: Run, task: Task, counts: Int[Tensor, "q a"]) -> tuple[nn.Module, Objective]:
    """Model and objective of a recipe, freshly initialised from its seed; `counts` from `counts_of`."""
    with torch.random.fork_rng():
        torch.manual_seed(recipe.seed)
        model = build_network(recipe, task)
        objective: Objective = build_objective(recipe, task, counts)
    return model.to(task.train.device), objective


def build_network(recipe: Run, task: Task) -> nn.Module:
    """The model that is trained: UpDn, behind an answer mask if the method has one, unless the backbone is another."""
    name = recipe.backbone.name if recipe.backbone else ""
    sizes = {"n_words": len(task.vocabulary.words) + 2, "n_answers": task.train.n_classes}
    if name == "question_only":
        return QuestionOnly(QuestionOnlyConfig(**sizes, hidden=recipe.hidden, word=recipe.word))
    sizes["feature"] = task.features.width
    if name == "lxmert":
        return Lxmert(LxmertConfig.small(**sizes, **recipe.backbone.sizes))
    sizes |= {"hidden": recipe.hidden, "word": recipe.word}
    if name == "san":
        return San(SanConfig(**sizes, attention=recipe.hidden // 2))
    if name.startswith("css"):
        sizes["n_words"] += 1  # its [MASK]
    model, m = UpDn(UpDnConfig(**sizes, attention_dropout=recipe.attention_dropout)), recipe.method
    if m.mask is None:
        return model
    options = {"activation": m.mask, "combine": m.mask_combine, "dropout": m.mask_dropout}
    return AnswerMask(model, recipe.hidden, task.train.n_classes, **options)


def build_objective(recipe: Run, task: Task, counts: Int[Tensor, "q a"]) -> Objective:
    """The backbone's criterion with the recipe's weights and schedule, and the mask loss."""
    m, backbone = recipe.method, recipe.backbone
    weigh = {"min_votes": m.min_votes, "cap": m.cap, "out_of_type": m.out_of_type}
    objective = LossRescaling(
        build_criterion(recipe, task),
        weight=rescaling_weights(counts, **weigh) if m.rescale else None,
        label=in_type(counts, min_votes=m.min_votes),
        after=0.0 if m.from_start else recipe.epochs / (recipe.epochs + recipe.rescale_epochs),
        mask_weight=m.mask_weight,
        mask_second_sigmoid=m.mask_second_sigmoid,
        mask_reduction=m.mask_reduction,
    )
    if backbone is None or not backbone.name.startswith("css"):
        return objective
    words = {"type_words": type_words(task), "mask_word": len(task.vocabulary.words) + 2}
    return Css(objective, **words, q_share=backbone.q_share, hint=backbone.hint)


def build_criterion(recipe: Run, task: Task) -> Criterion:
    """What the backbone makes of the plain loss."""
    options, m = recipe.backbone, recipe.method
    match options.name if options else "":
        case "lm" | "lmh" | "css_lmh":
            gate = {"entropy": options.entropy or 0.0, "frozen": bool(options.frozen)}
            return LearnedMixin(bias_of(task), recipe.hidden, **gate)
        case "bias_product":
            return BiasProduct(bias_of(task))
        case "reweight":
            return Reweight(bias_of(task))
        case "focal":
            return Focal(gamma=options.gamma, alpha=options.alpha, softmax=options.softmax)
        case "rubi":
            n = task.train.n_classes
            return Rubi(QuestionBranch(recipe.hidden, n), n, question_weight=options.question_weight)
    return Plain(m.loss, positive_only=m.positive_only)


def bias_of(task: Task) -> Tensor:
    """The bias table [q, a] of train, with a row for types that it lacks."""
    target, n_types = task.train.target, len(task.vocabulary.question_types) + 1
    kind, n_answers = task.train.side["question_type"], task.train.n_classes
    return bias_table(kind, target.answer, target.score, n_types=n_types, n_answers=n_answers)


def type_words(task: Task) -> Tensor:
    """How many words each question type has, [q + 1]; "none of the above" and unknown types have none."""
    names = [*task.vocabulary.question_types, ""]
    return torch.tensor([0 if name == "none of the above" else len(tokenise(name)) for name in names])
