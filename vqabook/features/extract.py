"""Image folder -> feature file: the last feature map of a network, as a grid of regions.

The recipe of 7 x 7 x 128 EfficientNet-Lite0 features in 64 levels (10 times smaller than float16 maps):
`vqabook data features COCO_FOLDER out.h5 --backbone efficientnet-lite0 --pca 128 --levels 64`.

Maps are kept as float16 in `<out>.maps` while the network runs, so that it runs once, and a kill at any moment loses
a batch; components and ranges, which need all maps, follow at the end.
"""

import hashlib
import importlib.metadata
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch.nn import functional as F
from tqdm import tqdm

from vqabook.features.backbones import LITE0, Backbone, open_backbone
from vqabook.features.codes import TAIL, Codes, Components, fit_codes, fit_components
from vqabook.features.image_files import LAST_DIGITS, find_images, import_extra, read_pixels
from vqabook.features.writer import FeatureWriter, check_dtype

SAMPLED = 1024  # images, spread evenly, whose regions decide the range of a channel's codes
BLOCK = 256  # images encoded at once


def extract_features(
    images: Path,
    out: Path,
    *,
    backbone: str = LITE0,
    size: int | None = None,
    grid: int = 7,
    dtype: str = "uint8",
    pca: int | None = None,
    levels: int = 256,
    batch_size: int = 32,
    device: str = "auto",
    ids: str = LAST_DIGITS,
    skip_bad: bool = False,
) -> Path:
    """Write features [n, grid * grid, d] of all images below `images` to `out`; region r = grid * row + column.

    `size`: of the network's input, by default the one it was trained for; `dtype`: float16, or uint8 codes of `levels`
    steps; `pca`: keep that many principal components, fitted to all regions; `ids`: see `find_images`; `skip_bad`:
    leave out images that do not decode. Interrupted, it goes on at the last batch; another recipe starts anew.
    """
    check_dtype(dtype)
    if not 2 <= levels <= 256:
        raise ValueError(f"uint8 codes have 2 to 256 levels, got {levels}")
    if min(batch_size, grid, size or 1, 1 if pca is None else pca) < 1:
        raise ValueError(f"sizes are positive: batch_size {batch_size}, grid {grid}, size {size}, pca {pca}")
    import_extra("PIL.Image", "pillow")
    files = find_images(images, ids)
    network, device = open_backbone(backbone, size), _device(device)
    recipe = _recipe(network, grid, device)
    listing = hashlib.sha256(json.dumps(files).encode()).hexdigest()
    with FeatureWriter(out, recipe | {"images": listing}, "float16", every=0.0, suffix=".maps") as maps:
        run = _Extraction(images, files, network.to(device), grid, batch_size)
        run.fill(maps)
        if run.bad and not skip_bad:
            examples = "; ".join(f"{name} ({why})" for name, why in list(run.bad.items())[:3])
            raise ValueError(
                f"every image must decode: {len(run.bad)} of {len(files)} do not: {examples}; repair them and run the "
                "same command again (the others are done), or skip bad images"
            )
        recipe |= {"dtype": dtype, "pca": pca, "levels": levels if dtype == "uint8" else None, "quantile": TAIL}
        about = {"backbone": _sentence(recipe), "recipe": json.dumps(recipe), "left_out": json.dumps(run.bad)}
        if dtype == "float16" and pca is None:
            maps.finish(about)
        else:
            _encode(maps, out, about, recipe)
            maps.discard()
    return out


def _device(name: str) -> torch.device:
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise ValueError(f"device {name} is a GPU, and torch sees none here; use auto or cpu")
    return torch.device(name)


def _recipe(network: Backbone, grid: int, device: torch.device) -> dict:
    return {
        "backbone": network.name,
        "weights_sha256": network.weights_sha256,
        "size": network.size,
        "resize": "bicubic, whole image",
        "mean": network.mean,
        "std": network.std,
        "grid": grid,
        "precision": str(_precision(device)),
        "versions": network.versions | {"pillow": importlib.metadata.version("pillow")},
    }


def _precision(device: torch.device) -> torch.dtype:
    if device.type != "cuda":
        return torch.float32
    return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16


def _sentence(recipe: Mapping) -> str:
    parts = [
        f"{recipe['backbone']}, last map on a {recipe['grid']} x {recipe['grid']} grid",
        f"{recipe['size']} x {recipe['size']} input",
        f"normalisation (x - {recipe['mean']}) / {recipe['std']}",
        f"PCA to {recipe['pca']}" if recipe["pca"] else "no PCA",
        f"{recipe['levels']}-level uint8 codes: x = codes * scale + offset" if recipe["levels"] else recipe["dtype"],
    ]
    return ", ".join(parts)


