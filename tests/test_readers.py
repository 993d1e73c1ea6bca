"""What every reader is held to: the machine's faults are not told as damage, marks, links, text as paths, locales."""

from __future__ import annotations

import gc
import gzip
import io
import json
import os
import pickle
import resource
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from PIL import Image

from vqabook.data import cifar, clevr, easy_vqa, glove, hat, image_tables, lvis, trec
from vqabook.data import instances as lvis_instances
from vqabook.data.vqa import build_vocabulary, make_table, read_questions
from vqabook.evidence.record import load_json, read_record, read_records
from vqabook.features.convert_arrays import convert_arrays
from vqabook.features.convert_tsv import convert_tsv
from vqabook.features.image_files import find_images
from vqabook.features.store import open_features
from vqabook.features.writer import FeatureWriter
from vqabook.fetch.archives import unpack
from vqabook.fetch.download import Part
from vqabook.fetch.holdings import count, pins_of, structure, write_pin
from vqabook.fetch.manifest import DataSet, Download, File, Origin, read_manifest
from vqabook.files import NotReadable, files_below, is_hindrance, tell_damage, without_mark
from vqabook.metrics import save_results
from vqabook.world.write import World, find_world

ROOT = Path(__file__).resolve().parents[1]
MARKS = ("utf-8-sig", "utf-16")  # as Notepad and PowerShell save


