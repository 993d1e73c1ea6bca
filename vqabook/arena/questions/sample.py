"""The questions that take part: all of a set in VQA's official layout, or a sample, with region features so narrow.

A contest trains hundreds of small models: wide features would be most of its time, and one step size is to fit anyone's
features. So these become their first principal components at unit variance, once and for every rule alike.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import h5py
import numpy as np
import torch
from filelock import FileLock
from jaxtyping import Float, Int, Shaped

from vqabook.data.layout import (
    FEATURES,
    DataSpec,
    Files,
    Prior,
    Source,
    data_digest,
    find_features,
    source_files,
)
from vqabook.data.sets import Splits, divide, load_questions
from vqabook.data.vqa import Questions
from vqabook.features.codes import Components, fit_components, spread
from vqabook.features.store import FeatureStore, open_features
from vqabook.files import written_whole

WIDTH = 64  # columns of a region that models of minutes read at most
LEAST = 100  # questions
LOOKED_AT = 4_000  # regions that components are fitted to
FLAT = 1e-6  # of the first one's variance: a component that varies less is not scaled up
BLOCK = 256  # images that are read together


@dataclass(frozen=True)
class Asked:
    """The questions of a contest, in a folder of the official layout that its runs read.

    `sizes`: questions of the set's own splits. `shared`: of each prior, test rows over the others where every seed
    divides the same questions anew, else 0 (`report.verdicts.find_shared`).
    """

    name: str
    folder: Path
    digest: str
    native: Prior
    sizes: Mapping[str, int]
    shared: Mapping[str, float]
    regions: int
    width: int
    notes: tuple[str, ...] = ()

    @property
    def n(self) -> int:
        """All questions."""
        return sum(self.sizes.values())


def take(data: Path, out: Path, seeds: Sequence[int], most: int | None = None) -> Asked:
    """The questions at `data`, a folder or a name, `most` of them at most; what has to be cut is kept in `out`.

    ValueError or FileNotFoundError, one sentence, for a set that lacks a file or is too small for priors to change.
    """
    spec = DataSpec(str(data))
    source, folder = source_files(spec, None)
    store = open_features(find_features(spec.dataset, source, folder))
    splits = load_questions(spec, None)
    notes: list[str] = []
    if source.drop_unseen_images:
        splits = _keep(splits, [np.isin(part.image_id, store.image_ids) for part in _there(splits)])
    total = _count(splits)
    if most is not None and most < total:
        splits = _draw(splits, most)
        notes.append(f"{_count(splits):,} of {total:,} questions take part, drawn at random from each split.")
    if (n := _count(splits)) < LEAST:
        raise ValueError(f"rules are compared on {LEAST} questions or more, {spec.dataset} has {n}; bring more")
    shared, digest = check_divisions(spec, source, splits, seeds), data_digest(spec, None)
    known = hashlib.sha256(repr((digest, source, n, WIDTH)).encode()).hexdigest()[:10]
    folder = keep_layout(out.resolve() / f"questions-{known}", source.native, splits, store)
    width, kept = read_axes(folder)
    notes.append(
        f"Region features, {store.width:,} columns wide, are read as their first {width} principal components at unit "
        f"variance, which keep {100 * kept:.0f} % of what varies."
    )
    names = {"train": splits.train, "test": splits.test, "validation": splits.valid}
    sizes = {name: len(part) for name, part in names.items() if part is not None}
    shape = store.n_regions, width
    return Asked(data.resolve().name, folder, digest, source.native, sizes, shared, *shape, tuple(notes))


def check_divisions(spec: DataSpec, source: Source, splits: Splits, seeds: Sequence[int]) -> dict[str, float]:
    """`Asked.shared`, once every seed has been seen to divide the questions. ValueError for too few of them."""
    shared: dict[str, float] = {}
    priors: tuple[Prior, ...] = ("changing", "same")
    for prior in priors:
        for seed in seeds:
            try:
                parts = divide(replace(spec, prior=prior, split_seed=seed), source, splits)
                if not {*parts.train.modal_answer} & {*parts.test.modal_answer}:
                    raise ValueError("no answer at test occurs in training, where each belongs to one type alone")
            except ValueError as error:
                raise ValueError(
                    f"rules against language priors are compared where priors change, and {spec.dataset} is too small "
                    f"for that: {error.__cause__ or error}; bring more questions of each type, with several answers"
                ) from error
        drawn = prior != source.native
        shared[prior] = len(parts.test) / (_count(parts) - len(parts.test)) if drawn else 0.0
    return shared


def _count(splits: Splits) -> int:
    return sum(len(part) for part in splits if part is not None)


def _keep(splits: Splits, rows: Iterable[np.ndarray]) -> Splits:
    """The splits' rows that a mask or places name, one of each split that is there."""
    kept = [part.subset(np.arange(len(part))[some]) for part, some in zip(_there(splits), rows, strict=True)]
    return Splits(*kept)


