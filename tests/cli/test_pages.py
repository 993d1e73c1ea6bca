"""The commands do what they say, once; what goes wrong is one sentence on stderr."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import nbformat
import pytest
import torch

from vqabook import cli
from vqabook.evidence.recheck import difference
from vqabook.evidence.record import key_of, read_records
from vqabook.papers import OURS, PAGES, PAPERS, paper_of
from vqabook.papers.paper import Paper
from vqabook.producer import load_or_make_runs

SOFT = "soft_cross_entropy"
SHORT = {"profile": "smoke", "models": ["avg"], "further": False, "disagreements": []}


@pytest.fixture
def vqabook(monkeypatch, capsys):
    """Call the command line; exit status, stdout, stderr."""

    def call(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["vqabook", *map(str, words)])
        with pytest.raises(SystemExit) as end:
            cli.main()
        return (end.value.code or 0, *capsys.readouterr())

    return call


@pytest.fixture(scope="module")
def runs(cache, tmp_path_factory) -> Path:
    """A folder of records that this module's tests share."""
    return tmp_path_factory.mktemp("runs")


def test_run_trains_what_is_missing_and_the_ledger_shows_it(vqabook, runs, tmp_path):
    words = ("run", "class_imbalance", "--profile", "smoke", "--runs", runs)
    assert vqabook(*words)[0] == 0
    folder = runs / PAGES["class_imbalance"]
    before = {path: path.stat().st_mtime_ns for path in folder.glob("*.json")}
    assert {r["recipe"]["variant"].split(" @ ")[0] for r in read_records(runs)} == {
        "statistics", "bce baseline", "ce baseline", "digits imbalanced", "digits balanced",
    }  # fmt: skip
    assert vqabook(*words)[0] == 0
    assert {path: path.stat().st_mtime_ns for path in folder.glob("*.json")} == before
    assert list(folder.glob("*.checkpoint")) == []

    damaged, renamed = (next(folder.glob(f"*{name}*.json")) for name in ("digits-balanced", "digits-imbalanced"))
    whole = {path: path.read_bytes() for path in (damaged, renamed)}
    damaged.write_bytes(b"")
    renamed.write_bytes(next(folder.glob("*statistics*.json")).read_bytes())
    status, _, told = vqabook("ledger", "--out", tmp_path, "--runs", runs, "--profile", "smoke")
    for path, reason in ((damaged, "Input data was truncated"), (renamed, "it answers another recipe, .*statistics.*")):
        sentence = rf"^vqabook: a record is whole, .*: {path} is left out \({reason}\); restore it, or remove it.*$"
        assert re.search(sentence, told, re.MULTILINE), told
        path.write_bytes(whole[path])
    assert status == 0 and list(folder.glob("*.damaged")) == []
    rows = {row["name"]: row for row in json.loads((tmp_path / "ledger.json").read_text())}
    assert rows["assumption-2-bce"]["embedded"]["n"] == 1 and rows["assumption-2-bce"]["verdict_embedded"] == "not run"
    assert rows["table-v-bce-both-over-baseline"]["embedded"] is None
    assert '<table class="ledger" ' in (tmp_path / "ledger.html").read_text()
    stars = json.loads((tmp_path / "live.json").read_text())
    assert {star["claim"] for star in stars} == {name for paper in (*PAPERS, *OURS) for name in paper_of(paper).live}
    assert "No live run has a recorded interval" in (tmp_path / "live.html").read_text()
    for name in ("headlines", "printed_measured", "strength", "levels"):
        assert "<figcaption>On real data" in (tmp_path / f"{name}.html").read_text("utf-8")
    assert (tmp_path / "recheck.html").read_text().startswith("<p>")
    assert "Ended as it should" in (tmp_path / "survived.html").read_text("utf-8")


