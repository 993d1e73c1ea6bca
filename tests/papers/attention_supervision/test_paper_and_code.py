"""Chapter 04, paper against code: what the page shows on a few numbers is so."""

from __future__ import annotations

import pytest

from vqabook.papers.attention_supervision import paper_and_code


def test_a_mask_before_the_norm_is_undone_by_it():
    columns = paper_and_code.mask_around_norm()
    assert columns["length, masked before"] == [float(share > 0) for share in columns["mask"]]
    assert columns["length, masked after"] == columns["mask"]


def test_losses_between_sets_do_not_see_which_map_is_whose():
    values = paper_and_code.compare_dealt_out()
    assert {name for name, value in values.items() if value == 0} == {"MMD", "CORAL"}


def test_the_released_gamma_makes_mmd_half_the_squared_distance():
    released, half = paper_and_code.compare_release().values()
    assert released == pytest.approx(half, rel=1e-3) and min(half) > 0
