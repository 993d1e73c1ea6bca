"""TREC: golden counts, the corpus as a plain reading of the zip gives it, and refused files."""

from __future__ import annotations

import zipfile

import pytest
import torch

from vqabook.data.trec import LABELS, load_trec

TRAIN = """NUM:dist How far is it from Denver to Aspen ?
LOC:city What county is Modesto , California in ?
DESC:def What is an atom ?
ABBR:exp What does S.O.S. stand for ?
ENTY:food What is a pastry ?
HUM:ind Who was Galileo \xe9 ?
"""
TEST = "NUM:count How many caf\xe9s is it ?\nDESC:def What is what ?\n"


def write(folder, train=TRAIN, test=TEST, *, zipped=False) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in {"train.txt": train, "test.txt": test}.items():
        if zipped:
            with zipfile.ZipFile(folder / "qc.zip", "a") as archive:
                archive.writestr(f"qc/{name}", text.encode("latin-1"))
        else:
            (folder / "qc").mkdir(exist_ok=True)
            (folder / "qc" / name).write_bytes(text.encode("latin-1"))


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("place", ["nltk_data/corpora", "corpora", "."])
def test_every_layout(tmp_path, place, zipped):
    write(tmp_path / place, zipped=zipped)
    trec = load_trec(tmp_path)
    assert [LABELS[i] for i in trec.train.target] == ["NUM", "LOC", "DESC", "ABBR", "ENTY", "HUM"]
    assert [LABELS[i] for i in trec.test.target] == ["NUM", "DESC"] and trec.test.n_classes == 6
    assert "\xe9" in trec.words  # latin-1


def test_words_and_fine_labels(tmp_path):
    write(tmp_path)
    trec = load_trec(tmp_path / "qc")
    text = {i: w for w, i in trec.words.items()} | {1: "<unk>"}
    rows = [[text[i] for i in row if i] for row in trec.test.inputs[0].tolist()]
    assert rows == [["how", "<unk>", "<unk>", "is", "it", "?"], ["what", "is", "what", "?"]]
    assert trec.train.inputs[0].shape == (6, 9) and trec.words.keys() >= {",", "s.o.s.", "\xe9", "galileo"}
    assert trec.fine_labels == ("ABBR:exp", "DESC:def", "ENTY:food", "HUM:ind", "LOC:city", "NUM:dist")
    assert trec.test.side["fine"].tolist() == [6, 1]  # NUM:count is not in train


@pytest.mark.parametrize(
    "line", ["NUM How far ?", "NUMBER:dist How ?", "NUM:dist", "NUM: How ?", "<html>", "", "NUM:x  "]
)
def test_bad_lines(tmp_path, line):
    write(tmp_path, test=TEST + line + "\n")
    with pytest.raises(
        ValueError, match="a line is COARSE:fine and a question, .*; line 3 of .*test.txt is .*bring a whole"
    ):
        load_trec(tmp_path)


def test_missing_and_damaged_files(tmp_path):
    with pytest.raises(FileNotFoundError, match="qc.zip or a folder qc with train.txt, and .* has neither; check"):
        load_trec(tmp_path)
    write(tmp_path, zipped=True)
    whole = (tmp_path / "qc.zip").read_bytes()
    (tmp_path / "qc.zip").write_bytes(whole[:-30])
    with pytest.raises(ValueError, match=r"a zip file with qc/train.txt: .*qc.zip is not \(.*\); bring a whole copy"):
        load_trec(tmp_path)
    with zipfile.ZipFile(tmp_path / "qc.zip", "w") as archive:
        archive.writestr("other.txt", "x")
    with pytest.raises(ValueError, match="a zip file with qc/train.txt: .*qc.zip is not"):
        load_trec(tmp_path)


def test_an_empty_split(tmp_path):
    write(tmp_path, test="")
    with pytest.raises(ValueError, match="a split has a question a line, .*test.txt is empty"):
        load_trec(tmp_path)


def test_golden_counts(real_data):
    trec = load_trec(real_data("nltk_data"))
    counts = [torch.bincount(table.target, minlength=6).tolist() for table in (trec.train, trec.test)]
    assert counts == [[86, 1162, 1250, 1223, 835, 896], [9, 138, 94, 65, 81, 113]]
    assert len(trec.fine_labels) == 50 and (trec.test.side["fine"] < 50).all()
    assert (trec.train.inputs[0] != 1).all()  # every word of train is known


def test_the_same_as_a_plain_reading(real_data):
    root = real_data("nltk_data")
    trec = load_trec(root)
    text = {i: w for w, i in trec.words.items()}
    for table, name in ((trec.train, "train.txt"), (trec.test, "test.txt")):
        lines = zipfile.ZipFile(root / "corpora" / "qc.zip").read(f"qc/{name}").decode("latin-1").splitlines()
        for words, target, line in zip(table.inputs[0].tolist(), table.target.tolist(), lines, strict=True):
            label, *tokens = line.split()
            assert LABELS[target] == label.split(":")[0]
            assert [text.get(i, w.lower()) for i, w in zip(words, tokens, strict=False)] == [w.lower() for w in tokens]
            assert words.count(0) + len(tokens) == len(words)
