"""Augmentation of whole batches of small images, on the device where they lie: crop, flip, AutoAugment, Cutout.

Images are uint8 [b, 3, h, w] before and after. Every image has its own draw; operations run once for all images that
drew them, and give what Pillow gives. AutoAugment: Cubuk et al. 2019, arXiv:1805.09501, Appendix, Tables 6 and 7; it
was found for CIFAR-10. Cutout: DeVries & Taylor 2017, arXiv:1708.04552.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F

if TYPE_CHECKING:
    from collections.abc import Callable

    from jaxtyping import Float, Int, UInt8

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
SIGNED = ("shear_x", "shear_y", "translate_x", "translate_y", "rotate", "color", "contrast", "brightness", "sharpness")


@dataclass(frozen=True)
class AutoAugment:
    """A Table's lookup preceded by a random crop, a flip, AutoAugment and Cutout, drawn image by image.

    On bytes, so the crop's border is black, where `augment.Augment` shifts after its lookup and fills with the mean.
    Draws from torch's global generator, which `fit` seeds and keeps in its checkpoints. Give it to training rows alone.
    """

    lookup: Callable[..., tuple[Tensor, ...]]
    padding: int = 4
    flip: bool = True
    policy: bool = True
    hole: int | None = 16  # pixels of Cutout

    def __call__(self, images: UInt8[Tensor, "b 3 h w"]) -> tuple[Float[Tensor, "b 3 h w"]]:
        images = crop_and_flip(images, self.padding, self.flip)
        if self.policy:
            images = auto_augment(images)
        return self.lookup(images if self.hole is None else cutout(images, self.hole))


def crop_and_flip(
    images: UInt8[Tensor, "b c h w"], padding: int, flip: bool, generator: torch.Generator | None = None
) -> UInt8[Tensor, "b c h w"]:
    """A crop of the size of the image, out of it with `padding` black pixels around; every other one mirrored."""
    b, _, h, w = images.shape
    device = images.device
    top, left = torch.randint(2 * padding + 1, (2, b, 1), generator=generator).to(device) - padding
    mirrored = (torch.rand(b, 1, generator=generator) < 0.5 * flip).to(device)
    y = torch.arange(h, device=device) + top
    x = torch.arange(w, device=device).expand(b, w)
    x = torch.where(mirrored, w - 1 - x, x) + left
    return _picked(images, y[:, :, None].expand(b, h, w), x[:, None].expand(b, h, w), 0)


def cutout(
    images: UInt8[Tensor, "b c h w"], side: int, generator: torch.Generator | None = None
) -> UInt8[Tensor, "b c h w"]:
    """A black square around a random pixel of each image; near the border less of it is seen."""
    b, _, h, w = images.shape
    y, x = (torch.randint(n, (b, 1), generator=generator).to(images.device) for n in (h, w))
    rows, columns = torch.arange(h, device=images.device), torch.arange(w, device=images.device)
    inside = ((rows >= y - side // 2) & (rows < y + side - side // 2))[:, :, None]
    inside = inside & ((columns >= x - side // 2) & (columns < x + side - side // 2))[:, None]
    return images.masked_fill(inside[:, None], 0)


def auto_augment(
    images: UInt8[Tensor, "b 3 h w"], generator: torch.Generator | None = None
) -> UInt8[Tensor, "b 3 h w"]:
    """One of the 25 sub-policies an image: each of its two operations with its probability, a sign at random."""
    b = len(images)
    which = torch.randint(len(POLICY), (b,), generator=generator)
    chance, sign = torch.rand(b, 2, generator=generator), torch.rand(b, 2, generator=generator) < 0.5
    done = images.clone()
    for turn in range(2):
        drawn: dict[str, list[tuple[int, float]]] = {}
        for i, (policy, p, negative) in enumerate(
            zip(which.tolist(), chance[:, turn].tolist(), sign[:, turn].tolist(), strict=True)
        ):
            name, often, level = POLICY[policy][turn]
            if p < often:
                drawn.setdefault(name, []).append((i, _strength(name, level) * (-1 if negative else 1)))
        for name, found in drawn.items():
            rows = torch.tensor([i for i, _ in found], device=images.device)
            strength = torch.tensor([by for _, by in found], device=images.device)
            done[rows] = OPERATIONS[name](done[rows], strength)
    return done


def _strength(name: str, level: int | None) -> float:
    """Of a level of ten (Table 6): a shear, a share of the width, degrees, bits, a threshold, a change of factor."""
    part = (level or 0) / (LEVELS - 1)
    most = {"shear": 0.3, "translate": 150 / 331, "rotate": 30.0, "posterize": 4.0, "solarize": 255.0}
    value = part * most.get(name.split("_")[0], 0.9)
    if name == "posterize":
        return 8.0 - round(value)
    return 255 - value if name == "solarize" else value


def _picked(
    images: UInt8[Tensor, "n c h w"], y: Int[Tensor, "n h w"], x: Int[Tensor, "n h w"], fill: int
) -> UInt8[Tensor, "n c h w"]:
    """The pixel at (y, x) of each place; `fill` where that is outside."""
    n, c, h, w = images.shape
    inside = (y >= 0) & (y < h) & (x >= 0) & (x < w)
    at = (y.clamp(0, h - 1) * w + x.clamp(0, w - 1)).flatten(1)[:, None].expand(n, c, h * w)
    return images.flatten(2).gather(2, at).view_as(images).masked_fill(~inside[:, None], fill)


def _affine(images: Tensor, matrix: list[Tensor | float]) -> Tensor:
    """Nearest pixel at (a x + b y + c, d x + e y + f) of each place's centre, in Pillow's 16-bit fractions."""
    n, _, h, w = images.shape
    a, b, c, d, e, f = (torch.as_tensor(v, device=images.device).double().expand(n)[:, None, None] for v in matrix)
    y, x = torch.arange(h, device=images.device)[:, None], torch.arange(w, device=images.device)

    def places(by_x: Tensor, by_y: Tensor, shift: Tensor) -> Tensor:
        fixed = ((65536 * v + 0.5).floor().long() for v in (by_x, by_y, shift + by_x / 2 + by_y / 2))
        by_x, by_y, shift = fixed
        return (by_x * x + by_y * y + shift) >> 16

    return _picked(images, places(d, e, f), places(a, b, c), GREY)


def _rotated(images: Tensor, degrees: Float[Tensor, " n"]) -> Tensor:
    """Counter-clockwise about the centre."""
    h, w = images.shape[-2:]
    angle = -degrees.double() * math.pi / 180
    cos, sin = angle.cos(), angle.sin()
    shift_x = w / 2 - cos * w / 2 - sin * h / 2
    return _affine(images, [cos, sin, shift_x, -sin, cos, h / 2 + sin * w / 2 - cos * h / 2])


def _blended(images: Tensor, plain: Tensor, strength: Float[Tensor, " n"]) -> Tensor:
    """plain + (1 + strength) (image - plain), cut to bytes; strength 0 is the image."""
    factor = (1 + strength)[:, None, None, None]
    plain = plain.float()
    return (plain + factor * (images.float() - plain)).clamp(0, 255).byte()


def _grey(images: Tensor) -> Int[Tensor, "n 1 h w"]:
    red, green, blue = images.int().unbind(1)
    return ((red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16)[:, None]


def _mean_grey(images: Tensor) -> Tensor:
    return (_grey(images).double().mean((1, 2, 3), keepdim=True) + 0.5).floor()


def _smooth(images: Tensor) -> Tensor:
    """A mean of 3 x 3 pixels, the middle one five times; the border stays."""
    kernel = torch.ones(3, 3, device=images.device)
    kernel[1, 1] = 5
    x = images.float()
    inner = F.conv2d(x.flatten(0, 1)[:, None], kernel[None, None]) / 13
    smooth = x.clone()
    smooth[..., 1:-1, 1:-1] = (inner + 0.5).floor().clamp(0, 255).view(*x.shape[:2], x.shape[2] - 2, x.shape[3] - 2)
    return smooth


def _by_table(images: Tensor, table: Int[Tensor, "n c 256"]) -> Tensor:
    return table.gather(2, images.flatten(2).long()).clamp(0, 255).byte().view_as(images)


def _autocontrast(images: Tensor, _: Tensor) -> Tensor:
    """Each channel from its darkest and brightest to 0 and 255."""
    low, high = (pick(images.flatten(2), -1).double()[..., None] for pick in (torch.amin, torch.amax))
    scale = 255 / (high - low).clamp(min=1)
    stretched = (torch.arange(256, device=images.device) * scale - low * scale).clamp(0, 255).floor()
    return torch.where((high > low)[..., None], _by_table(images, stretched.long()), images)


def _equalized(images: Tensor, _: Tensor) -> Tensor:
    """Each channel's histogram made even, by Pillow's integer arithmetic."""
    n, c = images.shape[:2]
    flat = images.flatten(2).long()
    histogram = flat.new_zeros(n, c, 256).scatter_add_(2, flat, torch.ones_like(flat))
    step = (histogram.sum(2) - histogram.gather(2, flat.amax(2, keepdim=True)).squeeze(2)) // 255
    before = histogram.cumsum(2) - histogram
    table = (before + (step // 2)[..., None]) // step.clamp(min=1)[..., None]
    return torch.where((step > 0)[..., None, None], _by_table(images, table), images)


def _posterized(images: Tensor, bits: Float[Tensor, " n"]) -> Tensor:
    mask = (256 - 2 ** (8 - bits.abs().int())).byte()
    return images & mask[:, None, None, None]


def _solarized(images: Tensor, threshold: Float[Tensor, " n"]) -> Tensor:
    return torch.where(images.float() < threshold.abs()[:, None, None, None], images, 255 - images)


OPERATIONS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "shear_x": lambda x, by: _affine(x, [1.0, by, 0.0, 0.0, 1.0, 0.0]),
    "shear_y": lambda x, by: _affine(x, [1.0, 0.0, 0.0, by, 1.0, 0.0]),
    "translate_x": lambda x, by: _affine(x, [1.0, 0.0, by.double() * x.shape[-1], 0.0, 1.0, 0.0]),
    "translate_y": lambda x, by: _affine(x, [1.0, 0.0, 0.0, 0.0, 1.0, by.double() * x.shape[-2]]),
    "rotate": _rotated,
    "color": lambda x, by: _blended(x, _grey(x), by),
    "contrast": lambda x, by: _blended(x, _mean_grey(x), by),
    "brightness": lambda x, by: _blended(x, torch.zeros_like(x), by),
    "sharpness": lambda x, by: _blended(x, _smooth(x), by),
    "posterize": _posterized,
    "solarize": _solarized,
    "autocontrast": _autocontrast,
    "equalize": _equalized,
    "invert": lambda x, _: 255 - x,
}