@contextmanager
def no_more_files() -> Iterator[None]:
    """Every further file that this process opens is one too many: a fault of the machine that also root meets."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def asked(folder: str) -> tuple[str, str]:
    rows = [{"question_id": i, "image_id": i, "question": "is it é?"} for i in range(3)]
    answers = {"answer_type": "yes/no", "question_type": "is it", "multiple_choice_answer": "yes"}
    answers["answers"] = [{"answer": "yes"}] * 10
    answered = [{"question_id": i, "image_id": i, **answers} for i in range(3)]
    for name, content in (("questions", rows), ("annotations", answered)):
        Path(folder, f"{name}.json").write_text(json.dumps({name: content}, ensure_ascii=False), "utf-8")
    return f"{folder}/questions.json", f"{folder}/annotations.json"


def zipped_questions(folder: str) -> tuple[str, str]:
    for path in map(Path, asked(folder)):
        Path(f"{path}.gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
    return f"{folder}/questions.json", f"{folder}/annotations.json"


def features(folder: str, **options: object) -> str:
    with h5py.File(f"{folder}/f.h5", "w") as file:
        file.create_dataset("features", data=np.ones((3, 2, 4), np.float32), **options)
        file["image_ids"] = np.arange(3)
    return f"{folder}/f.h5"


def vectors(folder: str) -> str:
    glove.write_store(Path(folder, "glove.6B.2d.h5"), ["a", "b"], np.eye(2, dtype=np.float32), origin=Path("x"))
    return folder


def vector_text(folder: str) -> str:
    Path(folder, "glove.6B.2d.txt").write_text("a 1 0\nb 0 1\n", "utf-8")
    return folder


def images10(folder: str) -> str:
    for name in (*cifar.TRAIN_BATCHES, "test_batch"):
        with open(f"{folder}/{name}.bin", "wb") as file:
            file.truncate(cifar.BATCH * (1 + cifar.PIXELS))
    return folder


def sentences(folder: str, *, zipped: bool = False) -> str:
    os.mkdir(f"{folder}/qc")
    for name in ("train.txt", "test.txt"):
        Path(folder, "qc", name).write_text("DESC:manner How é ?\n", "latin-1")
    if zipped:
        with zipfile.ZipFile(f"{folder}/qc.zip", "w") as archive:
            for path in Path(folder, "qc").iterdir():
                archive.write(path, f"qc/{path.name}")
        shutil.rmtree(f"{folder}/qc")
    return folder


def people(folder: str) -> str:
    for person in ("A_B", "C_D"):
        os.makedirs(f"{folder}/lfw_funneled/{person}")
        for i in range(10):
            Image.new("RGB", (250, 250)).save(f"{folder}/lfw_funneled/{person}/{i}.jpg")
    return folder


def scenes(folder: str) -> str:
    thing = dict(shape="cube", color="red", size="large", material="metal")
    thing |= {"pixel_coords": [1.0, 2.0, 3.0], "3d_coords": [0.1, 0.2, 0.3]}
    row = {"image_index": 0, "question": "Is it?", "answer": "yes", "question_family_index": 3}
    for split in ("train", "val"):
        for part, rows in (("questions", [row]), ("scenes", [{"image_index": 0, "objects": [thing]}])):
            Path(folder, f"CLEVR_{split}_{part}.json").write_text(json.dumps({part: rows}), "utf-8")
    return folder


def instances(folder: str) -> str:
    about = {"frequency": "r", "image_count": 1, "instance_count": 1}
    content = {
        "images": [{"id": 1, "width": 9, "height": 9}], "categories": [{"id": 1, "name": "é", **about}],
        "annotations": [{"image_id": 1, "category_id": 1, "bbox": [0, 0, 5, 5], "area": 25.0}],
    }  # fmt: skip
    Path(folder, "lvis.json").write_text(json.dumps(content, ensure_ascii=False), "utf-8")
    return f"{folder}/lvis.json"


def maps(folder: str) -> str:
    os.mkdir(f"{folder}/vqahat_train")
    Image.new("L", (28, 28), 9).save(f"{folder}/vqahat_train/1_1.png")
    return folder


def wheel(folder: str) -> str:
    for split in easy_vqa.SPLITS:
        os.makedirs(f"{folder}/{split}/images")
        Image.new("RGB", (8, 8)).save(f"{folder}/{split}/images/0.png")
        Path(folder, split, "questions.json").write_text('[["is it a circle?", "yes", 0]]', "utf-8")
    return folder


def arrays(folder: str) -> str:
    np.save(f"{folder}/9.npy", np.ones((2, 4), np.float32))
    return folder


def rows(folder: str) -> str:
    text = "9\t5\t5\t1\tAAAAAAAAAAAAAAAAAAAAAA==\tAAAAAAAAAAA=\n"
    Path(folder, "a.tsv").write_text(text, "utf-8")
    return f"{folder}/a.tsv"


def ids(folder: str) -> str:
    os.mkdir(f"{folder}/images")
    Path(folder, "images", "x.jpg").touch()
    Path(folder, "ids.json").write_text('{"x.jpg": 7}', "utf-8")
    return folder


def interrupted(folder: str) -> str:
    with FeatureWriter(f"{folder}/a.h5", {}, "float16", every=0.0) as writer:
        writer.append(np.array([[9, 5, 5, 1]]), np.ones((1, 1, 4), np.float16))
    return f"{folder}/a.h5"


def go_on(out: str) -> None:
    with FeatureWriter(out, {}, "float16") as writer:
        assert writer.images == 1  # it is not begun anew


def manifest(folder: str) -> str:
    return shutil.copy(ROOT / "vqabook/fetch/manifest.toml", folder)


TOY = DataSet(
    name="toy", title="Toy", what="a toy", papers=(), licence="MIT", homepage="-", folder="toy", download=1, bytes=1,
    files=(File("toy.bin"),), origins=(Origin("manual", text="ask"),),
)  # fmt: skip


def pins(folder: str) -> str:
    Path(folder, "toy").mkdir()
    write_pin(TOY, Path(folder), "here", {"toy.bin": {"bytes": 1}})
    return folder


PART = Download("http://here/toy.bin")


def downloaded(folder: str) -> str:
    Path(folder, "toy.bin.part.json").write_text('{"validator": "v"}', "utf-8")
    return folder


def archive(folder: str) -> str:
    with zipfile.ZipFile(f"{folder}/a.zip", "w") as file:
        file.writestr("é.txt", "é")
    return f"{folder}/a.zip"


def unpack_anew(path: str) -> None:
    target = Path(path).with_suffix("")
    shutil.rmtree(target, ignore_errors=True)
    unpack(Path(path), target, limit_bytes=99)


def world(folder: str) -> str:
    find_world(SMALLEST, Path(folder))
    return folder


SMALLEST = World(n_train=100)


def record(folder: str) -> str:
    Path(folder, "r.json").write_text('{"recipe": {}, "result": 1, "provenance": {}}', "utf-8")
    return f"{folder}/r.json"


def convert_anew(convert: Callable, source: object, out: str) -> None:
    Path(out).unlink(missing_ok=True)
    convert(source, out)


READERS: dict[str, tuple[Callable, Callable]] = {  # name -> its files, and what reads them, by paths as text
    "questions": (asked, lambda given: read_questions(*given)),
    "gzipped questions": (zipped_questions, lambda given: read_questions(*given)),
    "features": (features, open_features),
    "vectors": (vectors, lambda given: glove.load_glove(given, ["a"], dim=2)),
    "vectors as text": (vector_text, lambda given: glove.load_glove(given, ["a"], dim=2)),
    "CIFAR": (images10, image_tables.load_cifar10),
    "TREC": (sentences, trec.load_trec),
    "zipped TREC": (lambda folder: sentences(folder, zipped=True), trec.load_trec),
    "faces": (people, lambda given: image_tables.load_faces(given, min_faces_per_person=2)),
    "CLEVR": (scenes, clevr.load_clevr),
    "LVIS": (instances, lvis_instances.load_lvis),
    "LVIS' categories": (instances, lvis.category_counts),
    "human maps": (maps, hat.load_hat),
    "easy-VQA": (wheel, lambda given: easy_vqa.convert(given, f"{given}/out")),
    "arrays": (arrays, lambda given: convert_anew(convert_arrays, given, f"{given}/a.h5")),
    "TSV": (rows, lambda given: convert_anew(convert_tsv, [given], f"{given}.h5")),
    "ids": (ids, lambda given: find_images(f"{given}/images", f"{given}/ids.json")),
    "interrupted conversion": (interrupted, go_on),
    "manifest": (manifest, lambda given: read_manifest(Path(given))),
    "pins": (pins, lambda given: pins_of(TOY, Path(given))["toy.bin"]),
    "part of a download": (downloaded, lambda given: Part(PART, Path(given), None)._read_note()["validator"]),
    "archive": (archive, unpack_anew),
    "embedded world": (world, lambda given: find_world(SMALLEST, Path(given))),
    "record": (record, lambda given: read_record(Path(given), load_json)),
}
each_reader = pytest.mark.parametrize(("make", "read"), READERS.values(), ids=READERS)


@pytest.fixture(autouse=True)
def cache_of_its_own(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@each_reader
def test_a_fault_of_the_machine_is_not_told_as_damage(make, read, tmp_path):
    given = make(str(tmp_path))
    read(given)  # paths as text are read, and all is imported
    shutil.rmtree(tmp_path / "cache", ignore_errors=True)
    with pytest.raises(OSError) as told, no_more_files():
        read(given)
    assert not any(word in str(told.value) for word in ("again", "damaged", "right file", "is not (", "whole file:"))
    assert "oo many open files" in str(told.value)
    read(given)


def damage(path: str, way: str) -> None:
    """Repack a zip, and spoil what is packed, or name a way to pack that nobody knows."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", {"lzma": zipfile.ZIP_LZMA}.get(way, zipfile.ZIP_DEFLATED)) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    packed = bytearray(Path(path).read_bytes())
    if way == "unknown":
        for head, at in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
            packed[packed.index(head) + at] = 99
    else:
        begin = 30 + len(next(iter(members)).encode()) + (9 if way == "lzma" else 0)  # behind LZMA's properties
        packed[begin : begin + 4] = b"\xff" * 4
    Path(path).write_bytes(packed)