def test_text_is_told_and_a_sentence_without_evidence_fails(vqabook, tmp_path):
    text, out = tmp_path / "page.md", tmp_path / "out"
    text.write_text("Gains {told}`soft-ce-question seeds`.\n{needs}`soft-ce-question: fails`\n")
    assert vqabook("tell", text, "--out", out, "--profile", "smoke")[0] == 0  # it tells no recorded verdict's words
    assert re.fullmatch("Gains n\u00a0=\u00a0\\d.\n\n", (out / "page.md").read_text("utf-8"))
    status, _, told = vqabook("tell", text, "--out", out)
    assert status == 1 and "page.md: a sentence needs soft-ce-question (real) to be 'fails', records say '" in told
    text.write_text("{told}`soft-ce-questoin`")
    status, _, told = vqabook("tell", text, "--out", out, "--profile", "smoke")
    assert status == 1 and "page.md: {told}`soft-ce-questoin`: " in told and "near it are soft-ce-question" in told


def test_the_ledger_asks_for_its_folder_before_its_work(vqabook, tmp_path, monkeypatch):
    monkeypatch.setattr("vqabook.page.read_embedded", lambda *_: pytest.fail("the work began"))
    (tmp_path / "file").touch()
    status, _, told = vqabook("ledger", "--out", tmp_path / "file" / "out")
    assert status == 1 and told.startswith(
        f"vqabook: files are written to {tmp_path / 'file' / 'out'}: Not a directory;"
    )
    assert told.endswith("give another folder (--out)\n") and told.count("\n") == 1


def test_a_shard_is_a_part_of_a_page_and_its_list_says_which(vqabook, runs, tmp_path):
    words = ("run", "class_imbalance", "--profile", "smoke", "--runs", runs, "--done")
    for k in (1, 2):
        assert vqabook(*words, tmp_path / "lists" / str(k), "--shard", f"{k}/2")[0] == 0
    lists = [json.loads((tmp_path / "lists" / k).read_text()) for k in "12"]
    names = [path.stem for path in (runs / PAGES["class_imbalance"]).glob("*.json")]
    assert sorted(lists[0] + lists[1]) == sorted(names) and all(lists)


@pytest.mark.parametrize("shard", ["0/2", "3/2", "2", "1/0", "a/b", "1/2/3", "-1/2"])
def test_a_shard_is_k_of_n(shard, vqabook, tmp_path):
    status, _, told = vqabook("run", "class_imbalance", "--runs", tmp_path, f"--shard={shard}")
    assert status == 1
    assert told == f"vqabook: a shard is K/N with K from 1 to N, such as 2/8, got '{shard}'\n"


@pytest.mark.parametrize("command", ["run", "live"])
def test_all_pages_are_checked_before_the_first_is_trained(command, vqabook, tmp_path):
    status, _, told = vqabook(command, "class_imbalance", "css", "--profile", "smoke", "--runs", tmp_path)
    assert status == 1 and f"pages are {', '.join(PAGES)}; got 'css'" in told
    assert list(tmp_path.iterdir()) == []


def test_a_notebook_that_is_not_there_is_told_before_the_first_is_executed(vqabook, tmp_path):
    status, _, told = vqabook("freeze", notebook(tmp_path / "n.ipynb", "1 / 0"), tmp_path / "none.ipynb")
    words = re.sub(r"[\s│]", "", told)  # told in a box, which may cut a path
    assert status == 2 and "none.ipynb" in words and "ZeroDivisionError" not in words


