"""easy-VQA (Victor Zhou, 2020; MIT licence; PyPI `easy-vqa` 1.0) in VQA v2's official layout, with region features.

5,000 images of one coloured shape, 64 pixels wide, and 48,248 questions with thirteen answers, of which each has one
right one: real files, made by no one here, for anyone with a package index.
"""

import json
import shutil
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from msgspec import Meta

from vqabook.data.json_files import read_entries
from vqabook.data.vqa_files import N_ANNOTATORS
from vqabook.features.writer import is_whole
from vqabook.files import written_whole

SPLITS = ("train", "test")
SHAPES = frozenset({"circle", "rectangle", "triangle"})
COLOURS = frozenset({"black", "blue", "brown", "gray", "green", "red", "teal", "yellow"})
_CONTENT = SHAPES | COLOURS | {"shape"}  # the words that fill the templates' gaps
_WITHOUT_GAP = 3  # words of "what shape is present?", which names nothing
INFO = {"description": "easy-VQA 1.0", "url": "https://github.com/vzhou842/easy-VQA", "version": "1.0"}


def prepare(source: Path, target: Path) -> None:
    """The unpacked wheel below `source` -> `target`: questions, annotations, images, `features.h5`.

    Images and questions are numbered anew, train before test, because both of the wheel's splits begin at 0: an image
    is images/<its id in five digits>.png, and a question its image's id and its place there, as in VQA v2. The one
    answer is written as all ten annotators'. Features: the recipe of the book's other ImageNet features, 49 regions of
    an EfficientNet-Lite0 map, 128 components.
    """
    from vqabook.features.extract import extract_features

    convert(source, target)
    out = target / "features.h5"
    if not is_whole(out):
        extract_features(target / "images", out, backbone="efficientnet-lite0", pca=128, levels=64)


def convert(source: Path, target: Path) -> None:
    """`prepare` without the features."""
    data = _data_folder(source)
    (target / "images").mkdir(parents=True, exist_ok=True)
    first = 0
    for split in SPLITS:
        ids = _copy_images(data / split / "images", target / "images", first)
        rows = _rows(data / split / "questions.json", ids)
        _write(target / f"{split}_questions.json", {"info": INFO, "questions": _questions(rows)})
        _write(target / f"{split}_annotations.json", {"info": INFO, "annotations": _annotations(rows)})
        first = max(ids.values()) + 1


def question_type(question: str) -> str:
    """The words before the first that names a colour or a shape, like VQA's types a prefix of the question.

    The templates that name none ("what shape is present?") have their first three words.
    """
    words = question.lower().rstrip(" ?").split()
    if words[:2] == ["what", "shape"]:
        return " ".join(words[:_WITHOUT_GAP])
    gap = next((i for i, word in enumerate(words) if word in _CONTENT), _WITHOUT_GAP)
    return " ".join(words[: gap or _WITHOUT_GAP])


def answer_type(answer: str) -> str:
    """One of VQA's three: yes/no, number, other."""
    if answer in ("yes", "no"):
        return "yes/no"
    return "number" if answer.isdecimal() else "other"


def _data_folder(source: Path) -> Path:
    for folder in (source, source / "data", source / "easy_vqa" / "data"):
        if all((folder / split / "questions.json").is_file() for split in SPLITS):
            return folder
    raise FileNotFoundError(
        f"easy-VQA's package holds easy_vqa/data/train/questions.json and its test twin, which are not below {source}; "
        "fetch it again: vqabook data fetch easy_vqa"
    )


def _copy_images(source: Path, target: Path, first: int) -> dict[int, int]:
    """Copies N.png to its new name; N -> image id."""
    ids: dict[int, int] = {}
    for path in sorted(source.glob("*.png"), key=lambda path: (len(path.stem), path.stem)):
        if not path.stem.isdecimal() or int(path.stem) in ids:
            raise ValueError(
                f"an image of easy-VQA has a number of its own as name, got {path.name} in {source}; fetch it again"
            )
        ids[int(path.stem)] = first + int(path.stem)
        shutil.copyfile(path, target / f"{first + int(path.stem):05d}.png")
    if not ids:
        raise FileNotFoundError(f"easy-VQA's images are <number>.png, {source} has none; fetch the set again")
    return ids


def _rows(path: Path, ids: dict[int, int]) -> list[dict]:
    """The file's [question, answer, image] triples with their new ids, in its order."""
    rule = "easy-VQA's questions are a list of [question, answer, image]"
    triples = list(read_entries(path, "questions", tuple[Annotated[str, Meta(min_length=1)], str, int], rule))
    if unknown := sorted({image for _, _, image in triples} - ids.keys()):
        raise ValueError(
            f"every question's image is among easy-VQA's: {len(unknown)} of {path} (first: {unknown[0]}) are not in "
            f"{path.parent / 'images'}; fetch the set again"
        )
    rows, asked = [], Counter()
    for question, answer, image in triples:
        labels = {"question": question, "answer": answer, "image_id": ids[image]}
        rows.append({**labels, "question_id": 1000 * ids[image] + asked[image]})
        asked[image] += 1
    return rows


def _questions(rows: Sequence[dict]) -> list[dict]:
    return [{field: row[field] for field in ("image_id", "question", "question_id")} for row in rows]


def _annotations(rows: Sequence[dict]) -> list[dict]:
    return [
        {
            "question_type": question_type(row["question"]),
            "multiple_choice_answer": row["answer"],
            "answers": [
                {"answer": row["answer"], "answer_confidence": "yes", "answer_id": i}
                for i in range(1, N_ANNOTATORS + 1)
            ],
            "image_id": row["image_id"],
            "answer_type": answer_type(row["answer"]),
            "question_id": row["question_id"],
        }
        for row in rows
    ]


def _write(path: Path, content: dict) -> None:
    with written_whole(path) as partial:
        partial.write_text(json.dumps(content), encoding="utf-8")