@pytest.mark.parametrize("way", ["deflated", "lzma", "unknown"])
@pytest.mark.parametrize("name", ["zipped TREC", "zipped TSV", "archive", "structure"])
def test_damage_of_an_archive_is_told_whatever_its_packing_raises(name, way, tmp_path):
    if name == "zipped TREC":
        path, read = f"{sentences(str(tmp_path), zipped=True)}/qc.zip", lambda path: trec.load_trec(tmp_path)
    else:
        path = f"{tmp_path}/a.zip"
        with zipfile.ZipFile(path, "w") as archive:
            archive.write(rows(str(tmp_path)), "a.tsv")
        read = {"zipped TSV": lambda path: convert_tsv([path], f"{path}.h5"), "archive": unpack_anew}.get(name)
    damage(path, way)
    if read is None:
        assert "is cut off, damaged or no zip file" in (structure(Path(path)) or "")
    else:
        with pytest.raises(ValueError, match="is not \\(|is damaged or cut off|nothing of it is used"):
            read(path)


OWN = ("interrupted conversion", "manifest", "pins", "part of a download", "archive", "embedded world")  # no editor's
TEXTS = [name for name in READERS if name not in ("gzipped questions", "features", "vectors", "CIFAR", "zipped TREC",
                                                  "faces", "human maps", "arrays", *OWN)]  # fmt: skip


