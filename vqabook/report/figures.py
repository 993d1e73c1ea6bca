"""The book's figures: one visual language, the same colour for the same method on every page, in light and in dark.

Every function draws from records' plain numbers. `show` renders a drawing once a theme, with caption and alt text.
"""

import base64
import io
from collections.abc import Callable, Mapping, Sequence
from html import escape
from textwrap import fill

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vqabook.report.live import Star
from vqabook.report.show import show_html

PALETTE = sns.color_palette("colorblind").as_hex()  # Okabe and Ito's: safe for colour-blind readers
METHOD_COLORS = {
    "baseline": "#949494",
    "mask (sigmoid)": PALETTE[9],
    "mask (softplus-G)": PALETTE[0],
    "re-scaling": PALETTE[1],
    "both": PALETTE[2],
    "focal": PALETTE[4],
    "focal (released)": PALETTE[5],
}
BACKBONE_COLORS = {  # Paul Tol's "bright": as safe, and told apart from the methods'
    "UpDn": "#4477aa",
    "LM": "#ee6677",
    "LMH": "#aa3377",
    "CSS": "#ccbb44",
    "CSS+LMH": "#228833",
    "LXMERT": "#66ccee",
}
LOSS_COLORS = {"cross-entropy": "#949494", "soft cross-entropy": PALETTE[2], "soft scores": PALETTE[1]}
MODEL_COLORS = {"AVG": "#999933", "POOL": "#882255"}  # Tol's "muted"
PART_COLORS = {"question encoder": PALETTE[3], "classifier": PALETTE[0], "train": PALETTE[0], "test": PALETTE[1]}
LONG_TAIL_COLORS = {"softmax": "#949494", "equalisation": PALETTE[4], "balanced softmax": PALETTE[2]}
SHOT_COLORS = {"overall": "#949494", "many": PALETTE[0], "medium": PALETTE[1], "few": PALETTE[3]}
FREQUENCY_COLORS = {"frequent": PALETTE[0], "common": PALETTE[1], "rare": PALETTE[3]}  # LVIS' names of the same
Gains = Mapping[str, tuple[Sequence[float], tuple[float, float] | None]]  # label -> of each seed, 95 % interval
PRINTED = {"color": "gray", "marker": "D", "markersize": 6, "markerfacecolor": "none", "linestyle": "none"}
_INK = {"light": "#24292f", "dark": "#d5dae1"}
_INKED = ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color", "axes.titlecolor")
_NO_GROUND = {"figure.facecolor": "none", "axes.facecolor": "none"}
PHONE = 3.6  # inches: the text's width on a screen of 390 px
_SMALL = '<source media="(max-width: 600px)" srcset="{}">'
_ONE_THEME = "<style>html:not([data-theme]) .only-dark {display: none}</style>"  # outside the book


def show(
    draw: Callable[[Figure], None],
    *,
    caption: str,
    alt: str,
    size: tuple[float, float] = (7.2, 3.4),
    phone: float | None = None,
) -> None:
    """Display a drawing with its caption: what was found, over how many seeds, on which data.

    `alt` says the finding to those who cannot see it. `size`: inches. `phone`: how high the drawing is on a page that
    is only `PHONE` inches wide, for which it is drawn again; without, it keeps its size there and scrolls sideways.
    """
    show_html(render(draw, caption=caption, alt=alt, size=size, phone=phone))


def render(
    draw: Callable[[Figure], None],
    *,
    caption: str,
    alt: str,
    size: tuple[float, float],
    phone: float | None = None,
) -> str:
    """The HTML of what `show` displays."""
    if not caption.strip() or not alt.strip():
        raise ValueError("a figure has a caption and an alt text that say what was found; got an empty one: write it")
    images = []
    for theme, ink in _INK.items():
        wide = draw_svg(draw, size=size, ink=ink)
        small = "" if phone is None else _SMALL.format(_as_url(draw_svg(draw, size=(PHONE, phone), ink=ink)))
        told = f'class="only-{theme}" alt="{escape(alt, quote=True)}"'
        images.append(f'<picture>{small}<img {told} width="{round(96 * size[0])}" src="{_as_url(wide)}"></picture>')
    fits = "plot" if phone is None else "plot fits"
    return (
        f'<figure class="{fits}">{_ONE_THEME}<div class="drawing">{"".join(images)}</div>'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
    )


