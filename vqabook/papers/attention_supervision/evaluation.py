"""What a run of the attention paper is judged by: accuracy, and its maps beside people's."""

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from vqabook.core import Batch, Output, Table
from vqabook.data.vqa import spell
from vqabook.metrics import attention as measures
from vqabook.metrics.vqa import vqa_accuracy
from vqabook.objectives.attention import HEADS
from vqabook.papers.attention_supervision.examples import JUDGED, Examples, People
from vqabook.training.fit import best_answer, predict, soft_score

SHOWN = 12  # examples whose maps a record keeps


def score_epoch(model: nn.Module, examples: Examples) -> dict:
    """What is measured after every epoch: accuracy on held-out and on test examples, and maps where people's are known.

    `scores`, of the test split: "overall", of a VQA set also by answer type, and under "human" the mean rank
    correlation (Spearman, x 100), earth mover's distance (x 100) and share of attention on the relevant regions (%).
    """
    task, read = examples.task, _right if examples.task is None else soft_score
    valid = 100 * float(predict(model, examples.valid, read).mean())
    if task is None:
        test = 100 * float(predict(model, examples.test, read).mean())
        return {"valid": valid, "test": test, "scores": {"overall": test}}
    chosen = predict(model, examples.test, best_answer).tolist()
    ids, said = task.test_questions.question_id.tolist(), (task.vocabulary.answers[i] for i in chosen)
    accuracy = vqa_accuracy(dict(zip(ids, said, strict=True)), task.test_questions.annotations)
    scores = accuracy.scores
    if examples.people is not None:
        scores["human"] = compare_with_people(model, examples, examples.people)
    elif examples.human is not None and examples.boxes is not None:
        rows = torch.arange(min(JUDGED, len(examples.test)))
        human, boxes = (of["test"][: len(rows)] for of in (examples.human, examples.boxes))
        scores["human"] = compare_with_truth(_maps(model, examples.test, rows), human, boxes)
    return {"valid": valid, "test": accuracy.overall, "scores": scores}


def compare_with_people(model: nn.Module, examples: Examples, people: People) -> dict:
    """Table 3's two measures by VQA-HAT's protocol."""
    maps = _maps(model, examples.test, torch.from_numpy(people.rows))
    maps = maps if people.boxes is None else measures.spread(maps, people.boxes)
    ids = examples.vqa.test_questions.question_id[people.rows]
    agreement = measures.agreement_with_humans(maps, ids, people.maps.maps, people.maps.question_id)
    return _average(agreement.rank_correlation, agreement.earth_movers_distance)


def compare_with_truth(
    maps: Float[np.ndarray, "n o"], human: Float[np.ndarray, "n o"], boxes: Float[np.ndarray, "n o 4"]
) -> dict:
    """Table 3's two measures between maps over boxes, and the attention that the human map's regions get."""
    relevant = 100 * float((maps * (human > 0)).sum(1).mean())
    distance = measures.earth_movers_distance(maps, human, measures.box_distance(boxes))
    return _average(measures.rank_correlation(maps, human), distance) | {"relevant": relevant}


def _average(correlation: Float[np.ndarray, " n"], distance: Float[np.ndarray, " n"]) -> dict:
    """Means x 100; maps that are even rank nothing and are left out of the correlation, `ranked` is how many are in."""
    ranked = int((~np.isnan(correlation)).sum())
    mean = 100 * float(np.nanmean(correlation)) if ranked else None
    return {"rank_correlation": mean, "ranked": ranked, "emd": 100 * float(distance.mean())}


@torch.no_grad()
def describe_examples(model: nn.Module, examples: Examples, n: int = SHOWN) -> list[dict]:
    """Where the model looks and what it says on `n` test examples, the same ones for every model, evenly spaced."""
    table, names = examples.test, examples.classes
    rows = torch.linspace(0, len(table) - 1, n, device=table.device).long()
    out = model.eval()(*table.batch(rows).inputs)
    described = []
    for i, row in enumerate(rows.tolist()):
        maps = {head: getattr(out, head, None) for head in HEADS}
        example = {"row": row} | {head: None if looks is None else round_map(looks[i]) for head, looks in maps.items()}
        if examples.words:
            words = spell(table.inputs[-1][row], examples.words)
            example |= {"words": words, "word_attention": example["word_attention"][: len(words)]}
        said = int(out.logits[i].argmax())
        if examples.task is None:
            described.append(example | {"truth": names[int(table.target[row])], "predicted": names[said]})
            continue
        questions = examples.task.test_questions
        ids = {"question_id": questions.question_id[row].item(), "image_id": questions.image_id[row].item()}
        answer = {"truth": questions.modal_answer[row], "predicted": examples.task.vocabulary.answers[said]}
        described.append(example | ids | {"question": questions.text[row]} | answer)
    return described


def round_map(attention: Float[Tensor, " o"]) -> list[float]:
    """A map as a record keeps it."""
    return [round(share, 4) for share in attention.tolist()]


def _right(out: Output, batch: Batch) -> Float[Tensor, " b"]:
    return out.logits.argmax(-1).eq(batch.target).float()


def _maps(model: nn.Module, table: Table, rows: Int[Tensor, " r"]) -> Float[np.ndarray, "r o"]:
    return predict(model, table.subset(rows), _attention).numpy()


def _attention(out: Output, batch: Batch) -> Tensor:
    if out.attention is None:
        raise ValueError("maps are compared of a model that attends to regions, got no attention; use one that does")
    return out.attention
