"""easy-VQA (Victor Zhou, 2020; MIT licence; PyPI `easy-vqa` 1.0) in VQA v2's official layout, with region features.

5,000 images of one coloured shape, 64 pixels wide, and 48,248 questions with thirteen answers, of which each has one
right one: real files, made by no one here, for anyone with a package index.
"""

import json
import os
import shutil
from collections import Counter
from pathlib import Path
from typing import Annotated

from msgspec import Meta

from vqabook.data.json_files import read_entries
from vqabook.data.vqa import N_ANNOTATORS
from vqabook.features.writer import is_whole
from vqabook.files import written_whole

SPLITS = ("train", "test")
SHAPES = frozenset({"circle", "rectangle", "triangle"})
COLOURS = frozenset({"black", "blue", "brown", "gray", "green", "red", "teal", "yellow"})
_CONTENT = SHAPES | COLOURS | {"shape"}  # the words that fill the templates' gaps
_WITHOUT_GAP = 3  # words of "what shape is present?", which names nothing
INFO = {"description": "easy-VQA 1.0", "url": "https://github.com/vzhou842/easy-VQA", "version": "1.0"}


def prepare(source: str | os.PathLike, target: str | os.PathLike) -> None:
    """The unpacked wheel below `source` -> `target`: questions, annotations, images, `features.h5`.

    Images and questions are numbered anew, train before test, because both of the wheel's splits begin at 0: an image
    is images/<its id in five digits>.png, and a question its image's id and its place there, as in VQA v2. The one
    answer is written as all ten annotators'. Features: the recipe of the book's other ImageNet features, 49 regions of
    an EfficientNet-Lite0 map, 128 components.
    """
    from vqabook.features.extract import extract_features

    convert(source, target)
    target = Path(target)
    out = target / "features.h5"
    if not is_whole(out):
        extract_features(target / "images", out, backbone="efficientnet-lite0", pca=128, levels=64)


def convert(source: str | os.PathLike, target: str | os.PathLike) -> None:
    """`prepare` without the features."""
    target, data = Path(target), _data_folder(Path(source))
    (target / "images").mkdir(parents=True, exist_ok=True)
    first = 0
    for split in SPLITS:
        ids = _copy_images(data / split / "images", target / "images", first)
        for part, rows in _read_questions(data / split / "questions.json", ids).items():
            with written_whole(target / f"{split}_{part}.json") as partial:
                partial.write_text(json.dumps({"info": INFO, part: rows}), encoding="utf-8")
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


def _read_questions(path: Path, ids: dict[int, int]) -> dict[str, list[dict]]:
    """The official questions and annotations of the file's [question, answer, image] triples, in its order."""
    rule = "easy-VQA's questions are a list of [question, answer, image]"
    triples = list(read_entries(path, "questions", tuple[Annotated[str, Meta(min_length=1)], str, int], rule))
    if unknown := sorted({image for _, _, image in triples} - ids.keys()):
        raise ValueError(
            f"every question's image is among easy-VQA's: {len(unknown)} of {path} (first: {unknown[0]}) are not in "
            f"{path.parent / 'images'}; fetch the set again"
        )
    questions: list[dict] = []
    annotations: list[dict] = []
    asked: Counter[str] = Counter()
    for question, answer, image in triples:
        number = 1000 * ids[image] + asked[image]
        asked[image] += 1
        questions.append({"image_id": ids[image], "question": question, "question_id": number})
        votes = [{"answer": answer, "answer_confidence": "yes", "answer_id": i} for i in range(1, N_ANNOTATORS + 1)]
        labels = {"question_type": question_type(question), "multiple_choice_answer": answer, "answers": votes}
        ids_of = {"image_id": ids[image], "answer_type": answer_type(answer), "question_id": number}
        annotations.append(labels | ids_of)
    return {"questions": questions, "annotations": annotations}
