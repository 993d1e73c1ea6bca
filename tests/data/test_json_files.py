"""JSON files give what a loader asks for, plain or gzipped; damage is one sentence that names the file."""

from __future__ import annotations

import gzip
import json
import tracemalloc
from typing import Any, TypedDict

import pytest

from vqabook.data.json_files import read_entries, read_json, stream_json

RULE = "such files hold rows"
ROWS = [{"id": 1, "name": "é€𝄞"}, {"id": 2, "more": [[]]}]
TEXT = json.dumps({"info": {"text": 'quoted "x", [1] {2}'}, "rows": ROWS})


class Row(TypedDict):
    id: int


def read(path) -> list:
    return list(read_entries(path, "rows", Row, RULE))


def test_the_entries_of_a_dict_and_of_a_list(tmp_path):
    (tmp_path / "a.json").write_text(TEXT, encoding="utf-8")
    assert read(tmp_path / "a.json") == [{"id": 1}, {"id": 2}]  # what is not asked for is not kept
    (tmp_path / "b.json").write_text(json.dumps(ROWS, indent=2))
    assert read(tmp_path / "b.json") == [{"id": 1}, {"id": 2}]
    assert read_json(tmp_path / "a.json", Any, RULE) == json.loads(TEXT)


def test_all_that_a_file_holds(tmp_path):
    (tmp_path / "a.json").write_text(TEXT, encoding="utf-8-sig")
    info, rows = json.loads(TEXT).values()
    assert list(stream_json(tmp_path / "a.json")) == [("info", info), ("rows", rows[0]), ("rows", rows[1])]
    (tmp_path / "b.json").write_text(json.dumps({"a": [], "b": 3, "c": "[", "d": [[1]], "e": None}, indent=2))
    assert list(stream_json(tmp_path / "b.json")) == [("b", 3), ("c", "["), ("d", [1]), ("e", None)]
    (tmp_path / "c.json").write_text(" " * 80 + json.dumps(ROWS))
    assert list(stream_json(tmp_path / "c.json")) == [("", ROWS[0]), ("", ROWS[1])]
    with pytest.raises(ValueError, match="official files are a list or an object of lists; .*d.json does not fit"):
        (tmp_path / "d.json").write_text("3")
        list(stream_json(tmp_path / "d.json"))


def test_gzipped_by_either_name(tmp_path):
    (tmp_path / "a.json.gz").write_bytes(gzip.compress(TEXT.encode()))
    assert read(tmp_path / "a.json") == read(tmp_path / "a.json.gz") == [{"id": 1}, {"id": 2}]


def test_memory_is_not_that_of_the_file(tmp_path):
    path = tmp_path / "a.json"
    path.write_text(json.dumps({"rows": [{"id": i, "drop": "x" * 1000} for i in range(3_000)]}))  # 3 MB
    tracemalloc.start()
    kept = sum(row["id"] for row in read_entries(path, "rows", Row, RULE))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert kept == sum(range(3_000)) and peak < 1e6


@pytest.mark.parametrize("cut", range(1, 100, 9))
def test_a_file_that_is_cut_off(tmp_path, cut):
    (tmp_path / "a.json").write_text(TEXT[:-cut])
    with pytest.raises(ValueError, match=r"a.json must be whole, valid JSON: .*; it is probably cut off: bring"):
        read(tmp_path / "a.json")


def test_an_archive_that_is_cut_off_or_damaged(tmp_path):
    whole = gzip.compress(TEXT.encode())
    for content in (whole[:-12], whole[:30] + b"\0\0\0\0" + whole[34:], b"no archive"):
        (tmp_path / "a.json.gz").write_bytes(content)
        with pytest.raises(ValueError, match="whole, valid JSON: .*a.json.gz is not"):
            read(tmp_path / "a.json")


@pytest.mark.parametrize("text", ["text", '{"a" 1}', '{"rows": [1 2]}', '{"a": 1} {"b": 2}', "[1, ]", '{"a": nul}'])
def test_what_is_no_json(tmp_path, text):
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(ValueError, match="a.json must be whole, valid JSON"):
        read(tmp_path / "a.json")


def test_bytes_that_are_no_text(tmp_path):
    (tmp_path / "a.json").write_bytes(b'[{"id": 1, "x": "\xff"}, {"id": "\xff"}]')
    with pytest.raises(ValueError, match="entry 1 of .*a.json"):
        read(tmp_path / "a.json")


@pytest.mark.parametrize("text", ["12", "null", '"rows"', '{"rows": {}}', '[{"id": "1"}]', '{"rows": [{}]}'])
def test_what_is_another_file(tmp_path, text):
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(ValueError, match=rf"{RULE}; .*a.json does not fit \(.*\): is it the right file"):
        read(tmp_path / "a.json")


@pytest.mark.parametrize("text", ["{}", "[]", '{"rows": []}'])
def test_no_entries(tmp_path, text):
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(ValueError, match=f'{RULE}, in a list or under "rows"; .*a.json has none: is it the right'):
        read(tmp_path / "a.json")


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"", "empty"),
        (b" \n\n ", "empty"),
        (b"<!DOCTYPE html><html><body>Sign in", "an HTML page, probably a login or error page"),
        (b"\xef\xbb\xbf\n<HTML>", "an HTML page, probably a login or error page"),
    ],
)
@pytest.mark.parametrize("gz", [False, True])
def test_what_came_instead_of_json(content, kind, gz, tmp_path):
    path = tmp_path / f"questions.json{'.gz' if gz else ''}"
    path.write_bytes(gzip.compress(content) if gz else content)
    with pytest.raises(ValueError, match=f"questions.json.* must be JSON, it is {kind}; bring a whole copy"):
        read_json(tmp_path / "questions.json", Any, RULE)


def test_a_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"\(or the same name with .gz\) does not exist; check data_root"):
        read(tmp_path / "none.json")