def draw_svg(draw: Callable[[Figure], None], *, size: tuple[float, float], ink: str) -> str:
    """A drawing of `size` inches as SVG without a ground; `ink` is the colour of text and axes."""
    with sns.axes_style("ticks", dict.fromkeys(_INKED, ink) | _NO_GROUND):
        figure = plt.figure(figsize=size, layout="constrained")
        draw(figure)
        for axes in figure.axes:
            sns.despine(ax=axes)
            if legend := axes.get_legend():
                legend.set_frame_on(False)
        page = io.StringIO()
        figure.savefig(page, format="svg", transparent=True, metadata={"Date": None})
        plt.close(figure)
    return page.getvalue()


def _as_url(svg: str) -> str:
    return f"data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode()}"


def bars(axes: Axes, values: Mapping[str, Sequence[float]], *, label: str) -> None:
    """One bar a method: mean over seeds, one dot a seed."""
    for x, (name, seeds) in enumerate(values.items()):
        if not len(seeds):
            continue
        color = METHOD_COLORS[name]
        axes.bar(x, np.mean(seeds), color=color, width=0.7, alpha=0.75)
        places, edge = np.full(len(seeds), x), {"markeredgecolor": "white", "markeredgewidth": 0.6}
        axes.plot(places, seeds, "o", color=color, markersize=4, **edge)
    axes.set_xticks(range(len(values)), [name.replace(" (", "\n(") for name in values], fontsize=8)
    axes.set_ylabel(label)


def lines(axes: Axes, x: Sequence[float], seeds: Sequence[Sequence[float]], *, color: str, label: str) -> None:
    """Mean over seeds, with a band of one standard deviation."""
    values = np.asarray(seeds, dtype=float)
    mean, std = values.mean(0), values.std(0, ddof=1) if len(values) > 1 else np.zeros(values.shape[1])
    axes.plot(x, mean, color=color, label=label, marker="o", markersize=3)
    axes.fill_between(x, mean - std, mean + std, color=color, alpha=0.2, linewidth=0)


def interval(axes: Axes, x: float, seeds: Sequence[float], limits: tuple[float, float], label: str, model: str) -> None:
    """At `x` a dot a seed, the mean, and a bar between `limits`, in the colour of `model`."""
    color = MODEL_COLORS[model]
    axes.plot(np.full(len(seeds), x), seeds, "o", color=color, markersize=3, alpha=0.5)
    axes.plot((x, x), limits, color=color, linewidth=2, label=label)
    axes.plot(x, np.mean(seeds), "_", color=color, markersize=12, markeredgewidth=2.5)


def gains(axes: Axes, rows: Gains, printed: Mapping, colors: Mapping[str, str] = BACKBONE_COLORS) -> None:
    """A row a label, coloured by what is before ", ": a dot a seed, mean, 95 % interval; diamonds as printed."""
    for y, (label, (seeds, interval)) in enumerate(rows.items()):
        color = colors[label.split(", ")[0]]
        if len(seeds):
            axes.plot(seeds, np.full(len(seeds), y), "o", color=color, markersize=4, alpha=0.6)
            axes.plot(np.mean(seeds), y, "|", color=color, markersize=16, markeredgewidth=2.5)
        if interval:
            axes.plot(interval, (y, y), color=color, linewidth=2)
        if label in printed:
            axes.plot(printed[label], y, **PRINTED)
    _name_rows(axes, list(rows), fontsize=9)


def _name_rows(axes: Axes, names: Sequence[str], *, fontsize: int) -> None:
    """The first row is the highest; a dotted line stands at no difference."""
    axes.axvline(0, color="gray", linewidth=0.8, linestyle=":")
    axes.set_yticks(range(len(names)), names, fontsize=fontsize)
    axes.set_ylim(len(names) - 0.5, -0.5)


