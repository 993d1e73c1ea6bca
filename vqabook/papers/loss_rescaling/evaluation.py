"""A trained VQA model, or none, on a `Task`: the numbers that a record keeps."""

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from vqabook.core import Batch, Output, Table
from vqabook.data.sets import Task, modal_ids
from vqabook.losses.rescale import rescaling_weights, type_counts
from vqabook.losses.soft import sigmoid_bce, soft_cross_entropy
from vqabook.metrics.mistakes import cohen_kappa, confusions, finite, mistake_losses
from vqabook.metrics.vqa import nest_types, rows_by_type, vqa_accuracy
from vqabook.training.fit import best_answer, predict


def counts_of(task: Task) -> Int[Tensor, "q a"]:
    """n_i^j over train, [q, a], with a last row for types that train lacks."""
    side, target = task.train.side, task.train.scores
    sizes = {"n_types": len(task.vocabulary.question_types) + 1, "n_answers": task.train.n_classes}
    return type_counts(side["question_type"], target.answer, side["votes"], **sizes)


def score(model: nn.Module, task: Task, counts: Int[Tensor, "q a"]) -> dict:
    """Official accuracy (percent) and Cohen's kappa (x 100) on test, over all and by answer type, and by question type.

    `truth_in_type` splits the accuracy by whether the plurality answer has a vote under its question type in train;
    `predicted_in_type` is the percentage of predictions that have one.
    """
    questions, answers = task.test_questions, task.vocabulary.answers
    chosen = predict(model, task.test, best_answer).numpy()
    ids = questions.question_id.tolist()
    accuracy = vqa_accuracy({q: answers[i] for q, i in zip(ids, chosen, strict=True)}, questions.annotations)
    truth = modal_ids(task, questions)
    known, predicted = (in_type_rows(task, answer, counts) for answer in (truth, chosen))
    truth = np.where(truth < 0, len(answers), truth)  # answers outside the vocabulary: one class that no model can hit
    kappa = {kind: _kappa(truth[rows], chosen[rows]) for kind, rows in rows_by_type(questions.annotations).items()}
    per_question = np.array([accuracy.per_question[q] for q in ids])
    split = {"yes": known, "no": ~known}
    return {
        **accuracy.scores,
        "per_question_type": accuracy.per_question_type,
        "kappa": {"overall": _kappa(truth, chosen)} | nest_types(kappa),
        "truth_in_type": {name: float(per_question[rows].mean()) for name, rows in split.items() if rows.any()},
        "predicted_in_type": 100 * float(predicted.mean()),
    }


def _kappa(truth: Int[np.ndarray, " n"], chosen: Int[np.ndarray, " n"]) -> float | None:
    return finite(100 * cohen_kappa(truth, chosen))


def in_type_rows(task: Task, answer: Int[np.ndarray, " n"], counts: Int[Tensor, "q a"]) -> Bool[np.ndarray, " n"]:
    """Whether each test question's `answer` has a vote under its question type in train (answers < 0: no)."""
    group = task.test.side["question_type"].cpu().numpy()
    return (answer >= 0) & (counts.cpu().numpy()[group, answer.clip(min=0)] > 0)


class Diagnosis:
    """Guo et al. 2022, Sec. III: what mistakes cost on the training set, with the parameters fixed."""

    def __init__(self, task: Task, loss: str):
        self.task, self.cost = task, {"bce": sigmoid_bce, "ce": soft_cross_entropy}[loss]
        self.truth = modal_ids(task, task.train_questions)
        self.group = task.train.side["question_type"].cpu().numpy()
        self.frequency = modal_counts(task)

    def mistakes(self, model: nn.Module) -> dict:
        """Losses of hard and easy mistakes (Table I)."""
        losses, predicted = find_losses(model, self.task.train, self.cost)
        summary = mistake_losses(losses, self.truth, predicted, self.group, self.frequency)
        return {name: finite(x) for name, x in summary._asdict().items()}

    def matrices(self, model: nn.Module) -> dict:
        """Confusions among the most frequent answers to counting and colour questions (Fig. 2), of the largest type."""
        losses, predicted = find_losses(model, self.task.train, self.cost)
        sizes, names, matrices = self.frequency.sum(1), self.task.vocabulary.question_types, {}
        for start in ("how many", "what color"):
            kinds = [i for i, name in enumerate(names) if name.startswith(start)]
            if kinds:
                kind = max(kinds, key=lambda i: sizes[i])
                rows, top = self.group == kind, np.argsort(-self.frequency[kind], kind="stable")[:8]
                answers = {"answers": [self.task.vocabulary.answers[i] for i in top]}
                cells = confusions(losses[rows], self.truth[rows], predicted[rows], top, self.frequency[kind])
                matrices[names[kind]] = answers | cells
        return matrices


