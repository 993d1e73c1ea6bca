"""The contest on questions: what takes part, which runs are asked for, and that the report says what records say."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch

from vqabook.arena.page import write_markdown
from vqabook.arena.questions import sample
from vqabook.arena.questions.ranking import BLIND, NOT_LEARNT, START, rank
from vqabook.arena.questions.report import Report, answer, list_blocks, write
from vqabook.arena.questions.sample import Asked, take
from vqabook.arena.questions.snippets import TITLES, write_code
from vqabook.data.layout import DataSpec, is_set
from vqabook.data.sets import load_questions
from vqabook.evidence.record import machine
from vqabook.models.updn import UpDn, UpDnConfig
from vqabook.papers import paper_of
from vqabook.papers.loss_rescaling import setting
from vqabook.papers.loss_rescaling.recipes import list_contest
from vqabook.producer import Producer

SECTIONS = ["The questions", "The ranking", "All scores", "The lines of", "What is undecided", "How it was done"]
BEST, SECOND = "ce re-scaling", "rubi ce baseline"


def share_answers(folder: Path) -> Path:
    """Every type has all answers, some more often than others: at test none is new where priors change."""
    for path in folder.glob("*_annotations.json"):
        rows = json.loads(path.read_bytes())["annotations"]
        for i, row in enumerate(rows):
            said = ("red", "blue", "yes", "no", "2", "red")[(i // 4 + i % 4) % 6]
            row |= {"multiple_choice_answer": said, "answers": [{"answer": said}] * 10}
        path.write_text(json.dumps({"annotations": rows}), "utf-8")
    return folder


@pytest.fixture(scope="module")
def own(write_own, tmp_path_factory) -> Path:
    return share_answers(write_own(tmp_path_factory.mktemp("data") / "own"))


@pytest.fixture(scope="module")
def asked(own, tmp_path_factory) -> Asked:
    return take(own, tmp_path_factory.mktemp("out"), range(5))


def record(variant: str, prior: str, seed: int, result: dict, kind: str = "train") -> dict:
    sizes = {"hidden": 64, "epochs": 6, "rescale_epochs": 2, "batch_size": 128, "lr": 5e-3}
    recipe = {"kind": kind, "variant": variant, "prior": prior, "seed": seed, "data": {"dataset": "own"}, **sizes}
    stamp = {"machine": machine(), "hardware": "2 cores", "seconds": 3.0, "code": "abc", "versions": {"torch": "2"}}
    return {"recipe": recipe, "result": result, "provenance": stamp}


def made(gains: dict[str, tuple[float, float]], sight: float = 2.0, spread: float = 0.3, seeds: int = 5) -> list[dict]:
    """Records whose rules gain so much with sight and without, and cost as much as they gain where priors stay."""
    rng, records = np.random.default_rng(0), []
    types = {
        f"what {i}": {
            "answers": ["red", "blue", "green"], "train": [50 - i, 20, 5], "test": [3, 9, 1], "n_train": 75 - i,
            "n_test": 13, "test_top": [["blue", 9], ["red", 3]],
        }
        for i in range(12)
    }  # fmt: skip
    counted = {"types": types, "sizes": {"train": 120, "valid": 20, "test": 100, "answers": 8, "types": 12}}
    records += [record("statistics", prior, 0, counted, "statistics") for prior in ("changing", "same")]
    for seed in range(seeds):
        for name in TITLES:
            for of, gain in zip(("", BLIND), gains.get(name, (-3.0, -3.0)) if name != START else (0, 0), strict=True):
                for prior, way in (("changing", 1), ("same", -1)):
                    level = 40 + way * gain + spread * rng.normal()
                    valid = 45 - gain + (sight if of == "" else 0) + spread * rng.normal()
                    records.append(record(of + name, prior, seed, {"test": {"overall": level}, "valid": valid}))
    return records


@pytest.fixture(scope="module")
def report(asked) -> Report:
    return Report.of(replace(asked, notes=("A note.",)), made({BEST: (8.0, 8.5), SECOND: (5.0, 0.0)}))


@pytest.fixture(scope="module")
def written(report, tmp_path_factory) -> tuple[str, Path]:
    folder = tmp_path_factory.mktemp("report")
    return write(report, folder), folder


def test_what_is_a_set_of_questions(own, tmp_path):
    assert is_set(own) and is_set(Path("vqa_v2_60k")) and not is_set(tmp_path / "none.npz")
    for name, also in {
        "images": "cat/1.jpg",
        "arrays": "X.npy",
        "regions": "features.h5",
        "asked": "val_questions.json",
    }.items():
        path = tmp_path / name / also
        path.parent.mkdir(parents=True)
        path.touch()
    assert [is_set(tmp_path / name) for name in ("images", "arrays", "regions", "asked")] == [False, False, True, True]


def test_all_of_a_set_takes_part(asked):
    assert asked.name == "own" and asked.sizes == {"train": 160, "test": 80} and (asked.regions, asked.width) == (4, 8)
    assert asked.shared["same"] == 0 and asked.shared["changing"] == pytest.approx(0.5) and len(asked.notes) == 1


def test_a_sample_has_the_same_questions_and_regions(own, tmp_path):
    part = take(own, tmp_path, range(3), 120)
    assert part.n == 120 and part.sizes == {"train": 80, "test": 40} and "120 of 240 questions" in part.notes[0]
    whole, drawn = (load_questions(DataSpec(str(folder)), None) for folder in (own, part.folder))
    texts = dict(zip(whole.train.question_id.tolist(), whole.train.modal_answer, strict=True))
    assert all(texts[i] == a for i, a in zip(drawn.train.question_id.tolist(), drawn.train.modal_answer, strict=True))
    with h5py.File(own / "features.h5") as file, h5py.File(part.folder / "features.h5") as other:
        place = {name: i for i, name in enumerate(file["image_ids"].asstr()[()])}
        here = file["features"][()][[place[name] for name in other["image_ids"].asstr()[()]]].reshape(-1, 8)
        there = other["features"][()].reshape(-1, 8)
    np.testing.assert_allclose(np.cov(there.T, bias=True), np.eye(8), atol=1e-3)
    centred = here - here.mean(0)  # as many components as columns: nothing is lost
    np.testing.assert_allclose(there @ np.linalg.lstsq(there, centred, rcond=None)[0], centred, atol=1e-3)
    again = take(own, tmp_path, range(3), 120)
    assert again == part and len(list(tmp_path.glob("questions-*[0-9a-f]"))) == 1


def test_wide_regions_become_components_and_padding_stays_padding(write_own, tmp_path, monkeypatch):
    folder = write_own(tmp_path / "vqacp own", pattern="vqacp_{split}_{part}.json", train=150, test=80)
    share_answers(folder)
    with h5py.File(folder / "features.h5", "r+") as file:
        file["features"][:, 3] = 0
    monkeypatch.setattr(sample, "WIDTH", 5)
    narrow = take(folder, tmp_path / "out", range(3))
    assert (
        narrow.native == "changing"
        and narrow.width == 5
        and "8 columns wide, are read as their first 5 principal" in narrow.notes[0]
    )
    assert narrow.shared["changing"] == 0 < narrow.shared["same"]
    with h5py.File(narrow.folder / "features.h5") as file:
        found = file["features"][()]
    assert found.shape == (230, 4, 5) and not found[:, 3].any() and found[:, :3].any(2).all()
    assert 0.5 < sample.read_axes(narrow.folder)[1] < 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: (f / "features.h5").unlink(), "features in .*/features.h5, which does not exist; make them"),
        (lambda f: (f / "train_questions.json").unlink(), "has train_annotations.json without its questions; add them"),
        (lambda f: (f / "train_annotations.json").unlink(), "train_questions.json, train_annotations.json, both also"),
        (lambda f: [path.unlink() for path in f.glob("*.json")], "train_questions.json, train_annotations.json, both"),
    ],
)
def test_what_a_folder_lacks_is_named(vqabook, change, message, write_own, tmp_path):
    folder = write_own(tmp_path / "own")
    change(folder)
    done = vqabook("arena", folder, "--out", tmp_path / "out")
    assert done.status == 1 and re.search(message, done.error) and done.error.count("\n") == 1


def test_too_few_questions_are_told(vqabook, write_own, tmp_path):
    done = vqabook("arena", write_own(tmp_path / "few", train=40, val=20), "--out", tmp_path / "out")
    assert "compared on 100 questions or more" in done.error and "has 60; bring more" in done.error
    own = write_own(tmp_path / "own")  # an answer belongs to a type
    assert "too small for that: no answer at test occurs in" in vqabook("arena", own, "--out", tmp_path / "out").error
    for path in own.glob("*_annotations.json"):  # one answer, so one group, which would move whole
        one = {"question_type": "is it", "multiple_choice_answer": "yes", "answers": [{"answer": "yes"}] * 10}
        rows = [row | one for row in json.loads(path.read_bytes())["annotations"]]
        path.write_text(json.dumps({"annotations": rows}), "utf-8")
    done = vqabook("arena", own, "--out", tmp_path / "out")
    assert re.search("where priors change, and .*own is too small for that: groups of .* move whole", done.error)
    assert done.status == 1 and done.error.count("\n") == 1


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        (("--label", "y"), "--label are of labelled features, and"),
        (("--test-prior", "training", "--trials", 3), "--test-prior, --trials are of labelled features, and"),
        (("--loss", "mine.py:mine", "--bounds", "9,3"), "--loss, --bounds are of labelled features, and"),
        (("--epochs", 1), "--epochs are 2 to 200, two sevenths of them with weights, got 1"),
    ],
)
def test_options_of_labelled_features_are_refused(vqabook, own, tmp_path, more, sentence):
    done = vqabook("arena", own, "--out", tmp_path / "out", *more)
    assert done.status == 1 and sentence in done.error and not (tmp_path / "out").exists()


def test_options_of_questions_are_refused_elsewhere(vqabook, tmp_path):
    np.savez(tmp_path / "mine.npz", X=np.random.rand(12, 2), y=np.arange(12) % 2)
    done = vqabook("arena", tmp_path / "mine.npz", "--questions", 100)
    assert done.status == 1 and "--questions are of sets of questions, and" in done.error


def list_runs(asked: Asked, seeds: tuple[int, ...] = (0, 1)) -> list[dict[str, Any]]:
    sizes = setting.CONTEST_SIZES | {"min_answer_count": 1, "epochs": 1, "rescale_epochs": 1, "hidden": 8, "word": 8}
    values = {"profile": "small", "dataset": str(asked.folder), "seeds": seeds}
    return [run.asked() for run in list_contest(paper_of(setting.NAME).setting_of(**values, **sizes))]


def test_every_rule_is_asked_seen_and_unseen_for_both_priors(asked):
    runs = [run for run in list_runs(asked) if run["kind"] == "train"]
    assert len(runs) == len(TITLES) * 2 * 2 * 2
    for prior in ("changing", "same"):
        names = {run["variant"] for run in runs if run["prior"] == prior}
        assert names == {*TITLES, *(f"{BLIND}{name}" for name in TITLES)}
    assert {run["data"]["split_seed"] for run in runs if run["seed"] == 1} == {1}
    assert all(("blind" in run) == run["variant"].startswith(BLIND) for run in runs)
    Producer(None).check(list_runs(asked, (0,)))  # every one is built


def test_the_blind_model_of_a_rule_sees_no_image(asked, tmp_path):
    """With a mask and weights: its parts are those of the question alone, and it scores by its own answers."""
    paper = paper_of(setting.NAME)
    (run,) = [
        run for run in list_runs(asked, (0,)) if (run["variant"], run["prior"]) == (f"{BLIND}bce both", "changing")
    ]
    result = paper.produce(run, tmp_path / "c", data_root=None, device="cpu")
    assert 0 <= result["test"]["overall"] <= 100 and all(look["attention"] is None for look in result["looks"])


def test_the_answer_has_gain_cost_and_what_is_gained_unseen(report):
    first, second, third = answer(report)
    row = report.ranking.row(BEST)
    assert report.ranking.chosen == row and first.startswith("**Take re-scaling, Soft-CE** where priors change: on own")
    assert f"+{row.gain.mean:.2f} [+{row.gain.low:.2f}, +{row.gain.high:.2f}] points" in first
    assert second.startswith("Where they stay it costs accuracy: −8")
    assert "may do no more than change which answers are preferred" in third and f"+{row.blind.mean:.2f}" in third
    other = replace(report, ranking=replace(report.ranking, chosen=report.ranking.row(SECOND)))
    assert "of the gain is the image's" in answer(other)[2]
    text = write_markdown(list_blocks(report))
    beyond = report.ranking.row(SECOND).beyond
    assert f"for UpDn than for the model without images: {TITLES[SECOND]} (+{beyond.mean:.2f} [" in text
    assert "A note." in text
    assert report.ranking.row(SECOND).gain.shared == report.asked.shared["changing"]


def test_no_rule_that_is_better_for_sure_is_said_to_be_so(asked):
    report = Report.of(asked, made({name: (0.1, 0.0) for name in TITLES}, sight=9.0, spread=2.0))
    first, second = answer(report)
    assert report.ranking.chosen is None and first.startswith(
        "**No rule is better for sure than Sigm-BCE without one**"
    )
    assert "Keep Sigm-BCE" in second and "sigmoid_bce(out.logits, target)" in write_markdown(list_blocks(report))
    alone = Report.of(asked, made({}, seeds=1))
    assert "no interval of fewer than 3 seeds: give more (--seeds)" in answer(alone)[1]
    assert "All is: there is no interval of fewer than 3 seeds" in write_markdown(list_blocks(alone))


def test_a_model_that_has_not_learnt_to_look_is_said_to_be_so(asked):
    report = Report.of(asked, made({BEST: (8.0, 8.0)}, sight=-2.0))
    assert report.ranking.chosen is None and {row.kind for row in report.ranking.rows} == {NOT_LEARNT}
    text = write_markdown(list_blocks(report))
    assert answer(report)[0].startswith("**UpDn has not learnt to look** on own")
    assert "not met: by its loss alone" in text
    found = rank(made({SECOND: (5.0, 0.0)}), asked)  # it unlearns the prior, which the model without images does not
    assert all(row.has_learnt for row in found.rows) and [row.name for row in found.rows if not row.sees] == [SECOND]
    assert found.chosen == found.row(SECOND)


def test_a_report_is_one_page_with_every_section(report, written):
    told, folder = written
    html, text = ((folder / name).read_text("utf-8") for name in ("report.html", "report.md"))
    places = [[page.find(f"{mark}{section}") for section in SECTIONS] for page, mark in ((html, "<h2>"), (text, "## "))]
    assert all(at == sorted(at) and min(at) > 0 for at in places)
    assert re.findall(r'(?:src|srcset|href)="(?!data:|#)([^"]*)"|url\((?!data:)', html) == [] and "<script" not in html
    assert {"types.svg", "shift.svg", "gains.svg"} <= {path.name for path in folder.iterdir()}
    found = json.loads((folder / "report.json").read_text())
    assert found["recommended"] == BEST and found["answer"] == told and "*" not in told
    (mine,) = [row for row in found["rows"] if row["row"] == BEST]
    assert mine["numbers"]["changing"] == {str(k): v for k, v in report.ranking.row(BEST).scores.items()}
    assert mine["gain"]["kind"] == "holds" and mine["beyond"]["kind"] != "holds" and mine["has_learnt"]


def test_a_page_fits_a_phone_and_a_desk(written, page):
    for width in (390, 1280):
        page.set_viewport_size({"width": width, "height": 900})
        page.goto(f"file://{written[1] / 'report.html'}")
        assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("row", TITLES)
def test_the_lines_of_a_rule_run(row):
    torch.manual_seed(0)
    n_types, n_answers, width = 3, 5, 6
    model = UpDn(UpDnConfig(20, n_answers, hidden=width, word=4, feature=7))
    kinds, answers = torch.arange(12) % n_types, torch.arange(24).view(12, 2) % n_answers
    inputs = torch.rand(12, 2, 7), torch.randint(2, 20, (12, 4))
    target = torch.rand(12, n_answers)
    given: dict[str, Any] = {
        "model": model, "optimizer": torch.optim.Adamax(model.parameters()), "n_types": n_types, "n_answers": n_answers,
        "width": width, "train_types": kinds, "train_answers": answers, "train_votes": torch.full((12, 2), 5),
        "train_scores": torch.ones(12, 2), "test_inputs": inputs, "n_steps": 3,
        "batches": [((inputs[0][i::3], inputs[1][i::3]), target[i::3], kinds[i::3]) for i in range(3)],
    }  # fmt: skip
    before = model.words.weight.clone()
    code = write_code(row)
    exec(code, given)
    assert given["answer"].shape == (12,) and not torch.equal(before, model.words.weight)
    assert max(map(len, code.splitlines())) < 80 and len(code.splitlines()) < 40
    owned = [p for group in given["optimizer"].param_groups for p in group["params"]]
    assert all(any(p is q for q in owned) for p in given["model"].parameters())


def test_the_command_writes_a_report_and_goes_on(vqabook, own, tmp_path, monkeypatch):
    contest = [row for row in setting.CONTEST if (row[0], row[1]) in (("", START), ("", BEST), ("rubi", "ce baseline"))]
    monkeypatch.setattr(setting, "CONTEST", tuple(contest))
    words = ("arena", own, "--out", tmp_path / "out", "--seeds", 1, "--epochs", 2, "--workers", 1)
    done = vqabook(*words)
    assert (done.status, done.error) == (0, "") and not list((tmp_path / "out").rglob("*.stage"))
    assert "All is: there is no interval of fewer than 3 seeds" in (tmp_path / "out" / "report.md").read_text("utf-8")
    assert json.loads((tmp_path / "out" / "report.json").read_text())["recommended"] is None
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out" / "records").glob("*.json")}
    assert len(before) == 2 + 3 * 2 * 2
    assert vqabook(*words, "--no-report").out == ""
    after = {path: path.stat().st_mtime_ns for path in (tmp_path / "out" / "records").glob("*.json")}
    assert before == after
