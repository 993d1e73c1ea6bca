"""An archive from outside writes plain files inside the folder, whole and no more than said, or nothing is used."""

from __future__ import annotations

import gzip
import io
import random
import tarfile
import tracemalloc
import zipfile
from pathlib import Path

import pytest

from vqabook.fetch.archives import is_archive, kind_of, unpack

MB = 1 << 20


def make_zip(path: Path, members: dict[str, bytes], *, mode: int = 0) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            info = zipfile.ZipInfo(name)
            info.external_attr = mode << 16
            archive.writestr(info, content, zipfile.ZIP_DEFLATED)
    return path


def make_tar(path: Path, members: dict[str, bytes], **fields) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            for field, value in fields.items():
                setattr(info, field, value)
            archive.addfile(info, io.BytesIO(content))
    return path


def everything(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


TREE = {"top/a.txt": b"a", "top/deep/b.json": b"{}", "other.txt": b"c"}


@pytest.mark.parametrize("kind", ["zip", "tar.gz"])
def test_all_members_or_the_kept_ones_are_written(tmp_path, kind):
    path = tmp_path / "archive"  # the content tells, not the name
    make_zip(path, TREE) if kind == "zip" else make_tar(path, TREE)
    assert kind_of(path) == kind
    written = unpack(path, tmp_path / "all", limit_bytes=MB)
    assert everything(tmp_path / "all") == TREE and len(written) == 3
    unpack(path, tmp_path / "some", members=["top/*"], strip="top", limit_bytes=MB)
    assert everything(tmp_path / "some") == {"a.txt": b"a", "deep/b.json": b"{}"}


def test_anything_else_is_no_archive(tmp_path):
    (tmp_path / "a.json.gz").write_bytes(gzip.compress(b"[1]"))
    (tmp_path / "plain").write_text("no archive")
    for name in ("a.json.gz", "plain"):
        assert kind_of(tmp_path / name) is None
        with pytest.raises(ValueError, match=f"{name} is neither"):
            unpack(tmp_path / name, tmp_path / "out", limit_bytes=3)


@pytest.mark.parametrize("name", ["../evil", "a/../../evil", "/etc/evil", "C:evil", "a\\..\\evil"])
@pytest.mark.parametrize("make", [make_zip, make_tar])
def test_a_path_that_climbs_out_is_refused(tmp_path, make, name):
    path = make(tmp_path / "archive", {"good": b"1", name: b"evil"})
    with pytest.raises(ValueError, match="(climbs out|absolute path|outside the destination).*nothing of it is used"):
        unpack(path, tmp_path / "deep" / "target", limit_bytes=MB)
    assert not [p for p in tmp_path.rglob("*evil*")]


@pytest.mark.parametrize("make", [make_zip, make_tar])
def test_a_path_that_climbs_out_once_it_loses_its_folder(tmp_path, make):
    path = make(tmp_path / "archive", {"top/../evil": b"evil"})
    with pytest.raises(ValueError, match="climbs out"):
        unpack(path, tmp_path / "deep" / "target", strip="top", limit_bytes=MB)
    assert not list(tmp_path.rglob("evil"))


@pytest.mark.parametrize("make", [make_zip, make_tar])
def test_too_many_members_are_refused(tmp_path, make, monkeypatch):
    monkeypatch.setattr("vqabook.fetch.archives.MEMBERS", 2)
    path = make(tmp_path / "archive", TREE)
    with pytest.raises(ValueError, match="more than 2 members"):
        unpack(path, tmp_path / "out", limit_bytes=MB)


@pytest.mark.parametrize("make", [make_zip, make_tar])
def test_it_is_refused_even_if_it_would_not_be_kept(tmp_path, make):
    path = make(tmp_path / "archive", {"../evil": b"evil", "good": b"1"})
    with pytest.raises(ValueError, match="climbs out|outside the destination"):
        unpack(path, tmp_path / "target", members=["good"], limit_bytes=MB)


def test_links_and_devices_are_refused(tmp_path):
    linked = make_zip(tmp_path / "link.zip", {"passwd": b"/etc/passwd"}, mode=0o120777)
    with pytest.raises(ValueError, match="'passwd' is a link or a device"):
        unpack(linked, tmp_path / "a", limit_bytes=MB)
    for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE):
        path = make_tar(tmp_path / "odd.tar.gz", {"odd": b""}, type=kind, linkname="/etc/passwd")
        with pytest.raises(ValueError, match="'odd' is a (link|special file).*nothing of it is used"):
            unpack(path, tmp_path / "b", limit_bytes=MB)
    inside = make_tar(tmp_path / "in.tgz", {"odd": b""}, type=tarfile.SYMTYPE, linkname="good")
    with pytest.raises(ValueError, match="'odd' is a link"):
        unpack(inside, tmp_path / "b", limit_bytes=MB)
    assert everything(tmp_path / "a") == {} and not (tmp_path / "b").exists()


