"""The campaign in short: runs that are killed or stopped end with the undisturbed numbers; and how it is told."""

from __future__ import annotations

import importlib.util
import random
import signal
import sys
from pathlib import Path
from types import ModuleType

import pytest

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


def test_the_protocol_page_shows_each_row_and_what_went_wrong():
    rows = [{"what": "killed <at once>", "tried": 7, "survived": 6, "compared": 5, "different": 1, "slowest": None}]
    rows.append({**rows[0], "what": "stopped", "slowest": 0.25, "faults": []})
    rows[0]["faults"] = ["a & b"]
    made = {"machine": "m", "started": "2026-01-02T03", "commit": "c", "seconds": 90.0}
    shown = render_html({"rows": rows, "made": made})
    assert "<td>killed &lt;at once&gt;</td><td>7</td><td>6</td><td>5</td><td>1</td><td></td>" in shown
    assert "<td>0.2 s</td>" in shown and "<li>a &amp; b</li>" in shown and "On m, 2026-01-02, commit c, 2 min" in shown
    assert len(as_table({"rows": rows})) == 3
    figures = {"rows": 3_000_000, "mb": 3210.0, "cpu_s": 71.6, "grown_gb": 2.04, "made": made}
    told = render_html({"rows": rows, "made": made}, figures)
    assert told.startswith(shown)
    assert "3,000,000 questions with ten answers each, 3.2 GB of JSON, in 72 s of one core," in told
    assert "with 2.0 GB of memory beyond the imports. On m, 2026-01-02, commit c." in told
    assert render_html(None) == "<p>No campaign has been recorded.</p>\n"
