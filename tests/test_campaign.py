"""The campaign in short: runs that are killed or stopped end with the undisturbed numbers; and how it is told."""

from __future__ import annotations

import importlib.util
import random
import signal
import sys
from pathlib import Path
from types import ModuleType

import pytest

from vqabook.report import survived
from vqabook.report.survived import as_table, render_html

PATH = Path(__file__).with_name("campaign.py")


@pytest.fixture(scope="module")
def campaign() -> ModuleType:
    """The script, as a module."""
    spec = importlib.util.spec_from_file_location("campaign", PATH)
    sys.modules["campaign"] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def task(campaign, tmp_path_factory) -> object:
    """One small run of digits; its page's other runs read a generated world."""
    (whole,) = campaign.choose_tasks(tmp_path_factory.mktemp("campaign"), ("class_imbalance",))
    return campaign.Task(whole.folder, whole.page, whole.recipes[-1:])


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_disturbed_run_ends_with_the_same_numbers(campaign, task, number):
    row = campaign.Row(f"signal {number}")
    campaign.disturb(task, (number,), 1, row, random.Random(0))
    assert (row.tried, row.survived, row.different, row.faults) == (1, 1, 0, [])
    assert row.compared >= 1 and (row.slowest is None) == (number == signal.SIGKILL)


def test_a_digit_that_moved_is_counted(campaign, task):
    references = {key: {**record, "result": {"other": 1}} for key, record in task.references().items()}
    row = campaign.Row("control")
    row.compare(references, task.folder / "undisturbed")
    assert (row.compared, row.different) == (1, 1) and len(row.faults) == 1


MADE = {"machine": "m", "started": "2026-01-02T03", "commit": "c", "seconds": 90.0}
ROW = {"what": "killed <at once>", "tried": 7, "survived": 6, "compared": 5, "different": 1, "slowest": None}
ROWS = [{**ROW, "faults": ["a & b"], "made": MADE}, {**ROW, "what": "stopped", "slowest": 0.25, "faults": []}]


def test_the_protocol_page_shows_each_row_and_what_went_wrong():
    rows = [ROWS[0], ROWS[1] | {"made": MADE | {"seconds": 60.0}}]
    shown = render_html({"rows": rows})
    assert "<td>killed &lt;at once&gt;</td><td>7</td><td>6</td><td>5</td><td>1</td><td></td>" in shown
    assert "<td>0.2 s</td>" in shown and "<li>a &amp; b</li>" in shown
    assert "<small>On m, 2026-01-02, commit c, 2 minutes.</small>" in shown
    assert len(as_table({"rows": rows})) == 3
    assert render_html(None) == "<p>No campaign has been recorded.</p>\n"


def test_rows_of_another_commit_say_so():
    shown = render_html({"rows": [ROWS[0], ROWS[1] | {"made": MADE | {"commit": "d", "seconds": 600.0}}]})
    assert "commit c, 2 minutes. On m, 2026-01-02, commit d, 10 minutes (rows 2)." in shown


def test_many_questions_are_told_below():
    figures = {"rows": 3_000_000, "mb": 3210.0, "cpu_s": 71.6, "grown_gb": 2.04, "made": MADE}
    told = render_html({"rows": ROWS[:1]}, figures)
    assert told.startswith(render_html({"rows": ROWS[:1]}))
    assert "3,000,000 questions with ten answers each, 3.2 GB of JSON, in 72 s of one core," in told
    assert "with 2.0 GB of memory beyond the imports. On m, 2026-01-02, commit c." in told


def test_a_row_outlives_the_campaign(campaign, tmp_path, monkeypatch):
    """What was recorded before stays, but for the row of the same name."""
    monkeypatch.setattr(campaign, "OUTCOME", tmp_path / "survived.json")
    monkeypatch.setattr(survived, "OUTCOME", tmp_path / "survived.json")
    for row in (campaign.Row("killed", 3, 2), campaign.Row("stopped", 1, 1), campaign.Row("killed", 5, 5)):
        campaign.keep(row)
    assert [(row["what"], row["tried"]) for row in survived.read_survived()["rows"]] == [("killed", 5), ("stopped", 1)]
