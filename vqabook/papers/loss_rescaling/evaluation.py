"""A trained VQA model, or none, on a `Task`: the numbers that a record keeps."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from vqabook.core import Batch, Output
from vqabook.data.sets import Task, modal_ids
from vqabook.data.vqa import ANSWER_TYPES
from vqabook.losses.rescale import rescaling_weights, type_counts
from vqabook.metrics.agreement import cohen_kappa
from vqabook.metrics.mistakes import loss_matrix, mistake_losses
from vqabook.metrics.vqa import vqa_accuracy
from vqabook.training.fit import best_answer, predict

if TYPE_CHECKING:
    from jaxtyping import Bool, Int


def counts_of(task: Task) -> Int[Tensor, "q a"]:
    """n_i^j over train, [q, a]."""
    side, n_types = task.train.side, len(task.vocabulary.question_types)
    return type_counts(
        side["question_type"],
        task.train.target.answer,
        side["votes"],
        n_types=n_types + 1,
        n_answers=task.train.n_classes,
    )


def score(model: nn.Module, task: Task) -> dict:
    """Official accuracy (percent) and Cohen's kappa (x 100) on test, over all and by answer type, and by question type.

    `truth_in_type` splits the accuracy by whether the plurality answer has a vote under its question type in train;
    `predicted_in_type` is the percentage of predictions that have one.
    """
    questions, answers = task.test_questions, task.vocabulary.answers
    chosen = predict(model, task.test, best_answer).numpy()
    ids = questions.question_id.tolist()
    accuracy = vqa_accuracy({q: answers[i] for q, i in zip(ids, chosen, strict=True)}, questions.annotations)
    truth, kind = modal_ids(task, questions), task.test.side["answer_type"].cpu().numpy()
    inside = {name: in_type_rows(task, column) for name, column in (("truth", truth), ("predicted", chosen))}
    truth = np.where(truth < 0, len(answers), truth)  # answers outside the vocabulary: one class that no model can hit
    groups = {"overall": np.full(len(truth), True), **{name: kind == i for i, name in enumerate(ANSWER_TYPES)}}
    per_question = np.array([accuracy.per_question[q] for q in ids])
    split = {"yes": inside["truth"], "no": ~inside["truth"]}
    return {
        "overall": accuracy.overall,
        **accuracy.per_answer_type,
        "per_question_type": accuracy.per_question_type,
        "kappa": {
            name: _finite(100 * cohen_kappa(truth[rows], chosen[rows])) for name, rows in groups.items() if rows.any()
        },
        "truth_in_type": {name: float(per_question[rows].mean()) for name, rows in split.items() if rows.any()},
        "predicted_in_type": 100 * float(inside["predicted"].mean()),
    }


def in_type_rows(task: Task, answer: Int[np.ndarray, " n"]) -> Bool[np.ndarray, " n"]:
    """Whether each test question's `answer` has a vote under its question type in train (answers < 0: no)."""
    counts, group = counts_of(task).cpu().numpy(), task.test.side["question_type"].cpu().numpy()
    return (answer >= 0) & (counts[group, answer.clip(min=0)] > 0)


def mistakes(model: nn.Module, task: Task, per_example: Callable[[Tensor, Tensor], Tensor]) -> tuple[dict, dict]:
    """Guo et al. 2021, Sec. III: losses of hard and easy mistakes, and the matrices of `pictured_types`.

    Both are taken on the training set with the parameters fixed.
    """

    def read(out: Output, batch: Batch) -> Tensor:
        return torch.stack([per_example(out.logits, batch.target), out.logits.argmax(-1).float()], 1)

    losses, predicted = predict(model, task.train, read).numpy().T
    truth, group, frequency = (
        modal_ids(task, task.train_questions),
        task.train.side["question_type"].cpu().numpy(),
        modal_counts(task),
    )
    summary = mistake_losses(losses, truth, predicted.astype(np.int64), group, frequency)
    matrices = {}
    for kind in pictured_types(task, frequency):
        here, top = group == kind, np.argsort(-frequency[kind], kind="stable")[:8]
        mean, count = loss_matrix(losses[here], truth[here], predicted[here].astype(np.int64), top)
        names = [task.vocabulary.answers[i] for i in top]
        cells = [[None if np.isnan(x) else round(float(x), 4) for x in row] for row in mean]
        matrices[task.vocabulary.question_types[kind]] = {
            "answers": names,
            "frequency": frequency[kind, top].tolist(),
            "loss": cells,
            "count": count.tolist(),
        }
    return {"mistakes": {name: _finite(x) for name, x in summary._asdict().items()}}, matrices