class _Extraction:
    """The network over all images, decoded ahead by threads; `bad`: those that did not decode, and why."""

    def __init__(self, folder: Path, files: Mapping[str, int], network: Backbone, grid: int, batch_size: int):
        self.folder, self.files, self.network, self.grid, self.batch_size = folder, files, network, grid, batch_size
        self.bad: dict[str, str] = {}

    def fill(self, writer: FeatureWriter) -> None:
        """Append the maps of all images that `writer` lacks; what was bad last time is tried again first."""
        at = writer.position or {"next": 0, "bad": {}}
        names, again = list(self.files), list(at["bad"])
        plan = [(again[i : i + self.batch_size], at["next"]) for i in range(0, len(again), self.batch_size)]
        for i in range(at["next"], len(names), self.batch_size):
            batch = names[i : i + self.batch_size]
            plan.append((batch, i + len(batch)))
        self.bad = dict(at["bad"])
        options = {"desc": self.network.name, "unit": "image", "disable": None}
        with tqdm(total=len(names), initial=at["next"] - len(again), **options) as bar:
            for (batch, after), decoded in zip(plan, self._decode([b for b, _ in plan]), strict=True):
                rows, pixels = self._sort(batch, decoded)
                features = self._maps(pixels) if pixels else np.zeros((0, 1, 1), np.float16)
                writer.append(rows, features, position={"next": after, "bad": dict(self.bad)})
                bar.update(len(batch))

    def _decode(self, batches: Sequence[Sequence[str]]) -> Iterator[list[Future]]:
        """The images of every batch, two batches ahead of the network."""
        side = self.network.size
        pool = ThreadPoolExecutor(os.cpu_count() or 1)
        try:
            ahead = []
            for batch in batches:
                ahead.append([pool.submit(read_pixels, self.folder / name, side) for name in batch])
                if len(ahead) == 3:
                    yield ahead.pop(0)
            yield from ahead
        finally:
            pool.shutdown(cancel_futures=True)

    def _sort(self, batch: Sequence[str], decoded: Sequence[Future]) -> tuple[np.ndarray, list[np.ndarray]]:
        rows, pixels = [], []
        for name, image in zip(batch, decoded, strict=True):
            error = image.exception()
            if error is not None:  # a decoder of damaged bytes raises anything
                self.bad[name] = str(error) or type(error).__name__
                continue
            self.bad.pop(name, None)
            rows.append((self.files[name], *image.result()[1], self.grid**2))
            pixels.append(image.result()[0])
        return np.array(rows, np.int64).reshape(-1, 4), pixels

    def _maps(self, pixels: Sequence[np.ndarray]) -> Float[np.ndarray, "b o d"]:
        device = next(self.network.parameters()).device
        images = torch.from_numpy(np.stack(pixels)).to(device)
        with torch.autocast(device.type, _precision(device), enabled=device.type == "cuda"):
            # eight at a time on a CPU, whose caches a larger batch's activations leave
            parts = images.split(8 if device.type == "cpu" else len(images))
            maps = torch.cat([self.network(part).float() for part in parts])
        if self.grid > min(maps.shape[-2:]):
            raise ValueError(
                f"a grid is no finer than the map: {self.network.name} gives {tuple(maps.shape[-2:])} at input size "
                f"{self.network.size}, got grid {self.grid}; make it smaller or the input larger"
            )
        if tuple(maps.shape[-2:]) != (self.grid, self.grid):
            maps = F.adaptive_avg_pool2d(maps, self.grid)
        features = maps.flatten(2).transpose(1, 2).half().cpu().numpy()
        if not np.isfinite(features).all():
            raise ValueError(
                f"features are finite float16 numbers: {self.network.name} gives others; use other weights"
            )
        return features


def _encode(maps: FeatureWriter, out: Path, about: Mapping, recipe: Mapping) -> None:
    """Project and quantise all maps into `out`."""
    source = maps.map()
    starts = range(0, len(source), BLOCK)
    blocks = (source[i : i + BLOCK].reshape(-1, source.shape[-1]) for i in starts)
    space = fit_components(blocks, recipe["pca"]) if recipe["pca"] else None
    sampled = np.unique(np.linspace(0, len(source) - 1, SAMPLED).round().astype(int))
    codes, parts = None, {}
    if recipe["dtype"] == "uint8":
        codes = fit_codes(
            _project(source[sampled], space).reshape(-1, recipe["pca"] or source.shape[-1]), levels=recipe["levels"]
        )
        parts |= {"scale": codes.scale, "offset": codes.offset}
    if space:
        parts |= {"pca_mean": space.mean, "pca_components": space.components}
    rows = maps.rows()
    # Repaired images came after the last run's: components and ranges are then others than those that it began with.
    with FeatureWriter(out, recipe | maps.recipe | {"of": maps.images}, recipe["dtype"]) as writer:
        first = (writer.position or {"next": 0})["next"]
        for i in tqdm(range(first, len(source), BLOCK), desc=out.name, unit="block", disable=None):
            features = _store(_project(source[i : i + BLOCK], space), codes)
            writer.append(rows[i : i + BLOCK], features, position={"next": i + BLOCK})
        writer.finish(about, **parts)


def _project(features: Float[np.ndarray, "b o d"], space: Components | None) -> Float[np.ndarray, "b o k"]:
    features = features.astype(np.float32)
    return features if space is None else space.project(features)


def _store(features: Float[np.ndarray, "b o d"], codes: Codes | None) -> np.ndarray:
    return features.astype(np.float16) if codes is None else codes.encode(features)
