"""Drawings of the embedded world's scenes. Pillow is imported only when something is drawn."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image

RGB = {
    "red": (205, 45, 42), "blue": (44, 96, 205), "green": (52, 152, 60), "yellow": (243, 208, 48),
    "purple": (136, 66, 182), "brown": (126, 78, 42), "gray": (138, 142, 148), "orange": (243, 136, 32),
    "black": (46, 46, 52), "white": (240, 240, 236),
}  # fmt: skip
# how much light and shade differ, how much of the light is a white glare, how opaque
MATERIALS = {"metal": (1.0, 0.75, 255), "rubber": (0.45, 0.0, 255), "glass": (0.6, 0.55, 165), "wood": (0.6, 0.0, 255)}
SMOOTH = 3  # pixels drawn for every pixel kept, each way
Facet = tuple[tuple[tuple[float, float], ...], float]  # a polygon in [-1, 1] (y down), and its light in [0, 1]


def render(scene: Mapping, size: int = 128) -> Image:
    """A picture of one scene graph of `scenes.json`, `size` pixels square; nearer objects (lower down) cover others."""
    from PIL import Image, ImageDraw

    side = size * SMOOTH
    picture = Image.new("RGB", (side, side))
    floor = ImageDraw.Draw(picture)
    for y in range(side):
        level = 186 + 44 * y // side
        floor.line([(0, y), (side, y)], fill=(level, level, level + 5))
    for thing in sorted(scene["objects"], key=lambda thing: thing["position"][1]):
        x, y = (side * coordinate for coordinate in thing["position"])
        low_x, low_y, high_x, high_y = (pixel * side / 128 for pixel in thing["box"])  # of a canvas of 128
        radius = max(x - low_x, high_x - x, y - low_y, high_y - y)
        cutout = _draw(thing, radius)
        picture.paste(cutout, (round(x - 1.5 * radius), round(y - 1.5 * radius)), cutout)
    return picture.resize((size, size), Image.Resampling.LANCZOS)


def _draw(thing: Mapping, radius: float) -> Image:
    """One object and its shadow on a transparent square of three radii, the object in the middle."""
    from PIL import Image, ImageDraw

    contrast, glare, opacity = MATERIALS[thing["material"]]
    side = math.ceil(3 * radius)
    cutout = Image.new("RGBA", (side, side))
    pen = ImageDraw.Draw(cutout)
    middle = side / 2
    for spread in range(8):
        reach = radius * (1.15 - 0.05 * spread)
        top, bottom = middle + 0.95 * radius - 0.28 * reach, middle + 0.95 * radius + 0.28 * reach
        pen.ellipse([middle - 0.85 * reach, top, middle + 1.1 * reach, bottom], fill=(30, 30, 40, 10 + 11 * spread))
    shape = Image.new("RGBA", (side, side))
    pen = ImageDraw.Draw(shape)
    for polygon, light in _facets(thing["shape"]):
        points = [(middle + radius * u, middle + radius * v) for u, v in polygon]
        pen.polygon(points, fill=(*_shade(RGB[thing["color"]], light, contrast, glare), opacity))
    if thing["material"] == "wood":
        _grain(shape, radius)
    cutout.alpha_composite(shape)
    return cutout


def _shade(color: tuple[int, int, int], light: float, contrast: float, glare: float) -> tuple[int, ...]:
    level = 1 + contrast * (light - 0.6)
    white = glare * max(0.0, (light - 0.75) / 0.25) ** 2
    return tuple(round(min(255, channel * level) * (1 - white) + 255 * white) for channel in color)


def _grain(shape: Image, radius: float) -> None:
    """Darker wavy lines, only where the shape is."""
    from PIL import Image, ImageChops, ImageDraw

    side = shape.width
    lines = Image.new("L", shape.size)
    pen = ImageDraw.Draw(lines)
    for row in range(14):
        height = side * (row + 0.5) / 14
        wave = [(x, height + 0.07 * radius * math.sin(5 * x / side + 1.7 * row)) for x in range(0, side + 1, 3)]
        pen.line(wave, fill=85, width=max(1, round(0.05 * radius)))
    shape.paste((40, 22, 8), mask=ImageChops.multiply(lines, shape.getchannel("A")))


def _ellipse(u: float, v: float, width: float, height: float, n: int = 40) -> tuple[tuple[float, float], ...]:
    angles = [2 * math.pi * i / n for i in range(n)]
    return tuple((u + width * math.cos(angle), v + height * math.sin(angle)) for angle in angles)


def _round_light(u: float) -> float:
    """Light along a round side lit from the left, u in [-1, 1]."""
    return 0.25 + 0.75 * math.exp(-((u + 0.4) ** 2) / 0.22)


@cache
def _facets(shape: str) -> tuple[Facet, ...]:
    """A shape as flat pieces, in the order in which they are painted."""
    pieces = {"cube": _cube, "sphere": _sphere, "pyramid": _pyramid, "ring": _ring, "star": _star}
    return tuple(pieces[shape]() if shape in pieces else _revolve(shape))


def _cube() -> list[Facet]:
    return [
        (((-0.9, -0.4), (0.4, -0.4), (0.4, 0.95), (-0.9, 0.95)), 0.65),
        (((-0.9, -0.4), (-0.4, -0.85), (0.9, -0.85), (0.4, -0.4)), 0.92),
        (((0.4, -0.4), (0.9, -0.85), (0.9, 0.5), (0.4, 0.95)), 0.25),
    ]


def _sphere() -> list[Facet]:
    pieces, steps = [], 24
    for i in range(steps):
        reach = 0.95 * (1 - i / steps)
        pieces.append((_ellipse(-0.32 * i / steps, -0.36 * i / steps, reach, reach), 0.2 + 0.8 * i / steps))
    return pieces


def _revolve(shape: str) -> list[Facet]:
    """Cylinder and cone: upright strips from the rim of the foot to the rim, or the tip, of the top."""
    steps, top = 28, 0.8 if shape == "cylinder" else 0.0
    pieces: list[Facet] = []
    for i in range(steps):
        edges = [math.cos(math.pi * (1 - (i + j) / steps)) for j in (0, 1)]
        foot = [(0.8 * u, 0.7 + 0.25 * math.sqrt(max(0.0, 1 - u * u))) for u in edges]
        head = [(top * u, -0.72 + (0.25 * math.sqrt(max(0.0, 1 - u * u)) if top else -0.23)) for u in edges]
        pieces.append(((*foot, *head[::-1]), _round_light(sum(edges) / 2)))
    return pieces + [(_ellipse(0.0, -0.72, 0.8, 0.23), 0.9)] * bool(top)


def _pyramid() -> list[Facet]:
    return [(((0, -0.95), (-0.95, 0.6), (0.15, 0.95)), 0.78), (((0, -0.95), (0.15, 0.95), (0.95, 0.5)), 0.25)]


def _ring() -> list[Facet]:
    pieces: list[Facet] = []
    steps, bands = 48, 6
    for i in range(steps):
        for band in range(bands):
            corners = [(i, band), (i + 1, band), (i + 1, band + 1), (i, band + 1)]
            polygon = []
            for step, ring in corners:
                angle, reach = 2 * math.pi * step / steps, 0.45 + 0.5 * ring / bands
                polygon.append((reach * math.cos(angle), 0.8 * reach * math.sin(angle)))
            across = 2 * (band + 0.5) / bands - 1
            facing = across * math.cos(2 * math.pi * i / steps - 1.25 * math.pi)
            pieces.append((tuple(polygon), 0.45 + 0.55 * facing - 0.15 * abs(across)))
    return pieces


def _star() -> list[Facet]:
    reach = (0.98, 0.45) * 5
    tips = [(reach[i] * math.sin(math.pi * i / 5), -reach[i] * math.cos(math.pi * i / 5)) for i in range(10)]
    return [(((0.0, 0.0), tips[i], tips[(i + 1) % 10]), 0.9 if i % 2 else 0.45) for i in range(10)]