LINES = ("TSV", "vectors as text")  # files of gigabytes, read line by line, are UTF-8


@pytest.mark.parametrize(("name", "mark"), [(n, m) for n in TEXTS for m in MARKS if m != "utf-16" or n not in LINES])
def test_a_byte_order_mark_is_read(name, mark, tmp_path):
    make, read = READERS[name]
    given = make(str(tmp_path))
    for path in files_below(tmp_path):
        if path.suffix in (".json", ".txt", ".tsv"):
            path.write_text(path.read_text("latin-1" if name == "TREC" else "utf-8"), mark)
    read(given)


def test_what_is_read_behind_a_mark(tmp_path):
    for mark in MARKS:
        for path in map(Path, asked(str(tmp_path))):
            path.write_text(path.read_text("utf-8"), mark)
        assert read_questions(*asked(str(tmp_path))).text == ["is it é?"] * 3
    for mark in MARKS:
        (tmp_path / mark).mkdir()
        sentences(str(tmp_path / mark))
        for path in files_below(tmp_path / mark):
            path.write_text(path.read_text("latin-1"), mark)
        assert list(trec.load_trec(tmp_path / mark).words) == ["?", "how", "é"]
    text = "é".encode()
    assert without_mark(text) is text
    assert bytes(without_mark("é".encode("utf-16-be").join([b"\xfe\xff", b""]))) == text
    (tmp_path / "manifest.toml").write_text((ROOT / "vqabook/fetch/manifest.toml").read_text("utf-8"), "utf-8-sig")
    assert read_manifest(tmp_path / "manifest.toml") == read_manifest()


def test_entries_may_carry_further_keys(tmp_path):
    """A merged file: the answer stands beside the question, as other loaders write it."""
    paths = asked(str(tmp_path))
    for path, key in zip(paths, ("questions", "annotations"), strict=True):
        content = json.loads(Path(path).read_text("utf-8"))
        content[key][0] |= {"answer": "yes", "answers": content[key][0].get("answers", ["yes"]), "éxtra": [{"a": None}]}
        content |= {"answer": 1, "annotations" if key == "questions" else "questions": 3}
        Path(path).write_text(json.dumps(content), "utf-8")
    assert len(read_questions(*paths)) == 3


def test_folders_behind_links_are_read(tmp_path):
    disk, coco = tmp_path / "disk", tmp_path / "coco"
    for folder in (disk / "deep", coco / "train2014"):
        folder.mkdir(parents=True)
    np.save(coco / "train2014" / "9.npy", np.ones((3, 8), np.float32))
    np.save(disk / "deep" / "42.npy", np.ones((3, 8), np.float32))
    (coco / "val2014").symlink_to(disk)
    assert find_images(coco, suffixes={".npy"}) == {"train2014/9.npy": 9, "val2014/deep/42.npy": 42}
    assert convert_arrays(coco, tmp_path / "out.h5") == 2 == count(coco)
    record(str(disk))
    with pytest.warns(UserWarning, match="val2014/r.json is left out"):  # it is found, and is of no recipe
        assert read_records(coco) == []
    (disk / "deep" / "up").symlink_to(coco)  # a loop
    (coco / "again").symlink_to(disk)  # a second name of one folder
    (coco / "gone").symlink_to(tmp_path / "nothing")
    assert list(find_images(coco, suffixes={".npy"}).values()) == [42, 9]
    assert list(files_below(tmp_path / "nothing")) == []
    with pytest.raises(NotReadable, match=r"coco cannot be read here \(Too many open files\)"), no_more_files():
        list(files_below(coco))


