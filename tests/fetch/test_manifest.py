"""The manifest is read whole or refused with the set and the key; the project's own says what the book needs."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

from vqabook.data.layout import SOURCES
from vqabook.fetch.holdings import measure, pins_of, state
from vqabook.fetch.manifest import human, pick, read_manifest
from vqabook.files import PROJECT, data_root

GOOD = """
[toy]
title = "Toy"
what = "a toy"
papers = ["mcl_kd"]
licence = "MIT"
homepage = "https://example.org"
folder = "toy"
download = 10
bytes = 20
files = [{ path = "a.json", bytes = 3 }, { path = "images/", count = 2 }]
[[toy.origins]]
kind = "url"
downloads = [{ url = "https://example.org/a.zip" }]
[[toy.origins]]
kind = "npm"
package = "toy"
version = "1.0"
file = "toy-1.0.tgz"
keep = ["package/*"]
prepare = "vqabook.data.toy:prepare"
"""


@pytest.fixture
def read(tmp_path):
    """The sets of a manifest with this text."""

    def call(text: str):
        (tmp_path / "manifest.toml").write_text(text)
        return read_manifest(tmp_path / "manifest.toml")

    return call


def test_an_entry_is_read_whole(read):
    toy = read(GOOD)["toy"]
    assert (toy.title, toy.papers, toy.download, toy.subset_of) == ("Toy", ("mcl_kd",), 10, None)
    assert [(file.path, file.bytes, file.count, file.is_folder) for file in toy.files] == [
        ("a.json", 3, None, False), ("images/", None, 2, True),
    ]  # fmt: skip
    assert [origin.label for origin in toy.origins] == ["url example.org", "npm toy@1.0"]
    assert toy.origins[0].downloads[0].file == "a.zip" and toy.origins[1].keep == ("package/*",)


HEX = "pattern '^[0-9a-f]{64}$', got "
MODULE = r"pattern '^[\w.]+:\w+$', got "
ADDRESS = "pattern '^https?://[^/]+/.*[^/]$', got "
MALFORMED = [  # what it says of the set
    ('title = "Toy"', "", "title: Field required"),
    ('title = "Toy"', 'title = ""', "title: String should have at least 1 character, got ''"),
    ("download = 10", 'download = "10"', "download: Input should be a valid integer, got '10'"),
    ("download = 10", "download = true", "download: Input should be a valid integer, got True"),
    ("bytes = 20", "bytes = -1", "bytes: Input should be greater than or equal to 0, got -1"),
    ('folder = "toy"', 'folder = "../toy"', "folder: a path stays below its folder, got '../toy'"),
    ('folder = "toy"', 'folder = "/toy"', "folder: a path stays below its folder, got '/toy'"),
    ('papers = ["mcl_kd"]', 'papers = "mcl_kd"', "papers: Input should be a valid tuple, got 'mcl_kd'"),
    ('path = "a.json"', 'path = "../a.json"', "files.0.path: a path stays below its folder, got '../a.json'"),
    ('path = "a.json"', 'path = "images/"', "files has every path once, got images/, images/"),
    ("bytes = 3", "size = 3", "files.0.size: Unexpected keyword argument, got 3"),
    ("bytes = 3", "count = 3", "files.0: count belongs to a folder, whose path ends in /, not to 'a.json'"),
    ("bytes = 3", 'sha256 = "abc"', f"files.0.sha256: String should match {HEX}'abc'"),
    ("count = 2", f'sha256 = "{"0" * 64}"', "files.1: sha256 belongs to a file, not to the folder 'images/'"),
    ('kind = "url"', 'kind = "ftp"', "origins.0.kind: Input should be 'url', 'pypi', 'npm', 'sklearn' or "
     "'manual', got 'ftp'"),
    ('version = "1.0"', "", "origins.1: version must be there for kind 'npm'"),
    ('keep = ["package/*"]', 'keep = "package/*"', "origins.1.keep: Input should be a valid tuple, got 'package/*'"),
    ("toy:prepare", "toy.prepare", f"origins.1.prepare: String should match {MODULE}'vqabook.data.toy.prepare'"),
    ('licence = "MIT"', 'licence = "MIT"\ndescribe = "toy.describe"', f"describe: String should match {MODULE}'toy"),
    ("https://example.org/a.zip", "file:///etc/passwd", f"origins.0.downloads.0.url: String should match {ADDRESS}'f"),
    ("https://example.org/a.zip", "https://example.org/", f"origins.0.downloads.0.url: String should match {ADDRESS}'"),
    ('licence = "MIT"', 'licence = "MIT"\nlicense = "MIT"', "license: Unexpected keyword argument, got 'MIT'"),
    ('licence = "MIT"', 'licence = "MIT"\nname = "other"', "name: is the table's own, got 'other'"),
    ('licence = "MIT"', 'licence = "MIT"\nsubset_of = "nothing"', "subset_of: names another set of the manifest, got "),
    ('licence = "MIT"', 'licence = "MIT"\nnote = 3', "note: Input should be a valid string, got 3"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "sentence"), MALFORMED)
def test_a_malformed_entry_names_the_set_the_key_the_rule_and_what_came(read, old, new, sentence):
    assert old in GOOD
    with pytest.raises(ValueError) as error:
        read(GOOD.replace(old, new))
    told = str(error.value)
    assert told.startswith(f"manifest, set 'toy': {sentence}") and told.endswith("; correct fetch/manifest.toml")
    assert "\n" not in told


def test_a_file_that_is_no_manifest(read, tmp_path):
    with pytest.raises(ValueError, match="is TOML.*is not"):
        read("[toy")
    with pytest.raises(ValueError, match="set 'toy': Input should be a dictionary .*, got 3; correct"):
        read("toy = 3")
    with pytest.raises(FileNotFoundError, match="does not exist"):
        read_manifest(tmp_path / "nothing.toml")


def test_a_misspelt_name_gets_the_known_ones(read):
    with pytest.raises(ValueError, match="data sets are toy; got 'tyo'"):
        pick("tyo", read(GOOD))


def test_data_root_is_given_or_of_the_environment_or_the_projects(monkeypatch, tmp_path):
    monkeypatch.setenv("VQABOOK_DATA", str(tmp_path))
    assert data_root(tmp_path / "given") == tmp_path / "given"
    assert data_root() == data_root(None) == tmp_path
    monkeypatch.delenv("VQABOOK_DATA")
    assert data_root() == PROJECT / "data"
    assert data_root("~/sets") == Path.home() / "sets"


def test_the_projects_manifest_has_every_set_of_the_papers():
    sets = read_manifest()
    assert sets.keys() >= {
        "vqa_v1", "vqa_v2", "vqacp_v1", "vqacp_v2", "bottom_up_36", "bottom_up_adaptive", "coco_images", "glove",
        "clevr", "clevr_images", "vqa_hat", "cifar10", "cifar100", "trec", "lfw", "lvis", "easy_vqa",
    }  # fmt: skip
    assert SOURCES.keys() <= sets.keys()
    pages = {"loss_rescaling", "soft_cross_entropy", "attention_supervision", "mcl_kd", "balanced_activation"}
    assert {paper for entry in sets.values() for paper in entry.papers} == pages
    for entry in sets.values():
        assert not entry.note or entry.origins[-1].kind == "manual"  # what may be out of reach says what to do then
        assert (entry.subset_of is None) or [origin.kind for origin in entry.origins] == ["manual"]


def test_sizes_for_people(read):
    sizes = (0, 999, 1500, 9_990_000, 184_380_000, 19_021_600_724)
    assert [human(n) for n in sizes] == ["0 B", "999 B", "1.5 kB", "10 MB", "184 MB", "19 GB"]
    assert read(GOOD)["toy"].size == "10 B -> 20 B"


def test_every_function_that_the_manifest_names_exists():
    for entry in read_manifest().values():
        for named in (entry.describe, *(origin.prepare for origin in entry.origins)):
            if named:
                module, function = named.split(":")
                assert callable(getattr(importlib.import_module(module), function)), named


@pytest.mark.parametrize("name", ["vqacp_v1_coco16k", "vqa_v2_60k", "clevr_1500", "lvis_sample", "trec", "lfw"])
def test_the_real_files_are_those_of_the_manifest(real_data, name):
    entry = read_manifest()[name]
    root = real_data(entry.folder).parent
    assert measure(entry, root / entry.folder, pins_of(entry, root))[0] == [] and state(entry, root) == "present"
