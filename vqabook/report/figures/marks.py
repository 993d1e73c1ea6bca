"""One colour and one marker a meaning, on every page of the book; `book/design.md` shows the table.

The first seven say where a number comes from and what part a run plays. What else meets in one picture, rival methods,
parts of a method, kinds of question, has hues of its own, so that blue is the embedded world wherever it is seen.
Colours differ in lightness too, markers always do: no picture needs the colour to be read.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import matplotlib.pyplot as plt


@dataclass(frozen=True)
class Mark:
    """How one thing is drawn. `hue`: a colour that reads on light and on dark ground; None: the ink of the page."""

    hue: str | None
    marker: str
    dash: str = "-"
    hollow: bool = False
    size: float = 6.0  # points

    @property
    def color(self) -> str:
        """The colour on the page that is being drawn."""
        return plt.rcParams["text.color"] if self.hue is None else self.hue

    @property
    def dots(self) -> dict[str, Any]:
        """What `axes.plot` needs for dots alone."""
        face = "none" if self.hollow else self.color
        return {"color": self.color, "marker": self.marker, "markersize": self.size, "markerfacecolor": face} | {
            "linestyle": "none"
        }

    @property
    def line(self) -> dict[str, Any]:
        """What `axes.plot` needs for a line with dots."""
        return self.dots | {"linestyle": self.dash, "linewidth": 1.8}


MEANINGS: dict[str, tuple[Mark, str]] = {  # what a colour says wherever it is seen
    "printed": (Mark(None, "D", hollow=True), "a number that the paper prints"),
    "embedded": (Mark("#0173b2", "o"), "measured in the embedded world"),
    "real": (Mark("#de8f05", "s"), "measured on real data"),
    "live": (Mark("#c2185b", "*", size=11), "trained while the book was built"),
    "baseline": (Mark("#9a9a9a", "o", dash="--"), "the run that a method is compared with"),
    "method": (Mark("#029e73", "^"), "what the paper proposes"),
    "control": (Mark("#a65628", "X", dash=":"), "a run that tells why a method works, or whether it does"),
}
HUES = (
    "#8f7ac8",
    "#a39a1f",
    "#3f9fb5",
    "#c46a6a",
    "#6a51a3",
    "#6f7f96",
)  # of others; in no picture beside each other's
SHAPES = ("v", "P", "<", "h", ">", "d")
OTHERS = tuple(
    Mark(hue, shape, dash=dash) for hue, shape, dash in zip(HUES, SHAPES, ("-", "--", "-.") * 2, strict=True)
)
_PARTS = (
    Mark("#6fc7a8", "<"),
    Mark("#9fdcc6", ">"),
    Mark("#06694d", "v"),
)  # of a method: its own hue, lighter or darker
_RARE = (Mark("#b9a7ea", "v"), Mark("#8f72d6", "P"), Mark("#6441b8", "h"))  # frequent to rare: darker
_BASELINE, _METHOD, _CONTROL = (MEANINGS[name][0] for name in ("baseline", "method", "control"))

MARKS: Mapping[str, Mark] = {  # every name that pictures show
    **{name: mark for name, (mark, _) in MEANINGS.items()},
    # the arena: how a rule works
    "a loss": _METHOD, "another order of rows": OTHERS[0], "made after training": OTHERS[1], "your own loss": _CONTROL,
    # re-scaling
    "mask (sigmoid)": _PARTS[2], "mask (softplus-G)": _PARTS[1], "re-scaling": _PARTS[0], "both": _METHOD,
    "focal": OTHERS[0], "focal (released)": OTHERS[4],
    "UpDn": OTHERS[0], "LM": OTHERS[1], "LMH": OTHERS[2], "CSS": OTHERS[3], "CSS+LMH": OTHERS[4], "LXMERT": OTHERS[5],
    "question encoder": OTHERS[2], "classifier": OTHERS[3], "train": OTHERS[5], "test": OTHERS[1],
    "mask": _PARTS[1], "other images": _CONTROL, "no image": _CONTROL,
    # soft cross-entropy
    "cross-entropy": _BASELINE, "soft cross-entropy": _METHOD, "soft scores": OTHERS[0],
    "others' answers": _CONTROL, "AVG": OTHERS[1], "POOL": OTHERS[2],
    # supervised attention: losses, and whose maps supervise
    "MSE": OTHERS[5], "MMD": OTHERS[0], "CORAL": OTHERS[1], "adversarial": _METHOD, "best": _METHOD,
    **dict.fromkeys(("random", "shuffled", "own", "mean"), _CONTROL), "true": OTHERS[2],
    # specialised ensembles
    "IE": _BASELINE, "IE as long": _CONTROL, "MCL": OTHERS[0], "CMCL": OTHERS[1], "MCL-KD": _METHOD,
    "β": OTHERS[0], "T": OTHERS[1],
    # long tails
    "softmax": _BASELINE, "balanced softmax": _METHOD, "class-balanced weighting": OTHERS[5], "cRT": OTHERS[2],
    "equalisation loss": OTHERS[0], "class-balanced sampling": OTHERS[1], "LWS": OTHERS[3], "LDAM-DRW": OTHERS[4],
    "overall": _BASELINE, "many": _RARE[0], "medium": _RARE[1], "few": _RARE[2],
    "frequent": _RARE[0], "common": _RARE[1], "rare": _RARE[2],
}  # fmt: skip


def mark_of(name: str) -> Mark:
    """The mark of a name that pictures show."""
    if name not in MARKS:
        raise ValueError(f"what is drawn has a mark of its own, {', '.join(MARKS)}; got {name!r}: give it one in MARKS")
    return MARKS[name]
