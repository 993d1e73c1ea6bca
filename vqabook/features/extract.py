"""Images -> feature file: the last feature map of a network, as a grid of regions.

The recipe of 7 x 7 x 128 EfficientNet-Lite0 features in 64 levels (10 times smaller than float16 maps):
`vqabook data features COCO_FOLDER out.h5 --backbone efficientnet-lite0 --pca 128 --levels 64`.

Maps are kept as float16 in `<out>.maps` while the network runs, so that it runs once, and a kill at any moment loses
a batch; components and ranges, which need all maps, follow at the end.
"""

import importlib.metadata
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch.nn import functional as F

from vqabook.core import pick_device
from vqabook.extras import import_extra
from vqabook.features.backbones import LITE0, Backbone, open_backbone
from vqabook.features.codes import TAIL, fit_codes, fit_components, spread
from vqabook.features.image_files import LAST_DIGITS
from vqabook.features.sources import Source, open_folder
from vqabook.features.writer import FeatureWriter, check_dtype
from vqabook.files import is_hindrance
from vqabook.progress import Bar

SAMPLED = 1024  # images, spread evenly, whose regions decide the range of a channel's codes
BLOCK = 256  # images encoded at once


def check_sizes(dtype: str, levels: int, **sizes: int | None) -> None:
    """ValueError unless the numbers of an extraction make sense."""
    check_dtype(dtype)
    if not 2 <= levels <= 256:
        raise ValueError(f"uint8 codes have 2 to 256 levels, got {levels}")
    if min(n for n in sizes.values() if n is not None) < 1:
        raise ValueError(f"sizes are positive: {', '.join(f'{name} {n}' for name, n in sizes.items())}")


def extract_features(
    images: str | os.PathLike | Source,
    out: str | os.PathLike,
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
    """Write features [n, grid * grid, d] of all images of `images` to `out`; region r = grid * row + column.

    `size`: of the network's input, by default the one it was trained for; `dtype`: float16, or uint8 codes of `levels`
    steps; `pca`: keep that many principal components, fitted to all regions; `ids`: see `find_images`; `skip_bad`:
    leave out images that do not decode. Labels that a source has become `labels`, their names the attribute `classes`.
    Interrupted, it goes on at the last batch; another recipe starts anew.
    """
    out = Path(out)
    check_sizes(dtype, levels, batch_size=batch_size, grid=grid, size=size, pca=pca)
    import_extra("PIL.Image")
    source = images if isinstance(images, Source) else open_folder(images, ids)
    network, picked = open_backbone(backbone, size), pick_device(device)
    recipe = _recipe(network, grid, picked)
    asked = recipe | {"images": source.digest}
    with FeatureWriter(out, asked, "float16", every=0.0, suffix=".maps", names=source.texts) as maps:
        network.network.to(picked)
        bad = _fill(maps, source, network, grid, batch_size)
        if bad and not (skip_bad and maps.images):
            examples = "; ".join(f"{name} ({why})" for name, why in list(bad.items())[:3])
            raise ValueError(
                f"every image must decode: {len(bad)} of {len(source.numbers)} do not: {examples}; repair them and "
                "run the same command again (the others are done), or skip bad images"
            )
        recipe |= {"dtype": dtype, "pca": pca, "levels": levels if dtype == "uint8" else None, "quantile": TAIL}
        about = {"recipe": json.dumps(recipe), "left_out": json.dumps(bad)}
        parts = {}
        if source.labels is not None:
            about["classes"], parts["labels"] = json.dumps(list(source.classes)), source.labels[maps.rows()[:, 0]]
        if dtype == "float16" and pca is None:
            maps.finish(about, **parts)
        else:
            _encode(maps, out, about, recipe, parts)
            maps.discard()
    return out


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
        "versions": {
            package: importlib.metadata.version(package) for package in ("torch", *network.packages, "pillow")
        },
    }


def _precision(device: torch.device) -> torch.dtype:
    if device.type != "cuda":
        return torch.float32
    return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16


