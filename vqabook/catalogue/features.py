"""What a folder of feature files holds, for `vqabook data info` and the book's Data page."""

from pathlib import Path

import numpy as np
import torch

from vqabook.catalogue.description import Description, Picture
from vqabook.features.store import FeatureStore, open_features

SAMPLED = 1000  # images, spread evenly, whose regions give the statistics


def describe(folder: Path) -> Description:
    """Images, regions and width of every feature file of `folder`, and how its channels (or its regions) are spread."""
    paths = sorted(folder.glob("*.h5"))
    if not paths:
        raise FileNotFoundError(f"feature files end in .h5: {folder} has none; convert, extract or fetch some")
    stores = {path.stem: open_features(path) for path in paths}
    facts: dict[str, str | int | float] = {}
    for name, store in stores.items():
        counts = _count_regions(store)
        facts |= {
            f"{name}: regions an image": " to ".join(map(str, np.unique([counts.min(), counts.max()]))),
            f"{name}: width": store.width,
            f"{name}: stored as": str(store.codes.dtype).removeprefix("torch."),
            f"{name}: GB": round(store.codes.nbytes / 1e9, 3),
        }
    rows = {name: len(store.image_ids) for name, store in stores.items()}
    ragged = {name: store for name, store in stores.items() if store.first is not None}
    return Description(rows, {}, 0, _draw_regions(ragged) if ragged else _draw_spectrum(stores), facts)


def _count_regions(store: FeatureStore) -> np.ndarray:
    """Regions of every image."""
    if store.first is None:
        return np.full(len(store.image_ids), store.n_regions)
    return store.first.diff().cpu().numpy()


def _draw_regions(stores: dict[str, FeatureStore]) -> Picture:
    """How many images have how many regions, in tens."""
    last = max(store.n_regions for store in stores.values()) // 10
    counts = {name: _count_regions(store) for name, store in stores.items()}
    series = {name: np.bincount(n // 10, minlength=last + 1).tolist() for name, n in counts.items()}
    labels = [f"{10 * i}-{10 * i + 9}" for i in range(last + 1)]
    medians = ", ".join(f"{int(np.median(n))} in {name}" for name, n in counts.items())
    alt = f"Histogram of the number of regions an image has; half the images have no more than {medians}."
    return Picture("bars", {"labels": labels, "series": series, "y_label": "images"}, alt)


def _draw_spectrum(stores: dict[str, FeatureStore]) -> Picture:
    """Share of the variance in the channels that vary most: straight to 1 if few channels say all."""
    widest = max(store.width for store in stores.values())
    at = np.unique(np.geomspace(1, widest, 40).round().astype(int))
    series, words = {}, []
    for name, store in stores.items():
        rows = torch.linspace(0, len(store.image_ids) - 1, min(SAMPLED, len(store.image_ids))).round().long()
        regions = torch.cat([store.gather(part).flatten(0, 1) for part in rows.split(50)])
        variance = regions.double().var(0, correction=0).sort(descending=True).values
        share = (variance.cumsum(0) / variance.sum().clamp(min=1e-12)).numpy()
        series[name] = [round(float(share[min(k, store.width) - 1]), 4) for k in at]
        half = int(np.searchsorted(share, 0.5)) + 1
        words.append(f"in {name} {half} of {store.width} channels hold half of the variance")
    data = {"x": at.tolist(), "series": series, "x_label": "channels, by variance", "y_label": "share of the variance"}
    alt = f"Curve of the variance that the first channels hold: {'; '.join(words)}."
    return Picture("curve", data | {"log": ""}, alt)
