"""One training run of the soft cross-entropy paper, and what a record keeps of it."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from vqabook.core import Batch, Output, Table, pick_device
from vqabook.data.layout import DataSpec
from vqabook.data.sets import Task, modal_ids
from vqabook.data.tables import with_strangers
from vqabook.data.ten_votes import agreement, find_undisputed, votes_task
from vqabook.losses.soft import annotator_cross_entropy, annotator_weights
from vqabook.metrics.history import curves, epochs_to_reach
from vqabook.metrics.vqa import answerable_accuracy, rows_by_type, vqa_accuracy
from vqabook.models.pooling import Avg, Pool, PoolingConfig
from vqabook.models.updn import QuestionOnly, QuestionOnlyConfig
from vqabook.objectives.base import AnnotatorCrossEntropy
from vqabook.papers.paper import Recipe
from vqabook.papers.soft_cross_entropy.recipes import Run, Target
from vqabook.papers.soft_cross_entropy.setting import Options
from vqabook.training.fit import NO_CLIP, FitConfig, best_answer, fit, predict, select, soft_score
from vqabook.training.stages import Scratch

AGREEMENT = {"1-3": (1, 3), "4-6": (4, 6), "7-9": (7, 9), "10": (10, 10)}  # votes of the most frequent answer


def load(recipe: Recipe, data_root: Path | None, device: str) -> Task:
    """The data that a recipe names, on the device."""
    return votes_task(DataSpec.of(recipe.data), data_root, pick_device(device), images=recipe.data["images"])


def build(recipe: Run, task: Task) -> nn.Module:
    """The model of a recipe, freshly initialised from its seed."""
    sizes = {"n_words": len(task.vocabulary.words) + 2, "n_answers": task.train.n_classes}
    sizes |= {"hidden": recipe.hidden, "word": recipe.word}
    with torch.random.fork_rng():
        torch.manual_seed(recipe.seed)
        if recipe.model == "question":
            model: nn.Module = QuestionOnly(QuestionOnlyConfig(**sizes, classifier_dropout=recipe.dropout))
        else:
            config = PoolingConfig(**sizes, feature=task.features.width, joint=recipe.joint, dropout=recipe.dropout)
            model = {"avg": Avg, "pool": Pool}[recipe.model](config)
    return model.to(task.train.device)


def targets(task: Task, part: str, of: Target, *, renormalise: bool = False) -> tuple[Tensor, Tensor]:
    """(answer ids [n, k], weights [n, k]) of "train", "valid" or "test"; `of`: modal (Eq. 1), votes (Eq. 2), scores."""
    table = getattr(task, part)
    if of == "modal":
        ids = torch.from_numpy(modal_ids(task, getattr(task, f"{part}_questions"))).to(table.device)[:, None]
        return ids.clamp(min=0), (ids >= 0).float()
    return table.scores.answer, annotator_weights(table.side["votes"], of=of, renormalise=renormalise)


def training_table(task: Task, of: Target, options: Options, seed: int) -> Table:
    """Train as `AnnotatorCrossEntropy` reads it: answer ids [n, k] as target, their weights beside it."""
    answer, weight = targets(task, "train", of, renormalise=options.renormalise)
    if options.strangers:
        answer = with_strangers(answer, weight, task.train.side["question_type"], seed=seed)
    table = replace(task.train, target=answer, side={**task.train.side, "weight": weight})
    if not options.filtered:
        return table
    kept = (modal_ids(task, task.train_questions) >= 0) & find_undisputed(task.train_questions)
    if not kept.any():
        raise ValueError(
            f"the released filter keeps answerable, undisputed questions, none of {len(kept)} is one; "
            "lower min_answer_count"
        )
    return table.subset(torch.from_numpy(np.flatnonzero(kept)))


def train(recipe: Run, scratch: Scratch, *, data_root: Path | None, device: str = "auto") -> dict:
    """One training run and everything the page reads off it."""
    task = load(recipe, data_root, device)
    model = build(recipe, task)
    history = fit(
        model,
        AnnotatorCrossEntropy(summed=recipe.options.summed),
        training_table(task, recipe.target, recipe.options, recipe.seed),
        FitConfig.of(recipe, optimizer="adam", clip=NO_CLIP),  # neither paper nor release clips
        evaluate=Watched(task),
        checkpoint=scratch.checkpoint,
        keep=True,
        label=recipe.label,
    )
    selection = select(history, first=0)
    scores = [row.pop("scores") for row in history]  # one an epoch would be most of the record
    chosen = {name: scores[row["epoch"] - 1] for name, row in selection.items()}
    return {
        "test": chosen["best_by_valid"],
        "at": {name: chosen[name] for name in ("last", "best_by_test")},
        "selection": selection,
        "curves": curves(history),
        "epochs_to_reach": epochs_to_reach([row["valid"] for row in history], recipe.reach),
        "history": history,
        "parameters": {"model": sum(p.numel() for p in model.parameters())},
    }


def look(recipe: Recipe, *, data_root: Path | None, device: str = "auto") -> None:
    """Read what a recipe counts: whatever cannot be read or divided raises now."""
    load(recipe, data_root, device)


def prepare(recipe: Run, *, data_root: Path | None, device: str = "auto") -> None:
    """Build what a run trains and what it is judged by: whatever cannot be raises now."""
    task = load(recipe, data_root, device)
    build(recipe, task)
    training_table(task, recipe.target, recipe.options, recipe.seed)


class Watched:
    """What is measured after every epoch: on validation questions both losses and the accuracy, on test all scores."""

    def __init__(self, task: Task):
        self.task, self.agreement = task, agreement(task.test_questions)
        columns = {of: targets(task, "valid", of) for of in ("modal", "votes")}
        side = {f"{of} {i}": column for of, pair in columns.items() for i, column in enumerate(pair)}
        self.valid = replace(task.valid, side={**task.valid.side, **side})

    def __call__(self, model: nn.Module) -> dict:
        soft, modal, votes = predict(model, self.valid, _accuracy_and_losses).mean(0).tolist()
        scores = self.score(predict(model, self.task.test, best_answer).numpy())
        losses = {"modal": modal, "votes": votes}
        return {"valid": 100 * soft, "test": scores["overall"], "valid_loss": losses, "scores": scores}

    def score(self, chosen: Int[np.ndarray, " n"]) -> dict:
        """Test accuracies of chosen answers, percent: official, by the annotators' agreement, and as the release's."""
        questions, vocabulary, votes = self.task.test_questions, self.task.vocabulary, self.agreement
        ids, answers = questions.question_id.tolist(), [vocabulary.answers[i] for i in chosen]
        accuracy = vqa_accuracy(dict(zip(ids, answers, strict=True)), questions.annotations)
        each = np.array([accuracy.per_question[i] for i in ids])
        groups = {name: each[(votes >= low) & (votes <= high)] for name, (low, high) in AGREEMENT.items()}
        contested, agreed = each[votes < 10], groups["10"]
        gap = float(contested.mean() - agreed.mean()) if len(contested) and len(agreed) else None
        return {
            **accuracy.scores,
            "agreement": {name: float(group.mean()) for name, group in groups.items() if len(group)},
            "contested_gap": gap,  # accuracy where annotators disagree minus accuracy where all ten agree
            "released": answerable_accuracy(answers, questions.annotations, vocabulary.answer_ids),
        }


def _accuracy_and_losses(out: Output, batch: Batch) -> Float[Tensor, "b 3"]:
    pairs = ((batch.side[f"{of} 0"], batch.side[f"{of} 1"]) for of in ("modal", "votes"))
    losses = [annotator_cross_entropy(out.logits, *pair) for pair in pairs]
    return torch.stack([soft_score(out, batch), *losses], 1)


def count(recipe: Recipe, scratch: Scratch, *, data_root: Path | None, device: str = "auto") -> dict:
    """What the ten answers are like: agreement by answer type, and what the vocabulary and the filter leave out."""
    task = load(recipe, data_root, device)
    questions, votes = task.train_questions, agreement(task.train_questions)
    of_kinds = rows_by_type(questions.annotations)
    weight = targets(task, "train", "votes")[1].sum(1).cpu().numpy()
    known, plain = modal_ids(task, questions) >= 0, find_undisputed(questions)
    yes_no = of_kinds.get("yes/no", np.zeros(len(votes), bool))
    sizes = {part: len(getattr(task, part)) for part in ("train", "valid", "test")}
    counts = {kind: np.bincount(votes[rows], minlength=11)[1:].tolist() for kind, rows in of_kinds.items()}
    return {
        "agreement": counts,
        "weight": {"sum": float(weight.mean()), "sum_of_answerable": float(weight[known].mean())},
        "shares": {
            "answerable": float(known.mean()),
            "yes_no_disputed": float(1 - plain[yes_no].mean()) if yes_no.any() else None,
            "filtered_out": float(1 - (known & plain).mean()),
            "without_any_answer": float((weight == 0).mean()),
        },
        "sizes": sizes | {"answers": len(task.vocabulary.answers)},
    }
