"""What a run of the attention paper is judged by: accuracy, and its maps beside people's."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from vqabook.core import Batch, Output
from vqabook.metrics.attention import (
    agreement_with_humans,
    box_distance,
    earth_movers_distance,
    rank_correlation,
    spread,
)
from vqabook.metrics.vqa import vqa_accuracy
from vqabook.objectives.attention import HEADS
from vqabook.papers.attention_supervision.examples import JUDGED, Examples
from vqabook.training.fit import best_answer, predict, soft_score

if TYPE_CHECKING:
    from jaxtyping import Float, Int

SHOWN = 12  # examples whose maps a record keeps


class Watched:
    """What is measured after every epoch: accuracy on held-out and on test examples, and maps where people's are known.

    `scores`, of the test split: "overall", of a VQA set also by answer type, and under "human" the mean rank
    correlation (Spearman, x 100), earth mover's distance (x 100) and share of attention on the relevant regions (%).
    """

    def __init__(self, examples: Examples):
        self.examples = examples

    def __call__(self, model: nn.Module) -> dict:
        examples = self.examples
        if examples.task is None:
            valid, test = (100 * float(predict(model, t, _right).mean()) for t in (examples.valid, examples.test))
            return {"valid": valid, "test": test, "scores": {"overall": test}}
        valid = 100 * float(predict(model, examples.valid, soft_score).mean())
        scores = self._official(predict(model, examples.test, best_answer).tolist())
        if examples.human is not None or examples.people is not None:
            scores["human"] = self._human(model) if examples.people is None else self._people(model)
        return {"valid": valid, "test": scores["overall"], "scores": scores}

    def _official(self, chosen: list[int]) -> dict:
        questions, answers = self.examples.task.test_questions, self.examples.task.vocabulary.answers
        said = dict(zip(questions.question_id.tolist(), (answers[i] for i in chosen), strict=True))
        accuracy = vqa_accuracy(said, questions.annotations)
        return {"overall": accuracy.overall, **accuracy.per_answer_type}

    def _human(self, model: nn.Module) -> dict:
        rows = torch.arange(min(JUDGED, len(self.examples.test)))
        maps = predict(model, self.examples.test.subset(rows), _attention).numpy()
        human, boxes = (of["test"][: len(maps)] for of in (self.examples.human, self.examples.boxes))
        return compare_with_humans(maps, human, boxes)

    def _people(self, model: nn.Module) -> dict:
        """VQA-HAT's protocol."""
        people, ids = self.examples.people, self.examples.task.test_questions.question_id
        maps = predict(model, self.examples.test.subset(torch.from_numpy(people.rows)), _attention).numpy()
        maps = maps if people.boxes is None else spread(maps, people.boxes)
        agreement = agreement_with_humans(maps, ids[people.rows], people.maps.maps, people.maps.question_id)
        return _average(agreement.rank_correlation, agreement.earth_movers_distance)


def compare_with_humans(
    maps: Float[np.ndarray, "n o"], human: Float[np.ndarray, "n o"], boxes: Float[np.ndarray, "n o 4"]
) -> dict:
    """Table 3's two measures between maps over boxes, and the attention that the human map's regions get."""
    relevant = 100 * float((maps * (human > 0)).sum(1).mean())
    distance = earth_movers_distance(maps, human, box_distance(boxes))
    return _average(rank_correlation(maps, human), distance) | {"relevant": relevant}


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
        one = {"row": row} | {head: None if looks is None else round_map(looks[i]) for head, looks in maps.items()}
        if examples.words:
            words = spell(table.inputs[-1][row], examples)
            one |= {"words": words, "word_attention": one["word_attention"][: len(words)]}
        said = int(out.logits[i].argmax())
        if examples.task is None:
            described.append(one | {"truth": names[int(table.target[row])], "predicted": names[said]})
            continue
        questions = examples.task.test_questions
        ids = {"question_id": int(questions.question_id[row]), "image_id": int(questions.image_id[row])}
        answer = {"truth": questions.modal_answer[row], "predicted": examples.task.vocabulary.answers[said]}
        described.append(one | ids | {"question": questions.text[row]} | answer)
    return described


def round_map(attention: Float[Tensor, " o"]) -> list[float]:
    """A map as a record keeps it."""
    return [round(share, 4) for share in attention.tolist()]


def spell(ids: Int[Tensor, " t"], examples: Examples) -> list[str]:
    """A text's words, "?" for one that train lacks."""
    return [examples.words[k - 2] if k > 1 else "?" for k in ids.tolist() if k]


def _right(out: Output, batch: Batch) -> Float[Tensor, " b"]:
    return out.logits.argmax(-1).eq(batch.target).float()


def _attention(out: Output, batch: Batch) -> Float[Tensor, "b o"]:
    return out.attention
