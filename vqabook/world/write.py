"""The embedded world: a generated VQA benchmark in the official formats, needing no download.

`write_world` writes a folder with
  features.h5                  region features [n, o, d] as uint8 codes, `image_ids`, `scale`, `offset`, `boxes`
  scenes.json                  scene graphs in the manner of CLEVR
  changing_{train,test}_{questions,annotations}.json   the VQA-CP layout, split by `changing_prior_split`
  same_{train,test}_{questions,annotations}.json       the VQA v2 layout, the same pool split at random, same sizes
  world.json                   the knobs
  checksums                    CRC-32 of each file
Beyond the official keys a question has `question_family` and `relevant_regions`, the stand-in for human attention.
"""

import hashlib
import io
import json
import os
import zlib
from collections import Counter
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path

import h5py
import numpy as np
from jaxtyping import Float

from vqabook import splits
from vqabook.files import damage_of, read_or_make, written_whole
from vqabook.splits import changing_prior_split, same_prior_split
from vqabook.world.questions import annotate, ask, modal_answer
from vqabook.world.render import render
from vqabook.world.scenes import ATTRIBUTES, VALUES, Scenes, World, region_features, sample_scenes

COCO_SPLIT = {"coco_split": "shapes"}  # a key of the VQA-CP layout: where the image comes from


def write_world(world: World, folder: str | os.PathLike) -> None:
    """Write the world into `folder`, whole or not at all; equal worlds give equal bytes.

    A folder that holds this very world is kept as it is; a folder or file with anything else in it, also with files
    that are damaged, is refused with FileExistsError.
    """
    folder = Path(folder)
    if not _holds(folder, world):
        try:
            with written_whole(folder) as partial:
                partial.mkdir()
                _write_files(world, partial)
        except OSError:
            if not _holds(folder, world):  # if it does, another process was first
                raise


def find_world(world: World, cache: Path) -> Path:
    """The folder of the world below `cache`; written on first use, when its code was edited, and if it is damaged."""
    folder = cache / f"shapes-{hashlib.sha256(repr(world).encode() + _code()).hexdigest()[:12]}"
    return read_or_make(folder, lambda folder: check_world(world, folder), lambda folder: write_world(world, folder))


@lru_cache
def _code() -> bytes:
    """The source of what makes a world."""
    return b"".join(path.read_bytes() for path in (*sorted(Path(__file__).parent.glob("*.py")), Path(splits.__file__)))


def check_world(world: World, folder: Path) -> Path:
    """`folder`, if every byte of it is as this world was written; raises if not."""
    if json.loads((folder / "world.json").read_bytes()) != _identity(world):
        raise ValueError("it is of other knobs")
    for name, value in json.loads((folder / "checksums").read_bytes()).items():
        if zlib.crc32((folder / name).read_bytes()) != value:
            raise ValueError(f"{name} has other bytes")
    return folder


def _identity(world: World) -> dict:
    return json.loads(json.dumps(asdict(world)))


def _holds(folder: Path, world: World) -> bool:
    """Whether the folder holds this world; raises FileExistsError if it holds something else."""
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return False
    try:
        check_world(world, folder)
    except Exception as error:  # whatever damaged bytes lead to
        raise FileExistsError(
            "a world is written into a new or empty folder, or reused if every knob is the same: "
            f"{folder} holds something else ({damage_of(folder, error)}); choose another folder or remove it"
        ) from error
    return True


def _write_files(world: World, folder: Path) -> None:
    rng = np.random.default_rng(world.seed)
    scenes = sample_scenes(world, rng)
    features, boxes = region_features(world, scenes, rng)
    _write_features(folder / "features.h5", features, boxes)
    _dump({"info": {"split": "pool"}, "scenes": _scene_graphs(scenes)}, folder / "scenes.json")
    questions, annotations = _pool(world, scenes, rng)
    types = [annotation["question_type"] for annotation in annotations]
    answers = [annotation["multiple_choice_answer"] for annotation in annotations]
    changing = changing_prior_split(types, answers, seed=world.seed)
    same = same_prior_split(len(types), test_fraction=len(changing[1]) / len(types), seed=world.seed)
    for name, changed, kept in zip(("train", "test"), changing, same, strict=True):
        header = {"info": {}, "license": {}, "data_type": "shapes", "data_subtype": name}
        headers = {"questions": header | {"task_type": "Open-Ended"}, "annotations": header}
        for part, entries in (("questions", questions), ("annotations", annotations)):
            _dump([entries[i] | COCO_SPLIT for i in changed], folder / f"changing_{name}_{part}.json")
            _dump(headers[part] | {part: [entries[i] for i in kept]}, folder / f"same_{name}_{part}.json")
    _dump(_identity(world), folder / "world.json")
    _dump({path.name: zlib.crc32(path.read_bytes()) for path in sorted(folder.iterdir())}, folder / "checksums")


