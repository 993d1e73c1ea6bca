"""The recorded evidence: complete, named by what was asked, paired on one machine kind, and made again in part."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path

import pytest

from vqabook.evidence.recheck import choose, find_again, make_again
from vqabook.evidence.record import EVIDENCE, key_of
from vqabook.papers import OURS, PAGES, PAPERS, paper_of
from vqabook.producer import Producer
from vqabook.report import rechecked
from vqabook.report.verdicts import evidence, of_claim

LONGEST = 6.5  # seconds that a run took which the tests make again: every paper has trainings that were shorter


@lru_cache
def read(paper: str) -> dict[str, dict]:
    """Every file of a paper's evidence, by its name."""
    return {path.stem: json.loads(path.read_text("utf-8")) for path in (EVIDENCE / paper).glob("*.json")}


def numbers(value: object) -> Iterator[float]:
    match value:
        case dict():
            for part in value.values():
                yield from numbers(part)
        case list():
            for part in value:
                yield from numbers(part)
        case float():
            yield value


@pytest.mark.parametrize("paper", (*PAPERS, *OURS))
def test_a_record_is_named_by_what_was_asked_and_holds_finite_numbers(paper):
    for name, record in read(paper).items():
        assert name == key_of(record["recipe"])
        assert record["recipe"]["paper"] == paper
        assert all(map(math.isfinite, numbers(record["result"]))), name


@pytest.mark.parametrize("page", PAGES)
def test_every_embedded_column_has_all_its_seeds(page):
    paper = paper_of(page)
    missing = [r for r in paper.asked(paper.setting_of(profile="small"), page) if key_of(r) not in read(paper.name)]
    assert [f"{r['variant']}, seed {r['seed']}" for r in missing] == []


@pytest.mark.parametrize("name", (*PAPERS, *OURS))
def test_no_verdict_pairs_two_machine_kinds(name):
    paper = paper_of(name)
    columns = [evidence(name, profile="small"), evidence(name, profile="real", dataset=tuple(paper.real))]
    columns += [evidence(name, profile="real", dataset=dataset) for dataset in paper.further]
    for claim in paper.claims:
        for records in columns:
            of_claim(records, claim)  # refuses such a pair


def test_a_sample_comes_out_again(tmp_path: Path):
    """A run of each of two papers, of others every day, by other methods; the machine kind says what is compared."""
    first = datetime.now(UTC).toordinal() * 2
    papers = [list(PAPERS)[(first + i) % len(PAPERS)] for i in range(2)]
    chosen = choose(papers, 1, "small", longest=LONGEST)
    assert len(chosen) == 2
    make_again(chosen, Producer(None), tmp_path)
    outcome = rechecked.compare(find_again(chosen, tmp_path), dict.fromkeys(papers, ()))
    assert outcome["passed"], "\n".join([*rechecked.tell(outcome), *(str(row) for row in outcome["runs"])])