def _fill(writer: FeatureWriter, source: Source, network: Backbone, grid: int, batch_size: int) -> dict[str, str]:
    """Append the maps of all images that `writer` lacks; returns those that do not decode, and why."""
    files, names = source.numbers, list(source.numbers)
    done, bad = set(writer.rows()[:, 0].tolist()), {}
    whole = (names[i : i + batch_size] for i in range(0, len(names), batch_size))
    batches = [todo for batch in whole if (todo := [name for name in batch if files[name] not in done])]
    with Bar(total=len(names), initial=len(done), desc=network.name, unit="image") as bar:
        for batch, decoded in _decode(source, batches, network.size):
            rows, pixels = [], []
            for name, image in zip(batch, decoded, strict=True):
                error = image.exception()
                if error is not None and is_hindrance(error):
                    raise error
                if error is not None:  # a decoder of damaged bytes raises anything
                    bad[name] = str(error) or type(error).__name__
                    continue
                small, size = image.result()
                rows.append((files[name], *size, grid**2))
                pixels.append(small)
            if rows:
                writer.append(np.array(rows, np.int64), _maps(network, pixels, grid))
            bar.update(len(batch))
    return bad


def _decode(source: Source, batches: Iterable[list[str]], side: int) -> Iterator[tuple[list[str], list[Future]]]:
    """The names of every batch and their images, decoded by threads two batches ahead of the network."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        ahead = []
        for batch in batches:
            ahead.append((batch, [pool.submit(source.read, name, side) for name in batch]))
            if len(ahead) == 3:
                yield ahead.pop(0)
        yield from ahead


def _maps(network: Backbone, pixels: Sequence[np.ndarray], grid: int) -> Float[np.ndarray, "b o d"]:
    device = next(network.network.parameters()).device
    images = torch.from_numpy(np.stack(pixels)).to(device)
    with torch.autocast(device.type, _precision(device), enabled=device.type == "cuda"):
        # eight at a time on a CPU, whose caches a larger batch's activations leave
        parts = images.split(8 if device.type == "cpu" else len(images))
        maps = torch.cat([network(part).float() for part in parts])
    if grid > min(maps.shape[-2:]):
        raise ValueError(
            f"a grid is no finer than the map: {network.name} gives {tuple(maps.shape[-2:])} at input size "
            f"{network.size}, got grid {grid}; make it smaller or the input larger"
        )
    if tuple(maps.shape[-2:]) != (grid, grid):
        maps = F.adaptive_avg_pool2d(maps, grid)
    features = maps.flatten(2).transpose(1, 2).half().cpu().numpy()
    if not np.isfinite(features).all():
        raise ValueError(f"features are finite float16 numbers: {network.name} gives others; use other weights")
    return features


def _to_half(features: np.ndarray) -> np.ndarray:
    return features.astype(np.float16)


def _encode(maps: FeatureWriter, out: Path, about: Mapping, recipe: dict, parts: dict[str, np.ndarray]) -> None:
    """Project and quantise all maps into `out`, with `parts` beside them."""
    source, rows = maps.map(), maps.rows()
    starts = range(0, len(source), BLOCK)
    space = None
    if recipe["pca"]:
        space = fit_components((source[i : i + BLOCK].reshape(-1, source.shape[-1]) for i in starts), recipe["pca"])
        parts = parts | {"pca_mean": space.mean, "pca_components": space.components}

    def project(features: Float[np.ndarray, "b o d"]) -> Float[np.ndarray, "b o k"]:
        features = features.astype(np.float32)
        return space.project(features) if space else features

    encode: Callable[[np.ndarray], np.ndarray] = _to_half
    if recipe["dtype"] == "uint8":
        sample = project(source[spread(len(source), SAMPLED)])
        codes = fit_codes(sample.reshape(-1, sample.shape[-1]), levels=recipe["levels"])
        encode = codes.encode
        parts = parts | {"scale": codes.scale, "offset": codes.offset}
    # Repaired images came after the last run's: components and ranges are then others than those that it began with.
    with FeatureWriter(out, recipe | maps.recipe | {"of": maps.images}, recipe["dtype"], names=maps.names) as writer:
        for i in Bar(range(writer.images, len(source), BLOCK), desc=out.name, unit="block"):
            writer.append(rows[i : i + BLOCK], encode(project(source[i : i + BLOCK])))
        writer.finish(about, **parts)