@pytest.mark.parametrize("word", ["~/a", "--runs=~/a", "runs=~/a"])
def test_the_home_folder_may_be_spelt_short_in_every_word(word, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cli.expand_home(word) == word.replace("~", str(tmp_path))
    assert cli.expand_home("a~b=~c") == "a~b=~c" and cli.expand_home("--set") == "--set"


def test_make_reads_no_evidence_and_makes_what_a_list_says(vqabook, cache, tmp_path, caplog):
    paper, asked = paper_of("soft_cross_entropy"), tmp_path / "asked.json"
    recipes = [r for r in paper.asked(paper.setting_of(profile="smoke"), paper.name) if r["variant"] == "avg votes"]
    asked.write_text(json.dumps(recipes))
    with caplog.at_level("NOTSET", "vqabook"):  # and sets the level back
        assert vqabook("make", "--recipes", asked, "--out", tmp_path / "made", "--verbose")[0] == 0
    told = [record.getMessage() for record in caplog.records if record.name == "vqabook"]
    assert told[0].startswith("avg votes, seed 0: epoch 1 of ") and ", loss " in told[0]
    assert told[-1] == f"made: record 1 of 1, {key_of(recipes[0])}"
    (record,) = read_records(tmp_path / "made")
    assert key_of(record["recipe"]) == key_of(recipes[0])


def test_live_trains_the_live_comparisons_once(vqabook, runs):
    words = ("live", "soft_cross_entropy", "--profile", "smoke", "--runs", runs)
    assert vqabook(*words)[0] == 0
    made = {path: path.stat().st_mtime_ns for path in (runs / "live").rglob("*.json")}
    assert sorted(r["recipe"]["variant"] for r in read_records(runs / "live")) == ["avg modal", "avg votes"]
    assert vqabook(*words)[0] == 0
    assert {path: path.stat().st_mtime_ns for path in (runs / "live").rglob("*.json")} == made


@pytest.fixture
def threads():
    """Setter of the process's threads, as a kernel has them; back to one afterwards."""
    yield torch.set_num_threads
    torch.set_num_threads(1)


def test_a_run_has_one_thread_wherever_it_is_made(threads, vqabook, tmp_path):
    """A kernel starts with all cores: its numbers are `vqabook run`'s all the same, and the record says how many."""
    short, made = {**SHORT, "targets": ["votes"]}, {}
    paper, options = paper_of(SOFT), [word for name, value in short.items() for word in ("-s", f"{name}={value}")]
    for name, before in (("kernel", 2), ("command", 1)):
        threads(before)
        if name == "kernel":
            load_or_make_runs(SOFT, paper.setting_of(**short, runs=str(tmp_path / name)))
        else:
            assert vqabook("run", SOFT, "--runs", tmp_path / name, *options)[0] == 0
        made[name] = {key_of(record["recipe"]): record for record in read_records(tmp_path / name)}
    assert made["kernel"].keys() == made["command"].keys() != set()
    for key, record in made["kernel"].items():
        assert difference(record["result"], made["command"][key]["result"]) is None
        assert record["provenance"]["hardware"].endswith(", 1 thread a run")


def test_threads_are_a_parameter_that_the_record_tells(threads, vqabook, tmp_path, monkeypatch):
    monkeypatch.setattr(Paper, "produce", lambda *_, **__: {"threads": torch.get_num_threads()})
    assert vqabook("run", SOFT, "--runs", tmp_path, "--profile", "smoke", "--threads", 2)[0] == 0
    records = read_records(tmp_path)
    assert {record["result"]["threads"] for record in records} == {2}
    assert {r["provenance"]["hardware"].rpartition(", ")[2] for r in records} == {"2 threads a run"}


@pytest.mark.parametrize("words", [("run", SOFT), ("make", "--out", "o"), ("live", SOFT), ("recheck",)])
def test_no_threads_are_refused_before_anything_runs(words, vqabook, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    status, _, told = vqabook(*words, "--profile", "smoke", "--threads", "0")
    assert status == 1 and "threads must be in [1, 4096], got 0" in told
    assert told.count("\n") == 1 and list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("lines", "status"), [([], 0), (["a: loss from 1 to 2"], 1)])
def test_recheck_against_a_commit_asks_for_all_pages_of_a_paper(lines, status, vqabook, tmp_path, monkeypatch):
    asked = []

    def compare(commit: str, words: list[str], folder: Path) -> tuple[int, list[str]]:
        asked.extend([commit, *words])
        return 3, lines

    monkeypatch.setattr("vqabook.evidence.recheck.compare_codes", compare)
    ended, printed, _ = vqabook("recheck", "--against", "HEAD", "--paper", "loss_rescaling", "--runs", tmp_path)
    assert asked == ["HEAD", "--profile", "smoke", "--page", "class_imbalance", "--page", "loss_rescaling"]
    last = f"3 runs made by both codes; {len(lines)} differ or are of one code alone."
    assert (ended, printed.splitlines()) == (status, [*lines, last])


def test_a_recheck_of_nothing_is_one_sentence(vqabook, tmp_path):
    status, _, told = vqabook("recheck", "--made", "--runs", tmp_path)
    assert status == 1 and told.startswith("vqabook: a recheck compares runs that were made again, got none;")
    assert told.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["-s", "epochs=0"], "vqabook: epochs must be positive, got 0; its default is 20\n"),
        (["-s", "seeds=0"], "vqabook: seeds must be a list of int, got 0 (int)\n"),
        (["-s", "nonsense"], "vqabook: a parameter is given as name=value, got 'nonsense'\n"),
        (["-s", "epoch=1"], "got epoch: check the spelling\n"),
        (["--profile", "tiny"], "vqabook: profile is one of smoke, small, real, paper; got 'tiny'\n"),
        (["--data-root", "/none", "--profile", "real"], "/none is not a folder; set data_root or VQABOOK_DATA to"),
    ],
)
def test_what_is_wrong_is_one_sentence(words, message, vqabook, tmp_path):
    status, _, told = vqabook("run", "class_imbalance", "--runs", tmp_path, *words)
    assert status == 1 and message in told and told.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_page_is_one_sentence(vqabook):
    for words in (("run", "css"), ("recheck", "--paper", "css"), ("recheck", "--paper", "css", "--against", "HEAD")):
        status, _, told = vqabook(*words)
        assert status == 1 and f"pages are {', '.join(PAGES)}; got 'css'" in told and told.count("\n") == 1


