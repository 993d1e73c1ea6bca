"""Every backbone but plain UpDn (Guo et al. 2021, Sec. V-C), and what Tables II and III compare them with."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from vqabook.data.sets import Task
from vqabook.data.vqa import tokenise
from vqabook.losses.debias import bias_table
from vqabook.models.lxmert import Lxmert, LxmertConfig
from vqabook.models.question_only import QuestionBranch, QuestionOnly, QuestionOnlyConfig
from vqabook.models.san import San, SanConfig
from vqabook.objectives.base import Objective
from vqabook.objectives.criteria import BiasProduct, Criterion, Focal, LearnedMixin, Plain, Reweight, Rubi
from vqabook.objectives.css import Css
from vqabook.papers.loss_rescaling.setting import Method
from vqabook.papers.loss_rescaling.train import masked, rescaled, task_of, train, updn


def produce(recipe: Mapping, checkpoint: Path, *, data_root: Path | None, device: str = "auto") -> dict:
    """Train the backbone that `recipe` names; the record's result."""
    task = task_of(recipe, data_root, device)
    return train(recipe, task, checkpoint, *build(recipe, task))


def build(recipe: Mapping, task: Task) -> tuple[nn.Module, Objective]:
    """Model and objective of a recipe, freshly initialised from its seed."""
    with torch.random.fork_rng():
        torch.manual_seed(recipe["seed"])
        model = network(recipe, task)
        objective: Objective = rescaled(criterion(recipe, task), recipe, task)
    if recipe["backbone"]["name"].startswith("css"):
        options = {name: recipe["backbone"][name] for name in ("q_share", "hint")}
        objective = Css(objective, type_words=type_words(task), mask_word=len(task.vocabulary.words) + 2, **options)
    return model.to(task.train.device), objective


def network(recipe: Mapping, task: Task) -> nn.Module:
    """The model that the backbone's losses train: UpDn unless it is one itself."""
    name = recipe["backbone"]["name"]
    sizes = {"n_words": len(task.vocabulary.words) + 2, "n_answers": task.train.n_classes}
    if name == "question_only":
        return QuestionOnly(QuestionOnlyConfig(**sizes, hidden=recipe["hidden"], word=recipe["word"]))
    sizes["feature"] = task.features.width
    if name == "san":
        hidden, word = recipe["hidden"], recipe["word"]
        return San(SanConfig(**sizes, hidden=hidden, word=word, attention=hidden // 2))
    if name == "lxmert":
        return Lxmert(LxmertConfig.small(**sizes, **recipe["backbone"]["sizes"]))
    return masked(updn(recipe, task, more_words=name.startswith("css")), recipe)  # one more word: CSS's [MASK]


def criterion(recipe: Mapping, task: Task) -> Criterion:
    """What the backbone makes of the plain loss."""
    options, m, hidden = recipe["backbone"], Method(**recipe["method"]), recipe["hidden"]
    match options["name"]:
        case "lm" | "lmh":
            entropy = options.get("entropy", 0.0)
            return LearnedMixin(bias_of(task), hidden, entropy=entropy, frozen=options["frozen"])
        case "css_lmh":
            return LearnedMixin(bias_of(task), hidden, entropy=options["entropy"])
        case "bias_product":
            return BiasProduct(bias_of(task))
        case "reweight":
            return Reweight(bias_of(task))
        case "focal":
            return Focal(gamma=options["gamma"], alpha=options["alpha"], softmax=options["softmax"])
        case "rubi":
            n = task.train.n_classes
            return Rubi(QuestionBranch(hidden, n), n, question_weight=options["question_weight"])
    return Plain(m.loss, positive_only=m.positive_only)


def bias_of(task: Task) -> Tensor:
    """The bias table [q, a] of train, with a row for types that it lacks."""
    side, target = task.train.side, task.train.target
    n_types = len(task.vocabulary.question_types) + 1
    return bias_table(
        side["question_type"], target.answer, target.score, n_types=n_types, n_answers=task.train.n_classes
    )


def type_words(task: Task) -> Tensor:
    """How many words each question type has, [q + 1]; "none of the above" and unknown types have none."""
    names = [*task.vocabulary.question_types, ""]
    return torch.tensor([0 if name == "none of the above" else len(tokenise(name)) for name in names])
