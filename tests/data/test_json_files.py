"""A streamed file gives what the whole-file reader gives, whatever its chunks; damage is one sentence."""

from __future__ import annotations

import gzip
import json
import tracemalloc

import pytest

from vqabook.data import json_stream
from vqabook.data.json_stream import stream_json

WHOLE = {
    "info": {"year": 2017, "text": 'quoted "x", [brackets] and {braces}'},
    "images": [{"id": 1, "name": "é€𝄞"}, {"id": 2, "nested": [[1.5, -2e-3], []]}],
    "empty": [],
    "number": 12345,
    "nothing": None,
    "last": ["text", 7, True],
}


def collect(path) -> dict:
    """The file's content rebuilt from its pairs; empty lists leave none."""
    found = {}
    for key, entry in stream_json(path):
        found.setdefault(key, []).append(entry)
    return found


@pytest.mark.parametrize("chunk", [1, 2, 7, 64, 1 << 22])
@pytest.mark.parametrize("indent", [None, 2])
def test_the_entries_of_a_dict(tmp_path, monkeypatch, chunk, indent):
    monkeypatch.setattr(json_stream, "CHUNK", chunk)
    path = tmp_path / "a.json"
    path.write_text(json.dumps(WHOLE, indent=indent, ensure_ascii=False), encoding="utf-8")
    expected = {k: v if isinstance(v, list) else [v] for k, v in WHOLE.items() if v != []}
    assert collect(path) == expected


@pytest.mark.parametrize("content", [[{"a": 1}, {"a": 2}], [], [12, 34]])
@pytest.mark.parametrize("chunk", [1, 1 << 22])
def test_a_bare_list(tmp_path, monkeypatch, chunk, content):
    monkeypatch.setattr(json_stream, "CHUNK", chunk)
    (tmp_path / "a.json").write_text(json.dumps(content))
    assert collect(tmp_path / "a.json") == ({"": content} if content else {})


def test_an_empty_dict_and_white_space(tmp_path):
    (tmp_path / "a.json").write_text(" \n{ }\n ")
    assert collect(tmp_path / "a.json") == {}


def test_gzipped_by_either_name(tmp_path):
    (tmp_path / "a.json.gz").write_bytes(gzip.compress(json.dumps(WHOLE).encode()))
    assert collect(tmp_path / "a.json") == collect(tmp_path / "a.json.gz")


def test_memory_is_that_of_an_entry(tmp_path, monkeypatch):
    monkeypatch.setattr(json_stream, "CHUNK", 1 << 14)
    path = tmp_path / "a.json"
    path.write_text(json.dumps({"rows": [{"keep": i, "drop": "x" * 1000} for i in range(3_000)]}))  # 3 MB
    tracemalloc.start()
    kept = sum(entry["keep"] for _, entry in stream_json(path))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert kept == sum(range(3_000)) and peak < 1e6  # a few chunks, not the file


@pytest.mark.parametrize("cut", range(1, 60, 7))
def test_a_file_that_is_cut_off(tmp_path, cut):
    path = tmp_path / "a.json"
    path.write_text(json.dumps(WHOLE)[:-cut])
    with pytest.raises(ValueError, match=r"a.json must be whole, valid JSON: .*; it is probably cut off, fetch it"):
        collect(path)


def test_an_archive_that_is_cut_off_or_damaged(tmp_path):
    path = tmp_path / "a.json.gz"
    whole = gzip.compress(json.dumps(WHOLE).encode())
    for content in (whole[:-12], whole[:30] + b"\0\0\0\0" + whole[34:], b"no archive"):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="must be whole, valid JSON"):
            collect(path)


@pytest.mark.parametrize(
    "text", ["", "text", "<html></html>", '{"a" 1}', '{"a": [1 2]}', '{"a": 1} {"b": 2}', "[1, ]", '{"a": nul}', "12"]
)
def test_what_is_no_json(tmp_path, text):
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(ValueError, match="must be whole, valid JSON"):
        collect(tmp_path / "a.json")


def test_bytes_that_are_no_text(tmp_path):
    (tmp_path / "a.json").write_bytes(b'{"a": ["\xff"]}')
    with pytest.raises(ValueError, match="must be whole, valid JSON"):
        collect(tmp_path / "a.json")


def test_an_entry_without_end_is_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr(json_stream, "CHUNK", 8)
    monkeypatch.setattr(json_stream, "LARGEST", 100)
    (tmp_path / "a.json").write_text('{"a": ["' + "x" * 10_000)
    with pytest.raises(ValueError, match="must be whole, valid JSON"):
        collect(tmp_path / "a.json")


def test_a_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"\(or the same name with .gz\) does not exist; check data_root"):
        collect(tmp_path / "none.json")