def notebook(path: Path, code: str) -> Path:
    """A notebook with a parameters cell and one more."""
    cells = [nbformat.v4.new_code_cell(source) for source in ("profile = 'small'\nruns = None\ndata_root = None", code)]
    cells[0].metadata.tags = ["parameters"]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3"}, "language_info": {"name": "python"}}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=kernel), path)
    return path


def test_a_parameter_that_the_notebook_lacks_is_refused(vqabook, tmp_path):
    source = notebook(tmp_path / "n.ipynb", "1")
    status, _, told = vqabook("execute", source, "--out", tmp_path / "out", "-s", "epochz=3")
    assert status == 1 and "are profile, runs, data_root; got epochz: check the spelling" in told
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_execute(vqabook, tmp_path, monkeypatch):
    monkeypatch.setenv("TQDM_DISABLE", "0")  # a page shows no bars whatever its kernel would
    code = "from vqabook.progress import Bar\nprint(profile, runs, sum(Bar(range(3))))"
    source, out = notebook(tmp_path / "n.ipynb", code), tmp_path / "out" / "n.ipynb"
    assert vqabook("execute", source, "--out", out.parent, "--profile", "smoke", "--runs", "/r")[0] == 0
    cells = nbformat.read(out, 4).cells
    texts = [o["text"] for cell in cells for o in cell.get("outputs", []) if "text" in o]
    assert texts == ["smoke /r 3\n"]
    hidden = ["remove-cell" in cell.metadata.tags for cell in cells]
    assert hidden == [True, True, False], "the website leaves out the parameters and what papermill put below them"


@pytest.mark.slow
def test_a_notebook_that_fails_is_kept_aside(vqabook, tmp_path):
    source, out = notebook(tmp_path / "n.ipynb", "value = 1\nvalue / 0"), tmp_path / "out" / "n.ipynb"
    status, _, told = vqabook("execute", source, "--out", out.parent)
    assert status == 1 and "(value = 1): ZeroDivisionError: division by zero; the notebook with the error is" in told
    assert not out.exists() and (tmp_path / "out" / "failed" / "n.ipynb").exists()
