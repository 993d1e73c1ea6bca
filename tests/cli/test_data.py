"""`vqabook data list|fetch|verify`: what they print, and their exit status."""

from __future__ import annotations

import json
import sys

import pytest

from vqabook import cli
from vqabook.fetch import manifest

TOML = """
[toy]
title = "Toy"
what = "a toy"
papers = ["mcl_kd"]
licence = "MIT"
homepage = "https://example.org"
folder = "toy"
download = 3_215_672
bytes = 20
files = [{ path = "a.json", bytes = 2 }]
[[toy.origins]]
kind = "manual"
text = "by hand: ask the authors for a.json"
"""


@pytest.fixture
def vqabook(monkeypatch, capsys, tmp_path):
    """Call the command line with a manifest of one set; exit status, stdout, stderr."""
    (tmp_path / "manifest.toml").write_text(TOML)
    real = manifest.read_manifest
    monkeypatch.setattr(manifest, "read_manifest", lambda: real(tmp_path / "manifest.toml"))

    def call(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["vqabook", "data", *map(str, words), "--data-root", str(tmp_path)])
        with pytest.raises(SystemExit) as end:
            cli.main()
        return (end.value.code or 0, *capsys.readouterr())

    return call


@pytest.fixture
def toy(tmp_path):
    """The set's file, put there by hand."""
    (tmp_path / "toy").mkdir()
    (tmp_path / "toy" / "a.json").write_text("[]")
    return tmp_path / "toy" / "a.json"


def test_list_has_a_line_a_set(vqabook, tmp_path):
    status, out, _ = vqabook("list")
    header, row, *_, root = out.splitlines()
    assert status == 0 and root == f"data root: {tmp_path}"
    assert row.split() == ["toy", "absent", "3.2", "MB", "20", "B", "manual", "MIT", "mcl_kd", "a", "toy"]
    assert header.index("licence") == row.index("MIT")


def test_list_for_machines(vqabook, toy):
    listed = json.loads(vqabook("list", "--json")[1])
    assert [(s["name"], s["state"], s["licence"]) for s in listed["sets"]] == [("toy", "present", "MIT")]


def test_fetch_of_a_gated_set_says_how_to_obtain_it(vqabook):
    status, out, err = vqabook("fetch", "toy")
    assert status == 1 and out == ""
    assert "toy could not be fetched" in err and "by hand: ask the authors for a.json" in err
    assert "Traceback" not in err


def test_fetch_takes_what_is_there_and_pins_it(vqabook, toy):
    status, out, _ = vqabook("fetch", "toy")
    assert status == 0 and "toy: already there" in out and "no published checksum for a.json; pinned" in out
    assert vqabook("verify", "toy")[:2] == (0, "toy: verified, 1 file by the first fetch's hash\n")


def test_verify_prints_a_line_a_problem_and_fails(vqabook, toy):
    assert vqabook("verify", "toy")[:2] == (0, "toy: verified, 1 file by structure alone\n")
    toy.write_text("[1]")
    status, out, _ = vqabook("verify", "toy")
    assert status == 1 and out == f"toy: {toy} should have 2 bytes, it has 3; fetch the set again\n"


@pytest.mark.parametrize("command", ["fetch", "verify"])
def test_a_misspelt_name_is_told_before_anything_is_done(vqabook, toy, command):
    status, out, err = vqabook(command, "toy", "tyo")
    assert status == 1 and "data sets are toy; got 'tyo'" in err
    assert not list(toy.parent.glob(".*"))


def test_info_is_one_json_document_whatever_it_is_asked_for(real_data, capsys, monkeypatch):
    root = real_data("nltk_data").parent
    real_data("clevr_1500")
    monkeypatch.setattr(
        "sys.argv", ["vqabook", "data", "info", "trec", "clevr_1500", "--json", "--data-root", str(root)]
    )
    with pytest.raises(SystemExit):
        cli.main()
    assert {name: found["rows"]["train"] for name, found in json.loads(capsys.readouterr().out).items()} == {
        "trec": 5452,
        "clevr_1500": 10_000,
    }
