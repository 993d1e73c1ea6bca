"""What lies below data_root is absent, partial, present, verified or altered; looking writes nothing."""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import json
import zipfile

import h5py
import numpy as np
import pytest

from vqabook.fetch import holdings
from vqabook.fetch.holdings import measure, pin_path, pins_of, staging, state, structure, write_pin
from vqabook.fetch.manifest import DataSet, File, Origin

TEXT = b'[{"question_id": 1}]'
HASHED = File("questions.json", sha256=hashlib.sha256(TEXT).hexdigest(), bytes=len(TEXT))
TOY = DataSet(
    name="toy", title="Toy", what="a toy", papers=(), licence="MIT", homepage="-", folder="toy", download=1, bytes=1,
    files=(HASHED, File("features.h5"), File("images/", count=2)), origins=(Origin("manual", text="ask"),),
)  # fmt: skip


@pytest.fixture
def root(tmp_path):
    """A data root that has all of the set."""
    folder = tmp_path / "toy"
    (folder / "images" / "train").mkdir(parents=True)
    (folder / "questions.json").write_bytes(TEXT)
    with h5py.File(folder / "features.h5", "w") as file:
        file["features"], file["image_ids"] = np.ones((2, 1, 3), np.float32), [1, 2]
    for name in ("images/0.png", "images/train/1.png", "images/.hidden"):
        (folder / name).write_bytes(b"png")
    return tmp_path


def faults(root):
    return measure(TOY, root / "toy", pins_of(TOY, root))[0]


def pin(root):
    wrong, files = measure(TOY, root / "toy", {})
    assert wrong == []
    return write_pin(TOY, root, "url example.org", files)


