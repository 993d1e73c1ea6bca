"""The validation accuracy that the release of Ilievski & Feng (2017) prints, which is not the official one."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from vqabook.metrics.vqa import leave_one_out_scores, normalise


def answerable_accuracy(
    predictions: Sequence[str], annotations: Sequence[Mapping], answers: Collection[str]
) -> dict[str, float]:
    """Percent, "overall" and by answer type, over the questions whose most frequent answer is among `answers`.

    Every number is multiplied by the share of such questions among all, so a type that is rarely answerable is credited
    with the others' coverage. Texts are compared as they stand; `answers` are normalised.
    """
    found: dict[str, list[float]] = {}
    for said, annotation in zip(predictions, annotations, strict=True):
        if normalise(annotation["multiple_choice_answer"]) in answers:
            score = leave_one_out_scores([x["answer"] for x in annotation["answers"]]).get(said, 0.0)
            found.setdefault("overall", []).append(score)
            found.setdefault(annotation["answer_type"], []).append(score)
    share = len(found.get("overall", ())) / max(len(annotations), 1)
    return {kind: 100 * share * sum(scores) / len(scores) for kind, scores in found.items()}
