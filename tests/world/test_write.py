"""The embedded world is honest: right with the true attributes, no better than the prior without the image."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections import Counter
from pathlib import Path

import h5py
import numpy as np
import pytest
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression

from vqabook.world import write as shapes
from vqabook.world.render import render
from vqabook.world.write import World, find_world, write_world

SMALL = World(n_train=3000)
LAYOUTS = {"changing": list, "same": dict}


def read(folder: Path, split: str, side: str) -> tuple[list[dict], list[dict]]:
    """Questions and annotations of one file pair, whatever the layout."""
    paths = [folder / f"{split}_{side}_{kind}.json" for kind in ("questions", "annotations")]
    content = [json.loads(path.read_text()) for path in paths]
    if LAYOUTS[split] is dict:
        content = [content[0]["questions"], content[1]["annotations"]]
    return content[0], content[1]


def accuracy(prediction: str, annotation: dict) -> float:
    return min(1.0, 0.3 * sum(vote["answer"] == prediction for vote in annotation["answers"]))


def top_answers(annotations: list[dict]) -> dict[str, Counter]:
    priors: dict[str, Counter] = {}
    for a in annotations:
        priors.setdefault(a["question_type"], Counter())[a["multiple_choice_answer"]] += 1
    return priors


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("shapes") / "world"
    write_world(SMALL, folder)
    return folder


@pytest.fixture(scope="module")
def scenes(world) -> dict[int, list[dict]]:
    graphs = json.loads((world / "scenes.json").read_text())["scenes"]
    return {graph["image_id"]: graph["objects"] for graph in graphs}


# The reference: answers a question from its words and the scene graph alone, sharing no code with the generator.

WORDS = {
    "size": "small medium large",
    "color": "red blue green yellow purple brown gray orange black white",
    "material": "metal rubber glass wood",
    "shape": "cube sphere cylinder cone pyramid ring star",
}
KIND = {word: kind for kind, words in WORDS.items() for word in words.split()}
SIDE = {
    "to the left of": lambda a, b: a[0] < b[0],
    "to the right of": lambda a, b: a[0] > b[0],
    "above": lambda a, b: a[1] < b[1],
    "below": lambda a, b: a[1] > b[1],
}
PHRASE = r"((?:\w+ )*?(?:\w+))"
RELATION = f"({'|'.join(SIDE)})"


def find(phrase: str, objects: list[dict]) -> list[dict]:
    named = [word for word in (w.removesuffix("s") if w not in KIND else w for w in phrase.split()) if word in KIND]
    return [thing for thing in objects if all(thing[KIND[word]] == word for word in named)]


def yes(truth: bool | list) -> str:
    return "yes" if truth else "no"


def alike(attribute: str, first: str, second: str, objects: list[dict]) -> bool:
    return find(first, objects)[0][attribute] == find(second, objects)[0][attribute]


def zone(thing: dict) -> str:
    x, y = (c - 0.5 for c in thing["position"])
    if max(abs(x), abs(y)) < 0.2:
        return "center"
    return ("left", "right")[x > 0] if abs(x) >= abs(y) else ("top", "bottom")[y > 0]


def nearest(thing: dict, objects: list[dict]) -> dict:
    others = [other for other in objects if other is not thing]
    return min(others, key=lambda other: np.hypot(*np.subtract(other["position"], thing["position"])))


def on_side(found: list[dict], relation: str, anchor: dict) -> list[dict]:
    return [t for t in found if t is not anchor and SIDE[relation](t["position"], anchor["position"])]


RULES = {
    rf"is there an? {PHRASE}": lambda o, p: yes(find(p, o)),
    rf"are there any {PHRASE} {RELATION} the {PHRASE}": lambda o, p, r, q: yes(on_side(find(p, o), r, *find(q, o))),
    rf"are there more {PHRASE} than {PHRASE}": lambda o, p, q: yes(len(find(p, o)) > len(find(q, o))),
    rf"does the {PHRASE} have the same (\w+) as the {PHRASE}": lambda o, p, k, q: yes(alike(k, p, q, o)),
    rf"are the {PHRASE} and the {PHRASE} the same (\w+)": lambda o, p, q, k: yes(alike(k, p, q, o)),
    rf"is the {PHRASE} (\w+)": lambda o, p, word: yes(find(p, o)[0][KIND[word]] == word),
    rf"how many objects are {RELATION} the {PHRASE}": lambda o, r, p: str(len(on_side(o, r, *find(p, o)))),
    r"how many things are in the image": lambda o: str(len(o)),
    rf"(?:how many|what number of) {PHRASE} are (?:there|shown)": lambda o, p: str(len(find(p, o))),
    rf"what color object is nearest to the {PHRASE}": lambda o, p: nearest(*find(p, o), o)["color"],
    rf"what is next to the {PHRASE}": lambda o, p: nearest(*find(p, o), o)["shape"],
    rf"(?:what material is|what is) the {PHRASE} made of": lambda o, p: find(p, o)[0]["material"],
    rf"what kind of shape does the {PHRASE} have": lambda o, p: find(p, o)[0]["shape"],
    rf"how big is the {PHRASE}": lambda o, p: find(p, o)[0]["size"],
    rf"what is the color of the {PHRASE}": lambda o, p: find(p, o)[0]["color"],
    rf"what (color|shape|size) is the {PHRASE}": lambda o, k, p: find(p, o)[0][k],
    rf"where is the {PHRASE}": lambda o, p: zone(*find(p, o)),
    rf"what part of the image is the {PHRASE} in": lambda o, p: zone(*find(p, o)),
    rf"which side is the {PHRASE} on": lambda o, p: ("left", "right")[find(p, o)[0]["position"][0] > 0.5],
}


def answer_from_attributes(question: str, objects: list[dict]) -> str:
    for pattern, rule in RULES.items():
        if match := re.fullmatch(pattern + r"\?", question.lower()):
            return rule(objects, *match.groups())
    raise AssertionError(f"no rule reads {question!r}")


def test_true_attributes_answer_nearly_every_question(world, scenes):
    scores = []
    for side in ("train", "test"):
        for question, annotation in zip(*read(world, "same", side), strict=True):
            answer = answer_from_attributes(question["question"], scenes[question["image_id"]])
            scores.append(accuracy(answer, annotation))
    assert len(scores) == 4500
    assert np.mean(scores) > 0.98


def test_a_question_only_model_does_no_better_than_the_prior_of_the_type(world):
    text, truth, annotations = {}, {}, {}
    for side in ("train", "test"):
        questions, annotations[side] = read(world, "same", side)
        text[side] = [question["question"] for question in questions]
        truth[side] = [annotation["multiple_choice_answer"] for annotation in annotations[side]]
    words = CountVectorizer(ngram_range=(1, 2), binary=True).fit(text["train"])
    model = LogisticRegression(C=0.3, max_iter=300).fit(words.transform(text["train"]), truth["train"])
    priors = top_answers(annotations["train"])
    guesses = model.predict(words.transform(text["test"]))
    learnt = np.mean([accuracy(guess, a) for guess, a in zip(guesses, annotations["test"], strict=True)])
    prior = np.mean([accuracy(priors[a["question_type"]].most_common(1)[0][0], a) for a in annotations["test"]])
    assert learnt < prior + 0.02
    assert prior < 0.65


def test_features_show_most_attributes_but_not_all():
    rng = np.random.default_rng(0)
    drawn = shapes.sample_scenes(World(n_train=8000), rng)
    features, _ = shapes.region_features(World(n_train=8000), drawn, rng)
    inputs, values = features[drawn.present], drawn.values[drawn.present]
    half = len(inputs) // 2
    scores = []
    for value in values.T:
        probe = LogisticRegression(max_iter=200, tol=1e-3).fit(inputs[:half], value[:half])
        scores.append(probe.score(inputs[half:], value[half:]))
    assert 0.78 < np.mean(scores) < 0.92
    assert min(scores) > 0.7 and max(scores) < 0.95


def test_priors_change_in_one_split_and_not_in_the_other(world):
    for split, low, high in (("changing", 0.95, 1.0), ("same", 0.0, 0.2)):
        train, test = (top_answers(read(world, split, side)[1]) for side in ("train", "test"))
        distances = []
        for kind, after in test.items():
            before = train[kind]
            gaps = [before[a] / before.total() - after[a] / after.total() for a in before | after]
            distances.append(np.abs(gaps).sum() / 2)
        assert len(test) >= 20
        assert low <= np.mean(distances) <= high + 1e-9


@pytest.mark.parametrize("exponent, low, high", [(0.0, 0.0, 0.08), (1.5, 0.15, 1.0)])
def test_the_prior_knob_sets_how_skewed_the_answers_are(tmp_path, exponent: float, low: float, high: float):
    write_world(World(n_train=3000, prior=exponent), tmp_path / "world")
    annotations = read(tmp_path / "world", "same", "train")[1] + read(tmp_path / "world", "same", "test")[1]
    excess = []
    for counts in top_answers(annotations).values():
        common = [n for n in counts.values() if n > 0.02 * counts.total()]  # the rest are synonyms and slips
        excess.append(max(common) / sum(common) - 1 / len(common))
    assert low <= np.mean(excess) <= high


def test_pools_are_the_same_and_sizes_are_as_asked(world):
    ids = {}
    for split in LAYOUTS:
        sides = [{q["question_id"] for q in read(world, split, side)[0]} for side in ("train", "test")]
        assert not sides[0] & sides[1]
        ids[split] = sides
    assert ids["same"][0] | ids["same"][1] == ids["changing"][0] | ids["changing"][1]
    assert [len(side) for side in ids["same"]] == [len(side) for side in ids["changing"]]
    assert len(ids["same"][0]) == pytest.approx(3000, rel=0.05)


@pytest.mark.parametrize("split", LAYOUTS)
def test_files_have_the_official_layout(world, scenes, split: str):
    for kind in ("questions", "annotations"):
        content = json.loads((world / f"{split}_train_{kind}.json").read_text())
        assert isinstance(content, LAYOUTS[split])
    extra = {"coco_split"} if split == "changing" else set()
    for question, annotation in zip(*read(world, split, "train"), strict=True):
        assert question.keys() == {"image_id", "question", "question_id", "question_family", "relevant_regions"} | extra
        assert annotation.keys() == extra | {
            "question_type", "multiple_choice_answer", "answers", "image_id", "answer_type", "question_id",
        }  # fmt: skip
        assert (question["question_id"], question["image_id"]) == (annotation["question_id"], annotation["image_id"])
        assert question["question"].lower().startswith(annotation["question_type"])
        assert [vote["answer_id"] for vote in annotation["answers"]] == list(range(1, 11))
        assert {vote["answer_confidence"] for vote in annotation["answers"]} <= {"yes", "maybe", "no"}
        regions = {thing["region"] for thing in scenes[question["image_id"]]}
        assert question["relevant_regions"] and set(question["relevant_regions"]) <= regions


def test_answers_have_types_annotators_disagree_and_minorities_reach_beyond_the_modal_answers(world):
    _, annotations = read(world, "changing", "train")
    for a in annotations:
        modal = a["multiple_choice_answer"]
        assert a["answer_type"] == ("yes/no" if modal in ("yes", "no") else "number" if modal.isdigit() else "other")
    assert {a["answer_type"] for a in annotations} == {"yes/no", "number", "other"}
    agreement = [sum(v["answer"] == a["multiple_choice_answer"] for v in a["answers"]) / 10 for a in annotations]
    assert 0.8 < np.mean(agreement) < 0.97
    modal = top_answers(annotations)
    votes = {(a["question_type"], v["answer"]) for a in annotations for v in a["answers"]}
    tested = {(a["question_type"], a["multiple_choice_answer"]) for a in read(world, "changing", "test")[1]}
    assert not any(answer in modal[kind] for kind, answer in tested)
    assert np.mean([pair in votes for pair in tested]) > 0.8


def test_feature_file(world, scenes):
    with h5py.File(world / "features.h5") as file:
        codes, ids, boxes = (file[key][()] for key in ("features", "image_ids", "boxes"))
        scale, offset = file["scale"][()], file["offset"][()]
        assert file["features"].id.get_offset() is not None  # contiguous, so that it can be mapped
    assert codes.shape == (len(ids), 10, 64) and codes.dtype == np.uint8
    assert boxes.shape == (len(ids), 10, 4) and (boxes[..., :2] <= boxes[..., 2:]).all()
    assert {a.dtype for a in (scale, offset, boxes)} == {np.dtype(np.float32)}
    assert set(ids.tolist()) == set(scenes)
    rng = np.random.default_rng(SMALL.seed)
    exact, _ = shapes.region_features(SMALL, shapes.sample_scenes(SMALL, rng), rng)
    assert (abs(codes * scale + offset - exact) <= scale * 0.51).all()
    true = np.array([thing["box"] for objects in scenes.values() for thing in objects])
    seen = np.array([boxes[i - 1, thing["region"]] for i, objects in scenes.items() for thing in objects])
    assert abs(true - seen).mean() < 2


def test_equal_worlds_give_equal_bytes_and_seeds_differ(tmp_path):
    tiny = World(n_train=600)
    for name, knobs in (("a", tiny), ("b", tiny), ("c", World(n_train=600, seed=1))):
        write_world(knobs, tmp_path / name)
    for file in sorted((tmp_path / "a").iterdir()):
        same = file.read_bytes() == (tmp_path / "b" / file.name).read_bytes()
        other = file.read_bytes() == (tmp_path / "c" / file.name).read_bytes()
        assert same and not other, file.name


GOLDEN = "08be2623da9422c2652c73b7ee6cd223b1c9945e4502efc1639be1f2c619270c"
ROUNDED = {"features": 3.943865, "offset": -0.848379, "scale": 0.00588644}


def test_the_bytes_of_a_world_are_those_of_its_version(tmp_path):
    """Names of recorded runs hold `generator`. Three columns are products of matrices, rounded as a processor does."""
    write_world(World(n_train=600), tmp_path / "world")
    digest, rounded = hashlib.sha256(), {}
    for path in sorted((tmp_path / "world").glob("*.json")):
        digest.update(path.read_bytes())
    with h5py.File(tmp_path / "world" / "features.h5") as file:  # whose own bytes are HDF5's business
        for name, column in sorted((name, file[name][()]) for name in file):
            if name in ROUNDED:
                flat = column.ravel().astype(np.float64)
                rounded[name] = float(flat @ np.cos(np.arange(flat.size))) / flat.size**0.5
            else:
                digest.update(column.tobytes())
    told = "the world has changed: if on purpose, give World.generator a new version and record the world's runs again"
    assert digest.hexdigest() == GOLDEN, told
    assert rounded == pytest.approx(ROUNDED, rel=1e-3), told


def test_a_world_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    def fail(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shapes, "changing_prior_split", fail)
    with pytest.raises(OSError, match="world is full; free space and run again"):
        write_world(World(n_train=300), tmp_path / "world")
    assert not list(tmp_path.iterdir())


def test_a_folder_with_the_same_world_is_kept_and_any_other_refused(tmp_path):
    folder = tmp_path / "world"
    folder.mkdir()  # an empty folder will do
    write_world(World(n_train=300), folder)
    written = {file: file.stat().st_mtime_ns for file in folder.iterdir()}
    write_world(World(n_train=300), folder)
    assert written == {file: file.stat().st_mtime_ns for file in folder.iterdir()}
    with pytest.raises(FileExistsError, match="holds something else"):
        write_world(World(n_train=301), folder)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("keep me")
    with pytest.raises(FileExistsError, match="choose another folder"):
        write_world(World(n_train=300), tmp_path / "mine")


PARTS = [
    "world.json",
    "checksums",
    "features.h5",
    "scenes.json",
    "changing_train_questions.json",
    "same_test_annotations.json",
]


@pytest.fixture(scope="module")
def small_cache(tmp_path_factory) -> Path:
    find_world(World(n_train=100), folder := tmp_path_factory.mktemp("cache"))
    return folder


@pytest.mark.parametrize("part", PARTS)
def test_a_damaged_world_in_the_cache_is_set_aside_and_made_again(small_cache, damage, part, tmp_path):
    world = World(n_train=100)
    shutil.copytree(small_cache, tmp_path, dirs_exist_ok=True)
    folder = find_world(world, tmp_path)
    whole = {file.name: file.read_bytes() for file in folder.iterdir()}
    damage(folder / part)
    with pytest.raises(FileExistsError, match="holds something else .*choose another folder or remove it"):
        write_world(world, folder)  # as a folder of one's own is never replaced
    with pytest.warns(UserWarning, match=f"{folder.name} cannot .* is now {folder.name}.damaged, and is made again"):
        assert find_world(world, tmp_path) == folder
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == whole
    assert find_world(world, tmp_path) == folder  # and is kept


@pytest.mark.parametrize("change", [Path.unlink, lambda path: path.write_bytes(path.read_bytes()[::-1])])
def test_a_world_that_lacks_a_file_or_has_other_bytes_is_set_aside(change, tmp_path):
    folder = find_world(World(n_train=100), tmp_path)
    change(folder / "features.h5")
    with pytest.warns(UserWarning, match=r"cannot \(.*features.h5"):
        find_world(World(n_train=100), tmp_path)


def test_a_file_in_the_place_of_a_world_is_set_aside(tmp_path):
    folder = find_world(World(n_train=100), tmp_path)
    shutil.rmtree(folder)
    folder.touch()
    with pytest.warns(UserWarning, match=f"{folder.name} cannot"):
        assert (find_world(World(n_train=100), tmp_path) / "world.json").exists()


def test_edited_code_does_not_find_the_world_of_older_code(tmp_path, monkeypatch):
    old = find_world(World(n_train=100), tmp_path)
    monkeypatch.setattr(shapes, "_code", lambda: b"edited")
    assert find_world(World(n_train=100), tmp_path) != old


def test_images_show_the_objects_in_their_colors(tmp_path):
    pytest.importorskip("PIL.Image")
    write_world(World(n_train=100, questions_per_image=15.0), tmp_path / "world")
    for graph in json.loads((tmp_path / "world" / "scenes.json").read_text())["scenes"]:
        assert render(graph).size == (128, 128)
    red = {"shape": "sphere", "color": "red", "size": "large", "material": "rubber"}
    red |= {"position": [0.5, 0.5], "box": [48, 48, 80, 80]}
    r, g, b = render({"objects": [red]}, size=96).getpixel((48, 48))
    assert r > 2 * g and r > 2 * b


@pytest.mark.parametrize(
    "knobs",
    [
        {"objects": (5, 11)},
        {"objects": (0, 3)},
        {"n_train": 10},
        {"noise": -1.0},
        {"blur": 1.5},
        {"prior": float("nan")},
    ],
)
def test_impossible_worlds_are_refused(knobs: dict):
    with pytest.raises(ValueError, match=r"got"):
        World(**knobs)


def test_too_many_questions_an_image_are_refused(tmp_path):
    with pytest.raises(ValueError, match="lower questions_per_image"):
        write_world(World(n_train=2000, questions_per_image=600.0), tmp_path / "world")