def forest(axes: Axes, stars: Sequence[Star]) -> None:
    """A row a claim: printed difference (diamond), 95 % intervals of real and embedded data, the live run (star).

    The pale bar is where a new seed was expected in the embedded world.
    """
    live = {"color": PALETTE[3], "marker": "*", "markersize": 11, "markeredgecolor": "none", "linestyle": "none"}
    real, embedded = {"color": PALETTE[1], "linewidth": 2}, {"color": PALETTE[0], "linewidth": 2}
    for y, star in enumerate(stars):
        if star.expected:
            axes.plot(star.expected, (y + 0.16,) * 2, color=PALETTE[0], linewidth=7, alpha=0.2, solid_capstyle="butt")
        for shift, verdict, style in ((-0.16, star.real, real), (0.16, star.embedded, embedded)):
            if verdict.low is not None:
                axes.plot((verdict.low, verdict.high), (y + shift,) * 2, **style)
                axes.plot(verdict.mean, y + shift, "|", color=style["color"], markersize=9, markeredgewidth=2)
        if star.claim.printed is not None:
            axes.plot(star.claim.printed, y, **PRINTED)
        if star.value is not None:
            axes.plot(star.value, y + 0.16, **live)
    low, high = axes.get_xlim()
    if high - low > 40:  # one large difference would press all others together
        axes.set_xscale("symlog", linthresh=5)
        axes.set_xticks([x for x in (-50, -20, -10, -5, -2, 0, 2, 5, 10, 20, 50) if low <= x <= high])
        axes.xaxis.set_major_formatter("{x:+g}")
    _name_rows(axes, [fill(star.claim.statement, 44) for star in stars], fontsize=8)
    axes.set_xlabel(f"difference ({' or '.join(dict.fromkeys(star.claim.unit for star in stars))})")
    key = {"printed": PRINTED, "live run": live, "real data": real, "embedded world": embedded}
    for label, style in key.items():
        axes.plot([], [], label=label, **style)
    axes.legend(fontsize=8, ncols=4, loc="lower center", bbox_to_anchor=(0.3, 1.0))


def attention_map(
    boxes: Float[np.ndarray, "o 4"], attention: Sequence[float], *, side: int = 224
) -> Float[np.ndarray, "s s"]:
    """Attention over boxes (fractions of the image) as pixels, `side` wide and high: of each, the most of any box."""
    pixels = np.zeros((side, side))
    for (x0, y0, x1, y1), looked in zip(np.rint(boxes * side).astype(int), attention, strict=True):
        pixels[y0:y1, x0:x1] = np.maximum(pixels[y0:y1, x0:x1], looked)
    return pixels


def looks(figure: Figure, rows: Sequence[Mapping]) -> None:
    """Fig. 9 of Guo et al.: a question a row; the image, then what each method looks at (lighter is more), and says.

    A row has `question`, `truth`, `image` [s, s, 3] or None, `boxes` [o, 4] and `methods`: name -> (attention, answer).
    """
    for part, row in zip(np.atleast_1d(figure.subfigures(len(rows))), rows, strict=True):
        part.suptitle(f"{fill(row['question'], 60)} — {row['truth']}", fontsize=10)
        there = row["image"] is not None
        image = np.asarray(row["image"]) if there else np.full((224, 224, 3), 255)
        places = part.subplots(1, len(row["methods"]) + there)
        if there:
            picture(places[0], image, "")
        for axes, (name, (attention, answer)) in zip(places[there:], row["methods"].items(), strict=True):
            seen = attention_map(row["boxes"], attention, side=len(image))
            light = (0.2 + 0.8 * seen / max(seen.max(), 1e-9))[..., None]
            mark = "✓" if answer == row["truth"] else "✗"
            picture(axes, (image * light).astype(np.uint8), f"{name}: {answer} {mark}")
            axes.xaxis.label.set_fontsize(9)


def readings(figure: Figure, rows: Sequence[Mapping]) -> None:
    """A text a row: its words, and below each what share of a method's attention it gets (darker is more).

    A row has `words`, `title` and `methods`: name -> attention.
    """
    for axes, row in zip(np.atleast_1d(figure.subplots(len(rows), 1)), rows, strict=True):
        maps = np.array(list(row["methods"].values()))
        axes.imshow(maps, cmap="Blues", vmin=0, vmax=max(maps.max(), 1e-9), aspect="auto")
        axes.set_xticks(range(len(row["words"])), row["words"], fontsize=8)
        axes.set_yticks(range(len(maps)), list(row["methods"]), fontsize=8)
        axes.set_title(row["title"], fontsize=9, loc="left")
        axes.tick_params(length=0)


NAMED = 40  # columns up to which each has its name


