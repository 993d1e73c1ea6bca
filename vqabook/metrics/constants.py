"""What members get that read nothing but the kind of question: the i-th says the i-th most frequent answer to it.

A control for oracle accuracy, which rises with every other answer that is said, whoever says it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from jaxtyping import Bool, Int


def frequent_answers(
    group: Int[np.ndarray, " n"], answer: Int[np.ndarray, " n"], n_groups: int, n_answers: int
) -> Int[np.ndarray, "g a"]:
    """Of each group of training examples all answers, the most frequent first; of equals the one with the lower id."""
    counts = np.zeros((n_groups, n_answers), dtype=np.int64)
    np.add.at(counts, (group, answer), 1)
    return np.argsort(-counts, axis=1, kind="stable")


def constant_members(
    said: Int[np.ndarray, "g a"], group: Int[np.ndarray, " n"], answer: Int[np.ndarray, " n"], m: int
) -> Bool[np.ndarray, "m n"]:
    """Whether each of `m` members is right on each example."""
    if not 1 <= m <= said.shape[1]:
        raise ValueError(f"each member says another answer, 1 <= m <= {said.shape[1]} answers, got {m}")
    return answer == said[group, :m].T