def _there(splits: Splits) -> list[Questions]:
    return [part for part in splits if part is not None]


def _draw(splits: Splits, most: int) -> Splits:
    """So many questions at random: of each split its share, in the order of the file."""
    rng, total = np.random.default_rng(0), _count(splits)
    sizes = [max(1, round(most * len(part) / total)) for part in _there(splits)]
    return _keep(splits, [np.sort(rng.permutation(len(p))[:n]) for p, n in zip(_there(splits), sizes, strict=True)])


def keep_layout(folder: Path, native: Prior, splits: Splits, store: FeatureStore) -> Path:
    """The folder, once these questions lie in it: written by one process, whole."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{folder}.lock"):
        if not folder.is_dir():
            with written_whole(folder) as partial:
                partial.mkdir()
                write_layout(partial, native, splits, store)
    return folder


def read_axes(folder: Path) -> tuple[int, float]:
    """How many components features have, and the share of variance that these keep."""
    with h5py.File(folder / FEATURES) as file:
        return file["features"].shape[-1], float(file.attrs["variance"])


def write_layout(folder: Path, native: Prior, splits: Splits, store: FeatureStore) -> None:
    """Questions, annotations and features of their images in the official layout; a name says whose priors change."""
    for split, part in zip(("train", "test", "val"), splits, strict=True):
        if part is not None:
            files = Files.of(f"{'vqacp_' * (native == 'changing')}{split}_{{part}}.json")
            ids = zip(part.question_id.tolist(), part.image_id.tolist(), part.text, strict=True)
            asked = [{"question_id": question, "image_id": image, "question": text} for question, image, text in ids]
            answered = [
                {**{key: entry[key] for key in entry}, "answers": [{"answer": x["answer"]} for x in entry["answers"]]}
                for entry in part.annotations
            ]
            for name, rows in zip(files, (asked, answered), strict=True):
                (folder / name).write_text(json.dumps({name.split("_")[-1].removesuffix(".json"): rows}), "utf-8")
    images = np.unique(np.concatenate([part.image_id for part in _there(splits)]))
    write_features(folder / FEATURES, store, images)


def write_features(path: Path, store: FeatureStore, images: Shaped[np.ndarray, " n"]) -> None:
    """Components of these images' regions; what pads an image stays zero."""
    rows = store.rows_of(images)
    axes, variance = find_axes(store, rows)
    with h5py.File(path, "w") as file:
        shape = (len(rows), store.n_regions, axes.components.shape[1])
        features = file.create_dataset("features", shape, np.float32)
        for start, regions in read_blocks(store, rows):
            kept = (regions != 0).any(-1, keepdims=True)
            features[start : start + len(regions)] = np.where(kept, axes.project(regions), 0)
        file["image_ids"] = images if images.dtype.kind == "i" else images.astype(h5py.string_dtype())
        file.attrs["variance"] = variance


def find_axes(store: FeatureStore, rows: Int[np.ndarray, " n"]) -> tuple[Components, float]:
    """The first principal components, at unit variance, of regions spread over all images, and what they keep of it."""
    some = rows[spread(len(rows), max(1, LOOKED_AT // store.n_regions))]
    regions = np.concatenate([block.reshape(-1, store.width) for _, block in read_blocks(store, some)])
    regions = regions[(regions != 0).any(1)]
    axes = fit_components([regions], min(WIDTH, *regions.shape))
    variances = axes.project(regions).var(0)
    scaled = axes.components / np.sqrt(variances.clip(min=FLAT * max(variances.max(), np.finfo(np.float32).tiny)))
    return Components(axes.mean, scaled), float(variances.sum() / regions.var(0).sum().clip(min=1e-30))


def read_blocks(store: FeatureStore, rows: Int[np.ndarray, " n"]) -> Iterator[tuple[int, Float[np.ndarray, "b o d"]]]:
    """Places and regions of so many images, in order."""
    for start in range(0, len(rows), BLOCK):
        yield start, store.gather(torch.from_numpy(rows[start : start + BLOCK])).numpy()
