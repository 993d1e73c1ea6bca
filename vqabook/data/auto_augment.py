"""Augmentation of whole batches of small images, on the device where they lie: crop, flip, AutoAugment, Cutout.

Images are uint8 [b, 3, h, w] before and after. Every image has its own draw; operations run once for all images that
drew them, and give what Pillow gives. AutoAugment: Cubuk et al. 2019, arXiv:1805.09501, Appendix, Tables 6 and 7; it
was found for CIFAR-10. Cutout: DeVries & Taylor 2017, arXiv:1708.04552.
"""

import math
from collections.abc import Callable, Sequence
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
    cubic: bool = False  # shears are bicubic, as in released code; the nearest pixel otherwise

    def __call__(self, images: UInt8[Tensor, "b 3 h w"]) -> tuple[Float[Tensor, "b 3 h w"], ...]:
        images = crop_and_flip(images, self.padding, self.flip)
        images = auto_augment(images, cubic=self.cubic) if self.policy else images
        return self.lookup(images if self.hole is None else cutout(images, self.hole))


def crop_and_flip(images: Shaped[Tensor, "b c h w"], padding: int, flip: bool) -> Shaped[Tensor, "b c h w"]:
    """A crop of the size of the image, out of it with `padding` zeros around; every other one mirrored."""
    (b, c, h, w), device = images.shape, images.device
    top, left = torch.randint(2 * padding + 1, (2, b, 1)).to(device)
    mirrored = (torch.rand(b, 1) < 0.5 * flip).to(device)
    row, column = top + torch.arange(h, device=device), left + torch.arange(w, device=device)
    column = torch.where(mirrored, column.flip(1), column)
    at = (row[:, :, None] * (w + 2 * padding) + column[:, None]).view(b, 1, h * w).expand(b, c, h * w)
    return F.pad(images, (padding,) * 4).flatten(2).gather(2, at).view_as(images)


