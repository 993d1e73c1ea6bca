"""The manifest is read whole or refused with the set and the key; the project's own says what the book needs."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

from vqabook.data.sets import SOURCES
from vqabook.fetch.holdings import state, verify
from vqabook.fetch.manifest import MANIFEST, human, pick, read_manifest
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


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ('title = "Toy"', "", "title"),
        ("download = 10", 'download = "10"', "download"),
        ("bytes = 20", "bytes = -1", "bytes"),
        ('folder = "toy"', 'folder = "../toy"', "folder"),
        ('folder = "toy"', 'folder = "/toy"', "folder"),
        ('papers = ["mcl_kd"]', 'papers = "mcl_kd"', "papers"),
        ('path = "a.json"', 'path = "../a.json"', "files.path"),
        ('path = "a.json"', 'path = "images/"', "files"),
        ("bytes = 3", "size = 3", "files.size"),
        ("bytes = 3", "count = 3", "files.count"),
        ("bytes = 3", 'sha256 = "abc"', "files.sha256"),
        ("count = 2", f'sha256 = "{"0" * 64}"', "files.sha256"),
        ('kind = "url"', 'kind = "ftp"', "origins.kind"),
        ('version = "1.0"', "", "origins.version"),
        ('keep = ["package/*"]', 'keep = "package/*"', "origins.keep"),
        ("toy:prepare", "toy.prepare", "origins.prepare"),
        ('licence = "MIT"', 'licence = "MIT"\ndescribe = "toy.describe"', "describe"),
        ("https://example.org/a.zip", "file:///etc/passwd", "downloads.url"),
        ("https://example.org/a.zip", "https://example.org/", "downloads.url"),
        ('licence = "MIT"', 'licence = "MIT"\nlicense = "MIT"', "license"),
        ('licence = "MIT"', 'licence = "MIT"\nsubset_of = "nothing"', "subset_of"),
        ('licence = "MIT"', 'licence = "MIT"\nnote = 3', "note"),
    ],
)
def test_a_malformed_entry_names_the_set_and_the_key(read, old, new, key):
    assert old in GOOD
    with pytest.raises(ValueError, match=rf"set 'toy': {key}\b.*correct data/manifest.toml"):
        read(GOOD.replace(old, new))


def test_a_file_that_is_no_manifest(read, tmp_path):
    with pytest.raises(ValueError, match="is TOML.*is not"):
        read("[toy")
    with pytest.raises(ValueError, match="set 'toy': entry is a table"):
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
    assert data_root() == PROJECT / "data" == MANIFEST.parent
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
    root = real_data(read_manifest()[name].folder).parent
    assert verify(name, root) == []
    assert state(name, root) == "present" and state(name, root, check=True) in ("present", "verified")
