"""What a model sees and where it looks: images, maps over them, words."""

from collections.abc import Mapping, Sequence
from textwrap import fill
from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vqabook.report.figures.frame import is_narrow

FRAME = (214, 39, 140)  # of what is asked about: no colour of scenes, seen on light and on dark ground


def picture(axes: Axes, image: Any, caption: str) -> None:
    """An image without axes, with its caption below."""
    axes.imshow(image, cmap="gray")  # the map of images that have one channel
    axes.set(xticks=[], yticks=[])
    axes.set_frame_on(False)  # for good: despine would bring two sides back
    axes.set_xlabel(caption, fontsize=7)


def attention_map(
    boxes: Float[np.ndarray, "o 4"], attention: Sequence[float], *, side: int = 224
) -> Float[np.ndarray, "s s"]:
    """Attention over boxes (fractions of the image) as pixels, `side` wide and high: of each, the most of any box."""
    pixels = np.zeros((side, side))
    for (x0, y0, x1, y1), looked in zip(np.rint(boxes * side).astype(int), attention, strict=True):
        pixels[y0:y1, x0:x1] = np.maximum(pixels[y0:y1, x0:x1], looked)
    return pixels


def light_up(image: np.ndarray, attention: Float[np.ndarray, "s s"]) -> np.ndarray:
    """An image [s, s, 3] as bright as it is looked at: a fifth of its light where nothing looks."""
    light = 0.2 + 0.8 * attention / max(attention.max(), 1e-9)
    return (image * light[..., None]).astype(np.uint8)


def frame_regions(
    image: np.ndarray, boxes: Float[np.ndarray, "o 4"], relevant: Float[np.ndarray, " o"] | None
) -> np.ndarray:
    """An image [s, s, 3] with a frame around each region whose share of `relevant` is more than zero."""
    framed, side = np.array(image), len(image)
    width = max(1, side // 75)
    for x0, y0, x1, y1 in [] if relevant is None else np.rint(boxes[relevant > 0] * side).astype(int):
        inside = framed[y0 + width : y1 - width, x0 + width : x1 - width].copy()
        framed[y0:y1, x0:x1] = FRAME
        framed[y0 + width : y1 - width, x0 + width : x1 - width] = inside
    return framed


def strip(figure: Figure, rows: Sequence[Sequence[tuple[str, object]]]) -> None:
    """Rows of pictures from left to right, what comes of what: (label, picture) each, with an arrow to the next.

    A picture is an image [s, s, 3], or a map [s, s] or vector, drawn darker where it is more. A map on a phone keeps
    its place: every row has as many pictures as fit beside each other, four.
    """
    most = max(map(len, rows))
    grid = figure.subplots(len(rows), most, squeeze=False)
    size = 7 if is_narrow(figure) else 8
    for places, row in zip(grid, rows, strict=True):
        for axes in places:
            axes.set_axis_off()
        for i, (axes, (label, shown)) in enumerate(zip(places, row, strict=False)):
            pixels = np.atleast_2d(np.asarray(shown))
            axes.imshow(pixels, cmap="Purples", aspect="equal", interpolation="nearest")
            axes.set_title(fill(label, 16 if is_narrow(figure) else 24), fontsize=size)
            if i + 1 < len(row):
                axes.annotate(
                    "", (1.16, 0.5), (1.02, 0.5), "axes fraction", arrowprops={"arrowstyle": "->", "color": "gray"}
                )


def mask_to_target(example: Mapping) -> list[tuple[str, np.ndarray]]:
    """A row of `strip`: an image, a model's attention to it, what the best mask leaves, and the attention under that.

    `example`: `words`, `truth`, `image` [s, s, 3], `boxes` [o, 4], maps [o] `own`, `best` and `relevant` (or None), and
    the truth's probability without and with the mask, `plain` and `score`.
    """
    image, boxes = example["image"], example["boxes"]

    def lit(attention: Sequence[float]) -> np.ndarray:
        return light_up(image, attention_map(boxes, attention, side=len(image)))

    left = [float(share > 0) for share in example["best"]]  # what a mask takes away wholly gets no attention
    return [
        (f"{' '.join(example['words'])}? {example['truth']}", frame_regions(image, boxes, example["relevant"])),
        (f"attention without a mask: {example['plain']:.0%} sure", lit(example["own"])),
        (f"what the best mask leaves: {example['score']:.0%} sure", lit(left)),
        ("attention under it: the target", lit(example["best"])),
    ]


def looks(figure: Figure, rows: Sequence[Mapping]) -> None:
    """Fig. 9 of Guo et al.: a question a row; the image, then what each method looks at (lighter is more), and says.

    A row has `question`, `truth`, `image` [s, s, 3] or None, `boxes` [o, 4] and `methods`: name -> (attention, answer);
    where it is known what a question is about, `relevant` [o], whose regions are framed.
    """
    parts = figure.subfigures(len(rows), squeeze=False)[:, 0]
    for part, row in zip(parts, rows, strict=True):
        part.suptitle(fill(f"{row['question']} — {row['truth']}", 44 if is_narrow(figure) else 70), fontsize=9)
        there = row["image"] is not None
        image = np.asarray(row["image"]) if there else np.full((224, 224, 3), 255)
        places = part.subplots(1, len(row["methods"]) + there)
        if there:
            picture(places[0], frame_regions(image, row["boxes"], row.get("relevant")), "")
        for axes, (name, (attention, answer)) in zip(places[there:], row["methods"].items(), strict=True):
            mark, between = "✓" if answer == row["truth"] else "✗", "\n" if is_narrow(figure) else " "
            seen = attention_map(row["boxes"], attention, side=len(image))
            lit = frame_regions(light_up(image, seen), row["boxes"], row.get("relevant"))
            picture(axes, lit, f"{name}:{between}{answer} {mark}")
            axes.xaxis.label.set_fontsize(8)


def readings(figure: Figure, rows: Sequence[Mapping]) -> None:
    """A text a row: its words, and below each what share of a method's attention it gets (darker is more).

    A row has `words`, `title` and `methods`: name -> attention.
    """
    narrow = is_narrow(figure)
    slant: dict[str, Any] = {"rotation": 40, "ha": "right", "rotation_mode": "anchor"} if narrow else {}
    for axes, row in zip(np.atleast_1d(figure.subplots(len(rows), 1)), rows, strict=True):
        maps = np.array(list(row["methods"].values()))
        axes.imshow(maps, cmap="Purples", vmin=0, vmax=max(maps.max(), 1e-9), aspect="auto")
        axes.set_xticks(range(len(row["words"])), row["words"], fontsize=8, **slant)
        axes.set_yticks(range(len(maps)), [fill(name, 12 if narrow else 70) for name in row["methods"]], fontsize=8)
        axes.set_title(fill(row["title"], 34 if narrow else 70), fontsize=9, loc="left")
        axes.tick_params(length=0)