def test_a_member_twice_is_refused(tmp_path):
    path = tmp_path / "twice.zip"
    with zipfile.ZipFile(path, "w") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("a", "1")
        archive.writestr("a", "2")
    with pytest.raises(ValueError, match="'a' is in it twice"):
        unpack(path, tmp_path / "out", limit_bytes=MB)
    path = make_tar(tmp_path / "twice.tgz", {"a/b": b"1", "a//./b": b"2"})
    with pytest.raises(ValueError, match="is in it twice"):
        unpack(path, tmp_path / "out2", limit_bytes=MB)
    path = make_tar(tmp_path / "both.tgz", {"a": b"1", "a/b": b"2"})
    with pytest.raises(ValueError, match="a file and a folder"):
        unpack(path, tmp_path / "out3", limit_bytes=MB)


@pytest.mark.parametrize("make", [make_zip, make_tar])
def test_a_bomb_stops_while_it_is_written(tmp_path, make):
    path = make(tmp_path / "bomb", {"zeros": bytes(64 * MB)})
    assert path.stat().st_size < MB
    with pytest.raises(ValueError, match="more than 2,097,152 bytes, the most"):
        unpack(path, tmp_path / "out", limit_bytes=2 * MB)
    assert sum(len(content) for content in everything(tmp_path / "out").values()) <= 2 * MB


def test_a_zip_that_lies_about_its_sizes_is_no_way_around(tmp_path):
    path = make_zip(tmp_path / "bomb.zip", {"zeros": bytes(8 * MB)})
    content, size = path.read_bytes(), (8 * MB).to_bytes(4, "little")
    path.write_bytes(content.replace(size, (9).to_bytes(4, "little")))
    with pytest.raises(ValueError, match="bomb.zip"):
        unpack(path, tmp_path / "out", limit_bytes=MB)
    assert sum(len(content) for content in everything(tmp_path / "out").values()) <= MB


def test_an_encrypted_zip_is_refused(tmp_path):
    path = make_zip(tmp_path / "secret.zip", {"a": b"1"})
    content = bytearray(path.read_bytes())
    content[6] |= 1
    content[content.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match="'a' is encrypted"):
        unpack(path, tmp_path / "out", limit_bytes=MB)


@pytest.mark.parametrize("make", [make_zip, make_tar])
@pytest.mark.parametrize("harm", ["cut", "flip"])
def test_a_damaged_archive_is_told(tmp_path, make, harm):
    path = make(tmp_path / "archive", {"a": bytes(range(256)) * 400, "b": bytes(range(255, -1, -1)) * 400})
    content = bytearray(path.read_bytes())
    if harm == "cut":
        content = content[: len(content) // 2]
    else:
        content[len(content) // 3] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(ValueError, match="archive is damaged or cut off.*fetch it again"):
        unpack(path, tmp_path / "out", limit_bytes=MB)


def test_a_wrong_gzip_checksum_at_the_very_end_is_told(tmp_path):
    path = make_tar(tmp_path / "a.tgz", {"a": b"1" * 1000})
    content = bytearray(path.read_bytes())
    content[-8] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(ValueError, match="damaged"):
        unpack(path, tmp_path / "out", limit_bytes=MB)


def test_an_archive_without_the_wanted_members_is_told(tmp_path):
    with pytest.raises(ValueError, match=r"should hold \*.tsv: it has no such member"):
        unpack(make_zip(tmp_path / "a.zip", {"a.txt": b"1"}), tmp_path / "out", members=["*.tsv"], limit_bytes=MB)


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK])
def test_a_bomb_in_a_tar_header_is_not_read_into_memory(tmp_path, kind):
    header, path = tarfile.TarInfo("x"), tmp_path / "bomb.tar.gz"
    header.type, header.size = kind, 64 * MB
    with gzip.open(path, "wb", 1) as file:
        file.write(header.tobuf(tarfile.USTAR_FORMAT) + bytes(header.size) + tarfile.TarInfo("y").tobuf() + bytes(1024))
    tracemalloc.start()
    with pytest.raises(ValueError, match="damaged or cut off .a header of 67,108,864 bytes"):
        unpack(path, tmp_path / "out", limit_bytes=1000)
    assert tracemalloc.get_traced_memory()[1] < 16 * MB
    tracemalloc.stop()


def test_damage_that_zipfile_passes_on_is_told(tmp_path):
    path = tmp_path / "lzma.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("a", bytes(range(256)) * 8)
    content = bytearray(path.read_bytes())
    content[40:60] = b"\xff" * 20
    path.write_bytes(content)
    with pytest.raises(ValueError, match="lzma.zip is damaged or cut off"):
        unpack(path, tmp_path / "out", limit_bytes=MB)


def test_a_member_without_a_name_is_refused(tmp_path):
    info, path = zipfile.ZipInfo("x"), tmp_path / "nameless.zip"
    info.filename = ""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(info, b"1")
    with pytest.raises(ValueError, match="'' climbs out of the folder"):
        unpack(path, tmp_path / "out", limit_bytes=MB)


