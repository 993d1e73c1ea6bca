"""A file or a folder is there whole or not at all, and a full disk is one sentence."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
import torch

from vqabook.files import HOME, PROJECT, DiskFull, find_project, save_whole, written_whole


def test_a_file_takes_its_place_once_it_is_whole_and_on_the_disk(tmp_path, monkeypatch):
    path, synced = tmp_path / "new" / "folder" / "a.txt", []
    real = os.fsync
    monkeypatch.setattr(os, "fsync", lambda descriptor: (synced.append(path.exists()), real(descriptor)))
    with written_whole(path) as partial:
        assert partial.parent == path.parent and partial.name.startswith(".a.txt.")
        partial.write_text("a")
        assert not path.exists()
    assert path.read_text() == "a" and synced == [False] and list(path.parent.iterdir()) == [path]
    assert path.stat().st_mode == (tmp_path.joinpath("plain").write_text("a") and (tmp_path / "plain").stat().st_mode)


def test_a_folder_takes_its_place_once_it_is_whole(tmp_path):
    folder = tmp_path / "folder"
    with written_whole(folder) as partial:
        (partial / "deep").mkdir(parents=True)
        (partial / "deep" / "a.txt").write_text("a")
        assert not folder.exists()
    assert (folder / "deep" / "a.txt").read_text() == "a" and list(tmp_path.iterdir()) == [folder]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
@pytest.mark.parametrize("kind", ["file", "folder", "nothing"])
def test_who_fails_leaves_what_was_there(tmp_path, kind, error):
    path = tmp_path / "a"
    path.write_text("old")
    with pytest.raises(error), written_whole(path) as partial:
        if kind == "folder":
            partial.mkdir()
        (partial / "b" if kind == "folder" else partial).write_text("new") if kind != "nothing" else None
        raise error
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_a_folder_that_has_something_is_not_replaced(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "mine").touch()
    with pytest.raises(OSError), written_whole(tmp_path / "folder") as partial:
        partial.mkdir()
    assert [path.name for path in tmp_path.rglob("*")] == ["folder", "mine"]


def test_two_writers_of_one_file_do_not_meet(tmp_path):
    with written_whole(tmp_path / "a") as first, written_whole(tmp_path / "a") as second:
        first.write_text("first")
        second.write_text("second")
    assert (tmp_path / "a").read_text() == "first"  # it ended last


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_one_sentence(tmp_path, number):
    rule = "the disk of .*a is full; free space and fetch again$"
    with pytest.raises(DiskFull, match=rule), written_whole(tmp_path / "a", "fetch again") as partial:
        partial.write_text("half")
        raise OSError(number, "no room")
    assert not list(tmp_path.iterdir())


def test_another_error_of_the_system_is_passed_on(tmp_path):
    with pytest.raises(IsADirectoryError), written_whole(tmp_path / "a") as partial:
        partial.mkdir()
        partial.write_text("a")


def test_weights_are_saved_whole_and_their_bytes_know_no_name(tmp_path):
    with pytest.raises(AttributeError):
        save_whole(lambda: None, tmp_path / "a")  # no pickle of it
    assert not list(tmp_path.iterdir())
    for name in ("a", "b"):
        save_whole({"x": torch.ones(2)}, tmp_path / name)
    assert torch.equal(torch.load(tmp_path / "a")["x"], torch.ones(2))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux")
def test_weights_on_a_full_disk(tmp_path, monkeypatch):
    monkeypatch.setattr("secrets.token_hex", lambda n: "0")
    (tmp_path / ".a.0.partial").symlink_to("/dev/full")
    with pytest.raises(DiskFull, match="the disk of .*a is full; free space and run again"):
        save_whole({"x": torch.ones(10**6)}, tmp_path / "a")
    assert not list(tmp_path.iterdir())


def test_the_project_is_where_the_code_lies_or_around_the_current_folder_or_nowhere(tmp_path, monkeypatch):
    checkout, installed, elsewhere = tmp_path / "ru ns \u00e9", tmp_path / "site-packages", tmp_path / "elsewhere"
    for folder in (checkout / "book", checkout / "notebooks", checkout / "vqabook", installed / "vqabook", elsewhere):
        folder.mkdir(parents=True)
    (checkout / "book" / "_toc.yml").touch()
    for folder in (checkout, checkout / "notebooks"):
        monkeypatch.chdir(folder)
        assert find_project(installed) == checkout
    monkeypatch.chdir(elsewhere)
    assert find_project(checkout) == checkout and find_project(installed) is None
    elsewhere.rmdir()
    assert find_project(checkout) == checkout and find_project(installed) is None
    assert Path(__file__).parents[1] == PROJECT and HOME == PROJECT / "data"
