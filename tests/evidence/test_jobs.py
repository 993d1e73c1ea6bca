"""How a page's runs are shared out to jobs: estimates by hand, and the laws of every division."""

from __future__ import annotations

from collections import Counter

import pytest

from vqabook.evidence.jobs import SECONDS, Work, estimate
from vqabook.evidence.record import key_of
from vqabook.papers import PAGES, paper_of


def recipe_of(variant: str, seed: int = 0, **more: object) -> dict:
    what = {"paper": "p", "profile": "small", "kind": "train", "variant": variant, "prior": "same", "seed": seed}
    return what | {"data": {"dataset": "d"}} | more


def record_of(recipe: dict, seconds: float) -> dict:
    return {"recipe": recipe, "provenance": {"seconds": seconds}}


def work_of(*seconds: float, seeds: int = 1) -> Work:
    """Runs `0`, `1`, ... that take so long, for each seed."""
    each = [(seed, of) for seed in range(seeds) for of in seconds]
    return Work(tuple(map(str, range(len(each)))), tuple(s for s, _ in each), tuple(float(of) for _, of in each))


def test_a_run_takes_what_those_took_that_are_most_like_it():
    records = [
        record_of(recipe_of("a"), 10),
        record_of(recipe_of("a", 1), 20),
        record_of(recipe_of("a", epochs=9), 60),
        record_of(recipe_of("b", part="other"), 300),
    ]
    asked = {
        15: recipe_of("a", 5),  # but for the seed
        30: recipe_of("a", epochs=5),  # the method: (10 + 20 + 60) / 3
        300: recipe_of("c", part="other"),  # the part
        97.5: recipe_of("c", part="new"),  # the profile: (10 + 20 + 60 + 300) / 4
        SECONDS["paper"]: recipe_of("a", profile="paper"),
        SECONDS["small"]: recipe_of("a", profile="own"),
    }
    assert list(estimate(asked.values(), records)) == list(asked)


def test_a_seed_is_one_job_s_while_there_are_seeds_enough():
    work = work_of(1, 1, 1, 1, seeds=3)
    assert list(work.deal_out(1).values()) == [0] * 12
    assert list(work.deal_out(2).values()) == [0] * 8 + [1] * 4
    assert list(work.deal_out(3).values()) == [0] * 4 + [1] * 4 + [2] * 4
    assert list(work.deal_out(6).values()) == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5]
    assert set(work.deal_out(5).values()) == set(range(5))
    assert work_of().deal_out(4) == {} and work_of().count_jobs(1) == 1


def test_a_long_run_is_a_job_of_its_own():
    assert list(work_of(90, 1, 1, 1, 1).deal_out(3).values()) == [0, 1, 1, 2, 2]
    assert list(work_of(1, 1, 1, 1, 90).deal_out(2).values()) == [0, 0, 0, 0, 1]
    assert list(work_of(0, 0, 5).deal_out(3).values()) == [0, 1, 2]


@pytest.mark.parametrize(("minutes", "workers", "jobs"), [(1, 1, 4), (2, 1, 2), (1, 2, 2), (4, 1, 1), (0.01, 1, 8)])
def test_eight_runs_of_half_a_minute(minutes, workers, jobs):
    assert work_of(*[30] * 8).count_jobs(minutes, workers) == jobs


PLANS = [(page, minutes, workers) for page in PAGES for minutes in (0.001, 0.5, 10) for workers in (1, 4)]


@pytest.mark.parametrize(("page", "minutes", "workers"), PLANS)
def test_jobs_last_minutes_or_are_single_runs_and_none_fewer_would_do(page, minutes, workers):
    asked = paper_of(page).asked(paper_of(page).setting_of(profile="small"), page)
    work = Work.of(asked, [], anew=True)

    def is_short(n: int) -> bool:
        return all(seconds <= 60 * minutes * workers or runs <= workers for runs, seconds in work.list_loads(n))

    n = work.count_jobs(minutes, workers)
    assert is_short(n) and not (n > 1 and is_short(n - 1))
    dealt = Counter(work.deal_out(n).values())
    assert set(dealt) == set(range(n)) and sum(dealt.values()) == len({key_of(recipe) for recipe in asked})
    assert work.tell(n, workers).startswith(f"{len(work.names)} runs to make, ")


def test_runs_that_go_on_from_one_first_stage_are_one_job_s():
    """A baseline of each backbone, listed before the runs that go on from it."""
    methods = ("none", "mask", "weights", "both")
    asked = [recipe_of(f"{net} {how}", method=how, net=net) for how in methods for net in ("x", "y", "z")]
    dealt = Work.of([*asked, asked[0]], [], anew=True).deal_out(3)
    assert {(recipe["net"], dealt[key_of(recipe)]) for recipe in asked} == {("x", 0), ("y", 1), ("z", 2)}
