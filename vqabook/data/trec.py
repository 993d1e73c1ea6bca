"""TREC question classification: what kind of thing a question asks for; six classes, fifty fine ones.

Li and Roth, "Learning Question Classifiers", 2002, in NLTK's collection of data: qc.zip with train.txt and test.txt,
latin-1, a line `COARSE:fine the question , as tokens ?`.
"""

import os
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from vqabook.core import Table
from vqabook.data.vqa import encode_tokens
from vqabook.files import DAMAGED_ARCHIVE, advise, tell_damage, without_mark

LABELS = ("ABBR", "DESC", "ENTY", "HUM", "LOC", "NUM")
NAMES = ("abbreviation", "description", "entity", "human", "location", "number")


@dataclass(frozen=True)
class Trec:
    """The official splits; target: a place in `LABELS`. Word 0 pads, word 1 stands for all that `words` lacks."""

    train: Table
    test: Table
    words: Mapping[str, int]
    fine_labels: tuple[str, ...]


def load_trec(root: str | os.PathLike) -> Trec:
    """Inputs: word ids [n, t], right-padded to the longest question of both splits. side: "fine", a place in
    `fine_labels` (train's; one that train lacks gets the id after the last).

    `root` is data_root, an nltk_data folder, or the folder qc itself. Tokens are the corpus's own, split at spaces
    (punctuation is a token already) and lower-cased; those of train have an id.
    """
    train, test = (_parse(*_read(Path(root), name)) for name in ("train.txt", "test.txt"))
    known = sorted({token for _, tokens in train for token in tokens})
    words = {word: i for i, word in enumerate(known, start=2)}
    fine_labels = tuple(sorted({fine for fine, _ in train}))
    width = max(len(tokens) for _, tokens in train + test)
    learnt, asked = (_table(lines, words, fine_labels, width) for lines in (train, test))
    return Trec(learnt, asked, words, fine_labels)


def _read(root: Path, name: str) -> tuple[str, str]:
    """The text of one file, and where it was found: below `root` unpacked, or in qc.zip."""
    folders = [root / "nltk_data" / "corpora", root / "corpora", root]
    for place in [*(folder / "qc" / name for folder in folders), root / name]:
        if place.exists():
            with tell_damage(place, f"TREC has {name}"):
                return _decode(place.read_bytes()), str(place)
    for place in (folder / "qc.zip" for folder in folders):
        if place.exists():
            damage = (*DAMAGED_ARCHIVE, KeyError)  # the last: it has no such member
            with tell_damage(place, f"TREC is a zip file with qc/{name}", *damage), zipfile.ZipFile(place) as archive:
                return _decode(archive.read(f"qc/{name}")), f"{place}/qc/{name}"
    raise FileNotFoundError(
        f"TREC is read from nltk_data/corpora/qc.zip or a folder qc with {name}, and {root} has neither; "
        "check data_root or fetch the set"
    )


def _decode(text: bytes) -> str:
    """Latin-1, as the corpus is; UTF-8 of a file that an editor has marked as such."""
    plain = without_mark(text)
    return bytes(plain).decode("latin-1" if plain is text else "utf-8", errors="replace")


def _parse(text: str, where: str) -> list[tuple[str, list[str]]]:
    """The fine label and the tokens of each line."""
    lines = []
    for number, line in enumerate(text.splitlines(), start=1):
        fine, _, question = line.partition(" ")
        coarse, _, detail = fine.partition(":")
        if coarse not in LABELS or not detail or not question.split():
            raise ValueError(
                f"a line is COARSE:fine and a question, COARSE one of {', '.join(LABELS)}; line {number} of {where} is "
                f"{line[:60]!r}; {advise(where)}"
            )
        lines.append((fine, question.lower().split()))
    if not lines:
        raise ValueError(f"a split has a question a line, {where} is empty; {advise(where)}")
    return lines


def _table(
    lines: list[tuple[str, list[str]]], words: Mapping[str, int], fine_labels: tuple[str, ...], width: int
) -> Table:
    fine_ids = {name: i for i, name in enumerate(fine_labels)}
    return Table(
        inputs=(encode_tokens([tokens for _, tokens in lines], words, width),),
        target=torch.tensor([LABELS.index(fine.partition(":")[0]) for fine, _ in lines]),
        n_classes=len(LABELS),
        side={"fine": torch.tensor([fine_ids.get(fine, len(fine_ids)) for fine, _ in lines])},
    )
