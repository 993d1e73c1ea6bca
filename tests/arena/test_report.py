"""What a report says is what its records say; it is one page that needs nothing else."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from vqabook.arena.contest import LIBRARY, PILOT, TOLD, Contest, Protocol
from vqabook.arena.heads import AFTER, MINE, PLAIN, RULES
from vqabook.arena.own_loss import load
from vqabook.arena.page import Text, write_markdown
from vqabook.arena.ranking import count_divisions, count_rows, rank
from vqabook.arena.report import Report, answer, list_blocks, write
from vqabook.arena.snippets import write_code, write_own
from vqabook.arena.trials import KNOBS
from vqabook.evidence.record import machine
from vqabook.report.verdicts import judge

ROWS = (*RULES, *AFTER)
SECTIONS = [
    "The classes", "The ranking", "All numbers", "Where classes at test are others", "The lines of",
    "What would tell the undecided apart", "How it was done",
]  # fmt: skip


def record(seed: int, rows: dict[str, dict], variant: str = LIBRARY) -> dict:
    recipe = {"variant": variant, "seed": seed, "decay": 3e-4, "shares": [0.6, 0.2, 0.2], "steps": 40}
    stamp = {"machine": machine(), "hardware": "2 cores", "seconds": 3.0, "code": "abc", "versions": {"torch": "2"}}
    sizes = {"train": 240, "valid": 80, "test": 80}
    return {"recipe": recipe, "result": {"rows": rows, "sizes": sizes, "width": 4}, "provenance": stamp}


def made(gains: dict[str, float], spread: float = 0.5, seeds: int = 5, rows: tuple[str, ...] = ROWS) -> list[dict]:
    """A pilot and records whose rows gain so much over softmax; frequent classes pay half of it."""
    rng, records = np.random.default_rng(0), []
    for seed in range(seeds):
        by = {}
        for name in rows:
            level, pays = 60 + gains.get(name, -9.0) * (name != PLAIN) + spread * rng.normal(), gains.get(name, 0) / 2
            metrics = (
                "wanted",
                "uniform",
                "training",
                "reversed",
                "medium",
                "few",
                "macro_f1",
                "nll",
                "ece",
                "seconds",
            )
            by[name] = dict.fromkeys(metrics, level) | {"many": 80 - pays + spread * rng.normal()}
        records.append(record(seed, by))
    found = {"steps": 40, "decay": 3e-4, "costs": {"200": 0.5, "400": 0.49}, "settled": True, "valid": {"0.003": 0.6}}
    pilot = {"recipe": {"variant": PILOT}, "result": found}
    return [pilot, *records]


@pytest.fixture(scope="module")
def report(examples) -> Report:
    records = made({MINE: 8.0, "adjusted": 7.8, "focal": 0.1})
    return Report.of(Contest(examples, Protocol()), records)


@pytest.fixture(scope="module")
def written(report, tmp_path_factory) -> tuple[str, Path]:
    """What is printed, and the folder of the report: drawn once."""
    folder = tmp_path_factory.mktemp("report")
    return write(report, folder), folder


def test_the_answer_is_the_leader_with_its_interval_and_cost(report):
    first, second = answer(report)
    gain = report.ranking.row(MINE).gain
    assert first.startswith(
        f"**Take balanced softmax**: on clouds, where all classes are alike, it gains +{gain.mean:.2f}"
    )
    assert f"[+{gain.low:.2f}, +{gain.high:.2f}] points of balanced accuracy over softmax" in first
    assert second.startswith("Frequent classes pay: −")
    assert Text("Not told apart from it: softmax, adjusted after training.", "note") in list_blocks(report)


def test_without_a_leader_softmax_stays(examples):
    report = Report.of(Contest(examples, Protocol()), made({"focal": 0.3, MINE: 0.2}, spread=2.0))
    first, second = answer(report)
    assert report.ranking.chosen is None and first.startswith("**No rule is seen to beat softmax** on clouds")
    assert "Keep softmax" in second and "rule = long_tail(" in "".join(str(block) for block in list_blocks(report))
    with pytest.raises(ValueError, match="from one machine kind"):
        records = made({})
        own = record(0, {"mine.py:a": {"wanted": 1.0}}, "mine.py:a")
        own["provenance"]["machine"] = "another"
        rank([*records[1:], own])


def test_a_report_is_one_page_with_every_section(report, written):
    told, folder = written
    html, text = ((folder / name).read_text("utf-8") for name in ("report.html", "report.md"))
    places = [[page.find(f"{mark}{section}") for section in SECTIONS] for page, mark in ((html, "<h2>"), (text, "## "))]
    assert all(at == sorted(at) and min(at) > 0 for at in places)
    outside = re.findall(r'(?:src|srcset|href)="(?!data:|#)([^"]*)"|url\((?!data:)', html)
    assert outside == [] and "<script" not in html and html.count("<img") == 4
    assert {"counts.svg", "gains.svg"} <= {path.name for path in folder.iterdir()}
    found = json.loads((folder / "report.json").read_text())
    assert found["recommended"] == MINE and found["answer"] == told and "*" not in told
    (mine,) = [row for row in found["rows"] if row["row"] == MINE]
    assert mine["numbers"]["wanted"] == {str(k): v for k, v in report.ranking.row(MINE).scores.items()}
    assert f"{np.mean(list(mine['numbers']['wanted'].values())):.1f}" in text
    assert [row["rows"] for row in found["data"]["classes"]] == [300, 80, 20]


def test_what_is_left_out_is_named(report):
    examples = replace(report.contest.examples, left_out={"owl": 2}, constant=("flat",), notes=("A note.",))
    text = write_markdown(list_blocks(replace(report, contest=replace(report.contest, examples=examples))))
    assert "1 are left out (owl), 2 rows in all" in text and "never change are left out: flat" in text
    assert "A note." in text


def test_a_page_fits_a_phone_and_a_desk(written, page):
    for width in (390, 1280):
        page.set_viewport_size({"width": width, "height": 900})
        page.goto(f"file://{written[1] / 'report.html'}")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            seen = page.evaluate("[...document.images].filter(i => i.offsetParent).map(i => i.className)")
            assert seen == [f"only-{scheme}"] * 2


def test_what_would_tell_rows_apart_excludes_zero():
    verdict = judge([1.0, -0.4, 0.9, 0.2, 0.6], shared=0.02)
    n = count_divisions(verdict)
    assert verdict.kind == "undecided" and n > 5
    half = [judge([0.0] * 3).low]  # three of the same: no width
    assert half == [0.0]
    wide = judge([1.0, -3.4, 4.9, 0.2, -0.6], shared=1 / 3)
    assert count_divisions(wide) is None and count_rows(wide) == pytest.approx((wide.detectable / wide.mean) ** 2)
    assert count_divisions(judge([1.0])) is None and count_rows(judge([1.0])) is None


@pytest.mark.parametrize("row", [*ROWS, f"{MINE}{TOLD}", f"adjusted{TOLD}", "mine.py:mine"])
def test_the_lines_of_a_rule_run(row, tmp_path, monkeypatch):
    torch.manual_seed(0)
    train_x, train_labels = torch.randn(60, 4), torch.arange(60) % 3
    model = nn.Linear(4, 3)
    given = {
        "model": model, "optimizer": torch.optim.SGD(model.parameters(), lr=0.1), "train_x": train_x, "n_steps": 3,
        "train_labels": train_labels, "test_x": torch.randn(5, 4), "prior": torch.full((3,), 1 / 3),
        "batches": [(train_x[i::3], train_labels[i::3]) for i in range(3)],
    }  # fmt: skip
    if row.startswith("mine"):
        (tmp_path / "mine.py").write_text(
            "from torch.nn.functional import cross_entropy\n"
            "def mine(logits, target, counts):\n    return cross_entropy(logits, target, reduction='none')\n"
        )
        monkeypatch.syspath_prepend(tmp_path)
        code = write_own(load(f"{tmp_path / 'mine.py'}:mine"))
    else:
        code = write_code(row)
    before = model.weight.clone()
    exec(code, given)
    assert (row in AFTER or row == f"adjusted{TOLD}") == torch.equal(before, model.weight)
    assert row.startswith("mine") or given["answer"].shape == (5,)
    assert max(map(len, code.splitlines())) < 80


def test_the_command_writes_a_report_and_goes_on(vqabook, make_rows, tmp_path):
    x, y = make_rows([60, 20])
    np.savez(tmp_path / "mine.npz", X=x, y=np.array(["cat", "dog"])[y])
    words = ("arena", tmp_path / "mine.npz", "--out", tmp_path / "out", "--steps", 20, "--seeds", 1, "--workers", 1)
    done = vqabook(*words, "--test-prior", '{"cat": 0.9, "dog": 0.1}', "--bounds", "50,30")
    assert (done.status, done.error) == (0, "") and "No rule is seen to beat softmax" in done.out
    assert "no interval of fewer than 3 divisions: give more (--seeds)" in done.out
    assert "average precision" in (tmp_path / "out" / "report.md").read_text("utf-8")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out" / "records").glob("*.json")}
    assert vqabook(*words, "--test-prior", '{"cat": 0.9, "dog": 0.1}', "--bounds", "50,30", "--no-report").out == ""
    after = {path: path.stat().st_mtime_ns for path in (tmp_path / "out" / "records").glob("*.json")}
    assert len(before) == 2 and before == after


@pytest.mark.parametrize(
    "more, sentence",
    [
        (("--test-prior", '{"fox": 1}'), "a prior at test is of the classes that take part: 'fox' does not"),
        (("--test-prior", "{fox"), "a prior is JSON {class: share} with numbers, got {fox"),
        (("--test-prior", "nosuch.json"), "nosuch.json cannot be read here"),
        (("--bounds", "9"), "bounds are two numbers of rows, MANY,FEW"),
        (("--loss", "nosuch.py:loss"), "nosuch.py is not a file"),
        (("--label", "kind"), "--label names a column of a table"),
    ],
)
def test_a_word_that_makes_no_sense_is_one_sentence(vqabook, tmp_path, more, sentence):
    np.savez(tmp_path / "mine.npz", X=np.random.rand(12, 2), y=np.arange(12) % 2)
    done = vqabook("arena", tmp_path / "mine.npz", "--out", tmp_path / "out", *more)
    assert done.status == 1 and done.error.startswith("vqabook: ") and sentence in done.error
    assert done.error.count("\n") == 1


@pytest.mark.parametrize("row", KNOBS)
def test_the_lines_carry_a_value_that_was_picked(row):
    code = write_code(row, 0.7)
    assert "0.7" in code
    train_labels = torch.arange(9) % 3
    given = {"model": nn.Linear(4, 3), "test_x": torch.randn(5, 4), "train_labels": train_labels, "batches": []}
    exec(code, given)
    assert given["answer"].shape == (5,)