def everything(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_five_states(root):
    assert state(TOY, root / "elsewhere") == "absent"
    assert state(TOY, root) == "present"
    assert pin(root) == ("features.h5",)
    assert state(TOY, root) == "verified" and faults(root) == []
    (root / "toy" / "questions.json").write_bytes(TEXT + b" ")
    assert state(TOY, root) == "altered"
    (root / "toy" / "questions.json").unlink()
    assert state(TOY, root) == "partial"


def test_a_download_under_way_is_partial(tmp_path):
    part = staging(TOY, tmp_path) / "1-url" / "downloads" / "toy.zip.part"
    part.parent.mkdir(parents=True)
    assert state(TOY, tmp_path) == "absent"
    part.write_bytes(b"1")
    assert state(TOY, tmp_path) == "partial"


def test_the_same_size_with_other_content_needs_a_check(root):
    pin(root)
    (root / "toy" / "questions.json").write_bytes(TEXT.replace(b"1", b"2"))
    assert state(TOY, root) == "verified"
    (fault,) = faults(root)
    assert "questions.json has sha256" in fault and f"not the published one, {HASHED.sha256}" in fault


def test_a_file_without_published_hash_is_held_to_its_pin(root):
    pin(root)
    content = bytearray((root / "toy" / "features.h5").read_bytes())
    content[-1] ^= 1
    (root / "toy" / "features.h5").write_bytes(content)
    (fault,) = faults(root)
    assert "features.h5 has sha256" in fault and "not the first fetch's" in fault
    pin_path(TOY, root).unlink()
    assert faults(root) == []


def test_every_missing_file_is_told(root):
    (root / "toy" / "questions.json").unlink()
    (root / "toy" / "images" / "0.png").unlink()
    missing, short = faults(root)
    assert "questions.json is missing" in missing
    assert "images should hold 2 files, it holds 1" in short


def test_a_gzipped_file_stands_for_the_plain_one(root):
    plain = root / "toy" / "questions.json"
    plain.with_name("questions.json.gz").write_bytes(gzip.compress(TEXT))
    plain.unlink()
    assert state(TOY, root) == "present" and faults(root) == []
    pin(root)
    assert state(TOY, root) == "verified" and faults(root) == []
    plain.with_name("questions.json.gz").write_bytes(gzip.compress(TEXT)[:-9])
    assert state(TOY, root) == "altered"
    pin_path(TOY, root).unlink()
    (fault,) = faults(root)
    assert "questions.json.gz is damaged" in fault


def test_looking_writes_nothing(root):
    for path in [root, *root.rglob("*")]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    before = everything(root)
    assert state(TOY, root) == "present" and faults(root) == []
    assert everything(root) == before


@pytest.mark.parametrize("content", ["", "[]", "{", '{"files": 3}', '{"files": {}}'])
def test_a_damaged_pin_is_no_pin(root, content):
    pin(root)
    pin_path(TOY, root).write_text(content)
    assert pins_of(TOY, root) == {} and state(TOY, root) == "present"


def test_the_pin_says_where_from_and_when(root):
    pin(root)
    content = json.loads(pin_path(TOY, root).read_text())
    assert content["origin"] == "url example.org" and content["date"].endswith("+00:00")
    assert content["files"]["images/"] == {"count": 2}
    assert content["files"]["questions.json"] == {"bytes": len(TEXT), "sha256": HASHED.sha256}


def test_structure_tells_half_a_file(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a", "content" * 100)
    (tmp_path / "a.json").write_bytes(b"\xef\xbb\xbf " + TEXT + b"\n")
    (tmp_path / "a.json.gz").write_bytes(gzip.compress(TEXT))
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["x"] = list(range(1000))
    for name in ("a.zip", "a.json", "a.json.gz", "a.h5"):
        path = tmp_path / name
        assert structure(path) is None
        path.write_bytes(path.read_bytes()[:-12])
        assert f"{name} is cut off, damaged or no {path.suffix[1:]} file" in structure(path)
    with h5py.File(tmp_path / "nan.h5", "w") as file:
        file["features"], file["image_ids"] = np.full((1, 1, 2), np.nan, np.float32), [1]
    assert "features are finite numbers" in structure(tmp_path / "nan.h5")
    (tmp_path / "page.json").write_text("<html>{}</html>")
    assert "begins with b'<html>" in structure(tmp_path / "page.json")


def test_a_file_of_no_bytes_is_no_file(root):
    plain = dataclasses.replace(TOY, files=(File("features.h5"),))
    (root / "toy" / "features.h5").write_bytes(b"")
    assert state(plain, root) == "altered"


@pytest.mark.parametrize("first", ["plain", "gz"])
def test_a_file_gzipped_or_unpacked_after_the_fetch_is_the_same(root, first):
    plain, packed = root / "toy" / "questions.json", root / "toy" / "questions.json.gz"
    packed.write_bytes(gzip.compress(TEXT))
    (plain if first == "gz" else packed).unlink()
    pin(root)
    assert state(TOY, root) == "verified"
    packed.write_bytes(gzip.compress(TEXT)) if first == "plain" else plain.write_bytes(TEXT)
    (plain if first == "plain" else packed).unlink()
    assert state(TOY, root) == "verified" and faults(root) == []
    (packed if first == "plain" else plain).write_bytes(gzip.compress(TEXT + b" ") if first == "plain" else TEXT + b" ")
    assert len(faults(root)) == 1


def test_only_what_loaders_read_gzipped_counts_gzipped(root):
    features = root / "toy" / "features.h5"
    features.with_name("features.h5.gz").write_bytes(gzip.compress(features.read_bytes()))
    features.unlink()
    assert state(TOY, root) == "partial"


@pytest.mark.parametrize("answer", ['{"error": "quota"}', '{"Message": "Not Found", "status": 404}', '{"detail": {}}'])
def test_a_servers_answer_in_json_is_no_file_of_a_set(tmp_path, answer):
    path = tmp_path / "questions.json"
    path.write_text(answer)
    assert "questions.json is cut off, damaged or no json file (it is a server's answer" in structure(path)
    path.write_text('{"questions": [], "error": ' + "1" * (1 << 16) + "}")
    assert structure(path) is None


def test_a_file_without_any_known_number_is_not_a_hundred_times_too_small(root):
    plain = dataclasses.replace(TOY, files=(File("notes.txt"), File("images/")), bytes=100_000)
    (root / "toy" / "notes.txt").write_text("Service temporarily unavailable")
    told = "notes.txt should have 500 B at least, it has 31 B; fetch the set again"
    assert [fault.endswith(told) for fault in measure(plain, root / "toy", {})[0]] == [True]
    (root / "toy" / "notes.txt").write_text("a" * 500)
    assert measure(plain, root / "toy", {})[0] == []
    (root / "toy" / "notes.txt").write_text("a" * 31)
    assert measure(plain, root / "toy", {"notes.txt": {"bytes": 31}})[0] == []  # somebody accepted it


def test_a_file_that_may_not_be_read_is_not_called_damaged(root, monkeypatch):
    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(holdings, "open", refuse, raising=False)
    with pytest.raises(OSError, match="questions.json cannot be read here .Permission denied., it may be whole; get"):
        measure(TOY, root / "toy", {})
