"""Every backbone but plain UpDn (Guo et al. 2021, Sec. V-C), and what Tables II and III compare them with."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from vqabook.data.sets import Task
from vqabook.data.vqa import tokenise
from vqabook.losses.debias import bias_table
from vqabook.models.lxmert import Lxmert, LxmertConfig
from vqabook.models.san import San, SanConfig
from vqabook.models.updn import QuestionBranch, QuestionOnly, QuestionOnlyConfig
from vqabook.objectives.base import Objective
from vqabook.objectives.css import Css
from vqabook.objectives.rescaling import BiasProduct, Criterion, Focal, LearnedMixin, Plain, Reweight, Rubi
from vqabook.papers.loss_rescaling.recipes import Run
from vqabook.papers.loss_rescaling.train import build_objective, build_updn, load, run
from vqabook.training.stages import Scratch

if TYPE_CHECKING:
    from jaxtyping import Int


def train(recipe: Run, scratch: Scratch, *, data_root: Path | None, device: str = "auto") -> dict:
    """Train the backbone that a recipe names; the record's result."""
    return run(recipe, load(recipe, data_root, device), scratch, build)


def build(recipe: Run, task: Task, counts: Int[Tensor, "q a"]) -> tuple[nn.Module, Objective]:
    """Model and objective of a recipe, freshly initialised from its seed; `counts` from `counts_of`."""
    backbone = recipe.backbone
    with torch.random.fork_rng():
        torch.manual_seed(recipe.seed)
        model = build_network(recipe, task)
        objective: Objective = build_objective(build_criterion(recipe, task), recipe, counts)
    if backbone.name.startswith("css"):
        words = {"type_words": type_words(task), "mask_word": len(task.vocabulary.words) + 2}
        objective = Css(objective, **words, q_share=backbone.q_share, hint=backbone.hint)
    return model.to(task.train.device), objective


def build_network(recipe: Run, task: Task) -> nn.Module:
    """The model that the backbone's losses train: UpDn unless it is one itself."""
    name = recipe.backbone.name
    sizes = {"n_words": len(task.vocabulary.words) + 2, "n_answers": task.train.n_classes}
    if name == "question_only":
        return QuestionOnly(QuestionOnlyConfig(**sizes, hidden=recipe.hidden, word=recipe.word))
    sizes["feature"] = task.features.width
    if name == "san":
        return San(SanConfig(**sizes, hidden=recipe.hidden, word=recipe.word, attention=recipe.hidden // 2))
    if name == "lxmert":
        return Lxmert(LxmertConfig.small(**sizes, **recipe.backbone.sizes))
    return build_updn(recipe, task, more_words=name.startswith("css"))  # one more word: CSS's [MASK]


def build_criterion(recipe: Run, task: Task) -> Criterion:
    """What the backbone makes of the plain loss."""
    options, m = recipe.backbone, recipe.method
    match options.name:
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
