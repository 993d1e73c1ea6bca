"""Members that always say the same."""

from __future__ import annotations

import numpy as np
import pytest

from vqabook.metrics.constants import constant_members, frequent_answers


def test_members_say_the_most_frequent_answers_of_a_group():
    group, answer = np.array([0, 0, 0, 1, 1, 1]), np.array([2, 2, 0, 1, 0, 1])
    said = frequent_answers(group, answer, 3, 3)
    assert said.tolist() == [[2, 0, 1], [1, 0, 2], [0, 1, 2]]
    right = constant_members(said, np.array([0, 0, 1, 2]), np.array([0, 2, 2, 0]), 2)
    assert right.tolist() == [[False, True, False, True], [True, False, False, False]]
    assert constant_members(said, group, answer, 3).any(0).all()
    with pytest.raises(ValueError, match="1 <= m <= 3 answers, got 4"):
        constant_members(said, group, answer, 4)
