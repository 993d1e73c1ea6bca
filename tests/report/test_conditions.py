"""Claims say what they need; what a data set lacks, or a model has not learnt, is never held against a paper."""

from __future__ import annotations

from dataclasses import replace

import pytest

from vqabook.papers import OURS, PAPERS, paper_of
from vqabook.report.claims import CONDITIONS, HAS, MOST_HEADLINES, Side, mark_headlines
from vqabook.report.headlines import judge_paper
from vqabook.report.verdicts import find_doubts, value_at, verdict_on


def test_a_claim_that_needs_what_nobody_explains_is_refused(claim):
    with pytest.raises(ValueError, match="both-over-baseline needs eleven votes: add it there"):
        replace(claim, needs=("eleven votes",))


@pytest.mark.parametrize("need", CONDITIONS)
def test_a_set_that_lacks_what_is_needed_is_named(need, claim, runs):
    needy, records = replace(claim, needs=(need,)), runs([5.0, 5.1, 4.9])
    for dataset, kind in (("shapes", "holds"), ("trec", "conditions not met"), ("a folder of mine", "holds")):
        there = [r | {"recipe": r["recipe"] | {"data": {"dataset": dataset}}} for r in records]
        verdict = verdict_on(needy, there)
        assert (verdict.kind, verdict.n, verdict.mean) == (kind, 3, pytest.approx(5.0))
        assert verdict.why == (f"TREC has no {need}" if kind != "holds" else "")
    assert verdict_on(needy, records[:4]).kind == "not run"


def ended(record: dict, best: int, last: int) -> dict:
    chosen = {"best_by_valid": {"epoch": best, "valid": 50.0}, "last": {"epoch": last, "valid": 49.0}}
    return record | {"result": record["result"] | {"selection": chosen}}