@pytest.mark.parametrize("name", ["a\nb", "a\x1b[2Jb", "a\x7f", "a\u202etxt.exe", "a\u2028b", "folder\r/a"])
@pytest.mark.parametrize("make", [make_zip, make_tar])
def test_names_with_control_characters_are_refused(tmp_path, make, name):
    with pytest.raises(ValueError, match="has control or other characters that cannot be shown; nothing of it is used"):
        unpack(make(tmp_path / "archive", {"good": b"1", name: b"evil"}), tmp_path / "out", limit_bytes=MB)
    assert not (tmp_path / "out").exists()
    path = make(tmp_path / "fine", {"Bücher und 本.txt": b"1"})
    assert [p.name for p in unpack(path, tmp_path / "out", limit_bytes=MB)] == ["Bücher und 本.txt"]


@pytest.mark.parametrize("name", ["a" * 256, "本" * 86, "/".join(["a" * 200] * 6), "/".join("a" * 65)])
@pytest.mark.parametrize("make", [make_zip, make_tar])
def test_over_long_names_are_the_archives_fault(tmp_path, make, name):
    with pytest.raises(ValueError, match="is over-long: .*; nothing of it is used") as error:
        unpack(make(tmp_path / "archive", {"good": b"1", name: b"evil"}), tmp_path / "out", limit_bytes=MB)
    assert len(str(error.value)) < 400 and not (tmp_path / "out").exists()


@pytest.mark.parametrize("make", [make_zip, make_tar])
def test_many_empty_members_and_many_folders_are_a_bomb_too(tmp_path, make, monkeypatch):
    monkeypatch.setattr("vqabook.fetch.archives.FEW", 30)
    empty = {f"{i}": b"" for i in range(31)}
    deep = {"/".join(f"{i}{j}" for j in range(15)): b"" for i in range(3)}  # 3 files, 42 folders
    for members in (empty, deep):
        path = make(tmp_path / "archive", members)
        with pytest.raises(ValueError, match="more than 30 members and folders"):
            unpack(path, tmp_path / "out", limit_bytes=30 * 512)
        assert not (tmp_path / "out").exists()
        assert len(unpack(path, tmp_path / f"{len(members)}", limit_bytes=60 * 512)) == len(members)


def make_damaged(path: Path, members: dict[str, bytes]) -> Path:
    make_tar(path, members).write_bytes(path.read_bytes()[:-8])
    return path


@pytest.mark.parametrize("make", [make_zip, make_tar, make_damaged])
def test_what_is_refused_leaves_nothing_behind(tmp_path, make):
    path = make(tmp_path / "archive", {"a": b"1", "deep/er/b": b"2", "c" if make is make_damaged else "../c": b"3"})
    (tmp_path / "mine" / "deep").mkdir(parents=True)
    (tmp_path / "mine" / "deep" / "other").write_bytes(b"mine")
    for name in ("new", "mine"):
        with pytest.raises(ValueError, match="climbs out|outside|damaged"):
            unpack(path, tmp_path / name, limit_bytes=MB)
    assert not (tmp_path / "new").exists() and [p.name for p in (tmp_path / "mine").rglob("*")] == ["deep", "other"]


def test_a_file_that_was_there_is_not_taken_for_the_archives(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "b").write_bytes(b"mine")
    with pytest.raises(ValueError, match="'b' is in it twice"):
        unpack(make_zip(tmp_path / "a.zip", {"a": b"1", "b": b"2"}), tmp_path / "out", limit_bytes=MB)
    assert everything(tmp_path / "out") == {"b": b"mine"}


def test_a_file_that_only_its_name_calls_an_archive_is_told(tmp_path):
    path = tmp_path / "features.zip"
    path.write_text("Quota exceeded, come back tomorrow")
    assert is_archive(path) and not is_archive(Path(__file__))
    with pytest.raises(ValueError, match="features.zip is neither, it begins with b'Quota exceeded, come bac'"):
        unpack(path, tmp_path / "out", limit_bytes=MB)


@pytest.mark.parametrize("harm", ["bz2", "offset"])
def test_damage_that_the_system_reports_is_told_as_damage(tmp_path, harm):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_BZIP2) as archive:
        archive.writestr("a", random.Random(0).randbytes(5000))
    content = bytearray(path.read_bytes())
    if harm == "bz2":
        content[2000:2020] = b"\xff" * 20
    else:
        content[content.index(b"PK\x05\x06") + 16] ^= 0xFF  # where the list of members begins
    path.write_bytes(content)
    with pytest.raises(ValueError, match="a.zip is damaged or cut off"):
        unpack(path, tmp_path / "out", limit_bytes=MB)


@pytest.mark.parametrize("n", [8_000, 70_000], ids=["zip", "zip64"])
def test_a_zips_list_of_members_is_not_read_into_memory(tmp_path, monkeypatch, n):
    path = make_zip(tmp_path / "many.zip", {f"{i}": b"" for i in range(n)})
    assert len(zipfile.ZipFile(path).infolist()) == n
    monkeypatch.setattr("vqabook.fetch.archives.FEW", n // 100)
    tracemalloc.start()
    with pytest.raises(ValueError, match=f"more than {n // 100:,} members and folders; nothing of it is used"):
        unpack(path, tmp_path / "out", limit_bytes=1000)
    assert tracemalloc.get_traced_memory()[1] < MB
    tracemalloc.stop()