@pytest.mark.parametrize(
    ("error", "hinders"),
    [
        (PermissionError(13, "no"), True), (OSError(28, "full"), True), (BlockingIOError(11, "locked"), True),
        (MemoryError("9 TB"), True), (NotReadable("told"), True), (FileNotFoundError(2, "gone"), True),
        (OSError("file signature not found"), False), (gzip.BadGzipFile("no"), False), (OSError(22, "seek"), False),
        (ValueError("no"), False), (EOFError(), False),
    ],
)  # fmt: skip
def test_what_is_told_as_damage(error, hinders):
    assert is_hindrance(error) == hinders
    with pytest.raises(Exception) as told, tell_damage("a.h5", "files are whole", OSError, ValueError, EOFError):
        raise error
    assert isinstance(told.value, ValueError) != hinders
    assert hinders or str(told.value).startswith(
        f"files are whole: a.h5 is not ({str(error) or 'EOFError'}); bring a whole"
    )
    with pytest.raises(Exception) as again, tell_damage("b.h5", "files are whole", OSError):
        raise told.value
    assert not hinders or str(again.value).count("a.h5") == str(told.value).count("a.h5")
    assert not isinstance(told.value, NotReadable) or again.value is told.value


class Rows(torch.utils.data.Dataset):
    """A table for a DataLoader, row by row."""

    def __init__(self, table):
        self.table = table

    def __len__(self):
        return len(self.table)

    def __getitem__(self, i):
        return self.table.batch(torch.tensor([i])).inputs[0][0]


@pytest.mark.parametrize("options", [{}, {"chunks": (1, 2, 4)}], ids=["in place", "unpacked"])
def test_a_table_goes_to_spawned_workers_and_into_files(options, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parents[1])  # where the workers find Rows
    questions = read_questions(*asked(str(tmp_path)))
    path = features(str(tmp_path), **options)
    store = open_features(path)
    vocabulary = build_vocabulary(questions, min_answer_count=1)
    table = make_table(questions, vocabulary, store)
    batches = torch.utils.data.DataLoader(Rows(table), 3, num_workers=1, multiprocessing_context="spawn")
    (seen,) = batches
    assert torch.equal(seen, torch.ones(3, 2, 4))
    torch.save(table, tmp_path / "t.pt")
    rows = torch.arange(3)
    loaded = torch.load(tmp_path / "t.pt", weights_only=False)
    for ours, theirs in zip(table.batch(rows).inputs, loaded.batch(rows).inputs, strict=True):
        assert torch.equal(ours, theirs)
    big = h5py.File(path, "r")["features"][()].nbytes
    assert len(pickle.dumps(store)) < 1000 and big < len(pickle.dumps(store.to("cpu")))  # mapped: its name alone
    assert torch.equal(pickle.loads(pickle.dumps(store.to("cpu"))).codes, store.codes)
    with h5py.File(path, "a") as file:
        file["image_ids"][...] = [2, 1, 0]
    with pytest.raises(ValueError, match="has other images since; make the table anew"):
        torch.load(tmp_path / "t.pt", weights_only=False)


FINGERPRINTS = """
import sys, pathlib, locale
import h5py, json, numpy as np
from vqabook.evidence.fingerprint import code_hash
from vqabook.evidence.record import load_json, read_record, write_json
from vqabook.data.layout import DataSpec, data_digest, source_files
from vqabook.data.vqa import read_questions
from vqabook.features.convert_arrays import convert_arrays
from vqabook.features.file import cache_file
from vqabook.features.store import open_features
from vqabook.metrics.vqa import save_results
from vqabook.world.scenes import World
here = pathlib.Path(sys.argv[1])
deep = next(path for path in here.iterdir() if path.name.startswith("f"))
out = here / "out.h5"
out.unlink(missing_ok=True)
convert_arrays(deep, out)
spec = DataSpec(world=World(n_train=200))
source_files(spec, None)
write_json(here / "r.json", {"recipe": {"name": "\\u00e9\\u4e2d"}, "result": 1, "provenance": {}})
save_results({1: "caf\\u00e9"}, here / "s.json")
import hashlib
digest = lambda path: hashlib.sha256(path.read_bytes()).hexdigest()
print(locale.getencoding(), file=sys.stderr)
print(code_hash(), data_digest(spec, None), cache_file("{}", deep.glob("*")).name, digest(out), digest(here / "r.json"),
      digest(here / "s.json"), read_record(here / "r.json", load_json)["recipe"]["name"] == "\\u00e9\\u4e2d",
      read_questions(deep.parent / "questions.json", deep.parent / "annotations.json").text[0].encode().hex())
"""


