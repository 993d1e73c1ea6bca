"""Live runs: where one more seed is expected, which claims get a star, and what the front page says of them."""

from __future__ import annotations

import json

import numpy as np
import pytest

from vqabook.report.claims import Claim, Side
from vqabook.report.live import SEED, Star, as_row, count_inside, find_stars, predict_interval
from vqabook.report.verdicts import Verdict, judge

CLAIM = Claim("n", "s", "Table 1", Side({"variant": "more"}), Side({"variant": "less"}), "03_page", "p")


def pairs(differences: dict[int, float]) -> list[dict]:
    """Both sides of CLAIM by seed."""
    sides = [(name, seed, share * d) for seed, d in differences.items() for name, share in (("more", 1), ("less", 0))]
    return [
        {"recipe": {"variant": name, "seed": seed, "data": {"dataset": "shapes"}},
         "result": {"test": {"overall": 40.0 + d}}, "provenance": {"machine": "m", "commit": "abc"}}
        for name, seed, d in sides
    ]  # fmt: skip


def test_the_prediction_interval_by_hand():
    # mean 2, s = 1, n = 3: 2 -+ t(0.975; 2) = 4.302653 times sqrt(1 + 1/3) = 1.154701
    assert predict_interval([1.0, 2.0, 3.0]) == pytest.approx((2 - 4.968274, 2 + 4.968274))
    assert predict_interval([5.0, 5.0, 5.0]) == (5, 5)
    assert predict_interval([1.0, 2.0]) is None


@pytest.mark.parametrize("n", [3, 5])
def test_19_of_20_new_draws_fall_inside_and_fewer_into_the_interval_of_the_mean(n):
    draws = np.random.default_rng(0).normal(3.0, 2.0, size=(4000, n + 1)).tolist()
    inside, inside_mean = 0, 0
    for *recorded, new in draws:
        low, high = predict_interval(recorded)
        inside += low <= new <= high
        verdict = judge(recorded)
        inside_mean += verdict.low <= new <= verdict.high  # the control
    assert inside / 4000 == pytest.approx(0.95, abs=0.012)
    assert inside_mean / 4000 < 0.85


def test_a_star_has_the_live_difference_and_where_it_was_expected():
    recorded, live = pairs({0: 1.0, 1: 2.0, 2: 3.0}), pairs({SEED: 9.0, 5: 100.0})
    (star,) = find_stars([CLAIM], live, recorded, [])
    assert star.value == 9 and star.expected == pytest.approx(predict_interval([1.0, 2.0, 3.0]))
    assert star.embedded.kind == "undecided" and star.real.kind == "not run"
    assert star.inside is False
    row = as_row(star)
    assert row["claim"] == "n" and row["seed"] == SEED and json.loads(json.dumps(row))["inside"] is False


def test_a_star_without_a_live_run_or_without_three_recorded_seeds_is_not_counted():
    (absent,) = find_stars([CLAIM], [], pairs({0: 1.0, 1: 2.0, 2: 3.0}), [])
    (alone,) = find_stars([CLAIM], pairs({SEED: 1.0}), pairs({0: 1.0, 1: 2.0}), [])
    assert (absent.value, absent.inside) == (None, None)
    assert (alone.value, alone.expected, alone.inside) == (1.0, None, None)
    assert count_inside([absent, alone]) == "No live run has a recorded interval to fall into here."


def test_the_front_page_counts_them():
    none = Verdict("not run")
    stars = [Star(CLAIM, value, (0.0, 1.0), none, none) for value in (0.0, 0.5, 1.0, 1.5, None)]
    assert count_inside(stars) == (
        "3 of 4 comparisons trained with this build (stars) fell inside their 95 % prediction interval (pale bars); "
        "by chance about 0.2 would not."
    )
