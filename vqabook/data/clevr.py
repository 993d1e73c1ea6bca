"""CLEVR: questions that need reasoning, about scenes whose objects are known exactly.

Johnson et al., "CLEVR: A Diagnostic Dataset for Compositional Language and Elementary Visual Reasoning", 2017,
arXiv:1612.06890. Official layout: CLEVR_v1.0/{questions,scenes,images}/; the files may also lie flat in the folder,
plain or gzipped. The test split has neither answers nor scenes, so there is no Table of it.
"""

import contextlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import accumulate, chain
from pathlib import Path
from typing import Annotated, Literal, NamedTuple, get_args

import msgspec
import numpy as np
import torch
from jaxtyping import Int

from vqabook.core import Table
from vqabook.data.json_files import check_unique, plain_or_gz, read_entries
from vqabook.data.vqa import encode_words, tokenise
from vqabook.features.store import FeatureStore, Gather

Split = Literal["train", "val"]

# The order of the generator's image_generation/data/properties.json.
Shape = Literal["cube", "sphere", "cylinder"]
Color = Literal["gray", "red", "blue", "green", "brown", "purple", "cyan", "yellow"]
Size = Literal["large", "small"]
Material = Literal["rubber", "metal"]
ATTRIBUTES: dict[str, tuple[str, ...]] = {
    "shape": get_args(Shape),
    "color": get_args(Color),
    "size": get_args(Size),
    "material": get_args(Material),
}
# What a question asks for -> its possible answers; 28 in all.
ANSWER_KINDS = {"yes/no": ("yes", "no"), "number": tuple(map(str, range(11))), **ATTRIBUTES}
ANSWERS = tuple(chain.from_iterable(ANSWER_KINDS.values()))
# Template file -> number of its templates, in the order in which the release numbers its 90 families: the generator's
# author names it in github.com/facebookresearch/clevr-dataset-gen/issues/14.
TEMPLATES = dict(compare_integer=9, comparison=16, three_hop=6, single_and=5, same_relate=28)
TEMPLATES |= dict(single_or=8, one_hop=6, two_hop=6, zero_hop=6)
FAMILIES = tuple((template, i) for template, n in TEMPLATES.items() for i in range(n))
MAX_OBJECTS = 10
# 3-D coordinates lie in [-3, 3]; pixels in a 480 x 320 image; the third pixel coordinate, the distance from the
# camera, is below 16. Divided by these, all are of order one.
SCALE = np.array([3, 3, 3, 480, 320, 16], dtype=np.float32)
STATE_WIDTH = sum(map(len, ATTRIBUTES.values())) + len(SCALE)  # 15 one-hot places + 6 coordinates


@dataclass(frozen=True)
class Clevr:
    """Both splits with answers, and the word ids of train: 0 pads, 1 is a word that train lacks."""

    train: Table
    val: Table
    words: Mapping[str, int]


class _Object(msgspec.Struct):
    shape: Shape
    color: Color
    size: Size
    material: Material
    pixel_coords: tuple[float, float, float]
    coords: tuple[float, float, float] = msgspec.field(name="3d_coords")


class _Scene(msgspec.Struct):
    image_index: int
    objects: Annotated[list[_Object], msgspec.Meta(max_length=MAX_OBJECTS)]


class _Question(msgspec.Struct):
    image_index: int
    question: str
    answer: bool | int | str
    question_family_index: int
    template_filename: str | None = None


class _Questions(NamedTuple):
    text: list[str]
    image: Int[np.ndarray, " n"]
    answer: Int[np.ndarray, " n"]
    family: Int[np.ndarray, " n"]


def load_clevr(folder: str | os.PathLike, *, features: Mapping[str, FeatureStore] | None = None) -> Clevr:
    """Inputs (image row, words), looked up as (regions [b, o, d], words [b, t]); target: a place in `ANSWERS`.

    Regions are `scene_features` unless `features` gives "train" and "val" stores by image index. Words are UpDn's
    tokens with the semicolon as a token of its own, padded to the longest question. side: "family" (a place in
    `FAMILIES`) and "image" (the official index, which starts anew in each split).
    """
    if features is None:
        features = {split: scene_features(folder, split) for split in ("train", "val")}
    read = {split: _read_questions(folder, split) for split in ("train", "val")}
    known = {word for text in read["train"].text for word in tokenise(text)}
    words = {word: i for i, word in enumerate(sorted(known), start=2)}
    width = max(len(tokenise(text)) for questions in read.values() for text in questions.text)
    train, val = (_table(read[split], features[split], words, width) for split in ("train", "val"))
    return Clevr(train, val, words)