def test_every_locale_gives_the_same_fingerprints(tmp_path, monkeypatch, capsys):
    """This process's own, and that of ASCII, of every byte and of two bytes a letter."""
    deep = tmp_path / "fé中"
    deep.mkdir()
    np.save(deep / "é9.npy", np.ones((2, 4), np.float32))
    asked(str(tmp_path))
    locales = {"C": "C"}
    if shutil.which("localedef"):
        for name, source, encoding in (("latin", "en_US", "ISO-8859-1"), ("chinese", "zh_CN", "GBK")):
            made = subprocess.run(["localedef", "-i", source, "-f", encoding, tmp_path / name], capture_output=True)
            locales |= {name: name} if made.returncode < 2 else {}
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(sys, "argv", ["-c", str(tmp_path)])
    exec(FINGERPRINTS, {})
    told, encodings = {capsys.readouterr().out.encode()}, set()
    for name in locales:
        env = {**os.environ, "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "LC_ALL": name, "LOCPATH": str(tmp_path)}
        env |= {"PYTHONPATH": str(ROOT), "XDG_CACHE_HOME": str(tmp_path / f"cache-{name}")}
        env.pop("LOCPATH") if name == "C" else None
        done = subprocess.run([sys.executable, "-c", FINGERPRINTS, tmp_path], env=env, capture_output=True)
        assert done.returncode == 0, (name, done.stderr[-2000:])
        told.add(done.stdout)
        encodings.add(done.stderr.splitlines()[-1])
    assert len(told) == 1 and len(encodings) == len(locales) and b"True" in told.pop()


def test_a_split_without_annotations_is_answered(tmp_path):
    """test-dev: its answers lie on the evaluation server."""
    paths = asked(str(tmp_path))
    train, unjudged = read_questions(*paths), read_questions(paths[0])
    vocabulary, store = build_vocabulary(train, min_answer_count=1), open_features(features(str(tmp_path)))
    table = make_table(unjudged, vocabulary, store)
    judged = make_table(train, vocabulary, store)
    rows = torch.arange(3)
    for ours, theirs in zip(table.batch(rows).inputs, judged.batch(rows).inputs, strict=True):
        assert torch.equal(ours, theirs)
    assert table.batch(rows).target.tolist() == [[0.0]] * 3 and judged.batch(rows).target.tolist() == [[1.0]] * 3
    answers = [vocabulary.answers[i] for i in table.batch(rows).target.argmax(1).tolist()]
    save_results(dict(zip(unjudged.question_id.tolist(), answers, strict=True)), tmp_path / "results.json")
    assert json.loads((tmp_path / "results.json").read_bytes())[2] == {"question_id": 2, "answer": "yes"}
    assert len(unjudged.subset(np.array([2, 0])) + unjudged.subset(np.array([1]))) == 3
    for ask in (lambda: unjudged.question_type, lambda: unjudged.modal_answer, lambda: build_vocabulary(unjudged)):
        with pytest.raises(ValueError, match=r"these 3 have none, as in test-dev; answer them .*save_results"):
            ask()
    with pytest.raises(ValueError, match="with and without annotations do not make one split"):
        train + unjudged


def test_questions_take_half_the_memory_of_dicts(tmp_path):
    """An entry of VQA's files with its share of all that repeats; a dict of it alone has 352 bytes."""
    questions = read_questions(*asked(str(tmp_path)))
    annotation = questions.annotations[0]
    parts = [annotation, annotation["answers"], annotation["question_id"]]
    assert sum(map(sys.getsizeof, parts)) < 320 and not gc.is_tracked(annotation)
    assert dict(annotation).keys() == {*annotation} and isinstance(annotation, Mapping)
    assert annotation["answers"][0] is questions.annotations[2]["answers"][9]
    assert annotation["question_type"] is questions.annotations[2]["question_type"]


def test_a_sign_that_the_locale_lacks_ends_no_command(monkeypatch):
    from vqabook import cli

    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, "latin-1", write_through=True))
    monkeypatch.setattr(sys, "argv", ["vqabook"])
    monkeypatch.setattr("vqabook.cli.app.app", lambda **_: print("é \u2192"))
    cli.main()
    assert written.getvalue() == b"\xe9 ?\n"
