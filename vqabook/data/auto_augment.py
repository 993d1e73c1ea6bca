"""Augmentation of whole batches of small images, on the device where they lie: crop, flip, AutoAugment, Cutout.

Images are uint8 [b, 3, h, w] before and after. Every image has its own draw; operations run once for all images that
drew them, and give what Pillow gives. AutoAugment: Cubuk et al. 2019, arXiv:1805.09501, Appendix, Tables 6 and 7; it
was found for CIFAR-10. Cutout: DeVries & Taylor 2017, arXiv:1708.04552.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

import torch
from jaxtyping import Float, Int, Shaped, UInt8
from torch import Tensor
from torch.nn import functional as F

GREY = 128  # what comes in from outside the image under a geometric operation
LEVELS = 10
# Two operations each: what, how often, how strongly (of ten levels; None: it has no strength).
POLICY = (
    (("invert", 0.1, None), ("contrast", 0.2, 6)),
    (("rotate", 0.7, 2), ("translate_x", 0.3, 9)),
    (("sharpness", 0.8, 1), ("sharpness", 0.9, 3)),
    (("shear_y", 0.5, 8), ("translate_y", 0.7, 9)),
    (("autocontrast", 0.5, None), ("equalize", 0.9, None)),
    (("shear_y", 0.2, 7), ("posterize", 0.3, 7)),
    (("color", 0.4, 3), ("brightness", 0.6, 7)),
    (("sharpness", 0.3, 9), ("brightness", 0.7, 9)),
    (("equalize", 0.6, None), ("equalize", 0.5, None)),
    (("contrast", 0.6, 7), ("sharpness", 0.6, 5)),
    (("color", 0.7, 7), ("translate_x", 0.5, 8)),
    (("equalize", 0.3, None), ("autocontrast", 0.4, None)),
    (("translate_y", 0.4, 3), ("sharpness", 0.2, 6)),
    (("brightness", 0.9, 6), ("color", 0.2, 8)),
    (("solarize", 0.5, 2), ("invert", 0.0, None)),
    (("equalize", 0.2, None), ("autocontrast", 0.6, None)),
    (("equalize", 0.2, None), ("equalize", 0.6, None)),
    (("color", 0.9, 9), ("equalize", 0.6, None)),
    (("autocontrast", 0.8, None), ("solarize", 0.2, 8)),
    (("brightness", 0.1, 3), ("color", 0.7, 0)),
    (("solarize", 0.4, 5), ("autocontrast", 0.9, None)),
    (("translate_y", 0.9, 9), ("translate_y", 0.7, 9)),
    (("autocontrast", 0.9, None), ("solarize", 0.8, 3)),
    (("equalize", 0.8, None), ("invert", 0.1, None)),
    (("translate_y", 0.7, 9), ("autocontrast", 0.9, None)),
)


@dataclass(frozen=True)
class Augment:
    """A Table's lookup followed by shifts of up to `shift` pixels, filled with zeros, and by flips, drawn row by row.

    He et al. 2016, arXiv:1512.03385, Sec. 4.2, as all train on CIFAR since; there `shift` is 4. Draws from torch's
    global generator, which `fit` seeds and keeps in its checkpoints. Give it to training rows alone.
    """

    lookup: Callable[..., tuple[Tensor, ...]]
    shift: int
    flip: bool

    def __call__(self, images: Tensor) -> tuple[Float[Tensor, "b channel h w"]]:
        (x,) = self.lookup(images)
        return (crop_and_flip(x, self.shift, self.flip),)


@dataclass(frozen=True)
class AutoAugment:
    """A Table's lookup preceded by a random crop, a flip, AutoAugment and Cutout, drawn image by image.

    On bytes, so the crop's border is black, where `Augment` shifts after its lookup and fills with the mean.
    """

    lookup: Callable[..., tuple[Tensor, ...]]
    padding: int = 4
    flip: bool = True
    policy: bool = True
    hole: int | None = 16  # pixels of Cutout

    def __call__(self, images: UInt8[Tensor, "b 3 h w"]) -> tuple[Float[Tensor, "b 3 h w"]]:
        images = crop_and_flip(images, self.padding, self.flip)
        images = auto_augment(images) if self.policy else images
        return self.lookup(images if self.hole is None else cutout(images, self.hole))


def crop_and_flip(
    images: Shaped[Tensor, "b c h w"], padding: int, flip: bool, generator: torch.Generator | None = None
) -> Shaped[Tensor, "b c h w"]:
    """A crop of the size of the image, out of it with `padding` zeros around; every other one mirrored."""
    (b, c, h, w), device = images.shape, images.device
    top, left = torch.randint(2 * padding + 1, (2, b, 1), generator=generator).to(device)
    mirrored = (torch.rand(b, 1, generator=generator) < 0.5 * flip).to(device)
    row, column = top + torch.arange(h, device=device), left + torch.arange(w, device=device)
    column = torch.where(mirrored, column.flip(1), column)
    at = (row[:, :, None] * (w + 2 * padding) + column[:, None]).view(b, 1, h * w).expand(b, c, h * w)
    return F.pad(images, (padding,) * 4).flatten(2).gather(2, at).view_as(images)


def cutout(
    images: UInt8[Tensor, "b c h w"], side: int, generator: torch.Generator | None = None
) -> UInt8[Tensor, "b c h w"]:
    """A black square around a random pixel of each image; near the border less of it is seen."""
    b, _, h, w = images.shape
    y, x = (torch.randint(n, (b, 1), generator=generator).to(images.device) for n in (h, w))
    rows, columns = torch.arange(h, device=images.device), torch.arange(w, device=images.device)
    inside = ((rows >= y - side // 2) & (rows < y + side - side // 2))[:, :, None]
    inside = inside & ((columns >= x - side // 2) & (columns < x + side - side // 2))[:, None]
    return images * ~inside[:, None]


def auto_augment(
    images: UInt8[Tensor, "b 3 h w"], generator: torch.Generator | None = None
) -> UInt8[Tensor, "b 3 h w"]:
    """One of the 25 sub-policies an image: each of its two operations with its probability, a sign at random."""
    b, (kinds, often, strength) = len(images), _policy()
    which = torch.randint(len(POLICY), (b,), generator=generator)
    applied = torch.rand(b, 2, generator=generator) < often[which]
    sign = 1 - 2 * torch.randint(2, (b, 2), generator=generator)
    result = images.clone()
    for turn in range(2):
        rows = applied[:, turn].nonzero()[:, 0]
        operation = kinds[which[rows], turn]
        rows = rows[operation.argsort(stable=True)]  # side by side what shares its work
        by = (sign[rows, turn] * strength[which[rows], turn]).to(images.device)
        sizes, rows = operation.bincount(minlength=len(NAMES)).tolist(), rows.to(images.device)
        at, by = (dict(zip(NAMES, x.split(sizes), strict=True)) for x in (rows, by))
        for kind in KINDS:
            names = [name for name in kind.names if len(at[name])]
            if names:
                place = torch.cat([at[name] for name in names])
                strengths = {name: by[name] for name in names}
                result.index_copy_(0, place, kind.run(result.index_select(0, place), strengths))
    return result


@lru_cache
def _policy() -> tuple[Int[Tensor, "p 2"], Float[Tensor, "p 2"], Float[Tensor, "p 2"]]:
    """Of both operations of every sub-policy: place in `NAMES`, probability, strength."""
    kinds = torch.tensor([[NAMES.index(name) for name, _, _ in pair] for pair in POLICY])
    often = torch.tensor([[often for _, often, _ in pair] for pair in POLICY])
    return kinds, often, torch.tensor([[_strength(name, level) for name, _, level in pair] for pair in POLICY])


def _strength(name: str, level: int | None) -> float:
    """Of a level of ten (Table 6): a shear, a share of the width, degrees, bits, a threshold, a change of factor."""
    part = (level or 0) / (LEVELS - 1)
    most = {"shear": 0.3, "translate": 150 / 331, "rotate": 30.0, "posterize": 4.0, "solarize": 255.0}
    value = part * most.get(name.split("_")[0], 0.9)
    if name == "posterize":
        return 8.0 - round(value)
    return 255 - value if name == "solarize" else value


@dataclass(frozen=True)
class Kind:
    """Operations that share their work. `run(images, strengths)`: the strengths of each, in the order of the images."""

    names: tuple[str, ...]
    run: Callable[[UInt8[Tensor, "n 3 h w"], Mapping[str, Tensor]], UInt8[Tensor, "n 3 h w"]]


def _parts(images: Tensor, strengths: Mapping[str, Tensor]) -> Iterator[tuple[str, Tensor, Tensor]]:
    pieces = images.split([len(strength) for strength in strengths.values()])
    return zip(strengths, pieces, strengths.values(), strict=True)


def _move(images: Tensor, strengths: Mapping[str, Tensor]) -> Tensor:
    """Nearest pixel at (a x + b y + c, d x + e y + f) of each place's centre, in Pillow's 16-bit fractions."""
    n, _, h, w = images.shape
    matrices = torch.cat([_find_matrices(name, strength.double(), h, w) for name, strength in strengths.items()])
    a, b, c, d, e, f = matrices[:, :, None, None].unbind(1)
    y, x = torch.arange(h, device=images.device)[:, None], torch.arange(w, device=images.device)

    def places(by_x: Tensor, by_y: Tensor, shift: Tensor) -> Tensor:
        by_x, by_y, shift = ((65536 * v + 0.5).floor().long() for v in (by_x, by_y, shift + by_x / 2 + by_y / 2))
        return (by_x * x + by_y * y + shift) >> 16

    x, y = places(a, b, c), places(d, e, f)
    inside = (y >= 0) & (y < h) & (x >= 0) & (x < w)
    at = (y.clamp(0, h - 1) * w + x.clamp(0, w - 1)).flatten(1)[:, None].expand(n, images.shape[1], h * w)
    return images.flatten(2).gather(2, at).view_as(images).masked_fill(~inside[:, None], GREY)


def _find_matrices(name: str, by: Float[Tensor, " n"], h: int, w: int) -> Float[Tensor, "n 6"]:
    """Shears about the corner, shifts by a share of the side, turns counter-clockwise about the centre."""
    if name != "rotate":
        matrices = torch.tensor([1, 0, 0, 0, 1, 0], dtype=torch.double, device=by.device).repeat(len(by), 1)
        place, scale = {"shear_x": (1, 1), "shear_y": (3, 1), "translate_x": (2, w), "translate_y": (5, h)}[name]
        matrices[:, place] = by * scale
        return matrices
    cos, sin = (-by * math.pi / 180).cos(), (-by * math.pi / 180).sin()
    shift_x, shift_y = w / 2 - cos * w / 2 - sin * h / 2, h / 2 + sin * w / 2 - cos * h / 2
    return torch.stack([cos, sin, shift_x, -sin, cos, shift_y], 1)


def _blend(images: Tensor, strengths: Mapping[str, Tensor]) -> Tensor:
    """plain + (1 + strength) (image - plain), cut to bytes; strength 0 is the image."""
    plain = torch.cat([_find_plain(name, part).expand_as(part) for name, part, _ in _parts(images, strengths)])
    factor = (1 + torch.cat(list(strengths.values())))[:, None, None, None]
    return torch.lerp(plain, images.float(), factor).clamp_(0, 255).byte()


def _find_plain(name: str, images: Tensor) -> Float[Tensor, "n channel height width"]:
    """What an image is without colour, contrast, light or sharpness."""
    if name == "brightness":
        return images.new_zeros((len(images), 1, 1, 1), dtype=torch.float)
    if name == "sharpness":
        return _smooth(images)
    red, green, blue = images.int().unbind(1)
    grey = ((red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16)[:, None]
    return grey.float() if name == "color" else (grey.double().mean((1, 2, 3), keepdim=True) + 0.5).floor().float()


def _smooth(images: Tensor) -> Float[Tensor, "n c h w"]:
    """A mean of 3 x 3 pixels, the middle one five times; the border stays."""
    x = images.float()
    rows = x[..., :-2, :] + x[..., 1:-1, :] + x[..., 2:, :]
    inner = rows[..., :-2] + rows[..., 1:-1] + rows[..., 2:] + 4 * x[..., 1:-1, 1:-1]
    x[..., 1:-1, 1:-1] = (inner / 13 + 0.5).floor_()
    return x


def _look_up(images: Tensor, strengths: Mapping[str, Tensor]) -> Tensor:
    """Each byte of a channel to another one."""
    table = torch.cat([_table(*part) for part in _parts(images, strengths)])
    return table.gather(2, images.flatten(2).long()).view_as(images)


def _table(name: str, images: Tensor, strength: Tensor) -> UInt8[Tensor, "n c 256"]:
    n, c = images.shape[:2]
    same = torch.arange(256, device=images.device).expand(n, c, 256)
    if name in ("invert", "solarize", "posterize"):
        by = strength.abs()[:, None, None]
        if name == "posterize":
            return (same & (256 - 2 ** (8 - by.int()))).byte()
        return (255 - same if name == "invert" else torch.where(same < by, same, 255 - same)).byte()
    flat = images.flatten(2)
    high = flat.amax(2, keepdim=True)
    if name == "autocontrast":  # from the darkest and the brightest to 0 and 255
        low, high = flat.amin(2, keepdim=True).double(), high.double()
        scale = 255 / (high - low).clamp(min=1)
        return torch.where(high > low, (same * scale - low * scale).clamp(0, 255).floor(), same).byte()
    flat = flat.long()  # equalize: an even histogram, by Pillow's integer arithmetic
    histogram = flat.new_zeros(n, c, 256).scatter_add_(2, flat, torch.ones_like(flat))
    step = (histogram.sum(2, keepdim=True) - histogram.gather(2, high.long())) // 255
    even = (histogram.cumsum(2) - histogram + step // 2) // step.clamp(min=1)
    return torch.where(step > 0, even.clamp(0, 255), same).byte()


KINDS = (
    Kind(("shear_x", "shear_y", "translate_x", "translate_y", "rotate"), _move),
    Kind(("color", "contrast", "brightness", "sharpness"), _blend),
    Kind(("posterize", "solarize", "autocontrast", "equalize", "invert"), _look_up),
)
NAMES = tuple(name for kind in KINDS for name in kind.names)
