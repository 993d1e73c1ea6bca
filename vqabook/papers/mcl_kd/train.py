"""One ensemble of the MCL-KD paper: its base models trained apart, then specialised, all members in one pass."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
from filelock import FileLock
from torch import nn

from vqabook.core import Table
from vqabook.evidence.record import key_of
from vqabook.files import save_whole
from vqabook.losses.soft import soft_cross_entropy
from vqabook.models.members import FeatureSharing, Members
from vqabook.models.mlp import Mlp, MlpConfig
from vqabook.models.resnet import ResNetConfig
from vqabook.models.san import San, SanConfig
from vqabook.models.staged import StagedResNet, Vgg, VggConfig
from vqabook.models.updn import UpDn, UpDnConfig
from vqabook.objectives.multiple_choice import MultipleChoice, per_member
from vqabook.papers.mcl_kd.evaluation import Judged, depending, labels_of, owners, questions_of, shown, specialised
from vqabook.papers.mcl_kd.examples import Examples
from vqabook.papers.mcl_kd.setting import Ensemble
from vqabook.training.best import BestEpoch, select
from vqabook.training.fit import FitConfig, fit
from vqabook.training.teachers import teacher_logits

SMALL = 8  # pixels, up to which convolutions of five members side by side are faster than in turn
NO_CLIP = float("inf")  # the paper names no clipping
OWN = ("ensemble", "epochs", "beta", "cmcl_beta", "temperature")  # what a recipe has beyond its base models'
EXAMPLES_OF = 4  # families with questions in Table 3, a member each


def train(recipe: Mapping, examples: Examples, checkpoint: Path) -> dict:
    """One ensemble and everything that the page reads off it."""
    asked = None if recipe["ensemble"] is None else Ensemble(**recipe["ensemble"])
    if asked is None:
        model, history = trained_base(recipe, examples, checkpoint)
        objective = MultipleChoice("ie", k=recipe["members"], **task_loss(examples.train))
    else:
        share = FeatureSharing(at_test=not asked.settled) if asked.share else None
        base = base_of(recipe, examples, checkpoint)
        model = members_of([base.single(i, one) for i, one in enumerate(build(recipe, examples))], examples, share)
        objective = objective_of(recipe, asked, examples.train)
        table = with_teachers(recipe, base, examples.train, checkpoint) if asked.rule == "mcl_kd" else examples.train
        history = fitted(model, objective, recipe, table, examples, checkpoint)
        examples = replace(examples, train=table)
    with torch.random.fork_rng():
        torch.manual_seed(recipe["seed"])  # shared features are drawn at test time, too
        return _read_off(model, objective, history, examples)


def _read_off(model: nn.Module, objective: MultipleChoice, history: list[dict], examples: Examples) -> dict:
    selection, scores = select(history, first=0), [row.pop("scores") for row in history]
    cost = owners(model, objective, examples.train)
    found = specialised(cost, examples.group["train"], examples.families)
    most = {family: max(owned) for family, owned in zip(found["families"], found["owned"], strict=True)}
    asked_about = sorted(most, key=most.get, reverse=True)[:EXAMPLES_OF]
    return {
        "test": scores[selection["best_by_valid"]["epoch"] - 1],
        "selection": selection,
        "specialised": found,
        "divided": depending(cost.argmin(1), labels_of(examples.train)),
        "questions": questions_of(examples, dict.fromkeys(asked_about, 0)) if examples.words else {},
        "shown": shown(model, examples),
        "parameters": {"model": sum(p.numel() for p in model.parameters())},
        "history": history,
    }


def build(recipe: Mapping, examples: Examples) -> list[nn.Module]:
    """The members of a recipe, freshly initialised from its seed."""
    table, sizes = examples.train, recipe["model"]
    n_words, n = len(examples.words) + 2, table.n_classes
    first = table.batch(torch.zeros(1, dtype=torch.long, device=table.device)).inputs[0]
    match recipe["network"]:
        case "resnet":
            kind, config = StagedResNet, ResNetConfig(n, channels=first.shape[1], **sizes)
        case "vgg":
            kind, config = Vgg, VggConfig(n, channels=first.shape[1], side=first.shape[-1], **sizes)
        case "mlp":
            kind, config = Mlp, MlpConfig(n_words, n, feature=first.shape[-1], regions=first.shape[1], **sizes)
        case "san":
            kind, config = San, SanConfig(n_words, n, feature=first.shape[-1], **sizes)
        case _:
            kind, config = UpDn, UpDnConfig(n_words, n, feature=first.shape[-1], **sizes)
    with torch.random.fork_rng():
        torch.manual_seed(recipe["seed"])
        return [kind(config).to(table.device) for _ in range(recipe["members"])]


def members_of(models: list[nn.Module], examples: Examples, share: FeatureSharing | None = None) -> Members:
    """The ensemble, in turn where a member's convolutions alone fill a CPU."""
    table = examples.train
    wide = len(table.inputs) == 1 and table.inputs[0].shape[-1] > SMALL
    return Members(models, share=share, in_turn=wide and table.device.type == "cpu").to(table.device)