def _dump(content: dict | list, path: Path) -> None:
    path.write_text(json.dumps(content), encoding="utf-8")


def _write_features(path: Path, features: Float[np.ndarray, "n o d"], boxes: Float[np.ndarray, "n o 4"]) -> None:
    """Codes of 256 levels between each dimension's extremes: x = codes * scale + offset."""
    offset = features.min((0, 1))
    scale = np.maximum((features.max((0, 1)) - offset) / 255, np.finfo(np.float32).tiny)
    content = io.BytesIO()  # HDF5 would end the process if the disk were full
    with h5py.File(content, "w") as file:
        file["features"] = np.rint((features - offset) / scale).astype(np.uint8)
        file["image_ids"] = np.arange(1, len(features) + 1)
        file["scale"], file["offset"], file["boxes"] = scale, offset, boxes
    path.write_bytes(content.getbuffer())


def _scene_graphs(scenes: Scenes) -> list[dict]:
    """Scene graphs in the manner of CLEVR; `region` is an object's place in the feature file."""
    boxes = scenes.boxes
    graphs = []
    for image, present in enumerate(scenes.present):
        objects = []
        for region in np.flatnonzero(present).tolist():
            values, seen = scenes.values[image, region], np.round(scenes.visibility[image, region], 3).tolist()
            named = {attribute: VALUES[attribute][value] for attribute, value in zip(ATTRIBUTES, values, strict=True)}
            position = np.round(scenes.centre[image, region], 4).tolist()
            box = np.round(boxes[image, region], 2).tolist()
            visibility = dict(zip(ATTRIBUTES, seen, strict=True))
            objects.append(named | {"region": region, "position": position, "box": box, "visibility": visibility})
        ids = {"image_index": image, "image_id": image + 1, "image_filename": f"{image + 1}.png"}
        graphs.append(ids | {"objects": objects})
    return graphs


def examples(folder: str | os.PathLike, n: int, *, size: int = 256) -> list[dict]:
    """The first `n` images of a written world, each {"image": picture, "asked": [(question, votes), ...]}."""
    folder = Path(folder)
    scenes = json.loads((folder / "scenes.json").read_bytes())["scenes"][:n]
    asked: dict[int, list] = {scene["image_id"]: [] for scene in scenes}
    for name in ("train", "test"):
        questions = json.loads((folder / f"same_{name}_questions.json").read_bytes())["questions"]
        annotations = json.loads((folder / f"same_{name}_annotations.json").read_bytes())["annotations"]
        for question, annotation in zip(questions, annotations, strict=True):
            if question["image_id"] in asked:
                votes = Counter(answer["answer"] for answer in annotation["answers"])
                asked[question["image_id"]].append((question["question"], dict(votes.most_common())))
    return [{"image": render(scene, size), "asked": asked[scene["image_id"]]} for scene in scenes]


def _pool(world: World, scenes: Scenes, rng: np.random.Generator) -> tuple[list[dict], list[dict]]:
    """All questions and their annotations in the official layout, row by row."""
    pool = ask(scenes, world.n_questions, world.prior, rng)
    votes = annotate(pool, disagreement=world.disagreement, synonyms=world.synonyms, rng=rng)
    questions, annotations = [], []
    n_of_image: Counter[int] = Counter()
    for question, answers in zip(pool, votes, strict=True):
        image_id = question.image + 1
        ids = {"image_id": image_id, "question_id": image_id * 1000 + n_of_image[image_id]}
        n_of_image[image_id] += 1
        extras = {"question_family": question.type.family, "relevant_regions": question.relevant}
        questions.append(ids | {"question": question.text} | extras)
        modal = modal_answer(answers, question.answer)
        named = {"question_type": question.type.name, "multiple_choice_answer": modal}
        votes_of = [
            {"answer": answer, "answer_confidence": "yes" if answer == modal else "maybe", "answer_id": i}
            for i, answer in enumerate(answers, 1)
        ]
        annotations.append(named | {"answers": votes_of, "answer_type": question.type.answer_type} | ids)
    return questions, annotations