def _finite(x: float) -> float | None:
    """JSON has no NaN: a mean over nothing is None."""
    return x if np.isfinite(x) else None


def modal_counts(task: Task) -> Int[np.ndarray, "q a"]:
    """How often each answer is the plurality answer of a train question of each type, [q, a]."""
    counts = np.zeros((len(task.vocabulary.question_types), task.train.n_classes), dtype=np.int64)
    truth, group = modal_ids(task, task.train_questions), task.train.side["question_type"].cpu().numpy()
    np.add.at(counts, (group[truth >= 0], truth[truth >= 0]), 1)
    return counts


def pictured_types(task: Task, frequency: Int[np.ndarray, "q a"]) -> list[int]:
    """Counting and colour questions, as in Fig. 2: the largest type of each kind, by `modal_counts`."""
    counts, names = frequency.sum(1), task.vocabulary.question_types
    kinds = [[i for i, name in enumerate(names) if name.startswith(start)] for start in ("how many", "what color")]
    return [max(some, key=lambda i: counts[i]) for some in kinds if some]


@torch.no_grad()
def looks(model: nn.Module, task: Task, *, n: int = 12) -> list[dict]:
    """Where the model looks and what it says on `n` test questions: the same ones for every model, evenly spaced.

    A third of them for each answer type. `attention` is over regions, rounded; None for a model without.
    """
    kinds, found = task.test.side["answer_type"].cpu().numpy(), []
    for kind in range(len(ANSWER_TYPES)):
        of_kind = np.flatnonzero(kinds == kind)
        if len(of_kind):
            found += of_kind[np.linspace(0, len(of_kind) - 1, n // len(ANSWER_TYPES)).astype(int)].tolist()
    rows = torch.tensor(found, device=task.test.device)
    out = model.eval()(*task.test.batch(rows).inputs)
    attention = [None] * len(found) if out.attention is None else out.attention.tolist()
    questions, answers = task.test_questions, task.vocabulary.answers
    return [
        {
            "question_id": int(questions.question_id[row]),
            "image_id": int(questions.image_id[row]),
            "question": questions.text[row],
            "truth": questions.modal_answer[row],
            "predicted": answers[int(said)],
            "attention": None if where is None else [round(float(x), 4) for x in where],
        }
        for row, said, where in zip(found, out.logits.argmax(-1), attention, strict=True)
    ]


def statistics(task: Task) -> dict:
    """What the training answers look like by question type (Fig. 5), and the weights of Eqs. 7-8. No training."""
    counts, names, vocabulary = counts_of(task)[:-1].cpu(), task.vocabulary.question_types, task.vocabulary
    weights, frequency = rescaling_weights(counts).numpy(), modal_counts(task)
    truth, group = modal_ids(task, task.test_questions), task.test.side["question_type"].cpu().numpy()
    voted, known = in_type_rows(task, truth), (truth >= 0) & (group < len(names))
    modal = np.zeros_like(voted)
    modal[known] = frequency[group[known], truth[known]] > 0
    types = {}
    for kind, name in enumerate(names):
        top, asked = np.argsort(-frequency[kind], kind="stable")[:12], group == kind
        test = np.bincount(truth[asked & (truth >= 0)], minlength=task.train.n_classes)
        types[name] = {
            "answers": [vocabulary.answers[i] for i in top],
            "train": frequency[kind, top].tolist(),
            "votes": counts[kind, top].tolist(),
            "test": test[top].tolist(),
            "weight": [round(float(w), 4) for w in weights[kind, top]],
            "n_train": int(frequency[kind].sum()),
            "n_test": int(asked.sum()),
            "in_type_test": float(voted[asked].mean()) if asked.any() else None,
            "test_top": [
                [vocabulary.answers[i], int(test[i])] for i in np.argsort(-test, kind="stable")[:6] if test[i]
            ],
        }
    shares = {
        "by_vote": float(voted.mean()),
        "by_plurality": float(modal.mean()),
        "in_vocabulary": float((truth >= 0).mean()),
    }
    sizes = {
        "train": len(task.train),
        "valid": len(task.valid),
        "test": len(task.test),
        "answers": len(vocabulary.answers),
        "types": len(names),
    }
    return {"types": types, "in_type": shares, "sizes": sizes}