def cutout(images: UInt8[Tensor, "b c h w"], side: int) -> UInt8[Tensor, "b c h w"]:
    """A black square around a random pixel of each image; near the border less of it is seen."""
    b, _, h, w = images.shape
    y, x = (torch.randint(n, (b, 1)).to(images.device) for n in (h, w))
    rows, columns = torch.arange(h, device=images.device), torch.arange(w, device=images.device)
    inside = ((rows >= y - side // 2) & (rows < y + side - side // 2))[:, :, None]
    inside = inside & ((columns >= x - side // 2) & (columns < x + side - side // 2))[:, None]
    return images * ~inside[:, None]


def auto_augment(images: UInt8[Tensor, "b 3 h w"], *, cubic: bool = False) -> UInt8[Tensor, "b 3 h w"]:
    """One of the 25 sub-policies an image: each of its two operations with its probability, a sign at random."""
    operations = OPERATIONS | (CUBIC if cubic else {})
    b, (place, often, strength) = len(images), _policy()
    which = torch.randint(len(POLICY), (b,))
    applied = torch.rand(b, 2) < often[which]
    by = (1 - 2 * torch.randint(2, (b, 2))) * strength[which]
    result = images.clone()
    for turn in range(2):
        rows = applied[:, turn].nonzero()[:, 0]
        operation = place[which[rows], turn]
        rows = rows[operation.argsort(stable=True)]
        sizes = operation.bincount(minlength=len(OPERATIONS)).tolist()
        parts = (x.to(images.device).split(sizes) for x in (rows, by[rows, turn]))
        for operate, at, strengths in zip(operations.values(), *parts, strict=True):
            if len(at):
                result.index_copy_(0, at, operate(result.index_select(0, at), strengths))
    return result


@lru_cache
def _policy() -> tuple[Int[Tensor, "p 2"], Float[Tensor, "p 2"], Float[Tensor, "p 2"]]:
    """Of both operations of every sub-policy: place in `OPERATIONS`, probability, strength."""
    names = list(OPERATIONS)
    place = torch.tensor([[names.index(name) for name, _, _ in pair] for pair in POLICY])
    often = torch.tensor([[often for _, often, _ in pair] for pair in POLICY])
    return place, often, torch.tensor([[find_strength(name, level) for name, _, level in pair] for pair in POLICY])


def find_strength(name: str, level: int | None) -> float:
    """Of a level of ten (Table 6): a shear, a share of the width, degrees, bits, a threshold, a change of factor."""
    part = (level or 0) / (LEVELS - 1)
    most = {"shear": 0.3, "translate": 150 / 331, "rotate": 30.0, "posterize": 4.0, "solarize": 255.0}
    value = part * most.get(name.split("_")[0], 0.9)
    if name == "posterize":
        return 8.0 - round(value)
    return 255 - value if name == "solarize" else value


def _move(images: Tensor, by: Tensor, *, turn: int = 0, shear: Sequence = (0, 0), shift: Sequence = (0, 0)) -> Tensor:
    """One of: turned counter-clockwise about the centre, sheared about the corner, shifted by a share of the side.

    The nearest pixel at (a x + b y + c, d x + e y + f) of each place's centre, in Pillow's 16-bit fractions.
    """
    n, channels, h, w = images.shape
    by = by.double()
    angle, shear_x, shear_y = by * turn, by * shear[0], by * shear[1]
    cos, sin = (-angle * math.pi / 180).cos(), (-angle * math.pi / 180).sin()
    shift_x = w / 2 - cos * w / 2 - sin * h / 2 + by * shift[0] * w
    shift_y = h / 2 + sin * w / 2 - cos * h / 2 + by * shift[1] * h
    y, x = torch.arange(h, device=images.device)[:, None], torch.arange(w, device=images.device)

    def places(*row: Tensor) -> Tensor:
        by_x, by_y, start = (v[:, None, None] for v in row)
        by_x, by_y, start = ((65536 * v + 0.5).floor().long() for v in (by_x, by_y, start + by_x / 2 + by_y / 2))
        return (by_x * x + by_y * y + start) >> 16

    x, y = places(cos, sin + shear_x, shift_x), places(shear_y - sin, cos, shift_y)
    inside = (y >= 0) & (y < h) & (x >= 0) & (x < w)
    at = (y.clamp(0, h - 1) * w + x.clamp(0, w - 1)).flatten(1)[:, None].expand(n, channels, h * w)
    return images.flatten(2).gather(2, at).view_as(images).masked_fill(~inside[:, None], GREY)


def shear_cubic(images: UInt8[Tensor, "n c h w"], by: Float[Tensor, " n"]) -> UInt8[Tensor, "n c h w"]:
    """Sheared along x about the corner as Pillow's bicubic filter does: its kernel has a = -1, fractions go."""
    w, y = images.shape[-1], torch.arange(images.shape[-2], device=images.device)[:, None] + 0.5
    x = torch.arange(w, device=images.device) + 0.5 + by.double()[:, None, None] * y
    left = (x - 0.5).floor().long()
    d = (x - 0.5 - left)[:, None]
    v1, v2, v3, v4 = (images.take_along_dim((left + k).clamp(0, w - 1)[:, None], 3).double() for k in (-1, 0, 1, 2))
    value = v2 + d * (v3 - v1 + d * (2 * (v1 - v2) + v3 - v4 + d * (v2 - v1 + v4 - v3)))
    return torch.where(((x >= 0) & (x < w))[:, None], value.clamp(0, 255), GREY).byte()


def _blend(images: Tensor, by: Tensor, plain: Float[Tensor, "#n #c #h #w"]) -> Tensor:
    """plain + (1 + by) (image - plain), cut to bytes; by 0 is the image."""
    plain = plain.expand(images.shape).contiguous()
    return torch.lerp(plain, images.float(), (1 + by)[:, None, None, None]).clamp_(0, 255).byte()


def _grey(images: Tensor) -> Float[Tensor, "n 1 h w"]:
    red, green, blue = images.int().unbind(1)
    return ((red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16)[:, None].float()


def _mean_grey(images: Tensor) -> Float[Tensor, "n 1 1 1"]:
    return (_grey(images).double().mean((1, 2, 3), keepdim=True) + 0.5).floor().float()


def _smooth(images: Tensor) -> Float[Tensor, "n c h w"]:
    """A mean of 3 x 3 pixels, the middle one five times; the border stays."""
    x = images.float()
    rows = x[..., :-2, :] + x[..., 1:-1, :] + x[..., 2:, :]
    inner = rows[..., :-2] + rows[..., 1:-1] + rows[..., 2:] + 4 * x[..., 1:-1, 1:-1]
    x[..., 1:-1, 1:-1] = (inner / 13 + 0.5).floor_()
    return x


def _posterize(images: Tensor, bits: Tensor) -> Tensor:
    return images & (256 - 2 ** (8 - bits.abs().int())).byte()[:, None, None, None]


def _look_up(images: Tensor, table: Shaped[Tensor, "n #c 256"]) -> Tensor:
    """Each byte of a channel to another one."""
    flat = images.flatten(2)
    return table.byte().expand(*flat.shape[:2], 256).gather(2, flat.long()).view_as(images)


def _solarize(images: Tensor, threshold: Tensor) -> Tensor:
    same = torch.arange(256, device=images.device)
    return _look_up(images, torch.where(same < threshold.abs()[:, None, None], same, 255 - same))


def _autocontrast(images: Tensor) -> Tensor:
    """Each channel from its darkest and its brightest to 0 and 255."""
    same, flat = torch.arange(256, device=images.device), images.flatten(2)
    low, high = flat.amin(2, keepdim=True).double(), flat.amax(2, keepdim=True).double()
    scale = 255 / (high - low).clamp(min=1)
    return _look_up(images, torch.where(high > low, (same * scale - low * scale).clamp(0, 255).floor(), same))


def _equalize(images: Tensor) -> Tensor:
    """Each channel to an even histogram, by Pillow's integer arithmetic."""
    same, flat = torch.arange(256, device=images.device), images.flatten(2).long()
    histogram = flat.new_zeros(*flat.shape[:2], 256).scatter_add_(2, flat, torch.ones_like(flat))
    step = (flat.shape[2] - histogram.gather(2, flat.amax(2, keepdim=True))) // 255
    even = (histogram.cumsum(2) - histogram + step // 2) // step.clamp(min=1)
    return _look_up(images, torch.where(step > 0, even.clamp(0, 255), same))


# What becomes of images [n, 3, h, w], each by its own strength [n], whose sign is random.
OPERATIONS: dict[str, Callable[[UInt8[Tensor, "n 3 h w"], Float[Tensor, " n"]], UInt8[Tensor, "n 3 h w"]]] = {
    "shear_x": lambda images, by: _move(images, by, shear=(1, 0)),
    "shear_y": lambda images, by: _move(images, by, shear=(0, 1)),
    "translate_x": lambda images, by: _move(images, by, shift=(1, 0)),
    "translate_y": lambda images, by: _move(images, by, shift=(0, 1)),
    "rotate": lambda images, by: _move(images, by, turn=1),
    "color": lambda images, by: _blend(images, by, _grey(images)),
    "contrast": lambda images, by: _blend(images, by, _mean_grey(images)),
    "brightness": lambda images, by: _blend(images, by, images.new_zeros((1, 1, 1, 1), dtype=torch.float)),
    "sharpness": lambda images, by: _blend(images, by, _smooth(images)),
    "posterize": _posterize,
    "solarize": _solarize,
    "autocontrast": lambda images, by: _autocontrast(images),
    "equalize": lambda images, by: _equalize(images),
    "invert": lambda images, by: 255 - images,
}
CUBIC = {"shear_x": shear_cubic, "shear_y": lambda images, by: shear_cubic(images.mT, by).mT}
