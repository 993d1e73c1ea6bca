"""One ensemble of the MCL-KD paper: its base models trained apart, then specialised, all members in one pass."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from torch import nn

from vqabook.core import Table, pick_device
from vqabook.losses.soft import soft_cross_entropy
from vqabook.models.images import ResNet, ResNetConfig, Vgg, VggConfig
from vqabook.models.members import FeatureSharing, Members
from vqabook.models.san import Mlp, MlpConfig, San, SanConfig
from vqabook.models.updn import UpDn, UpDnConfig
from vqabook.objectives.multiple_choice import MultipleChoice, Rule, per_member
from vqabook.papers.mcl_kd.evaluation import judge, judge_unread, score_epoch
from vqabook.papers.mcl_kd.examples import Examples, load_examples
from vqabook.papers.mcl_kd.recipes import Run, Unread
from vqabook.papers.mcl_kd.setting import Ensemble
from vqabook.training.fit import fit_best
from vqabook.training.solver import Solver
from vqabook.training.stages import Scratch
from vqabook.training.teachers import teacher_logits

DISTILLED = ("mcl_kd", "self_kd")  # rules that read what base models say
SMALL = 8  # pixels, up to which convolutions of five members side by side are faster than in turn


def train(recipe: Run, scratch: Scratch, *, data_root: Path | None, device: str = "auto") -> dict:
    """One ensemble and everything that the page reads off it."""
    examples = load_examples(recipe.data, data_root, pick_device(device))
    base, ensemble = recipe.base, recipe.ensemble
    model = members_of(build(recipe, examples), examples)
    fit_base = partial(fit_members, recipe=base, examples=examples)
    if ensemble is None:
        history = scratch.stages.go_on(model, base.asked(), fit_base, anew=scratch.checkpoint)
    else:
        scratch.stages.go_on(model, base.asked(), fit_base)
        if ensemble.rule in DISTILLED:
            examples = replace(examples, train=with_teachers(base, model, examples.train, scratch))
        share = FeatureSharing(at_test=not ensemble.settled) if ensemble.share else None
        members = [model.single(i, member) for i, member in enumerate(build(recipe, examples))]
        model = members_of(members, examples, share)
        history = fit_members(model, scratch.checkpoint, recipe, examples)
    with torch.random.fork_rng():
        torch.manual_seed(recipe.seed)  # shared features are drawn at test time, too
        return judge(model, objective_of(recipe, examples.train), history, examples)


def prepare(recipe: Run, *, data_root: Path | None, device: str = "auto") -> None:
    """Build what a run trains and what it is judged by: whatever cannot be raises now."""
    examples = load_examples(recipe.data, data_root, pick_device(device))
    build(recipe, examples)
    objective_of(recipe, examples.train)


def look(recipe: Unread, *, data_root: Path | None, device: str = "auto") -> None:
    """Read what a recipe counts: whatever cannot be read raises now."""
    load_examples(recipe.data, data_root, pick_device(device))


def count(recipe: Unread, scratch: Scratch, *, data_root: Path | None, device: str = "auto") -> dict:
    """What members get right that read nothing."""
    return judge_unread(load_examples(recipe.data, data_root, pick_device(device)), recipe.members)


def build(recipe: Run, examples: Examples) -> list[nn.Module]:
    """The members of a recipe, freshly initialised from its seed."""
    table, sizes = examples.train, recipe.model
    n_words, n = len(examples.words) + 2, table.n_classes
    first = table.batch(torch.zeros(1, dtype=torch.long, device=table.device)).inputs[0]
    draw: Callable[[], nn.Module]
    match recipe.network:
        case "resnet":
            draw = partial(ResNet, ResNetConfig(n, channels=first.shape[1], **sizes))
        case "vgg":
            draw = partial(Vgg, VggConfig(n, channels=first.shape[1], side=first.shape[-1], **sizes))
        case "mlp":
            draw = partial(Mlp, MlpConfig(n_words, n, feature=first.shape[-1], regions=first.shape[1], **sizes))
        case "san":
            draw = partial(San, SanConfig(n_words, n, feature=first.shape[-1], **sizes))
        case _:
            draw = partial(UpDn, UpDnConfig(n_words, n, feature=first.shape[-1], **sizes))
    with torch.random.fork_rng():
        torch.manual_seed(recipe.seed)
        return [draw().to(table.device) for _ in range(recipe.members)]


def members_of(models: list[nn.Module], examples: Examples, share: FeatureSharing | None = None) -> Members:
    """The ensemble, in turn where a member's convolutions alone fill a CPU."""
    table = examples.train
    wide = len(table.inputs) == 1 and table.inputs[0].shape[-1] > SMALL
    return Members(models, share=share, in_turn=wide and table.device.type == "cpu").to(table.device)


def objective_of(recipe: Run, table: Table) -> MultipleChoice:
    """The rule by which members learn; base models are an independent ensemble. Soft where ten people answered."""
    ensemble = recipe.ensemble or Ensemble("ie", None)
    rule: Rule = "cmcl_v1" if ensemble.rule == "cmcl" and not ensemble.exact else ensemble.rule
    how: dict = {"k": ensemble.k or recipe.members, "by_chance": ensemble.by_chance}
    if ensemble.rule in ("cmcl", *DISTILLED):
        beta = recipe.beta if ensemble.rule in DISTILLED else recipe.cmcl_beta
        how |= {"beta": beta, "temperature": recipe.temperature}
    if not isinstance(table.target, torch.Tensor):
        how |= {"task": per_member(soft_cross_entropy)}
    return MultipleChoice(rule, **how)


def with_teachers(base: Run, model: nn.Module, table: Table, scratch: Scratch) -> Table:
    """`table` with what the base models say of every row, kept for the runs that read it."""
    with scratch.stages.lock(base.asked(), "teachers") as path:
        logits = teacher_logits(model, table, path)
    return replace(table, side={**table.side, "teacher": logits.to(table.device)})


def fit_members(model: nn.Module, checkpoint: Path, recipe: Run, examples: Examples) -> list[dict]:
    """The history of `model`, which ends with the weights that were best on held-out rows."""
    table, evaluate = examples.train, partial(score_epoch, examples=examples)
    config, rule = (recipe.solver or Solver()).config(recipe), objective_of(recipe, table)
    return fit_best(model, rule, table, config, evaluate=evaluate, checkpoint=checkpoint, label=recipe.label)
