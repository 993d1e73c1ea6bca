"""One training run of the loss re-scaling paper: UpDn with any of its modules, or another backbone (Sec. V-C)."""

from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from jaxtyping import Int
from torch import Tensor, nn

from vqabook.core import Table, pick_device
from vqabook.data.glove import glove_vectors
from vqabook.data.layout import DataSpec
from vqabook.data.sets import Task, load_task
from vqabook.data.tables import deal_out
from vqabook.data.vqa import tokenise
from vqabook.losses.debias import bias_table
from vqabook.losses.rescale import in_type, rescaling_weights
from vqabook.models.answer_mask import AnswerMask
from vqabook.models.lxmert import Lxmert, LxmertConfig, reword
from vqabook.models.san import San, SanConfig
from vqabook.models.updn import QuestionBranch, QuestionOnly, QuestionOnlyConfig, UpDn, UpDnConfig
from vqabook.objectives import rescaling
from vqabook.objectives.base import Objective
from vqabook.objectives.css import Css
from vqabook.papers.loss_rescaling.evaluation import Diagnosis, counts_of, looks, score, statistics
from vqabook.papers.loss_rescaling.recipes import Run
from vqabook.papers.loss_rescaling.setting import UPDN, Method
from vqabook.papers.paper import Recipe
from vqabook.training.fit import FitConfig, Stage, fit, predict, select, soft_score
from vqabook.training.stages import Scratch, Stages

WEIGHT_DECAY = {"adamw": 0.01}  # LXMERT's release


def load(recipe: Recipe, data_root: Path | None, device: str) -> Task:
    """The data that a recipe names, on the device: a pretrained LXMERT has its own words, a control other images."""
    task = load_task(DataSpec.of(recipe.data), data_root, pick_device(device))
    backbone = (recipe.backbone if isinstance(recipe, Run) else None) or UPDN
    if backbone.name == "shuffled":
        train, valid, test = (show_others(table, recipe.seed) for table in (task.train, task.valid, task.test))
        return replace(task, train=train, valid=valid, test=test)
    if not (weights := backbone.weights):
        return task
    train = reword(task.train, task.train_questions.text, weights)
    valid = reword(task.valid, task.valid_questions.text, weights)
    test = reword(task.test, task.test_questions.text, weights)
    return replace(task, train=train, valid=valid, test=test)


def show_others(table: Table, seed: int) -> Table:
    """The questions, each with the image of a random one: answers may follow from the question alone."""
    image, words = table.inputs
    return replace(table, inputs=(deal_out(image, torch.zeros_like(image), seed), words))


def count(recipe: Recipe, scratch: Scratch, *, data_root: Path | None, device: str = "auto") -> dict:
    """What the answers look like before any training."""
    return statistics(load(recipe, data_root, device))


def train(recipe: Run, scratch: Scratch, *, data_root: Path | None, device: str = "auto") -> dict:
    """One training and everything the pages read off it."""
    task, m = load(recipe, data_root, device), recipe.method
    counts = counts_of(task)
    model, objective = build(recipe, task, counts, data_root)
    core = model.model if isinstance(model, AnswerMask) else model
    watched = {"question": core.get_submodule("question_encoder"), "classifier": core.get_submodule("classifier")}
    diagnosis = None if recipe.backbone or recipe.blind or m.mask or m.rescale else Diagnosis(task, m.loss)

    def evaluate(model: nn.Module) -> dict:
        soft = {part: 100 * float(predict(model, getattr(task, part), soft_score).mean()) for part in ("valid", "test")}
        return soft | ({"mistakes": diagnosis.mistakes(model)} if diagnosis else {})

    history = fit(
        model,
        objective,
        task.train,
        fit_config(recipe),
        evaluate=evaluate,
        watch={name: part.parameters() for name, part in watched.items()},
        checkpoint=scratch.checkpoint,
        keep=True,
        stage=first_stage(recipe, scratch.stages),
        label=recipe.label,
    )
    if diagnosis is None:  # the run that left its first stage may have been diagnosed
        history = [{k: v for k, v in row.items() if k != "mistakes"} for row in history]
    sizes: dict[str, nn.Module] = {"model": model, **watched}
    result = {
        "test": score(model, task, counts),
        "valid": history[-1]["valid"],
        "selection": select(history, first=recipe.epochs if m.rescale and not m.from_start else 0),
        "history": history,
        "parameters": {name: sum(p.numel() for p in part.parameters()) for name, part in sizes.items()},
        "looks": looks(model, task),
    }
    return result | ({"matrices": diagnosis.matrices(model)} if diagnosis else {})


def look(recipe: Recipe, *, data_root: Path | None, device: str = "auto") -> None:
    """Read what a recipe counts: whatever cannot be read or divided raises now."""
    load(recipe, data_root, device)


def prepare(recipe: Run, *, data_root: Path | None, device: str = "auto") -> None:
    """Build what a run trains and what it is judged by: whatever cannot be raises now."""
    task = load(recipe, data_root, device)
    build(recipe, task, counts_of(task), data_root)


def fit_config(recipe: Run) -> FitConfig:
    """How both stages are trained; a backbone may have an optimiser of its own."""
    backbone = recipe.backbone or UPDN
    decay, epochs = WEIGHT_DECAY.get(backbone.optimizer or "", 0.0), recipe.epochs + recipe.rescale_epochs
    return FitConfig.of(recipe, epochs=epochs, weight_decay=decay, **backbone.own("optimizer", "clip"))