def shares(axes: Axes, columns: Sequence[str], counts: Sequence[Sequence[int]], *, title: str, named: bool) -> None:
    """Fig. 3 of Mun et al.: of each column's examples, the share of every member (darker is more).

    Many columns are named in groups, by what comes before the last blank of "<group> <number>".
    """
    values = np.array(counts, dtype=float).T
    values /= np.maximum(values.sum(0), 1)
    axes.imshow(values, cmap="Blues", vmin=0, vmax=1, aspect="auto", interpolation="nearest")
    axes.set_yticks(range(len(values)), [f"S{i + 1}" for i in range(len(values))], fontsize=8)
    axes.set_title(title, fontsize=9)
    axes.tick_params(length=0)
    if len(columns) <= NAMED:
        axes.set_xticks(range(len(columns)) if named else [], columns if named else [], rotation=90, fontsize=7)
        return
    groups = [name.rpartition(" ")[0] for name in columns]
    starts = [i for i, group in enumerate(groups) if i == 0 or group != groups[i - 1]]
    ends = [*starts[1:], len(columns)]
    for start in starts[1:]:
        axes.axvline(start - 0.5, color="#888888", linewidth=0.6)
    middles = [(start + end - 1) / 2 for start, end in zip(starts, ends, strict=True)]
    names = [groups[i] for i in starts]
    axes.set_xticks(middles if named else [], names if named else [], rotation=30, ha="right", fontsize=7)


def picture(axes: Axes, image: object, caption: str) -> None:
    """An image without axes, with its caption below."""
    axes.imshow(image, cmap="gray")  # the map of images that have one channel
    axes.set(xticks=[], yticks=[])
    axes.set_frame_on(False)  # for good: despine would bring two sides back
    axes.set_xlabel(caption, fontsize=7)


def matrix(axes: Axes, mean: Sequence[Sequence[float | None]], answers: Sequence[str], *, title: str) -> None:
    """Fig. 2 of Guo et al.: mean loss of each confusion, frequent answers first; hard mistakes above the diagonal."""
    values = np.array([[np.nan if x is None else x for x in row] for row in mean], dtype=float)
    axes.set(title=title, xlabel="predicted, frequent to sparse", ylabel="ground truth")
    if np.isnan(values).all():
        axes.text(0.5, 0.5, "no such mistakes", ha="center", va="center", transform=axes.transAxes)
        return
    sns.heatmap(
        values, ax=axes, cmap="rocket_r", annot=True, fmt=".1f", annot_kws={"fontsize": 7}, mask=np.isnan(values),
        xticklabels=answers, yticklabels=answers, cbar_kws={"label": "mean loss", "shrink": 0.8},
    )  # fmt: skip
    axes.plot([0, len(answers)], [0, len(answers)], color="gray", linewidth=0.8, linestyle=":")
    axes.tick_params(labelsize=8)
    axes.tick_params(axis="y", rotation=0)


def distribution(axes: Axes, entry: Mapping, *, title: str) -> None:
    """A question type's most frequent training answers and then its most frequent test answers: shares in both.

    `entry` is a type of a statistics record. Train points up, test down.
    """
    train, test = dict(zip(entry["answers"], entry["train"], strict=True)), dict(entry["test_top"])
    test |= {answer: n for answer, n in zip(entry["answers"], entry["test"], strict=True) if n}
    answers = [answer for answer, n in list(train.items())[:8] if n]
    answers += [answer for answer, _ in entry["test_top"] if answer not in answers]
    x = np.arange(len(answers))
    for counts, total, sign, name in ((train, entry["n_train"], 1, "train"), (test, entry["n_test"], -1, "test")):
        shares = [sign * 100 * counts.get(answer, 0) / max(total, 1) for answer in answers]
        axes.bar(x, shares, color=PART_COLORS[name], label=name, width=0.8)
    axes.axhline(0, color="gray", linewidth=0.8)
    axes.set_xticks(x, answers, rotation=60, ha="right", fontsize=8)
    axes.yaxis.set_major_formatter(lambda value, _: f"{abs(value):.0f}")
    axes.set(title=title, ylabel="% of questions")


def weights(axes: Axes, types: Mapping[str, Mapping]) -> None:
    """The weight of each answer against its share of its question type's votes, one line a type (Eqs. 7-8)."""
    palette = sns.color_palette("crest", len(types)).as_hex()
    for color, (name, entry) in zip(palette, types.items(), strict=True):
        votes = np.array(entry["votes"], dtype=float)
        shares, weight = 100 * votes / max(votes.sum(), 1), np.array(entry["weight"])
        used = votes > 0
        axes.plot(shares[used], weight[used], "o", color=color, label=name, markersize=5, alpha=0.85)
    axes.axhline(1, color="gray", linewidth=0.8, linestyle=":")
    axes.text(0.98, 1.06, "out of type: 1", transform=axes.get_yaxis_transform(), ha="right", fontsize=8, color="gray")
    axes.set(xscale="log", yscale="log", xlabel="share of the type's votes (%)", ylabel="weight µ")