def task_loss(table: Table) -> dict:
    """Eq. 6 on labels, and its soft form where ten people answered."""
    soft = not isinstance(table.target, torch.Tensor)
    return {"task": per_member(soft_cross_entropy)} if soft else {}


def objective_of(recipe: Mapping, asked: Ensemble, table: Table) -> MultipleChoice:
    """The rule by which an ensemble learns."""
    k = asked.k or recipe["members"]
    rule = "cmcl_v1" if asked.rule == "cmcl" and not asked.exact else asked.rule
    beta = {"mcl_kd": recipe["beta"], "cmcl": recipe["cmcl_beta"]}.get(asked.rule, 0.0)
    return MultipleChoice(
        rule, k=k, beta=beta, temperature=recipe["temperature"], by_chance=asked.by_chance, **task_loss(table)
    )


def with_teachers(recipe: Mapping, base: nn.Module, table: Table, checkpoint: Path) -> Table:
    """`table` with what the base models say of every row, kept for the runs that read it."""
    path = beside(recipe, checkpoint, "teachers")
    with FileLock(f"{path}.lock"):
        said = teacher_logits(base, table, path)
    return replace(table, side={**table.side, "teacher": said.to(table.device)})


def fitted(
    model: nn.Module, objective: MultipleChoice, recipe: Mapping, table: Table, examples: Examples, checkpoint: Path
) -> list[dict]:
    """The history of `model` trained on `table`; it ends with the weights that were best on held-out rows."""
    names = ("epochs", "batch_size", "lr", "seed")
    config = FitConfig(
        **{name: recipe[name] for name in names}, optimizer="adam", clip=NO_CLIP, bf16=table.device.type == "cuda"
    )
    best = BestEpoch.begin(Judged(examples), checkpoint)
    label = f"{recipe['variant']}, seed {recipe['seed']}"
    history = fit(model, objective, table, config, evaluate=best, checkpoint=checkpoint, label=label)
    best.restore(model)
    return history


def trained_base(recipe: Mapping, examples: Examples, checkpoint: Path) -> tuple[Members, list[dict]]:
    """Members trained apart, and their history; their weights are left for the runs that start from them."""
    weights = beside(recipe, checkpoint, "weights")
    with FileLock(f"{weights}.lock"):
        return _trained(recipe, examples, checkpoint, weights)


def base_of(recipe: Mapping, examples: Examples, checkpoint: Path) -> Members:
    """The base models of a recipe: read, or trained where no run left them."""
    plain, weights = base_recipe(recipe), beside(recipe, checkpoint, "weights")
    with FileLock(f"{weights}.lock"):
        if not weights.exists():
            return _trained(plain, examples, weights.with_suffix(".checkpoint"), weights)[0]
        model = members_of(build(plain, examples), examples)
        model.load_state_dict(torch.load(weights, map_location=examples.train.device, weights_only=True))
    return model


def _trained(recipe: Mapping, examples: Examples, checkpoint: Path, weights: Path) -> tuple[Members, list[dict]]:
    model, table = members_of(build(recipe, examples), examples), examples.train
    objective = MultipleChoice("ie", k=recipe["members"], **task_loss(table))
    history = fitted(model, objective, recipe, table, examples, checkpoint)
    save_whole(model.state_dict(), weights)
    return model, history


def base_recipe(recipe: Mapping) -> dict:
    """The recipe of the run that this one starts from, whatever it is called."""
    plain = {k: v for k, v in recipe.items() if k not in OWN}
    return plain | {"variant": f"{recipe['network']} base", "ensemble": None, "epochs": recipe["base_epochs"]}


def beside(recipe: Mapping, checkpoint: Path, what: str) -> Path:
    """A file that runs with the same base models share; it goes the way of stages."""
    return checkpoint.with_name("".join([key_of(base_recipe(recipe)), *checkpoint.suffixes, f".{what}.stage"]))
