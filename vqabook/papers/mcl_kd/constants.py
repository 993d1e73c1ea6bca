"""How far an ensemble gets in chapter 05 without reading: each member says one answer to each kind of question."""

from __future__ import annotations

import torch

from vqabook.metrics.ensemble import constant_members, frequent_answers
from vqabook.papers.mcl_kd import recipes as mcl_kd
from vqabook.papers.mcl_kd.examples import examples_of
from vqabook.papers.mcl_kd.setting import TASK_OF, Setting


def constants(s: Setting) -> dict[str, float]:
    """Accuracies (%) on the reasoning questions of a setting; empty if it asks for none."""
    if all(TASK_OF[network] != "reasoning" for network in s.networks):
        return {}
    examples = examples_of(mcl_kd.data_of(s, "reasoning"), mcl_kd.root_of(s), torch.device("cpu"))
    answers = {part: getattr(examples, part).target.numpy() for part in ("train", "test")}
    said = frequent_answers(examples.group["train"], answers["train"], len(examples.families), len(examples.answers))
    right = constant_members(said, examples.group["test"], answers["test"], s.members)
    return {
        "the most frequent answer to its kind of question": 100 * float(right[0].mean()),
        f"oracle of {s.members} members that say one frequent answer each": 100 * float(right.any(0).mean()),
    }
