"""The hash of the code behind local numbers: what moves no number leaves it as it is, everything else changes it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from vqabook.evidence import fingerprint
from vqabook.evidence.fingerprint import NUMERIC, code_hash

RETURN = '    return F.cross_entropy(logits + counts.log(), target, reduction="none")'
SOURCE = f'''"""A loss."""
import torch.nn.functional as F

SCALE = 1.5


class Loss:
    """A class."""


def loss(logits, target, counts):
    """Its meaning."""
{RETURN}  # really
'''
SHOWING = {  # rooms that make no number
    "__init__.py", "__main__.py", "catalogue", "cli", "evidence", "extras.py", "fetch", "files", "kernels.py",
    "knobs.py", "page.py", "progress.py", "report", "stop.py",
}  # fmt: skip


def test_a_room_makes_numbers_or_shows_them():
    rooms = {path.name for path in fingerprint.PACKAGE.iterdir()} - {"__pycache__", "py.typed"}
    assert rooms == {*NUMERIC, *SHOWING}


@pytest.fixture
def package(tmp_path, monkeypatch) -> Iterator[Path]:
    """A small package with the rooms of ours."""
    for room in (*NUMERIC, *SHOWING):
        path = tmp_path / "pack" / (room if room.endswith(".py") else f"{room}/new.py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(SOURCE, "utf-8")
    monkeypatch.setattr(fingerprint, "PACKAGE", tmp_path / "pack")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    yield tmp_path / "pack"
    code_hash.cache_clear()


def has_moved(path: Path, old: str, new: str) -> bool:
    """Whether the hash is another once text that stands there once is replaced."""
    code_hash.cache_clear()
    before, text = code_hash(), path.read_text("utf-8")
    assert text.count(old) == 1
    path.write_text(text.replace(old, new), "utf-8")
    code_hash.cache_clear()
    return code_hash() != before


CHANGES = {
    "a comment": ("# really", "# indeed", False),
    "a module's docstring": ('"""A loss."""', '"""Losses.\n\nMore of them."""', False),
    "a class's docstring": ("A class.", "Nothing but a class.", False),
    "a function's docstring": ("Its meaning.", "What it means.", False),
    "a docstring taken away": ('    """Its meaning."""\n', "", False),
    "line breaks": ("SCALE = 1.5", "SCALE = (\n    1.5\n)", False),
    "a constant": ("SCALE = 1.5", "SCALE = 1.25", True),
    "a sign": ("logits + counts", "logits - counts", True),
    "a default": ("(logits, target, counts)", "(logits, target, counts=None)", True),
    "a function more": (RETURN, f"{RETURN}\n\n\ndef nothing():\n    return 0\n", True),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_changes_the_hash(change, package):
    old, new, moves = CHANGES[change]
    assert has_moved(package / "losses" / "new.py", old, new) is moves


@pytest.mark.parametrize("room", [*NUMERIC, *sorted(SHOWING)])
def test_every_numeric_room_counts_and_no_other(room, package):
    path = package / room
    assert has_moved(path if path.is_file() else path / "new.py", "SCALE = 1.5", "SCALE = 2") is (room in NUMERIC)


@pytest.mark.parametrize("name", ["claims.py", "printed.py", "backbone_claims.py", "__init__.py"])
def test_claims_and_printed_numbers_move_none(name, package):
    path = package / "papers" / "deep" / name
    path.parent.mkdir()
    path.write_text("PRINTED = 47.09\n", "utf-8")
    assert not has_moved(path, "47.09", "48.09")


def test_a_place_is_no_part_of_it(package, monkeypatch):
    code_hash.cache_clear()
    here, there = code_hash(), package.rename(package.with_name("elsewhere"))
    monkeypatch.setattr(fingerprint, "PACKAGE", there)
    code_hash.cache_clear()
    assert code_hash() == here


def test_the_code_is_read_once_for_all_processes(package, monkeypatch):
    told = code_hash()
    code_hash.cache_clear()
    monkeypatch.setattr(fingerprint, "_essence", lambda source: pytest.fail("read again"))
    assert code_hash() == told


@pytest.mark.parametrize("kept", [b"", b"\xff", b"one two three", b"0123 abcdef"], ids=repr)
def test_something_else_in_its_place_is_not_believed(kept, package, tmp_path):
    told, file = code_hash(), tmp_path / "cache" / "vqabook" / "code_hash"
    own = file.read_bytes()
    file.write_bytes(kept)
    code_hash.cache_clear()
    assert code_hash() == told and file.read_bytes() == own


def test_without_a_cache_folder_it_is_the_same(package, monkeypatch, tmp_path):
    told = code_hash()
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    code_hash.cache_clear()
    assert code_hash() == told
