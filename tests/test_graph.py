"""The graph's commands as a shell reads them: folders with spaces, quotes and letters of any alphabet; shards."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from vqabook.papers import PAGES

ROOT = Path(__file__).parents[1]


def plan(folder: Path, target: str = "book", **config: object) -> subprocess.CompletedProcess:
    """A dry run of a target, the whole book or less, into `folder`, with its commands."""
    command = [sys.executable, "-m", "snakemake", target, "--cores", "2", "--nolock", "--dry-run", "--printshellcmds"]
    settings = {"profile": "smoke", "out": folder, "runs": folder / "runs", "data_root": folder / "data", **config}
    words = [f"{name}={value}" for name, value in settings.items()]
    environment = {**os.environ, "HOME": str(folder)}
    return subprocess.run(
        [*command, "--config", *words], cwd=ROOT, env=environment, capture_output=True, text=True, encoding="utf-8"
    )


def find_commands(text: str, name: str) -> list[list[str]]:
    """The words of each `vqabook NAME` command in a plan."""
    told = [line.partition("exec ")[2] for line in text.splitlines() if f"exec vqabook {name} " in line]
    return [shlex.split(line) for line in told]


@pytest.mark.slow
def test_every_word_of_a_command_is_one_word_whatever_the_folders_are_called(tmp_path):
    folder = tmp_path / "My Passport é 数据 'q' $HOME & (1)"
    done = plan(folder, shards=2)
    assert done.returncode == 0, done.stderr
    settings = ["--profile", "smoke", "--runs", f"{folder}/runs", "--data-root", f"{folder}/data"]
    runs = find_commands(done.stdout, "run")
    assert sorted((words[2], words[words.index("--shard") + 1]) for words in runs) == sorted(
        (page, f"{k}/2") for page in PAGES for k in (1, 2)
    )
    for words in runs:
        name = f"{words[2]}.{words[words.index('--shard') + 1].replace('/', '-of-')}"
        assert words[3:9] == settings and words[-2:] == ["--done", f"{folder}/runs/.complete/smoke/{name}"]
    (live,), (ledger,) = (find_commands(done.stdout, name) for name in ("live", "ledger"))
    made = f"{folder}/_build"
    assert live[2:8] == settings
    assert ledger[2:] == [*settings, "--pages", f"{made}/pages", "--out", f"{made}/_generated"]
    executed = find_commands(done.stdout, "execute")
    assert all(words[words.index("--out") :] == ["--out", f"{made}/pages", *settings] for words in executed)
    named = [words[2 : words.index("--out")] for words in executed]
    assert sorted(sum(named, [])) == sorted(f"notebooks/{path.name}" for path in ROOT.glob("notebooks/[0-9]*.ipynb"))
    assert all(len({Path(name).name[:2] for name in names}) == 1 for names in named), "a job is a chapter"
    (build,) = (line for line in done.stdout.splitlines() if "jupyter-book build" in line)
    assert shlex.split(build)[7:9] == [f"{folder}/_build/..", "$source"]


@pytest.mark.slow
def test_the_home_folder_may_be_spelt_short(tmp_path):
    done = plan(tmp_path, runs="~/ru ns")
    (live,) = find_commands(done.stdout, "live")
    assert live[live.index("--runs") + 1] == f"{tmp_path}/ru ns"


@pytest.mark.slow
def test_a_folder_that_would_be_a_wildcard_is_refused(tmp_path):
    done = plan(tmp_path, out=tmp_path / "a{b}")
    assert done.returncode != 0 and "out is a folder without braces in its name, got" in done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("config", "jobs", "told"),
    [
        # ten runs that take two seconds, as nothing like them is recorded: three of them fit in a tenth of a minute
        ({"minutes": 0.1, "workers": 1}, 4, "class_imbalance: 10 runs to make, 0:00 h of one process; jobs: 4, "),
        ({"minutes": 0.1, "workers": 2}, 2, "jobs: 2, "),
        ({"minutes": 0.1, "shards": 3}, 3, ""),  # said outright
        ({}, 1, ""),
    ],
)
def test_a_page_s_records_alone_are_jobs_of_minutes(config, jobs, told, tmp_path):
    done = plan(tmp_path, "records_class_imbalance", **config)
    assert done.returncode == 0 and told in done.stderr, done.stderr
    runs = find_commands(done.stdout, "run")
    shards = [f"{k + 1}/{jobs}" for k in range(jobs)]
    assert sorted((words[2], words[words.index("--shard") + 1]) for words in runs) == [
        ("class_imbalance", shard) for shard in shards
    ]
    assert done.stdout.count("exec vqabook") == jobs, "neither notebooks nor a book"


@pytest.mark.slow
def test_a_job_of_no_time_is_refused(tmp_path):
    done = plan(tmp_path, "records_class_imbalance", minutes=0)
    assert done.returncode != 0 and "minutes of a job are above 0, got 0.0; 10 is usual" in done.stdout + done.stderr
