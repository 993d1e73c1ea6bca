"""What Ren et al. 2020 print, as comparisons: Table 1 and Fig. 1; what its theory says of the exponent; and ours."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise

from vqabook.papers.balanced_activation.setting import TABLE
from vqabook.report.claims import Claim, Side

TITLE = "Balanced activation (Ren et al. 2020)"
PAGE = "06_balanced_activation"

DATA = {10: "CIFAR-10-LT", 100: "CIFAR-100-LT"}
IMBALANCES = (200, 100, 10)  # Table 1
SHOWN = 100  # the imbalance at which expectations are compared; Fig. 1 does not say its own
NAMES = {
    "softmax": "softmax", "cbw": "class-balanced weighting", "cbs": "class-balanced sampling", "focal": "focal loss",
    "class balance": "class-balanced loss", "ldam": "LDAM", "equalisation": "equalisation loss",
    "balanced softmax": "balanced softmax", "crt": "cRT", "lws": "LWS", "sigmoid": "sigmoid",
    "balanced sigmoid": "balanced sigmoid", "balanced sigmoid @ released": "balanced sigmoid, as released",
    "equalisation @ sigmoid": "equalisation loss, sigmoid", "ldam @ drw": "LDAM-DRW",
    "class balance @ focal": "class-balanced focal loss", "balanced softmax @ dealt counts": "counts of other classes",
    "repeat factor": "repeat-factor sampling", "repeat factor @ as long": "repeat-factor sampling, as long",
    "softmax @ anew": "softmax",
}  # fmt: skip
PRINTED: dict[tuple[int, int], dict[str, float]] = {  # (classes, imbalance) -> the column of Table 1
    key: dict(zip(TABLE, column, strict=True))
    for key, column in {
        (10, 200): (71.2, 72.5, 68.3, 71.8, 72.6, 71.2, 72.8, 79.0),
        (10, 100): (77.4, 78.6, 77.8, 77.1, 78.2, 77.2, 76.7, 83.1),
        (10, 10): (90.0, 90.1, 90.2, 90.3, 89.9, 90.2, 89.9, 90.9),
        (100, 200): (41.0, 36.7, 37.8, 40.2, 39.9, 41.0, 43.3, 45.9),
        (100, 100): (45.3, 42.3, 42.6, 43.8, 44.6, 45.4, 47.3, 50.3),
        (100, 10): (61.9, 61.4, 61.2, 60.0, 59.8, 62.0, 59.7, 63.1),
    }.items()
}  # fmt: skip
# rows of Table 2 on LVIS 1.0 with ResNet-50: AP of masks; of frequent, common, rare categories; AP of boxes
DETECTED: dict[str, tuple[float, float, float, float, float]] = {
    "repeat factor": (22.1, 27.8, 21.1, 11.6, 23.6), "crt": (23.2, 27.8, 22.5, 14.7, 24.8),
    "lws": (23.3, 27.8, 22.5, 14.9, 24.8), "equalisation": (24.2, 27.5, 24.2, 16.5, 25.8),
    "balanced sigmoid": (25.1, 29.3, 24.0, 18.3, 26.7),
}  # fmt: skip
DETECTED_METRICS = ("test.overall", "test.f", "test.c", "test.r", "box.overall")
MINE = "balanced softmax"
BEST, PLAIN = "balanced sigmoid", "repeat factor"  # of Table 2
GROUPS = {"rare": "r", "common": "c", "frequent": "f"}
RIVALS = [row for row in TABLE if row != MINE]


def side(row: str, imbalance: int, metric: str = "test.overall", classes: int = 10) -> Side:
    """A row at an imbalance; its accuracy as printed."""
    printed = PRINTED.get((classes, imbalance), {}).get(row) if metric == "test.overall" else None
    return Side({"variant": f"{row} at {imbalance}", "classes": classes}, metric, printed)


def counts_side(row: str, metric: str = "ap_top.overall", *, over: str | None = None) -> Side:
    """A row of the linear classifiers, or its gain over another."""
    return Side({"variant": f"counts {row}"}, metric, over=counts_side(over, metric) if over else None)


def detector_side(
    row: str, metric: str = "test.overall", *, over: str | None = None, backbone: str = "resnet18"
) -> Side:
    """A row of the detector, or its gain over another; what is printed is LVIS with ResNet-50."""
    values = DETECTED.get(row)
    printed = None if values is None else values[DETECTED_METRICS.index(metric)]
    base = None if over is None else detector_side(over, metric, backbone=backbone)
    return Side({"variant": f"{backbone} {row}"}, metric, printed, base)


def _claim(name: str, statement: str, where: str, more: Side, less: Side, data: str, unit: str = "points") -> Claim:
    name = f"balanced-{name}".translate({32: "-", 46: "-"}).replace("-@", "")
    return Claim(name, statement, where, more, less, PAGE, TITLE, data, unit)


def _table_1(classes: int) -> list[Claim]:
    """Balanced softmax beats every rival at every imbalance, and the more, the more there is; Fig. 1."""
    data, among = DATA[classes], "" if classes == 10 else f"among {classes} classes "
    claims = []
    for at in IMBALANCES:
        for rival in RIVALS:
            sides = (side(row, at, classes=classes) for row in (MINE, rival))
            text = f"{among}balanced softmax beats {NAMES[rival]} at imbalance {at}"
            claims.append(_claim(f"{classes}-{at}-over-{rival}", text, "Table 1", *sides, data))
    for high, low in pairwise(IMBALANCES):
        gains = (
            replace(side(MINE, at, classes=classes), over=side("softmax", at, classes=classes)) for at in (high, low)
        )
        text = f"{among}balanced softmax gains more over softmax at imbalance {high} than at {low}"
        claims.append(_claim(f"{classes}-gain-{high}-{low}", text, "Table 1", *gains, data))
    for rival in ("softmax", "equalisation"):
        sides = (side(row, SHOWN, "marginal.divergence", classes) for row in (rival, MINE))
        text = f"p(y) over the balanced test set is farther from uniform with {NAMES[rival]} than with balanced softmax"
        text = f"{among}{text} at {SHOWN}"
        claims.append(_claim(f"{classes}-stable-{rival}", text, "Fig. 1", *sides, data, "nats"))
    return claims


def _ours(at: int = SHOWN) -> list[Claim]:
    """What the paper says in passing, or leaves open."""
    mine, plain, dealt = side(MINE, at), side("softmax", at), side(f"{MINE} @ dealt counts", at)
    sigmoid, released = side("balanced sigmoid", at), side("balanced sigmoid @ released", at)
    rows = [
        (f"exponent-1-over-{x}", f"counts to the power of 1 beat {x}",
         "Sec. 3.2, Corollary 1" if x == "0.25" else "Ours, Corollary 1", mine, side(f"{MINE} @ exponent {x}", at))
        for x in ("0.25", "0.5", "1.5", "2")
    ]  # fmt: skip
    for group, *pair in (("few", MINE, "softmax"), ("medium", MINE, "softmax"), ("many", "softmax", MINE)):
        more, less = (side(row, at, f"test.{group}") for row in pair)
        text = "{} beats {} on classes of {} training rows".format(*(NAMES[row] for row in pair), group)
        rows.append((group, text, "Ours", more, less))
    rows += [
        ("over-adjusted", "balanced softmax beats softmax whose logits are adjusted at test", "Ours", mine,
         side("softmax", at, "adjusted.overall")),
        *(
            (f"over-{row}", f"balanced softmax beats {NAMES[row]}", "Ours", mine, side(row, at))
            for row in ("crt", "lws", "ldam @ drw", "class balance @ focal")
        ),
        ("over-dealt", "a class' own count beats those of other classes", "Ours, control", mine, dealt),
        ("dealt", "softmax beats balanced softmax with other classes' counts", "Ours, control", plain, dealt),
        ("sigmoid", "balanced sigmoid beats the sigmoid", "Ours, Eq. 46", sigmoid, side("sigmoid", at)),
        ("sigmoid-offset", "the sigmoid's offset with log(k - 1) beats that without", "Ours, Eq. 44", sigmoid,
         released),
    ]  # fmt: skip
    return [_claim(name, f"{text} at imbalance {at}", *rest, DATA[10]) for name, text, *rest in rows]


def _table_2(at: str, side: Callable[..., Side], rivals: Sequence[str], metric: str, precision: str) -> list[tuple]:
    """What Table 2 says: balanced sigmoid over its rivals, by frequency, and where it gains more."""
    rows = [(f"over-{row}", f"beats {NAMES[row]} in {precision}", side(BEST), side(row)) for row in rivals]
    for group, key in GROUPS.items():
        sides = (side(row, f"{metric}.{key}") for row in (BEST, PLAIN))
        rows.append((group, f"beats repeat-factor sampling on {group} categories", *sides))
    gains = (side(BEST, f"{metric}.{key}", over=PLAIN) for key in "rf")
    rows.append(("gain", "gains more on rare categories than on frequent ones", *gains))
    return [(name, f"{at}, balanced sigmoid {text}", *sides) for name, text, *sides in rows]


def _counts() -> list[Claim]:
    """Linear classifiers under a detector's counts: what Table 2 says of its rows, at the classifier."""
    rivals = (PLAIN, "crt", "lws", "equalisation @ sigmoid")
    rows = _table_2("at the classifier", counts_side, rivals, "ap_top", "precision")
    rows.append((
        "all-scores",
        "precision of all of a category's scores, whatever else scores higher, is better with balanced sigmoid",
        counts_side(BEST, "ap.overall"), counts_side("sigmoid", "ap.overall"),
    ))  # fmt: skip
    claims = [_claim(f"counts-{name}", text, "Ours, Table 2", *sides, "LVIS 1.0") for name, text, *sides in rows]
    sides = counts_side(BEST), counts_side(f"{BEST} @ released")
    text = "at the classifier, the offset of Eq. 44 beats the released one"
    return [*claims, _claim("counts-released", text, "Ours, Eq. 44", *sides, "LVIS 1.0")]