@pytest.mark.parametrize(
    ("best", "last", "converged"),
    [
        ((10, 10, 10), 10, False),
        ((10, 10, 4), 10, False),  # most; by chance 2 of 3 would be with 2.8 %
        ((10, 4, 4), 10, True),  # one of three is not most
        ((3, 3, 2), 3, True),  # most, but of three epochs 2 of 3 would be by chance with 26 %
        ((3, 3, 3), 3, False),  # 3.7 %
        ((10, 10, 4, 4), 10, True),  # half is not most
    ],
)
def test_who_still_learns_at_the_end_is_not_converged(best, last, converged, claim, runs):
    selecting, records = replace(claim, selects=True), runs([5.0 + 0.1 * i for i in range(len(best))])
    records = [ended(r, best[i // 2] if r["recipe"]["variant"] == "both" else 2, last) for i, r in enumerate(records)]
    verdict = verdict_on(selecting, records)
    assert verdict.converged is converged and verdict.kind == ("holds" if converged else "conditions not met")
    late = sum(epoch == last for epoch in best)
    told = f"not converged: {late} of {len(best)} runs of both were still learning when they ended"
    assert verdict.why == ("" if converged else told)
    assert verdict_on(claim, records).kind == "holds"  # of a paper whose runs report their last epoch
    course = replace(selecting, more=replace(claim.more, metric="history.-1.valid"), less=replace(
        claim.less, metric="history.0.valid"))  # fmt: skip
    assert verdict_on(course, records).converged is None  # how training goes is no matter of the best epoch


def test_records_without_a_history_of_choices_cannot_tell(claim, runs):
    assert find_doubts(replace(claim, selects=True), runs([5.0, 5.1, 4.9])) == []


@pytest.mark.parametrize(("seen", "why"), [
    (50.1, ""), (49.9, "not converged: baseline is no better on validation than a model without images (−0.1 points)"),
])  # fmt: skip
def test_a_model_that_sees_no_more_than_the_question_is_not_converged(seen, why, claim, run, runs):
    where = {"variant": "baseline", "prior": "changing"}
    looking = replace(claim, models=(where,), blind=where | {"variant": "blind"})
    blind = [run("blind", 8.0, seed) for seed in range(3)]
    for seed, record in enumerate(blind):
        record["result"]["valid"] = 49.0 + seed
    records = runs([5.0, 5.1, 4.9])
    for record in records:
        record["result"]["valid"] = seen if record["recipe"]["variant"] == "baseline" else 0.0
    verdict = verdict_on(looking, [*records, *blind])
    assert verdict.why == why and verdict.converged is (not why)
    elsewhere = [r | {"recipe": r["recipe"] | {"data": {"dataset": "shapes", "valid_fraction": 0.2}}} for r in blind]
    assert verdict_on(looking, [*records, *elsewhere]).converged is None  # other validation rows tell nothing
    assert verdict_on(looking, records).converged is None


@pytest.mark.parametrize(("level", "why"), [
    (65.0, ""), (62.4, "not learnt: independent ensemble has 62.4 % on validation, a guess 57.1 %"),  # the bound: 62.5
])  # fmt: skip
def test_models_that_others_start_from_must_know_more_than_a_guess(level, why, claim, run, runs):
    starting = replace(claim, starts=({"variant": "base"},), guess={"variant": "unread"}, selects=True)
    bases, guess = [ended(run("base", 1.0, seed), 2, 9) for seed in range(3)], run("unread", 1.0)
    for seed, record in enumerate(bases):
        record["result"]["selection"]["best_by_valid"]["valid"] = level + seed - 1
    guess["result"]["valid"] = 57.1
    records = [*runs([5.0, 5.1, 4.9]), *bases]
    verdict = verdict_on(starting, [*records, guess])
    assert (verdict.why, verdict.kind) == (why, "conditions not met" if why else "holds")
    elsewhere = guess | {"recipe": guess["recipe"] | {"data": {"dataset": "trec"}}}
    for unknown in (records, [*records, elsewhere]):  # no guess on that set: nothing is told of the level
        assert verdict_on(starting, unknown).kind == "holds"
    late = [ended(record, 9, 9) for record in bases]
    told = "not converged: 3 of 3 runs of independent ensemble were still learning when they ended"
    assert verdict_on(starting, [*runs([5.0, 5.1, 4.9]), *late]).why == told


@pytest.mark.parametrize(("known", "why"), [
    (90.0, ""), (89.9, "not learnt: plain knows 89.9 % of its training rows"),
])  # fmt: skip
def test_a_network_must_know_its_training_rows(known, why, claim, run, runs):
    learning, records = replace(claim, learners=({"variant": "plain"},)), runs([5.0, 5.1, 4.9])
    plain = [run("plain", 1.0, seed) for seed in range(3)]
    assert verdict_on(learning, [*records, *plain]).converged is None  # control: nothing is said of training rows
    for seed, record in enumerate(plain):
        record["result"]["train"] = {"overall": known + seed - 1}
    verdict = verdict_on(learning, [*records, *plain])
    assert (verdict.why, verdict.kind) == (why, "conditions not met" if why else "holds")
    assert verdict_on(claim, [*records, *plain]).kind == "holds"  # control: it is the claim that asks


@pytest.mark.parametrize(("moves", "why"), [
    (0.9, ""), (-0.9, ""), (-1.2, "not converged: trained twice as long, one side moves by −1.2 points"),
])  # fmt: skip
def test_a_number_that_moves_with_twice_the_training_is_not_converged(moves, why, claim, run, runs):
    records = runs([5.0, 5.1, 4.9])
    both = [r for r in records if r["recipe"]["variant"] == "both"]
    longer = [run("both @ twice as long", value_at(r, claim.more.metric) + moves, r["recipe"]["seed"]) for r in both]
    verdict = verdict_on(claim, [*records, *longer])
    assert verdict.why == why and verdict.converged is (not why)
    assert verdict.kind == ("conditions not met" if why else "holds")
    assert verdict_on(replace(claim, unit="nats"), [*records, *longer]).converged is None
    assert verdict_on(replace(claim, unit="kappa x 100"), [*records, *longer]).why == why  # as fine a scale as points


@pytest.mark.parametrize("name", PAPERS)
def test_headlines_are_few_the_papers_own_and_none_compares_what_another_does(name):
    headlines = [claim for claim in paper_of(name).claims if claim.headline]
    assert 0 < len(headlines) <= MOST_HEADLINES
    assert not any(claim.ours for claim in headlines)
    assert len({claim.compares for claim in headlines}) == len(headlines)


@pytest.mark.parametrize("name", (*PAPERS, *OURS))
def test_it_is_said_what_every_data_set_of_a_paper_has(name):
    paper = paper_of(name)
    assert HAS.keys() >= {*paper.real, *paper.further}


def test_too_many_headlines_and_unknown_ones_are_refused(claim):
    claims = [replace(claim, name=str(i)) for i in range(8)]
    assert [c.headline for c in mark_headlines(claims, ("2",))] == [i == 2 for i in range(8)]
    with pytest.raises(ValueError, match="a paper has at most 6 headlines, got 7"):
        mark_headlines(claims, [str(i) for i in range(7)])
    with pytest.raises(ValueError, match="headlines are claims of the paper, got nobody; check the spelling"):
        mark_headlines(claims, ("nobody",))


def test_a_paper_is_judged_by_its_headlines_where_their_conditions_are_met(claim, runs):
    def on(dataset: str, differences: list[float]) -> list[dict]:
        return [r | {"recipe": r["recipe"] | {"data": {"dataset": dataset}}} for r in runs(differences)]

    first = replace(claim, name="first", needs=("ten votes",), headline=True)
    second, aside = replace(claim, name="second", headline=True), replace(claim, name="aside")
    never = replace(second, name="never", more=Side({"variant": "nobody"}))
    one_vote, ten = on("vqacp_v1_coco16k", [-5.0, -5.1, -4.9]), on("vqa_v2_60k", [5.0, 5.1, 4.9])
    judged = judge_paper([first, second, aside, never], [one_vote, ten, runs([0.0, 0.1, 0.0])])
    assert [(c.name, v.kind, v.dataset) for c, v in judged.headlines] == [
        ("first", "holds", "vqa_v2_60k"), ("second", "fails", "vqacp_v1_coco16k"), ("never", "not run", ""),
    ]  # fmt: skip
    assert judged.counts == {"holds": 1, "fails": 1, "not run": 1}
    assert judged.told == "1 of 2 tested headline claims hold; 1 fails, 1 not run"
    unmet = judge_paper([first], [one_vote])
    assert unmet.counts == {"conditions not met": 1} and unmet.told == "none of 1 headline claims could be tested"