def find_losses(
    model: nn.Module, table: Table, cost: Callable[[Tensor, Tensor], Tensor]
) -> tuple[Float[np.ndarray, " n"], Int[np.ndarray, " n"]]:
    """What each row costs, `cost(logits, target)`, and the class that the model predicts."""

    def read(out: Output, batch: Batch) -> Tensor:
        return torch.stack([cost(out.logits, batch.target), out.logits.argmax(-1).float()], 1)

    losses, predicted = predict(model, table, read).numpy().T
    return losses, predicted.astype(np.int64)


def modal_counts(task: Task) -> Int[np.ndarray, "q a"]:
    """How often each answer is the plurality answer of a train question of each type, [q, a]."""
    counts = np.zeros((len(task.vocabulary.question_types), task.train.n_classes), dtype=np.int64)
    truth, group = modal_ids(task, task.train_questions), task.train.side["question_type"].cpu().numpy()
    np.add.at(counts, (group[truth >= 0], truth[truth >= 0]), 1)
    return counts


@torch.no_grad()
def looks(model: nn.Module, task: Task, *, n: int = 12) -> list[dict]:
    """Where the model looks and what it says on `n` test questions: the same ones for every model, evenly spaced.

    As many for each answer type. `attention` is over regions, rounded; None for a model without.
    """
    of_kinds, chosen = [np.flatnonzero(rows) for rows in rows_by_type(task.test_questions.annotations).values()], []
    for rows in of_kinds:
        chosen += rows[np.linspace(0, len(rows) - 1, max(1, n // len(of_kinds))).astype(int)].tolist()
    out = model.eval()(*task.test.batch(torch.tensor(chosen, device=task.test.device)).inputs)
    attention = [None] * len(chosen) if out.attention is None else out.attention.tolist()
    questions, answers = task.test_questions, task.vocabulary.answers
    return [
        {
            "question_id": questions.question_id[row].item(),
            "image_id": questions.image_id[row].item(),
            "question": questions.text[row],
            "truth": questions.modal_answer[row],
            "predicted": answers[int(answer)],
            "attention": None if weights is None else [round(float(x), 4) for x in weights],
        }
        for row, answer, weights in zip(chosen, out.logits.argmax(-1), attention, strict=True)
    ]


def statistics(task: Task) -> dict:
    """What the training answers look like by question type (Fig. 5), and the weights of Eqs. 7-8. No training."""
    counts, frequency = counts_of(task), modal_counts(task)
    vocabulary, names = task.vocabulary, task.vocabulary.question_types
    truth, group = modal_ids(task, task.test_questions), task.test.side["question_type"].cpu().numpy()
    voted, known = in_type_rows(task, truth, counts), (truth >= 0) & (group < len(names))
    modal = np.zeros_like(voted)
    modal[known] = frequency[group[known], truth[known]] > 0
    counts = counts[:-1].cpu()
    weights, types = rescaling_weights(counts).numpy(), {}
    for kind, name in enumerate(names):
        top, rows = np.argsort(-frequency[kind], kind="stable")[:12], group == kind
        test = np.bincount(truth[rows & (truth >= 0)], minlength=task.train.n_classes)
        test_top = [i for i in np.argsort(-test, kind="stable")[:6] if test[i]]
        types[name] = {
            "answers": [vocabulary.answers[i] for i in top],
            "train": frequency[kind, top].tolist(),
            "votes": counts[kind, top].tolist(),
            "test": test[top].tolist(),
            "weight": [round(float(w), 4) for w in weights[kind, top]],
            "n_train": int(frequency[kind].sum()),
            "n_test": int(rows.sum()),
            "in_type_test": float(voted[rows].mean()) if rows.any() else None,
            "test_top": [[vocabulary.answers[i], int(test[i])] for i in test_top],
        }
    shares = {"by_vote": voted, "by_plurality": modal, "in_vocabulary": truth >= 0}
    sizes = {name: len(getattr(task, name)) for name in ("train", "valid", "test")}
    sizes |= {"answers": len(vocabulary.answers), "types": len(names)}
    return {"types": types, "in_type": {name: float(rows.mean()) for name, rows in shares.items()}, "sizes": sizes}