def first_stage(recipe: Run, stages: Stages) -> Stage | None:
    """All epochs before weights count: common to every run that differs in its weights alone."""
    m, unweighted = recipe.method, Method()
    if m.from_start:
        return None
    unread = ["rescale", "out_of_type", "cap", "positive_only"] + ([] if m.mask else ["min_votes"])
    common = replace(m, **{name: getattr(unweighted, name) for name in unread})
    shared = replace(recipe, variant="first stage", method=common)
    return Stage(recipe.epochs, stages.path(shared.asked(), "state"), write=not m.rescale)


def build(
    recipe: Run, task: Task, counts: Int[Tensor, "q a"], data_root: Path | None = None
) -> tuple[nn.Module, Objective]:
    """Model and objective of a recipe, freshly initialised from its seed; `counts` from `counts_of`."""
    with torch.random.fork_rng():
        torch.manual_seed(recipe.seed)
        model = build_network(recipe, task)
        objective: Objective = build_objective(build_criterion(recipe, task), recipe, counts)
    if recipe.glove:
        words = model.get_parameter("model.words.weight" if isinstance(model, AnswerMask) else "words.weight")
        known = glove_vectors(tuple(task.vocabulary.words), recipe.word, recipe.seed, data_root)
        words.data[: len(known)] = known
    backbone = recipe.backbone or UPDN
    if backbone.name.startswith("css"):
        mask_word, options = len(task.vocabulary.words) + 2, backbone.own("q_share", "hint")
        objective = Css(objective, type_words=type_words(task), mask_word=mask_word, **options)
    return model.to(task.train.device), objective


def build_network(recipe: Run, task: Task) -> nn.Module:
    """The model that the backbone's losses train, behind the answer mask if it asks for one: UpDn unless it is one."""
    backbone, m, n_answers = recipe.backbone or UPDN, recipe.method, task.train.n_classes
    name = backbone.name
    sizes = {"n_words": len(task.vocabulary.words) + 2, "n_answers": n_answers}
    if backbone.weights:
        return Lxmert.from_pretrained(backbone.weights, n_answers, feature=task.features.width)
    if name == "lxmert":
        return Lxmert(LxmertConfig.small(**sizes, feature=task.features.width, **(backbone.sizes or {})))
    sizes |= {"hidden": recipe.hidden, "word": recipe.word}
    model: nn.Module
    if name == "question_only" or recipe.blind:
        model = QuestionOnly(QuestionOnlyConfig(**sizes))
    elif name == "san":
        return San(SanConfig(**sizes, feature=task.features.width, attention=recipe.hidden // 2))
    else:
        sizes["n_words"] += name.startswith("css")  # its [MASK]
        sizes["feature"] = task.features.width
        model = UpDn(UpDnConfig(**sizes, attention_dropout=recipe.attention_dropout))
    if m.mask is None:
        return model
    return AnswerMask(
        model, recipe.hidden, n_answers, activation=m.mask, combine=m.mask_combine, dropout=m.mask_dropout
    )


def build_objective(criterion: rescaling.Criterion, recipe: Run, counts: Int[Tensor, "q a"]) -> rescaling.LossRescaling:
    """The criterion with the recipe's weights and schedule, and the mask loss."""
    m = recipe.method
    if (m.rescale or m.mask) and m.min_votes > (most := int(counts.max())):
        raise ValueError(
            f"an answer of min_votes votes or more is of a question type, got {m.min_votes}, and no answer of this set "
            f"has more than {most} in one; lower min_votes"
        )
    weigh = partial(rescaling_weights, min_votes=m.min_votes, cap=m.cap, out_of_type=m.out_of_type)
    return rescaling.LossRescaling(
        criterion,
        weight=weigh(counts) if m.rescale else None,
        label=in_type(counts, min_votes=m.min_votes),
        after=0.0 if m.from_start else recipe.epochs / (recipe.epochs + recipe.rescale_epochs),
        mask_weight=m.mask_weight,
        mask_second_sigmoid=m.mask_second_sigmoid,
        mask_reduction=m.mask_reduction,
    )


def build_criterion(recipe: Run, task: Task) -> rescaling.Criterion:
    """What the backbone makes of the plain loss."""
    options, m = recipe.backbone or UPDN, recipe.method
    match options.name:
        case "lm" | "lmh" | "css_lmh":
            entropy, frozen = options.entropy or 0.0, bool(options.frozen)
            return rescaling.LearnedMixin(bias_of(task), recipe.hidden, entropy=entropy, frozen=frozen)
        case "bias_product":
            return rescaling.BiasProduct(bias_of(task))
        case "reweight":
            return rescaling.Reweight(bias_of(task))
        case "focal":
            return rescaling.Focal(**options.own("gamma", "alpha", "softmax"))
        case "rubi":
            n = task.train.n_classes
            return rescaling.Rubi(QuestionBranch(recipe.hidden, n), n, **options.own("question_weight"))
    return rescaling.Plain(m.loss, positive_only=m.positive_only)


def bias_of(task: Task) -> Tensor:
    """The bias table [q, a] of train, with a row for types that it lacks."""
    target, n_types = task.train.scores, len(task.vocabulary.question_types) + 1
    kind, n_answers = task.train.side["question_type"], task.train.n_classes
    return bias_table(kind, target.answer, target.score, n_types=n_types, n_answers=n_answers)


def type_words(task: Task) -> Tensor:
    """How many words each question type has, [q + 1]; "none of the above" and unknown types have none."""
    names = [*task.vocabulary.question_types, ""]
    return torch.tensor([0 if name == "none of the above" else len(tokenise(name)) for name in names])
