"""One training run of the loss re-scaling paper: UpDn with any of its modules; the loop that every backbone shares."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

import torch
from torch import nn

from vqabook.data.sets import DataSpec, Task, load_task
from vqabook.evidence.record import key_of
from vqabook.losses.rescale import in_type, rescaling_weights
from vqabook.losses.soft import sigmoid_bce, soft_cross_entropy
from vqabook.models.answer_mask import AnswerMask
from vqabook.models.updn import UpDn, UpDnConfig
from vqabook.objectives.base import Objective
from vqabook.objectives.criteria import Criterion, Plain
from vqabook.objectives.rescaling import LossRescaling
from vqabook.papers.loss_rescaling.evaluation import counts_of, looks, mistakes, score
from vqabook.papers.loss_rescaling.setting import Method
from vqabook.training.best import select
from vqabook.training.fit import FitConfig, Stage, fit, pick_device, predict, soft_score
from vqabook.world.write import World

WEIGHT_DECAY = {"adamw": 0.01}  # LXMERT's release


def task_of(recipe: Mapping, data_root: Path | None, device: str) -> Task:
    """The data that a recipe names, on the device."""
    data = {k: v for k, v in recipe["data"].items() if k != "digest"}
    if data["world"]:  # from a record its tuples come as lists
        data["world"] = World(**{k: tuple(v) if isinstance(v, list) else v for k, v in data["world"].items()})
    return load_task(DataSpec(**data), data_root, pick_device(device))


def build(recipe: Mapping, task: Task) -> tuple[nn.Module, Objective]:
    """UpDn and the objective of a recipe, freshly initialised from its seed."""
    with torch.random.fork_rng():
        torch.manual_seed(recipe["seed"])
        model = masked(updn(recipe, task), recipe)
    m = Method(**recipe["method"])
    return model.to(task.train.device), rescaled(Plain(m.loss, positive_only=m.positive_only), recipe, task)


def updn(recipe: Mapping, task: Task, *, more_words: int = 0) -> UpDn:
    """UpDn in the recipe's sizes; `more_words` beyond the vocabulary."""
    return UpDn(
        UpDnConfig(
            n_words=len(task.vocabulary.words) + 2 + more_words,
            n_answers=task.train.n_classes,
            feature=task.features.width,
            hidden=recipe["hidden"],
            word=recipe["word"],
            attention_dropout=recipe["attention_dropout"],
        )
    )


def masked(model: UpDn, recipe: Mapping) -> nn.Module:
    """The model behind the answer mask that the recipe asks for, if it does."""
    m, sizes = Method(**recipe["method"]), model.config
    if not m.mask:
        return model
    return AnswerMask(
        model, sizes.hidden, sizes.n_answers, activation=m.mask, combine=m.mask_combine, dropout=m.mask_dropout
    )


def rescaled(criterion: Criterion, recipe: Mapping, task: Task) -> LossRescaling:
    """The criterion with the recipe's weights and schedule, and the mask loss."""
    m, counts = Method(**recipe["method"]), counts_of(task)
    weight = (
        rescaling_weights(counts, min_votes=m.min_votes, cap=m.cap, out_of_type=m.out_of_type) if m.rescale else None
    )
    return LossRescaling(
        criterion,
        weight=weight,
        label=in_type(counts, min_votes=m.min_votes),
        after=0.0 if m.from_start else recipe["epochs"] / (recipe["epochs"] + recipe["rescale_epochs"]),
        mask_weight=m.mask_weight,
        mask_second_sigmoid=m.mask_second_sigmoid,
        mask_reduction=m.mask_reduction,
    )


def first_stage(recipe: Mapping, checkpoint: Path) -> Stage | None:
    """What the recipe shares with the same recipe without weights: all epochs before they count."""
    m = recipe["method"]
    if m["from_start"]:
        return None
    unused = {"rescale": False, "out_of_type": 1.0, "cap": 100.0, "positive_only": False}
    unused |= {} if m["mask"] else {"min_votes": 1}
    same = {k: v for k, v in recipe.items() if k not in ("variant", "method")} | {"method": {**m, **unused}}
    return Stage(
        recipe["epochs"],
        checkpoint.with_name("".join([key_of(same), *checkpoint.suffixes, ".stage"])),
        write=not m["rescale"],
    )


def train(recipe: Mapping, task: Task, checkpoint: Path, model: nn.Module, objective: Objective) -> dict:
    """One training run and everything the pages read off it."""
    core = model.model if isinstance(model, AnswerMask) else model
    epochs, m = recipe["epochs"] + recipe["rescale_epochs"], Method(**recipe["method"])
    backbone = recipe.get("backbone", {})
    config = FitConfig(
        epochs=epochs,
        batch_size=recipe["batch_size"],
        lr=recipe["lr"],
        seed=recipe["seed"],
        bf16=task.train.device.type == "cuda",
        weight_decay=WEIGHT_DECAY.get(backbone.get("optimizer"), 0.0),
        **{name: backbone[name] for name in ("optimizer", "clip") if name in backbone},
    )
    diagnosed = not backbone and not m.mask and not m.rescale
    diagnose = partial(mistakes, task=task, per_example=sigmoid_bce if m.loss == "bce" else soft_cross_entropy)

    def evaluate(model: nn.Module) -> dict:
        soft = {part: getattr(task, part) for part in ("valid", "test")}
        soft = {part: 100 * float(predict(model, table, soft_score).mean()) for part, table in soft.items()}
        return {**soft, **(diagnose(model)[0] if diagnosed else {})}

    watch = {"question": core.question_encoder.parameters(), "classifier": core.classifier.parameters()}
    label = f"{recipe['variant']}, {recipe['prior']} priors, seed {recipe['seed']}"
    stage = first_stage(recipe, checkpoint)
    history = fit(
        model,
        objective,
        task.train,
        config,
        evaluate=evaluate,
        watch=watch,
        checkpoint=checkpoint,
        stage=stage,
        label=label,
    )
    if not diagnosed:  # the run that left its first stage may have been
        history = [{k: v for k, v in row.items() if k != "mistakes"} for row in history]
    sizes = {"model": model, "question": core.question_encoder, "classifier": core.classifier}
    first = recipe["epochs"] if m.rescale and not m.from_start else 0
    return {
        "test": score(model, task),
        "valid": history[-1]["valid"],
        "selection": select(history, first=first),
        "history": history,
        "parameters": {name: sum(p.numel() for p in part.parameters()) for name, part in sizes.items()},
        "looks": looks(model, task),
        **({"matrices": diagnose(model)[1]} if diagnosed else {}),
    }