def scene_features(folder: str | os.PathLike, split: Split) -> FeatureStore:
    """Objects as regions [n, 10, 21], zeros after a scene's last: one-hot `ATTRIBUTES`, 3-D and pixel coordinates.

    Coordinates are divided by `SCALE`. A row's image id is its image index.
    """
    path = _find(folder, "scenes", f"CLEVR_{split}_scenes.json")
    rule = (
        f"a CLEVR scene has an image_index and at most {MAX_OBJECTS} objects with {', '.join(ATTRIBUTES)}, coordinates"
    )
    starts = dict(zip(ATTRIBUTES, accumulate(map(len, ATTRIBUTES.values()), initial=0), strict=False))
    scenes = list(read_entries(path, "scenes", _Scene, rule))
    states = np.zeros((len(scenes), MAX_OBJECTS, STATE_WIDTH), dtype=np.float32)
    for state, scene in zip(states, scenes, strict=True):
        for row, thing in zip(state, scene.objects, strict=False):
            row[[starts[kind] + values.index(getattr(thing, kind)) for kind, values in ATTRIBUTES.items()]] = 1
            row[-len(SCALE) :] = (*thing.coords, *thing.pixel_coords) / SCALE
    image_ids = np.array([scene.image_index for scene in scenes], dtype=np.int64)
    check_unique(image_ids.tolist(), "each image has one scene", path)
    return FeatureStore(path, image_ids, torch.from_numpy(states), None, None)


def _find(folder: str | os.PathLike, part: str, name: str) -> Path:
    folder = Path(folder)
    places = [folder / "CLEVR_v1.0" / part / name, folder / part / name, folder / name]
    for place in places:
        with contextlib.suppress(FileNotFoundError):
            return plain_or_gz(place)
    raise FileNotFoundError(
        f"CLEVR's {name} is looked for in {places[0].parent}, {places[1].parent} and {folder}, and in none of them; "
        "check data_root or fetch the set"
    )


def _read_questions(folder: str | os.PathLike, split: Split) -> _Questions:
    """The questions' columns; their programs, most of the file, are dropped while reading."""
    path = _find(folder, "questions", f"CLEVR_{split}_questions.json")
    answer_ids = {answer: i for i, answer in enumerate(ANSWERS)}
    rule = "a CLEVR question has an image_index, a question, an answer and a question_family_index"
    text, columns = [], []
    for n, entry in enumerate(read_entries(path, "questions", _Question, rule)):
        name = ("no", "yes")[entry.answer] if isinstance(entry.answer, bool) else str(entry.answer).lower()
        if name not in answer_ids:
            raise ValueError(
                f"CLEVR has {len(ANSWERS)} answers: {', '.join(ANSWERS)}; question {n} in {path} has {entry.answer!r}; "
                "use the official file"
            )
        text.append(entry.question.replace(";", " ; "))
        columns.append((entry.image_index, answer_ids[name], _family(entry, f"question {n} in {path}")))
    return _Questions(text, *np.array(columns, dtype=np.int64).T.copy())


def _family(question: _Question, where: str) -> int:
    """The release numbers families 0 to 89; the published generator numbers them within `template_filename`."""
    index, template = question.question_family_index, question.template_filename
    if template is None:
        first, n = 0, len(FAMILIES)
    else:
        name = template.removesuffix(".json")
        first, n = (FAMILIES.index((name, 0)), TEMPLATES[name]) if name in TEMPLATES else (0, 0)
    if not 0 <= index < n:
        raise ValueError(
            f"a question's family is 0 to {len(FAMILIES) - 1}, or one of its template file's: "
            f"{', '.join(f'{n} in {t}' for t, n in TEMPLATES.items())}; {where} has {index} of {template}; "
            "use the official file"
        )
    return first + index


def _table(questions: _Questions, features: FeatureStore, words: Mapping[str, int], width: int) -> Table:
    return Table(
        inputs=(
            torch.from_numpy(features.rows_of(questions.image)),
            encode_words(questions.text, dict(words), max_words=width),
        ),
        target=torch.from_numpy(questions.answer),
        n_classes=len(ANSWERS),
        side={"family": torch.from_numpy(questions.family), "image": torch.from_numpy(questions.image)},
        lookup=Gather(features),
    )