def _detection() -> list[Claim]:
    """Mask R-CNN on generated scenes: what Table 2 says of LVIS with ResNet-50, and what it leaves open."""
    rivals = (PLAIN, "crt", "lws", "equalisation")
    at, longer, data = "in a detector", f"{PLAIN} @ as long", "LVIS 1.0, ResNet-50"
    rows = [(*row, "Table 2") for row in _table_2(at, detector_side, rivals, "test", "the precision of masks")]
    rows += [
        (name, f"{at}, balanced sigmoid beats {text}", *(detector_side(row, metric) for row in (BEST, rival)), where)
        for name, text, metric, rival, where in (
            ("boxes", "repeat-factor sampling in the precision of boxes", "box.overall", PLAIN, "Table 2"),
            ("as-long", "repeat-factor sampling that trains as long", "test.overall", longer, "Ours, control"),
            ("rare-as-long", "repeat-factor sampling that trains as long, on rare categories", "test.r", longer,
             "Ours, control"),
            ("over-softmax", "softmax", "test.overall", "softmax @ anew", "Ours"),
        )
    ]  # fmt: skip
    return [_claim(f"detector-{name}", text, where, *sides, data) for name, text, *sides, where in rows]


CLAIMS = (*_table_1(10), *_table_1(100), *_ours(), *_counts(), *_detection())
