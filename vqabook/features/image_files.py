"""A folder of images: which files, whose ids, and their pixels as a network reads them."""

import contextlib
import os
import re
from collections.abc import Callable, Iterator, Mapping, Set
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import numpy as np
from jaxtyping import UInt8

from vqabook.extras import import_extra
from vqabook.files import files_below, tell_damage, without_mark

if TYPE_CHECKING:
    from PIL.Image import Image

SUFFIXES = {".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp"}
LAST_DIGITS = r"(\d+)\D*$"  # COCO_train2014_000000000009 -> 9
FILE_NAME = "name"  # stands for a pattern: a file's own name is its image's id
FILE_PATH = "path"  # so does this: its path from the folder on, as an ImageFolder has it

_IDS = dict[str, Annotated[int, msgspec.Meta(ge=0)] | str]


@contextlib.contextmanager
def open_image(path: str | os.PathLike, rule: str) -> Iterator["Image"]:
    """The image, opened; whatever is wrong with it is one ValueError that begins with `rule`."""
    pillow = import_extra("PIL.Image")
    damage = (OSError, SyntaxError, ValueError, pillow.DecompressionBombError)  # SyntaxError: Pillow's own
    with tell_damage(path, rule, *damage), pillow.open(path) as image:
        yield image


def find_images(
    folder: str | os.PathLike,
    ids: str = LAST_DIGITS,
    *,
    suffixes: Set[str] = frozenset(SUFFIXES),
    rule: str = "features are extracted from a folder of images",
) -> dict[str, int | str]:
    """File of an image, by suffix -> id, sorted; files are named from `folder` on, at any depth.

    `ids`: a regular expression whose first group, searched in the name without its suffix, is the id; `FILE_NAME` or
    `FILE_PATH`; or a JSON file {file: id}, numbers or texts, which then also says which images to take. Raises,
    beginning with `rule`, where there are no files; and if two images have one id, or one has none.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"{rule}: {folder} is not a folder")
    if ids.endswith(".json"):
        id_of = _read_ids(folder, Path(ids))
    else:
        paths = (path for path in files_below(folder) if path.suffix.lower() in suffixes)
        names = sorted(path.relative_to(folder).as_posix() for path in paths if not path.name.startswith("."))
        ways: dict[str, Callable[[str], str]] = {FILE_NAME: lambda name: Path(name).name, FILE_PATH: str}
        text_of = ways.get(ids)
        id_of = {name: text_of(name) if text_of else _find_id(name, ids) for name in names}
    if not id_of:
        raise ValueError(f"{rule}: {folder} has none ({', '.join(sorted(suffixes))})")
    owner: dict[int | str, str] = {}
    for name, image_id in id_of.items():
        if image_id in owner:
            raise ValueError(
                f"an image id names one image: {owner[image_id]} and {name} both have {image_id}; "
                "give ids as a JSON file {file: id}, or a pattern"
            )
        owner[image_id] = name
    return id_of


def number_ids(id_of: Mapping[str, int | str]) -> tuple[dict[str, int], list[str] | None]:
    """Every file's id as an integer, and the texts that those are places in; None where ids are integers."""
    numbers = {name: image_id for name, image_id in id_of.items() if isinstance(image_id, int)}
    texts = [image_id for image_id in id_of.values() if isinstance(image_id, str)]
    return ({name: i for i, name in enumerate(id_of)}, texts) if texts else (numbers, None)


def _read_ids(folder: Path, path: Path) -> dict[str, int | str]:
    rule = "ids are a JSON file {file: id} with integers from 0, or texts"
    with tell_damage(path, rule, ValueError, advice="correct it"):
        ids = msgspec.json.decode(without_mark(path.read_bytes()), type=_IDS)
    if absent := [name for name in ids if not (folder / name).is_file()]:
        raise FileNotFoundError(f"{path} names {len(absent)} images that {folder} lacks (first: {absent[0]})")
    if len({type(image_id) for image_id in ids.values()}) > 1:
        raise ValueError(f"{rule}, all of one kind: {path} has both; write all alike")
    return dict(sorted(ids.items()))


def _find_id(name: str, pattern: str) -> int:
    try:
        match = re.search(pattern, Path(name).stem)
        number = int(match[1]) if match else None
    except (re.error, IndexError, ValueError) as error:
        raise ValueError(
            f"ids are a pattern with one group of digits, like {LAST_DIGITS}: {pattern} ({error})"
        ) from None
    if number is None or number >= 2**63:
        raise ValueError(
            f"an image's id is the last number in its file name: {name} has none that fits; "
            "rename it, or give ids as a JSON file {file: id}"
        )
    return number


def read_pixels(path: str | os.PathLike, side: int) -> tuple[UInt8[np.ndarray, "3 s s"], tuple[int, int]]:
    """RGB, upright (EXIF), the whole image resized to side x side (bicubic); and its size (w, h).

    Whole, not cropped: questions are asked about the border too. Raises whatever the decoder does if it is damaged.
    """
    from PIL import Image, ImageOps

    with tell_damage(path, "an image is a whole file"), Image.open(path) as file:
        image = ImageOps.exif_transpose(file)
        if image.mode.startswith("I"):  # 16-bit grey, which PIL would clip to white
            image = Image.fromarray((np.asarray(image) >> 8).clip(0, 255).astype(np.uint8))
        return shrink(image, side), image.size


def shrink(image: "Image", side: int) -> UInt8[np.ndarray, "3 s s"]:
    """The whole image as RGB at side x side, bicubic; a smaller one grows."""
    from PIL import Image

    small = image.convert("RGB").resize((side, side), Image.Resampling.BICUBIC)
    return np.ascontiguousarray(np.asarray(small).transpose(2, 0, 1))
