"""Published features become a feature file image by image: what every image is held to, whatever it comes from."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from vqabook.features.codes import fit_codes, to_half
from vqabook.features.writer import FeatureWriter

SAMPLED = 512  # images whose features decide the range of uint8 codes


class Row(NamedTuple):
    """One image as its source has it; `where`: in messages."""

    image_id: int
    features: Float[np.ndarray, "o d"]
    boxes: Float[np.ndarray, "o 4"] | None
    size: tuple[int, int] | None  # width, height
    where: str


class BadRow(ValueError):
    """What breaks the format of its source, in one sentence."""


class Conversion:
    """Appends rows to a feature file; each must be like the first. `adaptive`: with regions of its own number.

    An interrupted conversion goes on: `position` says where. `sample`: features that decide the range of uint8 codes.
    """

    def __init__(self, writer: FeatureWriter, adaptive: bool, sample: Iterable[np.ndarray]):
        self.writer, self.adaptive = writer, adaptive
        self.position = writer.position or {}
        self.first = self.position.get("first")
        self.seen = set(writer.rows()[:, 0].tolist())
        self.codes = fit_codes(_stack(sample)) if writer.dtype == np.uint8 else None

    def append(self, image: Row, **position: object) -> None:
        """`position`: where the source goes on after it."""
        o, d = image.features.shape
        looks = {"name": image.where, "o": o, "d": d, "boxes": image.boxes is not None, "sizes": image.size is not None}
        self.first = self.first or looks
        self._check(image.image_id, looks, self.first)
        features = to_half(image.features, image.where) if self.codes is None else self.codes.encode(image.features)
        about = np.array([[image.image_id, *(image.size or (0, 0)), o]], np.int64)
        features = features if self.adaptive else features[None]
        self.writer.append(about, features, image.boxes, position | {"first": self.first})
        self.seen.add(image.image_id)

    def _check(self, image_id: int, looks: dict, first: dict) -> None:
        if image_id in self.seen:
            raise BadRow(
                f"an image has one row: {looks['name']} repeats one; skip broken and repeated rows, as the released "
                "test2014 needs, or give each file once"
            )
        if looks["d"] != first["d"]:
            raise BadRow(
                f"features are equally wide: {looks['name']} has {looks['d']}, {first['name']} {first['d']}; "
                "convert each release by itself"
            )
        if not self.adaptive and looks["o"] != first["o"]:
            raise BadRow(
                f"every image has {first['o']} regions like {first['name']}: {looks['name']} has {looks['o']}; "
                "convert as adaptive, or download it again"
            )
        for part in ("boxes", "sizes"):
            if looks[part] != first[part]:
                has, lacks = (looks["name"], first["name"]) if looks[part] else (first["name"], looks["name"])
                raise BadRow(
                    f"all images have {part} or none has: {has} has them, {lacks} lacks them; "
                    "convert each release by itself"
                )

    def finish(self, **about: object) -> int:
        """Write the file with its attributes `about`; returns the number of images."""
        codes = {} if self.codes is None else {"scale": self.codes.scale, "offset": self.codes.offset}
        self.writer.finish(about, **codes)
        return self.writer.images


def _stack(sample: Iterable[np.ndarray]) -> Float[np.ndarray, "n d"]:
    rows = [np.clip(x, -65504, 65504).astype(np.float16) for x in sample] or [np.zeros((1, 1), np.float16)]
    widths = sorted({x.shape[1] for x in rows})
    if len(widths) > 1:
        raise ValueError(
            f"features are equally wide: some are {widths[1]}, others {widths[0]}; convert each release by itself"
        )
    return np.concatenate(rows)
